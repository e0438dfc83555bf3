//go:build linux

package e2e

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// actor writes and rotates one followed path, as its dice say, and notes all of
// it in the truth.
type actor struct {
	*oracle
	w      *world
	rnd    *rand.Rand
	file   string // the followed path
	real   string // the file that it leads to: another path if it is a symbolic link
	names  naming
	keep   int // rotated siblings
	out    *pen
	late   []*pen // of rotated files
	sibs   []*sibling
	serie  int // of names and records
	vocab  []string
	linked int
}

// pen is a descriptor that a writer has open.
type pen struct {
	*os.File
	in     *inode
	append bool
	off    int64 // where it writes, if it does not append
}

// naming is how rotated siblings are called.
type naming int

const (
	numbered   naming = iota // app.log.1
	dated                    // app.log-20261122101501
	datedFront               // app-20261122101501.log
	namings
)

// open makes a pen for what is at the path, or for a new file there. The caller
// holds the lock.
func (a *actor) open(in *inode, flags int) *pen {
	f, err := os.OpenFile(a.real, os.O_WRONLY|flags, 0o644)
	if err != nil {
		panic(err)
	}
	if in == nil {
		in = a.create()
	}
	in.writers++
	return &pen{File: f, in: in, append: flags&os.O_APPEND != 0}
}

// createFile puts a new file at the path.
func (a *actor) createFile() {
	a.mu.Lock()
	defer a.mu.Unlock()
	flags := os.O_CREATE | os.O_EXCL
	if a.rnd.IntN(4) > 0 {
		flags |= os.O_APPEND
	}
	a.out = a.open(nil, flags)
}

// put writes bytes to a file.
func (a *actor) put(p *pen, b []byte) {
	if len(b) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	off := p.off
	if p.append {
		off = int64(len(p.in.content.data))
	}
	if hole := off - int64(len(p.in.content.data)); hole < 0 { // it would write over what is there
		off = int64(len(p.in.content.data))
		p.Seek(off, 0)
	}
	a.grow(p.in, off, b)
	if _, err := p.Write(b); err != nil {
		panic(err)
	}
	p.off = off + int64(len(b))
}

// drop closes a pen.
func (a *actor) drop(p *pen) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p.Close()
	a.release(p.in, 1)
}

// record returns a record of about n bytes that is like no other: who wrote it,
// its number, and a checksum.
func (a *actor) record(p *pen, n int) []byte {
	a.serie++
	b := fmt.Appendf(nil, "%011x %s c%d n%d ", a.rnd.Uint64()>>20, a.alias, p.in.content.number, a.serie)
	switch kind := a.rnd.IntN(10); {
	case kind < 6: // text as of a log
		for len(b) < n {
			b = append(append(b, a.vocab[a.rnd.IntN(len(a.vocab))]...), ' ')
		}
	case kind < 8:
		for len(b) < n {
			b = fmt.Appendf(b, "%x ", a.rnd.Uint64())
		}
	default: // arbitrary bytes, terminators of all kinds among them
		for len(b) < n {
			b = append(b, byte(a.rnd.Uint32()))
		}
	}
	return fmt.Appendf(b, "%08x\n", crc32.ChecksumIEEE(b))
}

func vocabulary(rnd *rand.Rand) []string {
	words := strings.Fields("GET POST /index.html /api/v1/items 200 404 500 error warning info debug connection closed by peer timeout user admin 10.0.0.7 trace=")
	for range 40 {
		words = append(words, fmt.Sprintf("%x", rnd.Uint32()))
	}
	return words
}

// bannerSize is how many bytes files have in common.
const bannerSize = 5000

// banner is what every file of every stream may begin with.
func banner() []byte {
	var b []byte
	for i := 0; len(b) < bannerSize; i++ {
		b = fmt.Appendf(b, "# log format 1, field %d: as in every file of this program\n", i)
	}
	return b
}

// size returns a number of bytes: mostly a line's, now and then many.
func (a *actor) size() int {
	switch k := a.rnd.IntN(100); {
	case k < 60:
		return 40 + a.rnd.IntN(200)
	case k < 85:
		return a.rnd.IntN(8 << 10)
	case k < 97:
		return a.rnd.IntN(128 << 10)
	default:
		return a.rnd.IntN(1 << 20)
	}
}

// siblingName returns the name of the sibling number k, the newest being 1, or
// of a new one with a date.
func (a *actor) siblingName(k int) string {
	dir, base := filepath.Split(a.real)
	switch a.names {
	case dated:
		return fmt.Sprintf("%s-%s", a.real, a.date())
	case datedFront:
		ext := filepath.Ext(base)
		return filepath.Join(dir, fmt.Sprintf("%s-%s%s", strings.TrimSuffix(base, ext), a.date(), ext))
	default:
		return fmt.Sprintf("%s.%d", a.real, k)
	}
}

func (a *actor) date() string {
	a.serie++
	return time.Date(2026, 1, 1, 0, 0, a.serie, 0, time.UTC).Format("20060102150405")
}

// shift makes room for a newest sibling, and returns its name. The caller holds
// the lock.
func (a *actor) shift() string {
	for len(a.sibs) >= a.keep {
		a.prune()
	}
	if a.names != numbered {
		return a.siblingName(0)
	}
	for i, s := range slices.Backward(a.sibs) {
		to := fmt.Sprintf("%s.%d", a.real, i+2)
		if s.archive {
			to += filepath.Ext(s.path)
		}
		must(os.Rename(s.path, to))
		s.path = to
	}
	return a.siblingName(1)
}

// prune removes the oldest sibling. The caller holds the lock.
func (a *actor) prune() {
	s := a.sibs[len(a.sibs)-1]
	a.sibs = a.sibs[:len(a.sibs)-1]
	must(os.Remove(s.path))
	a.forget(s)
}

// forget notes that a sibling is gone.
func (a *actor) forget(s *sibling) {
	if s.file != nil {
		a.name(s.file, -1)
		return
	}
	delete(s.of.copies, s)
	s.of.uncopied = a.now()
}

// renameAway makes the file at the path the newest sibling. The caller holds
// the lock.
func (a *actor) renameAway() {
	name := a.shift()
	must(os.Rename(a.real, name))
	a.out.in.content.rotated = true
	a.sibs = append([]*sibling{{path: name, file: a.out.in}}, a.sibs...)
}

// keepOpen has somebody write on in a rotated file.
func (a *actor) keepOpen(p *pen) { a.late = append(a.late, p) }

// rotate renames the file and goes on in a new one; leave says what becomes of
// the old one's pen.
func (a *actor) rotate(leave func(*pen)) {
	a.mu.Lock()
	a.renameAway()
	a.mu.Unlock()
	old := a.out
	leave(old)
	if a.rnd.IntN(3) == 0 {
		a.nap(40)
		if slices.Contains(a.late, old) && a.rnd.IntN(2) == 0 {
			a.put(old, a.record(old, a.size()))
		}
	}
	a.createFile()
	a.w.count.add(func(t *tally) { t.rotations++ })
}

// copyTruncate copies the file to a sibling and truncates it; records are written
// in the window between the two, which is what a rotation by copying loses.
func (a *actor) copyTruncate(records int) {
	a.mu.Lock()
	name := a.shift()
	b, err := os.ReadFile(a.real)
	must(err)
	must(os.WriteFile(name, b, 0o644))
	s := &sibling{path: name, of: a.out.in.content}
	s.of.copies[s], s.of.cloned = int64(len(b)), int64(len(b))
	a.sibs = append([]*sibling{s}, a.sibs...)
	a.mu.Unlock()
	for range records {
		a.put(a.out, a.record(a.out, a.size()))
	}
	a.cut(0)
	a.w.count.add(func(t *tally) { t.rotations++ })
}

// cut truncates the file to n bytes.
func (a *actor) cut(n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	must(a.out.Truncate(n))
	a.truth.truncate(a.out.in, n)
	if !a.out.append && (a.rnd.IntN(2) == 0 || a.out.off-n > longestHole) { // a writer that knows of it
		a.out.off = n
		a.out.Seek(n, 0)
	} // else its next bytes come behind a hole
	a.w.count.add(func(t *tally) { t.truncations++ })
}

// cutAndGrow truncates the file and writes more than was there at once.
func (a *actor) cutAndGrow() {
	a.mu.Lock()
	had := len(a.out.in.content.data)
	a.mu.Unlock()
	b := a.record(a.out, had+a.rnd.IntN(4000))
	a.cut(0)
	a.put(a.out, b)
}

// remove removes the file at the path and makes another one.
func (a *actor) remove() {
	a.mu.Lock()
	must(os.Remove(a.real))
	a.name(a.out.in, -1)
	a.mu.Unlock()
	a.drop(a.out)
	if a.rnd.IntN(2) == 0 {
		a.nap(60)
	}
	a.createFile() // often with the same inode number
}

// longestHole is less than what proves a position.
const longestHole = 4000

// hole has the next bytes come behind some that were never written.
func (a *actor) hole() {
	n := int64(a.rnd.IntN(longestHole))
	b := a.record(a.out, 100)
	a.mu.Lock()
	defer a.mu.Unlock()
	off := int64(len(a.out.in.content.data)) + n
	a.grow(a.out.in, off, b)
	_, err := a.writeAt(b, off)
	must(err)
	a.out.off = off + int64(len(b))
	if !a.out.append {
		a.out.Seek(a.out.off, 0)
	}
}

// writeAt writes at an offset, which a file that was opened to append does not
// let one do.
func (a *actor) writeAt(b []byte, off int64) (int, error) {
	f, err := os.OpenFile(a.real, os.O_WRONLY, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.WriteAt(b, off)
}

// hardLink gives the file a name that no follower finds it by.
func (a *actor) hardLink() {
	a.linked++
	must(os.Link(a.real, filepath.Join(a.w.aside(), fmt.Sprintf("%s.link%d", a.alias, a.linked))))
}

// lateWrite writes to a rotated file, or has its writer end.
func (a *actor) lateWrite() {
	if len(a.late) == 0 {
		return
	}
	i := a.rnd.IntN(len(a.late))
	p := a.late[i]
	if a.rnd.IntN(3) > 0 {
		a.put(p, a.record(p, a.size()))
		return
	}
	a.late = append(a.late[:i], a.late[i+1:]...)
	a.drop(p)
}

// closeLate ends all late writers.
func (a *actor) closeLate() {
	for _, p := range a.late {
		a.drop(p)
	}
	a.late = nil
}

// nap waits up to so many milliseconds.
func (a *actor) nap(ms int) { time.Sleep(time.Duration(a.rnd.IntN(ms*1000)) * time.Microsecond) }

func must(err error) {
	if err != nil {
		panic(err)
	}
}
