package render

import "io"

// sinkSize is how many bytes a sink gathers before it writes them.
const sinkSize = 64 << 10

// sink gathers what is appended to b and writes it in large pieces.
type sink struct {
	w io.Writer
	b []byte
}

// line is called where what was appended may be written: after each line.
func (s *sink) line() error {
	if len(s.b) < sinkSize {
		return nil
	}
	return s.flush()
}

func (s *sink) flush() error {
	if len(s.b) == 0 {
		return nil
	}
	_, err := s.w.Write(s.b)
	s.b = s.b[:0]
	return err
}

// Write appends what is small, and hands on what is large.
func (s *sink) Write(p []byte) (int, error) {
	if len(s.b)+len(p) < sinkSize {
		s.b = append(s.b, p...)
		return len(p), nil
	}
	if err := s.flush(); err != nil {
		return 0, err
	}
	return s.w.Write(p)
}
