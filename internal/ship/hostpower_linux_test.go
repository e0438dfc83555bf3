package ship

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/follow"
)

// TestPowerLossOfHost cuts the power of the disk with the sources. They come
// back shorter, with other bytes at their end, under an older name, or not at
// all. A file that is the beginning of what the copy has of it goes on where it
// ends, one that holds something else is copied from its first byte, and nothing
// is sent twice.
func TestPowerLossOfHost(t *testing.T) {
	t.Parallel()
	for _, k := range diskKinds() {
		t.Run(k.name, func(t *testing.T) { testPowerLossOfHost(t, &k) })
	}
}

// hostCuts is how often the power of one disk is cut.
func hostCuts() int {
	if long() {
		return 70
	}
	return 6
}

func testPowerLossOfHost(t *testing.T, k *diskKind) {
	t.Helper()
	rnd := seed(t)
	d := newDisk(t, k)
	w := newWorldIn(t, d.dir, appLog())
	h := &lossyHost{w: w, disk: d, rnd: rnd, pages: rand.New(rand.NewPCG(rnd.Uint64(), 3)), seen: newStations()}
	w.over = h.seen.over
	h.open()
	h.write(100)
	_ = unix.Syncfs(int(h.f.Fd())) // the folder stays
	w.start()
	w.up()
	w.wait("app.log", h.copied())
	for i := range hostCuts() {
		h.live()
		h.lose(fmt.Sprintf("boot-%d", i))
	}
	w.still("app.log", w.copyOf("app.log"))
	for _, e := range w.told("") {
		// A file that is not there any more may have had more than was read of it.
		if e.State != dtc.StateRewound && (e.State != dtc.StateGap || e.To != nil) {
			t.Errorf("event %s: %s", e.State, e.Reason)
		}
	}
	t.Logf("%d power losses; files that came back as they were or longer %d, shorter %d, with other bytes %d, not at all %d; %d bytes copied",
		hostCuts(), h.found[whole], h.found[shorter], h.found[other], h.found[gone], len(w.copyOf("app.log")))
}

// What a power loss can make of a file.
const (
	whole = iota
	shorter
	other
	gone
)

// lossyHost is a host that loses its power.
type lossyHost struct {
	w     *world
	disk  *disk
	rnd   *rand.Rand
	pages *rand.Rand
	seen  *stations
	f     *os.File
	n     int
	found [4]int
}

func (h *lossyHost) open() {
	f, err := os.OpenFile(h.w.path("app.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		h.w.t.Fatal(err)
	}
	h.f = f
}

func (h *lossyHost) write(n int) {
	h.n++
	b := fmt.Appendf(nil, "line %d ", h.n)
	for len(b) < n {
		b = fmt.Appendf(b, "%x ", h.rnd.Uint64())
	}
	if _, err := h.f.Write(append(b, '\n')); err != nil {
		h.w.t.Fatal(err)
	}
}

// live writes and rotates, while the disk writes what it likes.
func (h *lossyHost) live() {
	w := h.w
	if h.rnd.IntN(4) == 0 {
		h.prune()
	}
	for range h.rnd.IntN(60) {
		switch k := h.rnd.IntN(40); {
		case k < 30:
			h.write(h.rnd.IntN(4000))
		case k < 32:
			h.write(h.rnd.IntN(200_000))
		case k < 33:
			_ = h.f.Sync()
		case k < 34:
			h.rotate()
		case k < 38:
			nudge(w.path("app.log"), h.pages)
		default:
			time.Sleep(time.Duration(h.rnd.IntN(20)) * time.Millisecond)
		}
	}
}

// prune makes everything safe, and removes what is rotated and sent.
func (h *lossyHost) prune() {
	h.w.wait("app.log", h.w.copyOf("app.log"))
	time.Sleep(400 * time.Millisecond) // rotated files are found to be complete
	old, _ := filepath.Glob(h.w.path("app.log.*"))
	for _, path := range old {
		_ = os.Remove(path)
	}
	_ = unix.Syncfs(int(h.f.Fd()))
}

func (h *lossyHost) rotate() {
	h.n++
	h.w.rename("app.log", fmt.Sprintf("app.log.2026%06d", h.n))
	_ = h.f.Close()
	h.open()
	h.write(50)
}

// copied returns what the sources hold now, in their order.
func (h *lossyHost) copied() []byte {
	var all []byte
	for _, path := range h.files() {
		b, err := os.ReadFile(path)
		if err != nil {
			h.w.t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

// files returns the rotated files that are there, the oldest first, and then
// that which grows.
func (h *lossyHost) files() []string {
	all, _ := filepath.Glob(h.w.path("app.log.*"))
	slices.Sort(all)
	if _, err := os.Stat(h.w.path("app.log")); err == nil {
		all = append(all, h.w.path("app.log"))
	}
	return all
}

// lose cuts the power, and checks what becomes of the copy.
func (h *lossyHost) lose(boot string) {
	w := h.w
	w.t.Helper()
	w.kill()
	if h.rnd.IntN(2) == 0 {
		h.write(h.rnd.IntN(3000)) // nobody reads that before it may be gone
	}
	had := map[follow.Identity][]byte{}
	for _, path := range h.files() {
		id, b := h.read(path)
		had[id] = b
	}
	_ = h.f.Close()
	h.disk.cut()
	h.disk.heal()

	before := w.copyOf("app.log")
	early := h.rnd.IntN(2) == 0 // the writer is back before the agent
	if early {
		h.open()
		h.write(h.rnd.IntN(2000))
	}
	var left []sourceFile
	for _, path := range h.files() {
		id, b := h.read(path)
		left = append(left, sourceFile{id, b, path})
	}
	count := h.seen.granted()
	w.boot = boot
	w.start()
	w.up()
	until(w.t, "the monitor tells what it has", func() bool { return h.seen.granted() > count })
	var parts [][]byte
	loose := false
	for _, f := range left {
		others := h.found[other]
		parts = append(parts, h.added(f, had[f.id]))
		delete(had, f.id)
		// What a rotated file holds now that it did not hold comes beside what the
		// next one had begun with.
		loose = loose || h.found[other] > others && f.path != w.path("app.log")
	}
	h.found[gone] += len(had)
	want := join(before, join(parts...))
	if loose {
		want = h.waitMixed(before, parts)
	}
	w.wait("app.log", want)
	if !early {
		until(w.t, "what is left was looked at", func() bool { return h.seen.settled(left) })
		h.open()
		h.write(h.rnd.IntN(2000))
		b, _ := os.ReadFile(h.w.path("app.log"))
		fresh := b
		if n := len(left); n > 0 && left[n-1].path == h.w.path("app.log") {
			fresh = b[len(left[n-1].bytes):]
		}
		want = append(want, fresh...)
		w.wait("app.log", want)
	}
	if h.rnd.IntN(2) == 0 {
		time.Sleep(300 * time.Millisecond)
		w.wait("app.log", want)
	}
}

// waitMixed waits until the copy goes on with the parts, each in its own order,
// and returns the copy.
func (h *lossyHost) waitMixed(before []byte, parts [][]byte) []byte {
	h.w.t.Helper()
	length := len(before) + len(join(parts...))
	until(h.w.t, "all bytes are there", func() bool { return len(h.w.copyOf("app.log")) >= length })
	all := h.w.copyOf("app.log")
	if !bytes.HasPrefix(all, before) {
		h.w.t.Fatal(difference(all, before))
	}
	for rest := all[len(before):]; len(rest) > 0; {
		best, most := 0, 0
		for i, p := range parts {
			k := 0
			for k < min(len(p), len(rest)) && p[k] == rest[k] {
				k++
			}
			if k > most {
				best, most = i, k
			}
		}
		if most == 0 {
			h.w.t.Fatalf("%d bytes before the end there is %.60q, which is of no source", len(rest), rest)
		}
		parts[best], rest = parts[best][most:], rest[most:]
	}
	return all
}

// sourceFile is a file as it is after a power loss.
type sourceFile struct {
	id    follow.Identity
	bytes []byte
	path  string
}

func (h *lossyHost) read(path string) (follow.Identity, []byte) {
	h.w.t.Helper()
	f, err := follow.NewHost(0).Open(path)
	if err != nil {
		h.w.t.Fatal(err)
	}
	defer f.Close()
	b, err := os.ReadFile(path)
	if err != nil {
		h.w.t.Fatal(err)
	}
	id := f.Identity()
	id.Device = 0 // another one, now and then, when it is mounted again
	return id, b
}

// added returns what of a file comes into the copy. It had other bytes before
// the power loss, of which the monitor has those before its position.
func (h *lossyHost) added(f sourceFile, had []byte) []byte {
	position, ok := h.seen.position(f.id)
	if !ok { // nothing of it was ever sent
		h.found[whole]++
		return f.bytes
	}
	if position > int64(len(had)) { // an earlier power loss took it, and nothing was written to it since
		return f.bytes
	}
	sent := had[:position]
	head, mark := min(dtc.HeadSize, len(sent)), max(0, len(sent)-dtc.MarkerSize)
	switch {
	case len(f.bytes) >= len(sent) && bytes.Equal(f.bytes[:head], sent[:head]) && bytes.Equal(f.bytes[mark:len(sent)], sent[mark:]):
		h.found[whole]++
		return f.bytes[len(sent):]
	case len(f.bytes) < len(sent) && bytes.HasPrefix(sent, f.bytes):
		h.found[shorter]++
		return nil
	default:
		h.found[other]++
		return f.bytes
	}
}

// stations is what the monitor said of the generations when the agent came
// last, and what the agent has said since.
type stations struct {
	mu     sync.Mutex
	count  int
	states []dtc.GenerationState
	said   []dtc.Frame // Open and Rewind
}

func newStations() *stations { return &stations{} }

func (s *stations) granted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// position returns how far the newest generation of a file had come.
func (s *stations) position(id follow.Identity) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range slices.Backward(s.states) {
		if o, err := follow.DecodeOrigin(g.Identity); err == nil && o.Same(id) {
			return g.Position, true
		}
	}
	return 0, false
}

// settled reports whether every file that cannot go on where it was has been
// told to go on elsewhere.
func (s *stations) settled(files []sourceFile) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range files {
		var number uint64
		var short bool
		for _, g := range s.states {
			if o, err := follow.DecodeOrigin(g.Identity); err == nil && o.Same(f.id) {
				number, short = g.Generation, g.Position > int64(len(f.bytes))
			}
		}
		// Of a rotated file that has nothing left there is nothing to be told but
		// that it is lost.
		if short && len(f.bytes) > 0 && !slices.ContainsFunc(s.said, func(m dtc.Frame) bool {
			o, err := follow.DecodeOrigin(m.Data)
			return m.Kind == dtc.FrameRewind && m.Generation == number || m.Kind == dtc.FrameOpen && err == nil && o.Same(f.id)
		}) {
			return false
		}
	}
	return true
}

func (s *stations) over(link Link) Link { return stationLink{link, s} }

type stationLink struct {
	Link
	s *stations
}

func (k stationLink) Send(f *dtc.Frame) error {
	if f.Kind == dtc.FrameOpen || f.Kind == dtc.FrameRewind {
		k.s.mu.Lock()
		k.s.said = append(k.s.said, keep(f))
		k.s.mu.Unlock()
	}
	return k.Link.Send(f)
}

func (k stationLink) Recv(f *dtc.Frame) error {
	err := k.Link.Recv(f)
	if err == nil && f.Kind == dtc.FrameState {
		k.s.mu.Lock()
		k.s.count++
		k.s.states, k.s.said = keep(f).States, nil
		k.s.mu.Unlock()
	}
	return err
}
