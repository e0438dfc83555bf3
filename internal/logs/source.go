package logs

import "container/list"

// source is one copy of a reading.
type source struct {
	*reader

	limit   int64 // logical position up to which the first look reads
	given   int64 // logical position behind the bytes that came last; -1: none came, and none are missed
	told    int64 // logical position up to which the marks have been given
	strange bool  // they were somebody else's
	any     bool  // some came

	// What came and was not given yet: bytes of a line whose end has not come,
	// and behind them NULs.
	partial []byte
	zeros   int64
	sparse  int64  // of the NULs were never written
	held    int64  // logical position of the first of them
	cut     bool   // the rest of the line is not wanted
	waiting []Mark // until the line has ended

	queued  bool          // in turns.queue
	element *list.Element // in turns.open; nil: its files are closed
	stamp   stamp         // how those looked when they were
}

// reached returns up to where everything has been given.
func (s *source) reached() Place {
	p := Place{Target: s.target, ID: s.id(), Position: s.given, Within: s.cut}
	switch {
	case s.given < 0:
		p.Position = s.position()
	case len(s.partial) > 0 || s.zeros > 0:
		p.Position = s.held
	}
	return p
}

// took takes note of bytes that were read, of which what is held is the end.
func (s *source) took(n int, base int64, own own) {
	s.told, s.given, s.strange, s.any = base, base, own == others, true
	if own == streams {
		s.given += int64(n)
		s.told = s.given - 1
	}
	if held := int64(len(s.partial)) + s.zeros; held <= int64(n) {
		s.held = max(s.given-held, base)
	}
}

// own says whose bytes those of a copy are.
type own bool

const (
	streams own = true
	others  own = false
)
