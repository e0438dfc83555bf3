package follow

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"dtc"
)

// Resume sets g to the state that a copy of it has, if g's file begins with
// what was copied. It returns ErrCut if it does not; g.Low then is the file's
// size, if that is less than the position.
func (r *Reader) Resume(g *Generation, s dtc.GenerationState) error {
	if g.File == nil {
		return ErrCut
	}
	st, err := g.File.Stat()
	if err != nil {
		return err
	}
	if st.Size < s.Position {
		g.Low = st.Size
		return ErrCut
	}
	if s.Sealed && s.MarkerLen == 0 && s.Position > s.Start {
		return ErrCut // its end was lost, not copied: whatever stands there now is something else
	}
	head, ok, err := r.proves(g.File, s.Start+int64(s.HeadLen), s.HeadLen, s.Head)
	if err != nil || !ok {
		return cut(err)
	}
	mark, ok, err := r.proves(g.File, s.Position, s.MarkerLen, s.Marker)
	if err != nil || !ok {
		return cut(err)
	}
	g.Start, g.Head, g.Mark, g.probe = s.Start, head, mark, Mark{}
	g.Low, g.proven, g.doubtful = s.Position, false, false
	if st.Size < g.Seen {
		g.Shorten(st.Size)
	}
	g.Seen = st.Size
	if int64(s.MarkerLen) < min(dtc.MarkerSize, s.Position-s.Start) {
		return r.ResumeAt(g, s.Position)
	}
	return nil
}

// Proves reports whether f begins with what a copy in the state s holds, and
// whether that is enough to say that f is a copy of the same content, though
// it is another file: all that the copy holds, or a long head and the end.
func (r *Reader) Proves(f *File, s dtc.GenerationState) bool {
	whole := s.HeadLen >= shortHead && s.Position-s.Start <= int64(s.HeadLen)
	st, err := f.Stat()
	if err != nil || st.Size < s.Position || !whole && s.HeadLen < strongHead {
		return false
	}
	_, head, err := r.proves(f, s.Start+int64(s.HeadLen), s.HeadLen, s.Head)
	if err != nil || !head {
		return false
	}
	_, mark, err := r.proves(f, s.Position, s.MarkerLen, s.Marker)
	return err == nil && mark
}

// MayBegin reports whether what a copy in the state s holds may begin with all of
// f, which is shorter, as far as that can be known here.
func (r *Reader) MayBegin(f *File, s dtc.GenerationState) bool {
	st, err := f.Stat()
	if err != nil || st.Size >= s.Position {
		return false
	}
	if st.Size < s.Start+int64(s.HeadLen) {
		return true
	}
	_, head, err := r.proves(f, s.Start+int64(s.HeadLen), s.HeadLen, s.Head)
	return err == nil && head
}

// Assume sets the position to what a copy of g says, without any proof: until
// it is resumed, every look and read returns ErrCut.
func (g *Generation) Assume(s dtc.GenerationState) {
	g.Start, g.Mark, g.probe, g.doubtful = s.Start, Mark{Offset: s.Position}, Mark{}, true
}

// Doubtful reports whether the position is assumed, and not proven yet.
func (g *Generation) Doubtful() bool { return g.doubtful }

// Restart makes g, of which a copy has other content than its file has now, a
// new incarnation that is read from the beginning.
func (g *Generation) Restart(incarnation uint64) {
	g.Origin.Incarnation = incarnation
	g.Start, g.Mark, g.Head, g.probe, g.Low = 0, Mark{}, Mark{}, Mark{}, 0
	g.proven, g.doubtful = false, false
}

// Hash returns the SHA-256 of the bytes [from, to) of f, and up to where there
// were any. It asks goOn now and then whether to go on.
func Hash(f *File, from, to int64, goOn func() error) (sum []byte, end int64, err error) {
	if f.Packed() {
		return hashArchive(f, from, to, goOn)
	}
	h := sha256.New()
	buf := make([]byte, 64<<10)
	for end = from; end < to; {
		if err := goOn(); err != nil {
			return nil, end, err
		}
		n, err := f.ReadAt(buf[:min(int64(len(buf)), to-end)], end)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, end, fmt.Errorf("read %s: %w", f.real, err)
		}
		if n == 0 {
			break
		}
		_, _ = h.Write(buf[:n])
		end += int64(n)
	}
	return h.Sum(nil), end, nil
}

// hashArchive is Hash for a file whose bytes come out of an archive, which is
// decompressed once more for it.
func hashArchive(f *File, from, to int64, goOn func() error) (sum []byte, end int64, err error) {
	in, err := unpack(goOn, f, maxWindow)
	if err != nil {
		return nil, from, err
	}
	defer in.close()
	if _, err := io.CopyN(io.Discard, in, from); err != nil && !errors.Is(err, io.EOF) {
		return nil, from, err
	}
	h := sha256.New()
	n, err := io.CopyN(h, in, to-from)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, from, err
	}
	return h.Sum(nil), from + n, nil
}
