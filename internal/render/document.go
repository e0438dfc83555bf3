package render

import (
	"io"

	"dtc"
)

// Document writes what several hosts answered as one output: text, json and
// csv in the order of the hosts, each as soon as all before it are there,
// jsonl as the answers come. Nothing is written of a host before its answer is
// whole. It is not safe for concurrent use.
type Document struct {
	w       io.Writer
	status  dtc.Status
	opt     Options
	hosts   []section
	next    int    // the first host whose answer is not written yet
	written int    // answers
	out     []byte // reused
}

// section is what one host answered so far.
type section struct {
	answer  answer
	name    string
	address string
	text    []byte
	done    bool
	shown   bool // it answered: there is something to show
}

// NewDocument begins the output of that many hosts' answers to one status.
func NewDocument(w io.Writer, status dtc.Status, hosts int, opt Options) *Document {
	return &Document{w: w, status: status, opt: opt, hosts: make([]section, hosts)}
}

// Add takes a part of the answer of host i, numbered from 0 in the order of the
// output. The part is not kept. An error is that of the writer.
func (d *Document) Add(i int, part *dtc.Report) error {
	s := &d.hosts[i]
	if s.done {
		return nil
	}
	if s.answer == nil {
		s.answer, s.name, s.address = newAnswer(d.status, d.opt), part.Host, part.Address
	}
	switch {
	case part.Err == nil:
		s.text = s.answer.append(s.text, part)
		s.done, s.shown = !part.Partial, !part.Partial
	case d.isJSON():
		s.text = newAnswer(d.status, d.opt).append(nil, part)
		s.done, s.shown = true, true
	default: // no half answers
		s.text, s.done = nil, true
	}
	if !s.done {
		return nil
	}
	s.answer = nil
	return d.flush(i)
}

func (d *Document) isJSON() bool {
	return d.opt.Format == FormatJSON || d.opt.Format == FormatJSONL
}

// flush writes what has become ready with the answer of host i.
func (d *Document) flush(i int) error {
	d.out = d.out[:0]
	if d.opt.Format == FormatJSONL {
		d.show(i)
	} else {
		for d.next < len(d.hosts) && d.hosts[d.next].done {
			d.show(d.next)
			d.next++
		}
	}
	return d.write()
}

// show moves a host's answer to the output, with what stands between two.
func (d *Document) show(i int) {
	s := &d.hosts[i]
	if s.shown {
		d.out = append(d.separate(d.out, i), s.text...)
		d.written++
	}
	if s.shown && d.opt.Format == FormatJSONL {
		d.out = append(d.out, '\n')
	}
	s.text = nil
}

// separate appends what stands before the answer of host i.
func (d *Document) separate(b []byte, i int) []byte {
	switch d.opt.Format {
	case FormatJSONL:
		return b
	case FormatJSON:
		if d.written == 0 {
			return append(b, "[\n"...)
		}
		return append(b, ",\n"...)
	case FormatCSV:
		if d.written == 0 {
			return appendCSVHeader(b, d.status)
		}
		return b
	default:
		return d.title(b, i)
	}
}

// title appends the line that begins a host's text among those of others, as
// tail(1) does between files.
func (d *Document) title(b []byte, i int) []byte {
	if len(d.hosts) < 2 {
		return b
	}
	if d.written > 0 {
		b = append(b, '\n')
	}
	if d.opt.Color {
		b = append(b, "\x1b[1m"...)
	}
	esc := plainEscape(d.opt)
	b = append(appendEscaped(append(b, "==> "...), d.hosts[i].name, esc), " ("...)
	b = append(appendEscaped(b, d.hosts[i].address, esc), ") <=="...)
	if d.opt.Color {
		b = append(b, "\x1b[0m"...)
	}
	return append(b, '\n')
}

// Close ends the output. The writer stays open.
func (d *Document) Close() error {
	d.out = d.out[:0]
	switch {
	case d.opt.Format == FormatJSON && d.written == 0:
		d.out = append(d.out, "[]\n"...)
	case d.opt.Format == FormatJSON:
		d.out = append(d.out, "\n]\n"...)
	case d.opt.Format == FormatCSV && d.written == 0:
		d.out = appendCSVHeader(d.out, d.status)
	}
	return d.write()
}

func (d *Document) write() error {
	if len(d.out) == 0 {
		return nil
	}
	_, err := d.w.Write(d.out)
	return err
}
