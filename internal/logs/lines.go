package logs

import (
	"bytes"
	"unicode/utf8"
)

// feed gives what is whole of the bytes that were read, and keeps the rest.
func (r *reading) feed(s *source, b []byte) error {
	switch {
	case !r.whole:
		return r.emit(Line{Target: s.target, Text: b})
	case r.query.Bytes:
		return r.split(s, b)
	}
	for len(b) > 0 {
		if s.zeros > 0 {
			n := leadingZeros(b)
			s.zeros += int64(n)
			if b = b[n:]; len(b) == 0 {
				return nil
			}
			if err := r.endZeros(s); err != nil {
				return err
			}
		}
		from, to := zeroRun(b)
		if err := r.split(s, b[:from]); err != nil {
			return err
		}
		s.zeros = int64(to - from)
		b = b[to:]
	}
	return nil
}

// minZeros is how many NULs in a row are not shown but told of.
const minZeros = 4096

// zeroRun returns the first run of at least [minZeros] NULs in b, or the one
// that b ends with, of any length: it may go on. There is none if from is
// len(b).
func zeroRun(b []byte) (from, to int) {
	for i := minZeros - 1; i < len(b); i += minZeros {
		if b[i] != 0 {
			continue // no such run has this byte
		}
		from, to = i-trailingZeros(b[:i]), i+leadingZeros(b[i:])
		if to-from >= minZeros {
			return from, to
		}
	}
	return len(b) - trailingZeros(b), len(b)
}

func leadingZeros(b []byte) int { return len(b) - len(bytes.TrimLeft(b, "\x00")) }

func trailingZeros(b []byte) int { return len(b) - len(bytes.TrimRight(b, "\x00")) }

// endZeros ends a run of NULs: a short one is a part of its line, a long one
// ends it and is told of.
func (r *reading) endZeros(s *source) error {
	n, sparse := s.zeros, s.sparse
	s.zeros, s.sparse = 0, 0
	if n < minZeros {
		return r.split(s, make([]byte, n))
	}
	if err := r.cutLine(s); err != nil {
		return err
	}
	kind := MarkZeros
	if sparse >= n-sparse {
		kind = MarkHole
	}
	return r.mark(s, Mark{Kind: kind, Bytes: n})
}

// split gives the whole lines of b, and keeps the rest.
func (r *reading) split(s *source, b []byte) error {
	for len(b) > 0 {
		line, rest, found := bytes.Cut(b, []byte{'\n'})
		if found {
			line = b[:len(line)+1]
		}
		b = rest
		if s.cut {
			if s.cut = !found; found {
				if err := r.lineEnded(s); err != nil {
					return err
				}
			}
			continue
		}
		if found && len(s.partial) == 0 {
			if err := r.give(s, line); err != nil {
				return err
			}
			continue
		}
		s.partial = append(s.partial, line...)
		r.held += len(line)
		if !found && len(s.partial) <= MaxLine && r.held <= maxPartial {
			continue
		}
		s.cut = !found && !r.query.Bytes
		if err := r.givePartial(s); err != nil {
			return err
		}
	}
	return nil
}

// maxPartial bounds what is held of lines that are not complete, of all copies
// together. Beyond it they are cut where they are.
const maxPartial = 64 << 20

// givePartial gives what is there of a line.
func (r *reading) givePartial(s *source) error {
	line := s.partial
	r.held -= len(line)
	if s.partial = s.partial[:0]; cap(s.partial) > 64<<10 {
		s.partial = nil
	}
	return r.give(s, line)
}

// cutLine ends a line that does not go on.
func (r *reading) cutLine(s *source) error {
	s.cut = false
	if len(s.partial) > 0 {
		return r.givePartial(s)
	}
	return r.lineEnded(s)
}

// give emits a line if it is wanted.
func (r *reading) give(s *source, line []byte) error {
	out := Line{Target: s.target, Text: line, Cut: s.cut}
	if len(line) > MaxLine && !r.query.Bytes {
		out.Text, out.Cut = line[:MaxLine], true
	}
	if out.Cut {
		out.Text = wholeRunes(out.Text)
	}
	if r.query.Match == nil || r.query.Match.Match(bytes.TrimSuffix(line, []byte{'\n'})) {
		if err := r.emit(out); err != nil {
			return err
		}
	}
	if s.cut {
		return nil // it goes on
	}
	return r.lineEnded(s)
}

// wholeRunes returns the beginning of a line without a part of a character that
// it ends with.
func wholeRunes(b []byte) []byte {
	for i := len(b) - 1; i >= max(len(b)-utf8.UTFMax+1, 0); i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return b[:i]
			}
			break
		}
	}
	return b
}

// lineEnded gives the marks that waited for the end of a line.
func (r *reading) lineEnded(s *source) error {
	for len(s.waiting) > 0 {
		m := s.waiting[0]
		s.waiting = s.waiting[1:]
		if err := r.mark(s, m); err != nil {
			return err
		}
	}
	return nil
}

// mark emits a mark if marks are wanted.
func (r *reading) mark(s *source, m Mark) error {
	if !r.query.Marks {
		return nil
	}
	return r.emit(Line{Target: s.target, Mark: &m})
}

// finish gives what is left at the end of a reading: a last line without its
// newline, unless it is to be held.
func (r *reading) finish(s *source) error {
	if r.query.Hold && r.whole {
		return nil
	}
	if s.zeros > 0 {
		if err := r.endZeros(s); err != nil {
			return err
		}
	}
	if err := r.cutLine(s); err != nil {
		return err
	}
	return r.query.Reached(s.reached())
}
