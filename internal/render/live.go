package render

import (
	"io"

	"dtc"
)

// Live keeps the newest whole answer of each of several hosts that are asked
// again and again, each at its own pace, and writes them all as one text,
// whenever it is asked to. Like a [Document] it keeps them as they are rendered,
// in memory up to [Options.SpoolMemory] and beyond that in one temporary file; of
// a host that is at most the newest answer and the one that is coming. It has to
// be closed, and is not safe for concurrent use.
type Live struct {
	doc    Document  // the answers that are coming; writes nothing
	newest []section // that are whole
}

// NewLive returns one for that many hosts' answers to one status. The option
// Format has no meaning here: it is text.
func NewLive(status dtc.Status, hosts int, opt Options) *Live {
	opt.Format = FormatText
	l := &Live{doc: *NewDocument(nil, status, hosts, opt), newest: make([]section, hosts)}
	for i := range l.newest {
		l.newest[i] = l.doc.empty()
	}
	return l
}

// Resize says how wide the terminal is from now on. Answers that are there
// already may stay as they are.
func (l *Live) Resize(columns int) { l.doc.opt.Columns = columns }

// Add takes a part of the next answer of host i. With the last part it takes the
// place of the one before; one with Err set leaves the host without an answer.
// After an error, which is that of the temporary file, it is of no use.
func (l *Live) Add(i int, part *dtc.Report) error {
	s := &l.doc.hosts[i]
	if part.Err != nil {
		l.renew(s)
		l.renew(&l.newest[i])
		return l.tidy()
	}
	if s.answer == nil {
		s.answer, s.name, s.address = newAnswer(l.doc.status, l.doc.opt), part.Host, part.Address
	}
	if err := l.doc.keep(s, part); err != nil || part.Partial {
		return err
	}
	s.rest()
	s.shown = true
	l.renew(&l.newest[i])
	l.newest[i], *s = *s, l.doc.empty()
	return l.tidy()
}

func (l *Live) renew(s *section) {
	s.kept.release()
	*s = l.doc.empty()
}

func (l *Live) tidy() error { return l.doc.store.tidy(l.newest, l.doc.hosts) }

// Show writes the newest answer of each host that has one. They stay.
func (l *Live) Show(w io.Writer) error {
	// A document writes answers and lets go of them: this one has copies of what
	// leads to the bytes, and a store of its own to count what it lets go of.
	kept := *l.doc.store
	d := Document{status: l.doc.status, opt: l.doc.opt, hosts: make([]section, len(l.newest)), store: &kept, out: sink{w: w}}
	for i, s := range l.newest {
		s.kept.store = &kept
		d.hosts[i] = s
	}
	if d.opt.flat() {
		if err := d.showTable(); err != nil {
			return err
		}
		return d.out.flush()
	}
	for i := range d.hosts {
		if err := d.show(i); err != nil {
			return err
		}
	}
	return d.out.flush()
}

// Clear lets go of the answers, but not of those that are coming.
func (l *Live) Clear() error {
	for i := range l.newest {
		l.renew(&l.newest[i])
	}
	return l.tidy()
}

// Close lets go of everything.
func (l *Live) Close() { l.doc.store.Close() }

// Again makes room for the next answer of host i, whose last one has been
// written: in the form jsonl only, where each is as soon as it is whole.
func (d *Document) Again(i int) error {
	if d.failed == nil && d.hosts[i].done {
		d.hosts[i].kept.release()
		d.hosts[i] = d.empty()
		d.failed = d.store.tidy(d.hosts)
	}
	return d.failed
}

// empty returns what there is of a host that has not answered yet.
func (d *Document) empty() section { return section{kept: spool{store: d.store}} }

// tidyAfter is from how many bytes on a store's file is tidied up.
const tidyAfter = 16 << 20

// tidy copies what is still of use into a new file, once that is less than half
// of what stands there. The sections are all that the store has bytes of.
func (s *store) tidy(all ...[]section) error {
	if s.file == nil || s.dead < max(s.end/2, tidyAfter) {
		return nil
	}
	old := *s
	defer old.Close()
	s.file, s.end, s.dead = nil, 0, 0
	buf := make([]byte, sinkSize)
	for _, sections := range all {
		for i := range sections {
			if err := s.move(&old, sections[i].kept.pieces, buf); err != nil {
				return err
			}
		}
	}
	return nil
}

// move takes over what pieces have in another file.
func (s *store) move(old *store, pieces []piece, buf []byte) error {
	for i := range pieces {
		p := &pieces[i]
		if p.memory != nil {
			continue
		}
		from, end := p.at, p.at+p.size
		p.at = s.end
		for from < end {
			part := buf[:min(int64(len(buf)), end-from)]
			if err := old.read(part, from); err != nil {
				return err
			}
			if _, err := s.append(part); err != nil {
				return err
			}
			from += int64(len(part))
		}
	}
	return nil
}
