package main

import (
	"bufio"
	"fmt"
	"hash/fnv"

	"dtc/internal/logs"
	"dtc/internal/render"
)

// linePrinter prints lines of copies.
type linePrinter struct {
	out    *bufio.Writer
	names  map[string]string // of folders
	raw    bool
	prefix bool
	color  bool
}

func (p *linePrinter) print(l logs.Line) error {
	if p.raw {
		_, err := p.out.Write(l.Text)
		return err
	}
	if p.prefix {
		p.printPrefix(l.Target)
	}
	esc := render.EscapingWriter(p.out)
	if _, err := esc.Write(l.Text); err != nil {
		return err
	}
	if err := esc.Flush(); err != nil {
		return err
	}
	if l.Cut {
		fmt.Fprintf(p.out, " [the line goes on: more than %d MiB are shown by --raw only]", logs.MaxLine>>20)
	}
	if n := len(l.Text); n == 0 || l.Text[n-1] != '\n' {
		return p.out.WriteByte('\n')
	}
	return nil
}

// printPrefix prints whose line it is. An error shows at the next write.
func (p *linePrinter) printPrefix(t logs.Target) {
	text := render.Escape(p.names[t.Folder]) + "/" + render.Escape(t.Alias) + " |"
	if p.color {
		fmt.Fprintf(p.out, "\x1b[%dm%s\x1b[0m ", prefixColor(text), text)
		return
	}
	fmt.Fprint(p.out, text, " ")
}

// prefixColor gives each stream a color of its own as far as there are some:
// the SGR codes 31 to 36.
func prefixColor(text string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(text)) // it never fails
	return 31 + int(h.Sum32()%6)
}
