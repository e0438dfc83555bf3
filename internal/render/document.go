package render

import (
	"bytes"
	"io"

	"dtc"
)

// Document writes what several hosts answered as one output: text, json and
// csv in the order of the hosts, each as soon as all before it are there,
// jsonl as the answers come, and a flat table when all are there. Nothing is
// written of a host before its answer is whole; until then, and until it is its
// turn, it is kept as [Options] say. It is not safe for concurrent use. After
// an error, which every later call returns too, nothing more is written.
type Document struct {
	status  dtc.Status
	opt     Options
	hosts   []section
	store   *store
	out     sink
	part    []byte // reused
	next    int    // the first host whose answer is not written yet
	written int    // answers
	failed  error
	closed  bool
}

// section is what one host answered so far.
type section struct {
	answer  answer // nil before the first part, and when it is not needed any more
	kept    spool
	name    string
	address string
	begun   bool // something was kept
	done    bool
	shown   bool // it answered: there is something to show
}

// NewDocument begins the output of that many hosts' answers to one status. It
// has to be closed.
func NewDocument(w io.Writer, status dtc.Status, hosts int, opt Options) *Document {
	d := &Document{
		status: status, opt: opt, hosts: make([]section, hosts), store: newStore(opt), out: sink{w: w}, part: make([]byte, 0, 64<<10),
	}
	for i := range d.hosts {
		d.hosts[i].kept.store = d.store
	}
	return d
}

// Add takes a part of the answer of host i, numbered from 0 in the order of the
// output. The part is not kept. An error is that of the writer, or of the
// temporary file.
func (d *Document) Add(i int, part *dtc.Report) error {
	s := &d.hosts[i]
	if d.failed != nil || s.done {
		return d.failed
	}
	if s.answer == nil {
		s.answer, s.name, s.address = newAnswer(d.status, d.opt), part.Host, part.Address
	}
	switch {
	case part.Err == nil:
		d.failed = d.keep(s, part)
		s.done, s.shown = !part.Partial, !part.Partial
	case d.isJSON():
		s.kept.release()
		s.answer = newAnswer(d.status, d.opt)
		d.failed = d.keep(s, part)
		s.done, s.shown = true, true
	default: // no half answers
		s.kept.release()
		s.answer, s.done = nil, true
	}
	if d.failed == nil && s.done {
		s.rest()
		d.failed = d.flush(i)
	}
	return d.failed
}

// rest lets go of what is of no use once the answer is whole: it may wait for
// those of thousands of hosts.
func (s *section) rest() {
	if a, ok := s.answer.(laterAnswer); ok {
		a.rest()
	} else {
		s.answer = nil
	}
}

func (d *Document) isJSON() bool {
	return d.opt.Format == FormatJSON || d.opt.Format == FormatJSONL
}

// keep renders a part and keeps it.
func (d *Document) keep(s *section, part *dtc.Report) error {
	d.part = s.answer.append(d.part[:0], part)
	text := d.part
	if len(text) > 0 && !s.begun {
		s.begun = true
		if d.opt.NoHeader && beginsWithHeader(s.answer) {
			_, text, _ = bytes.Cut(text, []byte{'\n'})
		}
	}
	_, err := s.kept.Write(text)
	if cap(d.part) > 1<<20 {
		d.part = nil // of one that was larger than most
	}
	return err
}

// flush writes what has become ready with the answer of host i.
func (d *Document) flush(i int) error {
	switch {
	case d.opt.flat(): // Close does
		return nil
	case d.opt.Format == FormatJSONL:
		if err := d.show(i); err != nil {
			return err
		}
	default:
		for ; d.next < len(d.hosts) && d.hosts[d.next].done; d.next++ {
			if err := d.show(d.next); err != nil {
				return err
			}
		}
	}
	return d.out.flush()
}

// show writes a host's answer, with what stands between two.
func (d *Document) show(i int) error {
	s := &d.hosts[i]
	if !s.shown {
		return nil
	}
	d.out.b = d.separate(d.out.b, i)
	d.written++
	err := s.writeTo(&d.out)
	if d.opt.Format == FormatJSONL {
		d.out.b = append(d.out.b, '\n')
	}
	s.kept.release()
	s.answer = nil
	return err
}

func (s *section) writeTo(out *sink) error {
	if a, ok := s.answer.(laterAnswer); ok {
		return a.finish(out, s.kept.reader())
	}
	_, err := s.kept.WriteTo(out)
	return err
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
			return d.csvHeader(b)
		}
		return b
	default:
		return d.title(b, i)
	}
}

func (d *Document) csvHeader(b []byte) []byte {
	if d.opt.NoHeader {
		return b
	}
	return appendCSVHeader(b, d.status, d.opt.Fields)
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

// Close ends the output and lets go of what was kept. The writer stays open.
func (d *Document) Close() error {
	defer d.store.Close()
	if d.failed == nil && !d.closed {
		d.closed = true
		d.failed = d.finish()
	}
	return d.failed
}

func (d *Document) finish() error {
	switch {
	case d.opt.flat():
		if err := d.showTable(); err != nil {
			return err
		}
	case d.opt.Format == FormatJSON && d.written == 0:
		d.out.b = append(d.out.b, "[]\n"...)
	case d.opt.Format == FormatJSON:
		d.out.b = append(d.out.b, "\n]\n"...)
	case d.opt.Format == FormatCSV && d.written == 0:
		d.out.b = d.csvHeader(d.out.b)
	}
	return d.out.flush()
}

// showTable writes the rows of all hosts as one table.
func (d *Document) showTable() error {
	table := newTableAnswer(d.status, d.opt)
	for i := range d.hosts {
		if s := &d.hosts[i]; s.shown {
			table.widen(s.answer.(*tableAnswer))
			d.written++
		}
	}
	if d.written > 0 {
		table.header(&d.out)
	}
	for i := range d.hosts {
		if s := &d.hosts[i]; s.shown {
			if err := table.body(&d.out, s.kept.reader()); err != nil {
				return err
			}
			s.kept.release()
		}
	}
	return nil
}
