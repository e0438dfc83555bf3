package render

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// defaultMemory is how much a [Document] keeps in memory of what it cannot
// write yet, beyond which it uses a temporary file.
const defaultMemory = 16 << 20

// pieceCost is what a piece takes in memory besides its bytes.
const pieceCost = 64

// store holds the bytes of many spools: in memory up to a limit that they
// share, beyond it in one temporary file, which is gone when the program ends,
// however it ends.
type store struct {
	dir   string // of the file; "" keeps all in memory
	limit int    // bytes in memory
	used  int    // bytes in memory
	file  *os.File
	end   int64  // of what stands in the file
	dead  int64  // bytes of that which are of no use any more
	buf   []byte // for what is read of the file; made when it is needed
}

func newStore(opt Options) *store {
	limit := opt.SpoolMemory
	if limit <= 0 {
		limit = defaultMemory
	}
	return &store{dir: opt.SpoolDir, limit: limit}
}

// append puts p at the end of the file, and returns where it stands there.
func (s *store) append(p []byte) (at int64, err error) {
	if s.file == nil {
		if s.file, err = openTemp(s.dir); err != nil {
			return 0, spoolError(err)
		}
	}
	n, err := s.file.WriteAt(p, s.end)
	if err != nil {
		return 0, spoolError(err)
	}
	at = s.end
	s.end += int64(n)
	return at, nil
}

// spoolError says what the file was for, and what to do.
func spoolError(err error) error {
	return fmt.Errorf("keep what cannot be printed yet in a temporary file: %w (TMPDIR names another folder for it)", err)
}

// Close removes the file. The spools hold nothing that can be read any more.
func (s *store) Close() {
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
	s.used, s.end, s.dead, s.buf = 0, 0, 0, nil
}

// spool is a run of bytes that is written once, from beginning to end, and
// then read. It is not safe for concurrent use, nor are the spools of one
// store.
type spool struct {
	store  *store
	pieces []piece
}

// piece is a part of a spool: in memory, or size bytes of the store's file.
type piece struct {
	memory []byte // nil: in the file
	at     int64
	size   int64
}

// Write puts p at the end. After an error the spool is of no use.
func (s *spool) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if s.store.dir == "" || s.store.used+len(p)+pieceCost <= s.store.limit {
		s.hold(p)
		return len(p), nil
	}
	at, err := s.store.append(p)
	if err != nil {
		return 0, err
	}
	if n := len(s.pieces); n > 0 && s.pieces[n-1].memory == nil && s.pieces[n-1].at+s.pieces[n-1].size == at {
		s.pieces[n-1].size += int64(len(p))
	} else {
		s.pieces = append(s.pieces, piece{at: at, size: int64(len(p))})
	}
	return len(p), nil
}

// hold keeps a copy of p in memory. The first piece is as large as it must be,
// for most answers have one only.
func (s *spool) hold(p []byte) {
	if n := len(s.pieces); n > 0 {
		if last := &s.pieces[n-1]; cap(last.memory)-len(last.memory) >= len(p) {
			last.memory = append(last.memory, p...)
			return
		}
	}
	room := len(p)
	if len(s.pieces) > 0 {
		room = max(room, min(4<<10, s.store.limit-s.store.used-pieceCost))
	}
	s.pieces = append(s.pieces, piece{memory: append(make([]byte, 0, room), p...)})
	s.store.used += room + pieceCost
}

// release gives the memory back. The spool is empty then; what it had in the
// file stays there until the store is closed, or tidied up.
func (s *spool) release() {
	for _, p := range s.pieces {
		if p.memory != nil {
			s.store.used -= cap(p.memory) + pieceCost
		} else {
			s.store.dead += p.size
		}
	}
	s.pieces = nil
}

// WriteTo writes all to w, in large pieces.
func (s *spool) WriteTo(w io.Writer) (int64, error) {
	var all int64
	for _, p := range s.pieces {
		n, err := s.writePiece(w, p)
		all += n
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

func (s *spool) writePiece(w io.Writer, p piece) (all int64, err error) {
	if p.memory != nil {
		n, err := w.Write(p.memory)
		return int64(n), err
	}
	if s.store.buf == nil {
		s.store.buf = make([]byte, 64<<10)
	}
	for all < p.size {
		part := s.store.buf[:min(int64(len(s.store.buf)), p.size-all)]
		if err := s.store.read(part, p.at+all); err != nil {
			return all, err
		}
		n, err := w.Write(part)
		all += int64(n)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// read fills p with what stands in the file.
func (s *store) read(p []byte, at int64) error {
	if s.file == nil {
		return spoolError(os.ErrClosed)
	}
	n, err := s.file.ReadAt(p, at)
	switch {
	case n == len(p):
		return nil
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return spoolError(err)
}

// reader returns what reads all from the beginning.
func (s *spool) reader() io.Reader { return &spoolReader{spool: s} }

// spoolReader reads a spool, which must not change meanwhile.
type spoolReader struct {
	spool *spool
	next  int   // piece
	off   int64 // in it
}

func (r *spoolReader) Read(p []byte) (int, error) {
	for r.next < len(r.spool.pieces) {
		n, err := r.readPiece(p, r.spool.pieces[r.next])
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		r.next, r.off = r.next+1, 0
	}
	return 0, io.EOF
}

// readPiece reads on in a piece; 0 bytes are its end.
func (r *spoolReader) readPiece(p []byte, from piece) (int, error) {
	if from.memory != nil {
		n := copy(p, from.memory[r.off:])
		r.off += int64(n)
		return n, nil
	}
	p = p[:min(int64(len(p)), from.size-r.off)]
	if err := r.spool.store.read(p, from.at+r.off); err != nil {
		return 0, err
	}
	r.off += int64(len(p))
	return len(p), nil
}
