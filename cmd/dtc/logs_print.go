package main

import (
	"bufio"
	"bytes"
	"fmt"

	"dtc/internal/logs"
	"dtc/internal/render"
)

// linePrinter prints lines of copies.
type linePrinter struct {
	out       *bufio.Writer
	names     map[string]string // of folders
	raw       bool
	prefix    bool
	color     bool
	highlight *highlighter           // nil: nothing is
	colors    map[logs.Target]int    // of streams, by their first line
	known     map[logs.Target]string // how streams are called
	escaper   *render.Escaper        // writes to out
	marked    [][2]int               // reused
}

// The ways in which a terminal shows what is not a line's own.
const (
	dim   = "\x1b[2m"
	plain = "\x1b[0m"
)

func (p *linePrinter) print(l logs.Line) error {
	if p.raw {
		_, err := p.out.Write(l.Text)
		return err
	}
	if l.Mark != nil {
		return p.printMark(l)
	}
	if p.prefix {
		p.printPrefix(l.Target)
	}
	if err := p.printText(l.Text); err != nil {
		return err
	}
	if l.Cut {
		fmt.Fprint(p.out, " [the line goes on: --raw shows all of it]")
	}
	return p.out.WriteByte('\n')
}

// printText prints a line without its end.
func (p *linePrinter) printText(text []byte) error {
	if line, ok := bytes.CutSuffix(text, []byte{'\n'}); ok {
		text = bytes.TrimSuffix(line, []byte{'\r'})
	}
	at := 0
	if p.color {
		p.marked = p.highlight.find(p.marked[:0], text)
		for _, m := range p.marked {
			if err := p.escape(text[at:m[0]], "", ""); err != nil {
				return err
			}
			if err := p.escape(text[m[0]:m[1]], markRow, unmarkRow); err != nil {
				return err
			}
			at = m[1]
		}
	}
	return p.escape(text[at:], "", "")
}

// escape prints a piece of a line between two control sequences.
func (p *linePrinter) escape(text []byte, before, after string) error {
	if p.escaper == nil {
		p.escaper = render.EscapingWriter(p.out)
	}
	if _, err := p.out.WriteString(before); err != nil {
		return err
	}
	if _, err := p.escaper.Write(text); err != nil {
		return err
	}
	if err := p.escaper.Flush(); err != nil {
		return err
	}
	_, err := p.out.WriteString(after)
	return err
}

// name returns how a stream is called, safe to print.
func (p *linePrinter) name(t logs.Target) string {
	name, ok := p.known[t]
	if !ok {
		if p.known == nil {
			p.known = map[logs.Target]string{}
		}
		name = render.Escape(p.names[t.Folder]) + "/" + render.Escape(t.Alias)
		p.known[t] = name
	}
	return name
}

// printPrefix prints whose line it is. An error shows at the next write.
func (p *linePrinter) printPrefix(t logs.Target) {
	if p.color {
		fmt.Fprintf(p.out, "\x1b[%sm%s |%s ", p.colorOf(t), p.name(t), plain)
		return
	}
	fmt.Fprint(p.out, p.name(t), " | ")
}

// streamColors returns the colors of streams, as parameters of SGR: the six that
// any background goes with, then the same bright, then bold.
func streamColors() []string {
	return []string{
		"36", "33", "32", "35", "34", "31", "96", "93", "92", "95", "94", "91",
		"1;36", "1;33", "1;32", "1;35", "1;34", "1;31",
	}
}

// colorOf gives each stream that is shown a color of its own, as far as there
// are some.
func (p *linePrinter) colorOf(t logs.Target) string {
	if p.colors == nil {
		p.colors = map[logs.Target]int{}
	}
	i, ok := p.colors[t]
	if !ok {
		i = len(p.colors)
		p.colors[t] = i
	}
	all := streamColors()
	return all[i%len(all)]
}

// printMark prints a mark on a line of its own.
func (p *linePrinter) printMark(l logs.Line) error {
	before, after := "", ""
	if p.color {
		before, after = dim, plain
	}
	_, err := fmt.Fprintf(p.out, "%s--- %s: %s ---%s\n", before, p.name(l.Target), markText(l.Mark), after)
	return err
}

// markText says in words what a mark tells.
func markText(m *logs.Mark) string {
	switch m.Kind {
	case logs.MarkFile:
		if m.From > 0 {
			return fmt.Sprintf("a new file follows, from its byte %d on (generation %d)", m.From, m.Generation)
		}
		return fmt.Sprintf("a new file follows (generation %d)", m.Generation)
	case logs.MarkEarlier:
		return fmt.Sprintf("more of an earlier file follows, from its byte %d on (generation %d)", m.From, m.Generation)
	case logs.MarkLost:
		if m.To < 0 {
			return fmt.Sprintf("what the file had from its byte %d on was lost (generation %d)", m.From, m.Generation)
		}
		return fmt.Sprintf("%s were lost: bytes %d-%d of the file (generation %d)", byteText(m.To-m.From), m.From, m.To, m.Generation)
	case logs.MarkRewound:
		return fmt.Sprintf("the file lost its end: it went back from byte %d to %d (generation %d)", m.From, m.To, m.Generation)
	case logs.MarkChanged:
		return "somebody changed the copy here"
	case logs.MarkRemoved:
		return byteText(m.Bytes) + " of the copy are gone: somebody removed or cut it"
	case logs.MarkDropped:
		return byteText(m.Bytes) + " before this were dropped by retention"
	case logs.MarkZeros:
		return byteText(m.Bytes) + " of zeros"
	case logs.MarkHole:
		return byteText(m.Bytes) + " of zeros that were never written"
	default:
		return fmt.Sprintf("mark %d", m.Kind)
	}
}

// missedText says which bytes are not printed, of a copy that is called so.
func missedText(name string, m *logs.Mark) string {
	why := "somebody removed or cut the copy"
	if m.Kind == logs.MarkDropped {
		why = "retention has dropped them"
	}
	return fmt.Sprintf("%s: %s that were asked for are not printed: %s", name, byteText(m.Bytes), why)
}

// byteText returns a number of bytes in the largest binary unit that it has at
// least one of.
func byteText(n int64) string {
	if n == 1 {
		return "1 byte"
	}
	if n < 1<<10 {
		return fmt.Sprintf("%d bytes", n)
	}
	value, unit := float64(n), -1
	for value >= 1023.95 && unit < 5 {
		value /= 1 << 10
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTPE"[max(unit, 0)])
}
