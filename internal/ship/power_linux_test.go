package ship

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dtc"
	"dtc/internal/wire"
)

// powerCuts is how often the power of one disk is cut.
func powerCuts() int {
	if long() {
		return 70
	}
	return 10
}

// TestPowerLoss cuts the power of the monitor's disk at any moment. What was
// acknowledged as durable is there afterwards, before anything repairs it; and
// when the monitor runs again every copy comes to be byte for byte what was
// written, though the sources of what was durable are removed at once.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	for _, k := range diskKinds() {
		t.Run(k.name, func(t *testing.T) { testPowerLoss(t, &k, 3, 0) })
	}
	// So many streams are made durable together.
	t.Run("many streams", func(t *testing.T) { testPowerLoss(t, &diskKinds()[1], 90, 0) })
	// A copy in files of 1 MiB, of which the oldest go. (With data=writeback the
	// blocks of one that went are used again at once, and a power loss may bring
	// it back with the bytes of others.)
	t.Run("retention", func(t *testing.T) { testPowerLoss(t, &diskKinds()[0], 2, 3<<20) })
}

// testPowerLoss has a monitor that keeps so many bytes of each copy, 0: all.
func testPowerLoss(t *testing.T, k *diskKind, streams, keep int) {
	t.Helper()
	rnd := seed(t)
	p := newPowerRig(t, k)
	p.keep = keep
	p.startMonitor(0)
	var names []File
	for i := range streams {
		s := &durableSource{p: p, slow: 1 + streams/15, much: keep > 0, name: fmt.Sprintf("f%d.log", i), rnd: rand.New(rand.NewPCG(rnd.Uint64(), uint64(i)))}
		p.sources = append(p.sources, s)
		names = append(names, File{Path: s.path(0), Alias: s.name})
		s.create()
		s.write(100)
	}
	p.startAgent(names)
	time.Sleep(time.Duration(rnd.IntN(150)) * time.Millisecond)
	for i := range powerCuts() {
		if i == 0 {
			p.disk.cut() // before anything was ever durable
		} else {
			p.work(rnd)
		}
		time.Sleep(time.Duration(rnd.IntN(10)) * time.Millisecond) // a sync that fails acknowledges nothing
		p.monitor.kill()
		p.disk.heal()
		for _, s := range p.sources {
			s.checkDurable()
		}
		p.startMonitor(i + 1)
		if i == 0 || i == powerCuts()-1 || rnd.IntN(3) == 0 { // else the next one comes into the repair
			for _, s := range p.sources {
				s.caughtUp()
			}
		}
	}
	total := 0
	for _, s := range p.sources {
		total += len(s.truth)
	}
	t.Logf("%d power losses, %d sources removed when they were durable, %d bytes found behind durable positions, wrong ones %d times, %.1f MB, exact",
		powerCuts(), p.removed.Load(), p.behind, p.checkEvents(), float64(total)/1e6)
}

// powerRig is an agent in this process, and a monitor in another one on a disk
// whose power can be cut.
type powerRig struct {
	t       *testing.T
	disk    *disk
	env     []string
	out     *os.File
	monitor *helper
	ledger  *ledger
	sources []*durableSource
	removed atomic.Int64
	keep    int // bytes of a copy that are kept, 0: all
	behind  int // bytes that power losses left behind durable positions
}

func newPowerRig(t *testing.T, k *diskKind) *powerRig {
	t.Helper()
	p := &powerRig{t: t, disk: newDisk(t, k), ledger: newLedger(t)}
	p.env = []string{rootEnv + "=" + p.disk.dir, addressEnv + "=" + freeAddress(t)}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	p.out = out
	t.Cleanup(func() {
		p.monitor.kill()
		if t.Failed() {
			b, _ := os.ReadFile(out.Name())
			t.Logf("the monitor said:\n%s", b[max(0, len(b)-200_000):])
		}
		_ = out.Close()
	})
	return p
}

func (p *powerRig) startMonitor(boot int) {
	p.t.Helper()
	p.monitor = &helper{t: p.t, kind: "monitor", out: p.out, env: append(p.env, fmt.Sprintf("%s=boot-%d", bootEnv, boot))}
	if p.keep > 0 {
		p.monitor.env = append(p.monitor.env, fmt.Sprintf("%s=%d", keepEnv, p.keep))
	}
	p.monitor.start()
}

func (p *powerRig) startAgent(files []File) {
	p.t.Helper()
	s := New(Options{Files: files, Boot: "boot"})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Run(ctx) })
	wg.Go(func() {
		var dialer net.Dialer
		for ctx.Err() == nil {
			conn, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(p.env[1], addressEnv+"="))
			if err != nil {
				time.Sleep(2 * time.Millisecond)
				continue
			}
			_ = s.Serve(ctx, p.ledger.over(wire.NewLink(conn)))
		}
	})
	p.t.Cleanup(func() { cancel(); wg.Wait() })
}

// work lets the writers write until the power is cut, while the disk writes what
// it likes.
func (p *powerRig) work(rnd *rand.Rand) {
	var stop atomic.Bool
	var wg sync.WaitGroup
	for _, s := range p.sources {
		wg.Go(func() {
			for !stop.Load() {
				s.step()
			}
		})
	}
	pages := rand.New(rand.NewPCG(rnd.Uint64(), 7))
	wg.Go(func() {
		for !stop.Load() {
			time.Sleep(time.Duration(pages.IntN(4000)) * time.Microsecond)
			alias := p.sources[pages.IntN(len(p.sources))].name
			if pages.IntN(2) == 0 {
				alias = "." + alias + ".dtc"
			}
			nudge(p.copyPath(alias), pages)
		}
	})
	time.Sleep(time.Duration(20+rnd.IntN(200)) * time.Millisecond)
	p.disk.cut()
	stop.Store(true)
	wg.Wait()
}

func (p *powerRig) copyPath(alias string) string {
	return filepath.Join(p.disk.dir, "logs", "10.0.0.7", alias)
}

// copyOf returns what there is of a copy, and how many bytes before that have
// been dropped. While the monitor runs it may begin a new file meanwhile.
func (p *powerRig) copyOf(alias string) (b []byte, dropped int, err error) {
	p.t.Helper()
	names, err := filepath.Glob(p.copyPath("." + alias + ".[0-9]*"))
	if err != nil {
		p.t.Fatal(err)
	}
	bases := map[int]string{}
	for _, name := range names {
		base, err := strconv.Atoi(strings.TrimPrefix(filepath.Ext(name), "."))
		if err != nil {
			p.t.Fatalf("what is %s?", name)
		}
		bases[base] = name
	}
	for i, base := range slices.Sorted(maps.Keys(bases)) {
		part, err := os.ReadFile(bases[base])
		if i == 0 {
			dropped = base
		}
		if err != nil || dropped+len(b) != base {
			return nil, 0, fmt.Errorf("%s begins at %d, and what is before it ends at %d (%w)", bases[base], base, dropped+len(b), err)
		}
		b = append(b, part...)
	}
	live, err := os.ReadFile(p.copyPath(alias))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, 0, err
	}
	return append(b, live...), dropped, nil
}

// checkEvents checks that nothing was told to be lost or touched by somebody,
// and returns how often what a power loss left was found to be something else
// than was written. That a stream waits while its disk has no power is true.
func (p *powerRig) checkEvents() (repaired int) {
	p.t.Helper()
	b, err := os.ReadFile(p.out.Name())
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, " changed - after a failure of the monitor's disk or power ") {
			repaired++
			continue
		}
		for _, bad := range []string{" gap ", " corrupt ", " changed ", " rewound ", " refused ", "panic", "DATA RACE"} {
			if strings.Contains(line, bad) && !strings.HasPrefix(line, "time=") && !strings.Contains(line, "input/output error") {
				p.t.Errorf("said: %s", line)
			}
		}
	}
	return repaired
}

// durableSource is a file that is written and rotated, and whose rotated files
// are removed as soon as all of them is durable at the monitor.
type durableSource struct {
	p     *powerRig
	name  string
	rnd   *rand.Rand
	slow  int  // how much slower than others it writes
	much  bool // it writes many bytes at a time
	f     *os.File
	n     int
	truth []byte
	bases []int         // where in truth each generation begins
	files map[int]int64 // generations whose rotated files are there, with their lengths
}

// path returns the name of a generation's file; 0 is the one that grows.
func (s *durableSource) path(generation int) string {
	dir := filepath.Join(filepath.Dir(s.p.out.Name()), s.name+"-src")
	if generation == 0 {
		return filepath.Join(dir, s.name)
	}
	return filepath.Join(dir, fmt.Sprintf("%s.2026%06d", s.name, generation))
}

func (s *durableSource) create() {
	if err := os.MkdirAll(filepath.Dir(s.path(0)), 0o755); err != nil {
		panic(err)
	}
	f, err := os.OpenFile(s.path(0), os.O_WRONLY|os.O_CREATE|os.O_APPEND|os.O_EXCL, 0o644)
	if err != nil {
		panic(err)
	}
	s.f, s.bases = f, append(s.bases, len(s.truth))
	s.p.t.Cleanup(func() { _ = f.Close() })
}

func (s *durableSource) write(n int) {
	s.n++
	b := fmt.Appendf(nil, "%s %d ", s.name, s.n)
	for len(b) < n {
		b = fmt.Appendf(b, "%x ", s.rnd.Uint64())
	}
	b = append(b, '\n')
	if _, err := s.f.Write(b); err != nil {
		panic(err)
	}
	s.truth = append(s.truth, b...)
}

func (s *durableSource) step() {
	switch k := s.rnd.IntN(60); {
	case k < 45:
		s.write(s.rnd.IntN(2000 / s.slow))
	case k < 46 || s.much && k > 55:
		s.write(s.rnd.IntN(200_000 / s.slow))
	case k < 47 && len(s.files) < 8:
		s.rotate()
	case k < 50:
		s.removeDurable()
	default:
		time.Sleep(time.Duration(s.slow*s.rnd.IntN(15)) * time.Millisecond)
	}
}

func (s *durableSource) rotate() {
	generation := len(s.bases)
	if err := os.Rename(s.path(0), s.path(generation)); err != nil {
		panic(err)
	}
	if s.files == nil {
		s.files = map[int]int64{}
	}
	s.files[generation] = int64(len(s.truth) - s.bases[generation-1])
	_ = s.f.Close()
	s.create()
	s.write(100) // a file without a byte is no generation
}

func (s *durableSource) removeDurable() {
	for generation, size := range s.files {
		if s.p.ledger.durable(s.name, uint64(generation)) < size {
			continue
		}
		if err := os.Remove(s.path(generation)); err != nil {
			panic(err)
		}
		delete(s.files, generation)
		s.p.removed.Add(1)
	}
}

// checkDurable checks what a power loss left, before anybody repairs it.
func (s *durableSource) checkDurable() {
	t := s.p.t
	t.Helper()
	got, dropped, err := s.p.copyOf(s.name)
	if err != nil {
		t.Fatal(err)
	}
	end := 0
	for i, base := range s.bases {
		if d := s.p.ledger.durable(s.name, uint64(i+1)); d > 0 {
			end = max(end, base+int(d))
		}
	}
	if dropped > 0 && len(s.truth)-dropped < s.p.keep { // what came last has gone, and comes again
		t.Fatalf("%s: of %d bytes %d were dropped", s.name, len(s.truth), dropped)
	}
	safe := s.truth[dropped:end]
	if len(got) < len(safe) || !bytes.Equal(got[:len(safe)], safe) {
		t.Fatalf("%s: %d bytes were acknowledged as durable, %d dropped: %s", s.name, end, dropped, difference(got[:min(len(safe), len(got))], safe))
	}
	s.p.behind += len(got) - len(safe)
}

// caughtUp waits until the copy has everything.
func (s *durableSource) caughtUp() {
	t := s.p.t
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		got, dropped, err := s.p.copyOf(s.name)
		if err == nil && bytes.Equal(got, s.truth[dropped:]) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v; %d dropped; %s\n%.3000s", s.name, err, dropped, difference(got, s.truth[dropped:]), account(got, s.truth[dropped:]))
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// ledger is what the agent was told, over all connections.
type ledger struct {
	t       *testing.T
	mu      sync.Mutex
	safe    map[string]map[uint64]int64 // by alias and generation
	aliases map[uint32]string           // of the connection
}

func newLedger(t *testing.T) *ledger {
	t.Helper()
	return &ledger{t: t, safe: map[string]map[uint64]int64{}}
}

// durable returns the position up to which a generation was acknowledged as
// durable.
func (l *ledger) durable(alias string, generation uint64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.safe[alias][generation]
}

// over returns a link over which nothing goes unnoticed.
func (l *ledger) over(link Link) Link {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.aliases = map[uint32]string{}
	return ledgerLink{link, l}
}

type ledgerLink struct {
	Link
	l *ledger
}

func (k ledgerLink) Send(f *dtc.Frame) error {
	k.l.mu.Lock()
	if f.Kind == dtc.FrameAttach {
		k.l.aliases[f.Stream] = f.Text
	}
	k.l.mu.Unlock()
	return k.Link.Send(f)
}

func (k ledgerLink) Recv(f *dtc.Frame) error {
	err := k.Link.Recv(f)
	if err == nil {
		k.l.mu.Lock()
		defer k.l.mu.Unlock()
		switch f.Kind { //nolint:exhaustive // the others promise nothing
		case dtc.FrameAck:
			k.l.acked(k.l.aliases[f.Stream], f)
		case dtc.FrameState:
			k.l.stated(k.l.aliases[f.Stream], f.States)
		}
	}
	return err
}

func (l *ledger) acked(alias string, f *dtc.Frame) {
	if l.safe[alias] == nil {
		l.safe[alias] = map[uint64]int64{}
	}
	l.safe[alias][f.Generation] = max(l.safe[alias][f.Generation], f.End)
}

// stated checks that the monitor still knows what it promised.
func (l *ledger) stated(alias string, states []dtc.GenerationState) {
	has := map[uint64]int64{}
	newest := uint64(0)
	for i := range states {
		has[states[i].Generation] = states[i].Durable
		newest = max(newest, states[i].Generation)
	}
	for g, end := range l.safe[alias] {
		if g+40 > newest && has[g] < end { // of those before it forgets some
			l.t.Errorf("%s: generation %d was durable up to %d, and is now up to %d (newest %d)", alias, g, end, has[g], newest)
		}
	}
}
