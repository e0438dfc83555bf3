package wire

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"dtc"
)

// Timeouts of a [Link] that nobody sets: a peer that is alive pings every 20 s,
// and takes what is sent to it.
const (
	LinkReadTimeout  = 60 * time.Second
	LinkWriteTimeout = 30 * time.Second
)

const (
	// linkRecord is the most that one TLS record holds. Buffers of this size
	// send only full records while there is more, and leave nothing behind in
	// the TLS layer after a read, so that Buffered can see all of it.
	linkRecord = 16 << 10

	// linkPiece is what is written under one deadline: a peer that takes it in
	// that time is slow, not dead.
	linkPiece = 4 * linkRecord

	// linkKeep is the number of frames without need of the big data buffer
	// after which it is let go: a thousand idle links hold none.
	linkKeep = 64

	// linkFresh is the part of a timeout by which a deadline may be older than
	// the call that it guards: setting one is not free.
	linkFresh = 16
)

// Link carries the frames of the log protocol over one connection. Its bytes
// are described at the top of frame.go.
//
// Any number of goroutines may call Send, Flush and Close, and one Recv and
// Buffered. A Link of which a call has failed is broken: every later one of that
// direction fails too; but a frame that [ErrFrame] kept from being sent has
// harmed nothing.
type Link struct {
	conn net.Conn

	writing sync.Mutex // guards what follows
	out     linkWriter
	pending []byte // what waits to be written, less than linkRecord bytes

	// Recv's own.
	in     linkReader
	buf    *bufio.Reader
	head   []byte // of the frame that Recv gave last
	data   []byte // likewise
	states []dtc.GenerationState
	unused int // frames since data was last needed in its size
}

// NewLink returns the link over an established connection, which is the link's
// from then on: [Link.Close] closes it.
func NewLink(conn net.Conn) *Link {
	l := &Link{conn: conn}
	l.out = linkWriter{conn: conn, deadline: linkDeadline{set: conn.SetWriteDeadline}}
	l.in = linkReader{conn: conn, deadline: linkDeadline{set: conn.SetReadDeadline}}
	l.buf = bufio.NewReaderSize(&l.in, linkRecord)
	l.SetTimeouts(LinkReadTimeout, LinkWriteTimeout)
	return l
}

// SetTimeouts changes after how long of silence Recv fails, and after how long
// Send and Flush do when the peer takes nothing. Both begin anew with each piece
// of at most 64 KiB. It may be called at any time, and counts from the next
// piece on.
func (l *Link) SetTimeouts(read, write time.Duration) {
	l.in.deadline.timeout.Store(int64(read))
	l.out.deadline.timeout.Store(int64(write))
}

// Send sends a frame, or keeps it for the next [Link.Flush]; it keeps no part
// of f itself. It may block until the peer has read what was sent before.
func (l *Link) Send(f *dtc.Frame) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.out.err != nil {
		return l.out.err
	}
	if err := l.sendHead(f); err != nil {
		return err
	}
	return l.write(f.Data)
}

// sendHead encodes all but the data behind what is pending.
func (l *Link) sendHead(f *dtc.Frame) error {
	b, err := frameAppend(l.pending, f)
	if err != nil {
		return fmt.Errorf("send to %s: %w", l.conn.RemoteAddr(), err)
	}
	whole := len(b) - len(b)%linkRecord
	if whole == 0 {
		l.pending = b
		return nil
	}
	if err := l.out.write(b[:whole]); err != nil {
		return err
	}
	if cap(b) <= 4*linkRecord {
		l.pending = b // it may have grown: so it settles at a size that is enough
	}
	l.pending = append(l.pending[:0], b[whole:]...)
	return nil
}

// write appends p to what is pending and sends all but the last, not full
// record of it. The middle of a long p is not copied.
func (l *Link) write(p []byte) error {
	if len(l.pending) > 0 {
		n := min(len(p), linkRecord-len(l.pending))
		l.pending, p = append(l.pending, p[:n]...), p[n:]
		if len(l.pending) < linkRecord {
			return nil
		}
		if err := l.flush(); err != nil {
			return err
		}
	}
	whole := len(p) - len(p)%linkRecord
	if err := l.out.write(p[:whole]); err != nil {
		return err
	}
	l.pending = append(l.pending, p[whole:]...)
	return nil
}

// Flush sends what Send has kept.
func (l *Link) Flush() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.flush()
}

func (l *Link) flush() error {
	if l.out.err != nil {
		return l.out.err
	}
	err := l.out.write(l.pending)
	l.pending = l.pending[:0]
	return err
}

// Recv waits for the next frame. Its Data and States are valid until the next
// call. At the end of the connection between two frames it returns an error
// that wraps io.EOF, in the midst of one io.ErrUnexpectedEOF.
func (l *Link) Recv(f *dtc.Frame) error {
	err := l.recv(f)
	if err != nil {
		return fmt.Errorf("receive from %s: %w", l.conn.RemoteAddr(), err)
	}
	return nil
}

func (l *Link) recv(f *dtc.Frame) error {
	if l.in.err != nil {
		return l.in.err
	}
	prefix, err := l.buf.Peek(framePrefix)
	if err != nil {
		if len(prefix) > 0 {
			err = linkCut(err)
		}
		return l.in.fail(err)
	}
	start, err := frameParseStart(prefix)
	if err != nil {
		return l.in.fail(err)
	}
	_, _ = l.buf.Discard(framePrefix) // they are there
	l.head = linkGrow(l.head, start.head)
	if _, err := io.ReadFull(l.buf, l.head); err != nil {
		return l.in.fail(linkCut(err))
	}
	f.States = l.states
	if err := frameParseHead(f, start, l.head); err != nil {
		return l.in.fail(err)
	}
	l.states = f.States
	return l.recvData(f, start.data)
}

// recvData reads the data of f into the buffer for it.
func (l *Link) recvData(f *dtc.Frame, n int) error {
	if n > cap(l.data)/2 {
		l.unused = 0
	} else if l.unused++; l.unused > linkKeep && cap(l.data) > linkRecord {
		l.data = nil
	}
	l.data = linkGrow(l.data, n)
	if _, err := io.ReadFull(l.buf, l.data); err != nil {
		return l.in.fail(linkCut(err))
	}
	if n > 0 {
		f.Data = l.data
	}
	return nil
}

// linkGrow returns b with the length n; what it holds is lost if it has to be
// made anew, in a power of two.
func linkGrow(b []byte, n int) []byte {
	if n <= cap(b) {
		return b[:n]
	}
	size := 512
	for size < n {
		size *= 2
	}
	return make([]byte, n, size)
}

// linkCut is the error for an end of the connection in the midst of a frame.
func linkCut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Buffered returns how many bytes have come that Recv has not given yet. If it
// is 0 the next Recv may have to wait. It may be called where Recv may.
func (l *Link) Buffered() int { return l.buf.Buffered() }

// Close closes the connection; Send, Flush and Recv that wait fail with an
// error that wraps net.ErrClosed. What was not flushed is lost. It may be called
// more than once.
func (l *Link) Close() error { return l.conn.Close() }

// linkDeadline sets the deadline of one direction before each call that may
// block, if the one that is set has become old.
type linkDeadline struct {
	set     func(time.Time) error
	timeout atomic.Int64 // time.Duration
	since   time.Time    // when it was last set
	length  int64        // the timeout then
}

func (d *linkDeadline) renew() error {
	timeout := d.timeout.Load()
	now := time.Now()
	if d.length == timeout && now.Sub(d.since) < time.Duration(timeout/linkFresh) {
		return nil
	}
	d.since, d.length = now, timeout
	return d.set(now.Add(time.Duration(timeout)))
}

// linkWriter writes with a deadline and remembers its first error: what the
// peer has got after that is not known.
type linkWriter struct {
	conn     net.Conn
	deadline linkDeadline
	err      error
}

func (w *linkWriter) write(p []byte) error {
	for len(p) > 0 && w.err == nil {
		n := min(len(p), linkPiece)
		err := w.deadline.renew()
		if err == nil {
			_, err = w.conn.Write(p[:n])
		}
		if err != nil {
			w.err = fmt.Errorf("send to %s: %w", w.conn.RemoteAddr(), err)
		}
		p = p[n:]
	}
	return w.err
}

// linkReader reads with a deadline and remembers the first error.
type linkReader struct {
	conn     net.Conn
	deadline linkDeadline
	err      error
}

func (r *linkReader) Read(p []byte) (int, error) {
	if err := r.deadline.renew(); err != nil {
		return 0, err
	}
	return r.conn.Read(p)
}

func (r *linkReader) fail(err error) error {
	r.err = err
	return err
}
