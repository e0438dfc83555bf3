package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"dtc"
)

// ErrPending is the error of a read of an archive whose bytes are not
// decompressed yet. Who unpacked it is told when they are.
var ErrPending = errors.New("the bytes are not decompressed yet")

// Of the content of an archive as much is kept in memory as may have to be read
// again, and is read ahead.
const (
	// ArchiveBehind is how far before the end of the last read the content of an
	// archive can be read again without decompressing it once more.
	ArchiveBehind = 768 << 10
	archiveAhead  = dtc.MaxChunk
	archiveKept   = ArchiveBehind + archiveAhead + archiveBlock
	archiveSlack  = archiveKept / 2 // more than that is kept before the older bytes go
)

// Unpacker decompresses archives, each in a goroutine of its own.
type Unpacker struct {
	large chan struct{} // holds one while an archive that takes much memory is read

	mu     sync.Mutex // guards closed
	closed bool
	wg     sync.WaitGroup
}

// NewUnpacker returns an Unpacker. It must be closed.
func NewUnpacker() *Unpacker { return &Unpacker{large: make(chan struct{}, 1)} }

// Close waits until nothing is decompressed any more. The files that were
// unpacked must be closed before.
func (u *Unpacker) Close() {
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	u.wg.Wait()
}

// start runs f, unless the Unpacker is closed.
func (u *Unpacker) start(f func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.closed {
		u.wg.Go(f)
	}
}

func (u *Unpacker) takeLarge(stop <-chan struct{}) error {
	select {
	case u.large <- struct{}{}:
		return nil
	case <-stop:
		return context.Canceled
	}
}

func (u *Unpacker) giveLarge() { <-u.large }

// Unpack lets g go on in the content of the archive that d was found in, which
// holds what proof number i is of; i is -1 if the content is all g's and nothing
// of it was read. From then on the bytes of the archive's File are those of its
// content. ready is called when bytes that were pending are there. It may not be
// done twice with one file.
func (u *Unpacker) Unpack(r *Reader, g *Generation, d Finding, i int, ready func()) {
	f, m := d.file, d.marks[i+1]
	p := &packed{
		unpacker: u, file: f, found: d, ready: ready, touched: time.Now(),
		head: m.first, stopped: make(chan struct{}), drained: make(chan struct{}),
	}
	if i < 0 || g.Mark.Offset == 0 { // also if more is known of it than was read
		g.Start, g.Mark, g.Head = 0, Mark{}, Mark{}
	} else {
		p.headAt = g.Start
		head := m.first[:min(int64(len(m.first)), g.Mark.Offset-g.Start)]
		g.Head = r.markOf(g.Start+int64(len(head)), head)
		g.Mark = r.markOf(g.Mark.Offset, m.last)
	}
	p.wake = sync.NewCond(&p.mu)
	f.mu.Lock()
	f.packed = p
	f.mu.Unlock()
	g.File, g.Copy, g.Ended, g.doubtful, g.probe = f, true, true, false, Mark{}
	g.Seen, g.Low, g.proven = max(g.Seen, d.Length), g.Mark.Offset, false
}

// Packed reports whether the generation's bytes come out of an archive.
func (g *Generation) Packed() bool { return g.File != nil && g.File.Packed() }

// Packed reports whether the bytes of f are the content of an archive.
func (f *File) Packed() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.packed != nil
}

// Drained is closed when the content of the archive f was read to its end, or f
// was closed.
func (f *File) Drained() <-chan struct{} { return f.packed.drained }

// Waiting reports whether bytes that were asked for are not decompressed yet.
func (f *File) Waiting() bool {
	f.packed.mu.Lock()
	defer f.packed.mu.Unlock()
	return f.packed.pending
}

// Idle returns for how long nothing was asked for of the archive f.
func (f *File) Idle(now time.Time) time.Duration {
	f.packed.mu.Lock()
	defer f.packed.mu.Unlock()
	return now.Sub(f.packed.touched)
}

// rawAt reads the bytes of f as they are on the disk.
func (f *File) rawAt(b []byte, off int64) (int, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.closed {
		return 0, os.ErrClosed
	}
	return readAt(f.handle, b, off)
}

func (f *File) rawStat() (Stat, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.closed {
		return Stat{}, os.ErrClosed
	}
	return statHandle(f.handle)
}

// packed is the content of an archive, of which a part is in memory. It is read
// forward; to go back beyond that part it is decompressed anew.
type packed struct {
	unpacker *Unpacker
	file     *File
	found    Finding
	ready    func()
	headAt   int64
	head     []byte // the bytes from headAt on: they are asked for at each connection
	stopped  chan struct{}
	drained  chan struct{}

	mu      sync.Mutex // guards all below
	wake    *sync.Cond // of the goroutine that decompresses
	buf     []byte     // the bytes [lo, lo+len(buf))
	lo      int64
	next    int64     // end of the last read
	pending bool      // that read waits
	running bool      // there is a goroutine
	again   bool      // it is to begin anew
	ended   bool      // the file was closed
	over    bool      // drained is closed
	failed  error     // why there are no more bytes
	touched time.Time // when something was asked for last
}

// readAt returns all of the bytes, or none and ErrPending.
func (p *packed) readAt(b []byte, off int64) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.touched = time.Now()
	end := min(off+int64(len(b)), p.found.Length)
	var n int
	switch {
	case off >= end:
	case off >= p.headAt && end <= p.headAt+int64(len(p.head)):
		n = copy(b, p.head[off-p.headAt:end-p.headAt])
	case off >= p.lo && end <= p.lo+int64(len(p.buf)):
		n = copy(b, p.buf[off-p.lo:end-p.lo])
		p.next, p.pending = max(p.next, end), false
		p.wake.Signal()
	case p.failed != nil:
		return 0, p.failed
	default:
		p.ask(off, end)
		return 0, ErrPending
	}
	if end == p.found.Length {
		p.drain()
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// ask has the bytes [off, end) decompressed; the caller holds p.mu.
func (p *packed) ask(off, end int64) {
	if p.running && (off < p.lo || end < p.next) {
		p.again = true
	}
	p.next, p.pending = end, true
	p.wake.Signal()
	if !p.running && !p.ended {
		p.running, p.again = true, false
		p.buf, p.lo = p.buf[:0], 0
		p.unpacker.start(p.run)
	}
}

func (p *packed) drain() {
	if !p.over {
		p.over = true
		close(p.drained)
	}
}

// stop ends the decompressing, without waiting for it.
func (p *packed) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.buf = nil
	close(p.stopped)
	p.drain()
	p.wake.Signal()
}

// run decompresses until the file is closed, the content is all in memory, or
// it turns out to be another than it was.
func (p *packed) run() {
	window := int64(maxWindow)
	for {
		err := p.pass(window)
		if errors.Is(err, errLarge) && window == maxWindow && p.unpacker.takeLarge(p.stopped) == nil {
			defer p.unpacker.giveLarge()
			window = maxLargeWindow
			p.restart()
			continue
		}
		if p.finish(err) {
			return
		}
	}
}

// finish notes how a pass ended, and reports whether there is no other.
func (p *packed) finish(err error) bool {
	p.mu.Lock()
	if p.again && !p.ended {
		p.again, p.buf, p.lo = false, p.buf[:0], 0
		p.mu.Unlock()
		return false
	}
	p.running, p.pending = false, false
	if err != nil && !p.ended {
		p.failed = fmt.Errorf("read the archive %s: %w", filepath.Base(p.file.real), err)
	}
	p.mu.Unlock()
	p.ready()
	return true
}

func (p *packed) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.buf, p.lo = p.buf[:0], 0
}

func (p *packed) goOn() error {
	select {
	case <-p.stopped:
		return os.ErrClosed
	default:
		return nil
	}
}

var errChanged = errors.New("it was changed")

// pass decompresses from the beginning to the end, or until another pass is
// wanted.
func (p *packed) pass(window int64) error {
	if st, err := p.file.rawStat(); err != nil || st.Size != p.found.size {
		return errors.Join(errChanged, err)
	}
	in, err := unpack(p.goOn, p.file, window)
	if err != nil {
		return err
	}
	defer in.close()
	block := make([]byte, archiveBlock)
	for {
		n, err := in.Read(block)
		if n > 0 && !p.take(block[:n], in.n) {
			return nil
		}
		switch {
		case errors.Is(err, io.EOF) && in.n == p.found.Length:
			return nil
		case errors.Is(err, io.EOF), in.n > p.found.Length:
			return errChanged
		case err != nil:
			return err
		}
	}
}

// take keeps the bytes before end, and waits until more are wanted. It reports
// false if this pass is to end.
func (p *packed) take(b []byte, end int64) bool {
	p.mu.Lock()
	if end > p.next-ArchiveBehind {
		p.keep(b, end)
	} else {
		p.buf = p.buf[:0]
	}
	there := p.pending && end >= p.next
	if there {
		p.pending = false
		p.mu.Unlock()
		p.ready()
		p.mu.Lock()
	}
	defer p.mu.Unlock()
	for end >= p.next+archiveAhead && !p.ended && !p.again {
		p.wake.Wait()
	}
	return !p.ended && !p.again
}

// keep puts b, the bytes before end, behind what is in memory; the caller holds
// p.mu.
func (p *packed) keep(b []byte, end int64) {
	if len(p.buf) == 0 {
		p.lo = end - int64(len(b))
	}
	if p.buf == nil {
		p.buf = make([]byte, 0, min(p.found.Length, archiveKept+archiveSlack+archiveBlock))
	}
	p.buf = append(p.buf, b...)
	if over := len(p.buf) - archiveKept; over > archiveSlack {
		p.buf = p.buf[:copy(p.buf, p.buf[over:])]
		p.lo += int64(over)
	}
}
