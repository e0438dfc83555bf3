package follow

import (
	"errors"
	"fmt"
	"time"
)

// On a file system that others write to, too, this machine may see a file
// longer than it sees its bytes: for a while NULs stand where they will be
// (NFS, SMB). And a number of a file may be given to another one though it is
// open here.

// ErrStale is the error of a read or look when the server has the file no more.
var ErrStale = errors.New("its file server has the file no more")

// ErrHeld is the error of a Read that found nothing but NULs, which may be bytes
// that others wrote and that are not to be seen here yet. They are taken for
// bytes once they have stood there for 3 s.
var ErrHeld = errors.New("NULs that may be bytes still to come")

const (
	nulWait     = 3 * time.Second        // that NULs must have stood there
	reopenEvery = 200 * time.Millisecond // the file, while they do
	pageSize    = 4096                   // of which the client of a file server fetches and keeps bytes
)

func stale(err error) error {
	if err != nil && isStale(err) {
		return fmt.Errorf("%w: %w", ErrStale, err)
	}
	return err
}

// refresh opens the file behind f anew, which lets this machine see what others
// have written to it. If that cannot be done all is as it was.
func (f *File) refresh() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.packed != nil {
		return
	}
	hd, err := reopen(f.handle)
	if err != nil {
		return
	}
	if id, err := identify(hd); err != nil || id != f.id {
		_ = closeHandle(hd)
		return
	}
	_ = closeHandle(f.handle)
	f.handle = hd
}

// adopt lets f go on with the descriptor of other, which is the same file
// opened later.
func (f *File) adopt(other *File) {
	f.mu.Lock()
	defer f.mu.Unlock()
	other.mu.Lock()
	defer other.mu.Unlock()
	if f.closed || other.closed {
		return
	}
	_ = closeHandle(f.handle)
	f.handle, other.closed = other.handle, true
	f.host.open.Add(-1)
}

// far is what is known of the content of a remote file.
type far struct {
	doubt doubt
	ages  ages
}

func (g *Generation) afar() *far {
	if g.far == nil {
		g.far = &far{}
	}
	return g.far
}

// doubt is about NULs in a remote file, from the position on.
type doubt struct {
	from, to int64     // where they stood when they were first seen; 0: nowhere
	since    time.Time // when that was
	reopened time.Time // when the file was last opened anew
}

// ages says how long a remote file was when.
type ages struct {
	old  int64 // its bytes before here are older than nulWait
	size int64 // its length
	at   time.Time
}

func (a *ages) note(now time.Time, size int64) {
	if now.Sub(a.at) >= nulWait {
		a.old, a.size, a.at = a.size, size, now
	}
}

// settled returns how many of the bytes that were just read of a remote file
// can be taken, and ErrHeld if it is none.
func (r *Reader) settled(g *Generation, data []byte, now time.Time) (int, error) {
	at, f := g.Mark.Offset, g.afar()
	n := firstDoubt(data, at, f.ages.old)
	switch {
	case n > 0:
		f.doubt = doubt{}
		return n, nil
	case f.doubt.from != at || f.doubt.to == 0:
		f.doubt = doubt{from: at, to: at + int64(nuls(data)), since: now, reopened: f.doubt.reopened}
	case now.Sub(f.doubt.since) >= nulWait:
		n = int(min(f.doubt.to-at, int64(nuls(data))))
		f.doubt = doubt{}
		return n, nil
	}
	if now.Sub(f.doubt.reopened) >= reopenEvery {
		f.doubt.reopened = now
		g.File.refresh()
	}
	return 0, ErrHeld
}

// firstDoubt returns how many bytes stand before the first NULs that may be
// bytes still to come: such that reach to the end of a page or of what was
// read. Those before old are none, nor are others.
func firstDoubt(data []byte, at, old int64) int {
	for end := pageSize - int(at%pageSize); ; end += pageSize {
		end = min(end, len(data))
		if at+int64(end) > old && data[end-1] == 0 {
			for end > 0 && data[end-1] == 0 && at+int64(end) > old {
				end--
			}
			return end
		}
		if end == len(data) {
			return end
		}
	}
}

// nuls returns how many NULs data begins with.
func nuls(data []byte) int {
	for i, c := range data {
		if c != 0 {
			return i
		}
	}
	return len(data)
}

// still reports whether f is what the path leads to.
func (c *Chain) still(f *File) bool {
	if f.Remote() {
		return c.stillRemote()
	}
	same, err := f.At(c.path)
	return err == nil && same
}

// stillRemote is still for a file on a file system of others. What the path
// leads to is opened each time, which also lets this machine see it as it is by
// now. Where identities are weak the content decides.
func (c *Chain) stillRemote() bool {
	g := c.current
	now, err := c.host.Open(c.path)
	if err != nil {
		return false
	}
	defer func() { _ = now.Close() }() // no more than a word if g has it
	if now.id != g.File.id {
		g.File.refresh() // what came to it before comes before what comes to the other
		return false
	}
	if now.Weak() && !c.continues(g, now) {
		g.File.displaced = true
		return false
	}
	g.File.adopt(now)
	return true
}

// continues reports whether f holds what was read of g, or g's own file does
// not either.
func (c *Chain) continues(g *Generation, f *File) bool {
	r := c.host.NewProver()
	mark := g.Mark
	if mark.Length == 0 {
		mark = g.probe
	}
	for _, m := range []Mark{g.Head, mark} {
		if ok, err := r.holds(f, m); err != nil || !ok {
			old := *g
			_, err := r.Look(&old)
			return errors.Is(err, ErrCut)
		}
	}
	return true
}

// incarnation returns the number for a new file: where identities are weak it
// may have the one of a file before it.
func (c *Chain) incarnation(f *File) uint64 {
	var n uint64
	for _, g := range c.Generations {
		if f.Weak() && g.Origin.Identity == f.id {
			n = max(n, g.Origin.Incarnation+1)
		}
	}
	return n
}

// Forsake ends g, of which the server has nothing any more.
func (c *Chain) Forsake(g *Generation) {
	if g.File != nil {
		_ = g.File.Close()
	}
	g.File, g.Ended = nil, true
	if c.current == g {
		c.current = nil
	}
}
