package follow

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"slices"

	"dtc"
)

// Proof is what is known of the beginning of some content, up to a position: by
// it the content is found again in another file.
type Proof struct {
	Start, Position int64

	headLen, markerLen int
	head, marker       func([]byte) bool
	sum                uint32 // CRC-32C of [Start, Position), if summed
	summed             bool
}

// ProofOf is the proof that a copy in the state s gives.
func ProofOf(s dtc.GenerationState) Proof {
	equals := func(want dtc.Hash) func([]byte) bool {
		return func(b []byte) bool {
			full := sha256.Sum256(b)
			return dtc.Hash(full[:16]) == want
		}
	}
	return Proof{
		Start: s.Start, Position: s.Position,
		headLen: min(max(s.HeadLen, 0), dtc.HeadSize), head: equals(s.Head),
		markerLen: min(max(s.MarkerLen, 0), dtc.MarkerSize), marker: equals(s.Marker),
		sum: s.Sum, summed: true,
	}
}

// ProofOf is the proof that what was seen of g in this process gives. sum is the
// CRC-32C of all that was read of it.
func (r *Reader) ProofOf(g *Generation, sum uint32) Proof {
	if g.Mark.Length == 0 && g.Start == 0 { // nothing was read; something may have been seen
		p := r.ProofOfMarks(0, g.probe, g.end, 0)
		if p.summed = false; g.unproven() {
			return Proof{}
		}
		return p
	}
	return r.ProofOfMarks(g.Start, g.Head, g.Mark, sum)
}

// ProofOfMarks is the proof of content of which start, head, the mark before the
// position and the sum are known.
func (r *Reader) ProofOfMarks(start int64, head, mark Mark, sum uint32) Proof {
	equals := func(want uint64) func([]byte) bool {
		return func(b []byte) bool { return r.sum(b) == want }
	}
	return Proof{
		Start: start, Position: max(start, mark.Offset),
		headLen: head.Length, head: equals(head.Sum),
		markerLen: mark.Length, marker: equals(mark.Sum),
		sum: sum, summed: true,
	}
}

// Enough reports whether content that the proof holds for can be said to be the
// same: everything is known of it, or a long head.
func (p *Proof) Enough() bool {
	return p.headLen >= strongHead || p.headLen >= shortHead && p.Position-p.Start <= int64(p.headLen)
}

// Strong reports whether hardly anything else can begin with the same bytes.
func (p *Proof) Strong() bool { return p.headLen >= strongHead }

// Finding is what an archive was found to hold.
type Finding struct {
	Length int64  // bytes of its content
	Holds  []bool // by proof: whether the content begins with what the proof is of

	file  *File
	size  int64 // of the archive
	marks []marks
	tail  []byte // its last bytes, at most MarkerSize
}

// marks are bytes of the content at the places that a proof is about.
type marks struct {
	first []byte // from its start on, at most HeadSize
	last  []byte // before its position, at most MarkerSize
}

// Ends reports whether the content of the archive ends as the bytes of f before
// its length do, and begins with the same.
func (d *Finding) Ends(f *File) bool {
	st, err := f.Stat()
	if err != nil || st.Size < d.Length || len(d.marks) == 0 {
		return false
	}
	return f.holds(d.marks[0].first, 0) && f.holds(d.tail, d.Length-int64(len(d.tail)))
}

// Begins reports whether the first bytes of f are these.
func (f *File) Begins(head []byte) bool { return f.holds(head, 0) }

// BeginsAs reports whether o begins as f does and has the same before the length
// of f, which is not longer.
func (f *File) BeginsAs(o *File) bool {
	st, err := f.Stat()
	if err != nil {
		return false
	}
	other, err := o.Stat()
	if err != nil || other.Size < st.Size {
		return false
	}
	b := make([]byte, min(st.Size, dtc.MarkerSize))
	same := func(off int64) bool {
		n, err := f.ReadAt(b, off)
		return (err == nil || errors.Is(err, io.EOF)) && n == len(b) && o.holds(b, off)
	}
	return same(0) && same(st.Size-int64(len(b)))
}

// holds reports whether f has want at off.
func (f *File) holds(want []byte, off int64) bool {
	b := make([]byte, len(want))
	n, err := f.ReadAt(b, off)
	return (err == nil || errors.Is(err, io.EOF)) && string(b[:n]) == string(want)
}

// Search decompresses the archive f to its end, and reports which of the proofs
// hold. If none can hold any more it stops; Length is -1 then.
func (u *Unpacker) Search(ctx context.Context, f *File, proofs []Proof) (Finding, error) {
	return u.examine(ctx, f, newExaminers(proofs), func(all []examiner) bool {
		for i := range all {
			if !all[i].refuted {
				return true
			}
		}
		return false
	})
}

// Verify decompresses the archive f to its end, and reports which of the proofs
// hold. If there is much in it, strange is called with the first HeadSize bytes
// as soon as these are known and nothing that a proof is of begins with them.
func (u *Unpacker) Verify(ctx context.Context, f *File, proofs []Proof, strange func(head []byte)) (Finding, error) {
	return u.examine(ctx, f, newExaminers(proofs), func(all []examiner) bool {
		if head := all[0].first; strange != nil && len(head) >= dtc.HeadSize {
			if !slices.ContainsFunc(all[1:], func(e examiner) bool { return !e.refuted && e.headLen > 0 }) {
				strange(head)
			}
			strange = nil
		}
		return true
	})
}

// examiner checks one proof against content that comes in blocks.
type examiner struct {
	Proof
	marks

	refuted  bool
	headDone bool
	markDone bool
	crc      uint32
}

// newExaminers has one more examiner than there are proofs, in front: it holds
// for nothing, and notes the head of the content.
func newExaminers(proofs []Proof) []examiner {
	all := []examiner{{refuted: true}}
	for _, p := range proofs {
		all = append(all, examiner{Proof: p})
	}
	return all
}

// feed takes the next bytes of the content: those of window from old on. What
// is before them was there already.
func (e *examiner) feed(window []byte, off int64, old int) {
	pos, end := off+int64(old), off+int64(len(window))
	if from, to := e.Start+int64(len(e.first)), min(e.Start+dtc.HeadSize, end); from >= off && from < to {
		e.first = append(e.first, window[from-off:to-off]...)
	}
	if !e.headDone && len(e.first) >= e.headLen {
		e.headDone = true
		e.refuted = e.refuted || e.headLen > 0 && !e.head(e.first[:e.headLen])
	}
	if from, to := max(e.Start, pos), min(e.Position, end); from < to {
		e.crc = crc32.Update(e.crc, castagnoli(), window[from-off:to-off])
	}
	if !e.markDone && end >= e.Position {
		e.markDone = true
		b := append([]byte(nil), window[max(e.Start, e.Position-dtc.MarkerSize)-off:e.Position-off]...)
		e.last = b
		e.refuted = e.refuted || len(b) < e.markerLen || e.markerLen > 0 && !e.marker(b[len(b)-e.markerLen:])
		e.refuted = e.refuted || e.summed && e.crc != e.sum
	}
}

func (e *examiner) holds() bool { return !e.refuted && e.headDone && e.markDone }

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// examine feeds the content of f to the examiners as long as goOn says so.
func (u *Unpacker) examine(ctx context.Context, f *File, all []examiner, goOn func([]examiner) bool) (Finding, error) {
	d, err := u.examineIn(ctx, f, all, goOn, maxWindow)
	if !errors.Is(err, errLarge) {
		return d, err
	}
	if err := u.takeLarge(ctx.Done()); err != nil {
		return d, err
	}
	defer u.giveLarge()
	for i := range all {
		all[i] = examiner{Proof: all[i].Proof, refuted: i == 0}
	}
	d, err = u.examineIn(ctx, f, all, goOn, maxLargeWindow)
	if errors.Is(err, errLarge) {
		err = &Unreadable{filepath.Base(f.real), errLarge.Error()}
	}
	return d, err
}

func (u *Unpacker) examineIn(ctx context.Context, f *File, all []examiner, goOn func([]examiner) bool, window int64) (Finding, error) {
	before, err := f.rawStat()
	if err != nil {
		return Finding{Length: -1}, fmt.Errorf("examine %s: %w", f.real, err)
	}
	in, err := unpack(ctx.Err, f, window)
	if err != nil {
		return Finding{Length: -1}, err
	}
	defer in.close()
	d := Finding{file: f, size: before.Size}
	if err := d.read(in, all, goOn); err != nil {
		return Finding{Length: -1}, err
	}
	if after, err := f.rawStat(); err == nil && after.Size != before.Size && d.Length >= 0 {
		return Finding{Length: -1}, ErrUnfinished // more was appended meanwhile
	}
	for i := range all[1:] {
		d.Holds = append(d.Holds, d.Length >= 0 && all[i+1].holds())
	}
	for i := range all {
		d.marks = append(d.marks, all[i].marks)
	}
	return d, nil
}

// read reads in to its end.
func (d *Finding) read(in *unpacking, all []examiner, goOn func([]examiner) bool) error {
	buf := make([]byte, dtc.MarkerSize+archiveBlock)
	kept := 0 // bytes at the front of buf that were read before
	for {
		n, err := in.Read(buf[kept:])
		window, off := buf[:kept+n], d.Length-int64(kept)
		d.Length += int64(n)
		for i := range all {
			all[i].feed(window, off, kept)
		}
		tail := window[max(0, len(window)-dtc.MarkerSize):]
		switch {
		case errors.Is(err, io.EOF):
			d.tail = append([]byte(nil), tail...)
			return nil
		case !goOn(all):
			d.Length = -1
			return nil
		case err != nil:
			return err
		}
		kept = copy(buf, tail)
	}
}
