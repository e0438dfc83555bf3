package logs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dtc"
)

// chanLink is a link in memory: two queues of frames.
type chanLink struct {
	in, out chan dtc.Frame
	gone    chan struct{} // shared by both ends
	once    *sync.Once
	hold    []byte
}

func newLinks() (a, b *chanLink) {
	x, y := make(chan dtc.Frame, 1024), make(chan dtc.Frame, 1024)
	gone, once := make(chan struct{}), &sync.Once{}
	return &chanLink{in: x, out: y, gone: gone, once: once}, &chanLink{in: y, out: x, gone: gone, once: once}
}

func (l *chanLink) Send(f *dtc.Frame) error {
	c := *f
	c.Data = bytes.Clone(f.Data)
	c.States = slices.Clone(f.States)
	for i := range c.States {
		c.States[i].Identity = bytes.Clone(c.States[i].Identity)
	}
	select {
	case <-l.gone:
		return io.ErrClosedPipe
	default:
	}
	select {
	case l.out <- c:
		return nil
	case <-l.gone:
		return io.ErrClosedPipe
	}
}

func (l *chanLink) Flush() error { return nil }

func (l *chanLink) Recv(f *dtc.Frame) error {
	select {
	case *f = <-l.in:
	case <-l.gone:
		return io.EOF
	}
	// What the frame holds is good only until the next call.
	for i := range l.hold {
		l.hold[i] = 0xee
	}
	l.hold = append(l.hold[:0], f.Data...)
	f.Data = l.hold
	return nil
}

func (l *chanLink) Buffered() int { return len(l.in) }

func (l *chanLink) Close() error {
	l.once.Do(func() { close(l.gone) })
	return nil
}

// told collects events.
type told struct {
	mu  sync.Mutex
	all []dtc.Event
	ids map[string]int
}

func (e *told) report(_ string, ev dtc.Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ids == nil {
		e.ids = map[string]int{}
	}
	e.ids[ev.ID]++
	if e.ids[ev.ID] == 1 {
		e.all = append(e.all, ev)
	}
	return nil
}

func (e *told) states() (out []dtc.State) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.all {
		out = append(out, ev.State)
	}
	return out
}

// rig is a store with what a test wants to see of it.
type rig struct {
	*Store
	t      testing.TB
	dir    string
	events *told
	stop   func()
	opts   Options
}

func newRig(tb testing.TB, change ...func(*Options)) *rig {
	tb.Helper()
	return openRig(tb, tb.TempDir(), change...)
}

func openRig(tb testing.TB, dir string, change ...func(*Options)) *rig {
	tb.Helper()
	r := &rig{t: tb, dir: dir, events: &told{}}
	r.opts = Options{
		Report:           r.events.report,
		Folder:           func(p dtc.Peer) (string, error) { return "10.0.0.7", nil },
		FreeFloorPercent: -1,
		SyncEvery:        5 * time.Millisecond,
		Logger:           slog.New(slog.NewTextHandler(tb.Output(), nil)),
	}
	for _, f := range change {
		f(&r.opts)
	}
	s, err := OpenStore(dir, r.opts)
	if err != nil {
		tb.Fatal(err)
	}
	r.Store = s
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Run(ctx) })
	r.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	tb.Cleanup(r.stop)
	return r
}

// reopen is the store after a clean restart.
func (r *rig) reopen(change ...func(*Options)) *rig {
	r.t.Helper()
	r.stop()
	return r.again(change...)
}

// again opens the store anew after it ended in whatever way; the events go on.
func (r *rig) again(change ...func(*Options)) *rig {
	r.t.Helper()
	n := openRig(r.t, r.dir, append([]func(*Options){func(o *Options) { *o = r.opts }}, change...)...)
	n.events = r.events
	return n
}

// stream returns a stream of agent A.
func (r *rig) stream(alias string) *stream {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.streams[ownerKey{peerA.ID, fold(alias)}]
}

// compact writes a side record anew.
func (r *rig) compact(alias string) error {
	st := r.stream(alias)
	r.syncStream(st)
	st.mu.Lock()
	defer st.mu.Unlock()
	for st.syncing {
		st.mu.Unlock()
		time.Sleep(time.Millisecond)
		st.mu.Lock()
	}
	c, err := st.open()
	if err == nil {
		err = c.compact()
	}
	return err
}

func (r *rig) path(alias string) string { return filepath.Join(r.dir, "10.0.0.7", alias) }

func (r *rig) content(alias string) string {
	r.t.Helper()
	b, err := os.ReadFile(r.path(alias))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

// eventually waits for something to come true.
func eventually(tb testing.TB, what string, f func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if f() {
			return
		}
	}
	tb.Fatalf("not within 30 s: %s", what)
}

// agent is a scripted agent.
type agent struct {
	t     testing.TB
	link  Link
	known []dtc.Frame
	epoch map[uint32]uint64
	err   chan error
	// source answers the monitor's questions.
	source func(generation uint64) []byte
}

var peerA = dtc.Peer{ID: "agent-a", Role: dtc.RoleAgent}

// connect dials the store and does the greeting.
func (r *rig) connect(peer dtc.Peer) *agent {
	r.t.Helper()
	mine, theirs := newLinks()
	a := &agent{t: r.t, link: mine, epoch: map[uint32]uint64{}, err: make(chan error, 1)}
	go func() { a.err <- r.Serve(context.Background(), peer, theirs) }()
	r.t.Cleanup(func() { a.close() })
	a.send(dtc.Frame{Kind: dtc.FrameHello, ID: 1, Text: "boot-a"})
	for {
		f := a.recv()
		if f.Kind == dtc.FrameReady {
			return a
		}
		if f.Kind != dtc.FrameKnown {
			r.t.Fatalf("frame %d in the greeting", f.Kind)
		}
		a.known = append(a.known, f)
	}
}

func (a *agent) close() error {
	a.link.Close()
	err := <-a.err
	a.err <- err
	return err
}

func (a *agent) send(f dtc.Frame) {
	a.t.Helper()
	if err := a.link.Send(&f); err != nil {
		a.t.Fatal(err)
	}
}

func (a *agent) recv() dtc.Frame {
	a.t.Helper()
	var f dtc.Frame
	got := make(chan error, 1)
	go func() { got <- a.link.Recv(&f) }()
	select {
	case err := <-got:
		if err != nil {
			a.t.Fatal(err)
		}
	case <-time.After(30 * time.Second):
		a.t.Fatal("the monitor says nothing")
	}
	return f
}

// until takes frames until one of a kind comes; it answers what is asked.
func (a *agent) until(kind dtc.FrameKind) dtc.Frame {
	a.t.Helper()
	for {
		f := a.recv()
		if f.Kind == kind {
			return f
		}
		if f.Kind == dtc.FrameAsk {
			a.answer(f)
		}
	}
}

func (a *agent) answer(f dtc.Frame) {
	r := f
	r.Kind = dtc.FrameAnswer
	if a.source == nil {
		r.Text = "not known"
	} else {
		b := a.source(f.Generation)
		r.End = min(f.End, int64(len(b)))
		sum := sha256.Sum256(b[min(f.Offset, r.End):r.End])
		r.Data = sum[:]
	}
	a.send(r)
}

// attach asks for a stream and returns its state.
func (a *agent) attach(number uint32, alias string) []dtc.GenerationState {
	a.t.Helper()
	a.send(dtc.Frame{Kind: dtc.FrameAttach, Stream: number, Text: alias})
	f := a.recv()
	for f.Kind == dtc.FrameAck || f.Stream != number {
		f = a.recv()
	}
	if f.Kind != dtc.FrameState {
		a.t.Fatalf("attach %s: frame %d %q", alias, f.Kind, f.Text)
	}
	a.epoch[number] = f.Epoch
	return f.States
}

func (a *agent) frame(kind dtc.FrameKind, stream uint32, generation uint64) dtc.Frame {
	return dtc.Frame{Kind: kind, Stream: stream, Epoch: a.epoch[stream], Generation: generation}
}

func (a *agent) open(stream uint32, generation uint64, identity string) {
	f := a.frame(dtc.FrameOpen, stream, generation)
	f.Data = []byte(identity)
	a.send(f)
}

func (a *agent) append(stream uint32, generation uint64, offset int, data string) {
	f := a.frame(dtc.FrameAppend, stream, generation)
	f.Offset, f.Data, f.Sum = int64(offset), []byte(data), crc32.Checksum([]byte(data), castagnoli())
	a.send(f)
}

func (a *agent) hole(stream uint32, generation uint64, offset, n int) {
	f := a.frame(dtc.FrameHole, stream, generation)
	f.Offset, f.End, f.Sum = int64(offset), int64(offset)+int64(n), dtc.ZeroSum(0, int64(n))
	a.send(f)
}

// ping waits until everything that was sent before has been handled.
func (a *agent) ping() {
	a.t.Helper()
	a.send(dtc.Frame{Kind: dtc.FramePing})
	a.until(dtc.FramePong)
}

// durable waits until a position is safe from a power loss.
func (a *agent) durable(stream uint32, generation uint64, position int) {
	a.t.Helper()
	for {
		f := a.until(dtc.FrameAck)
		if f.Stream == stream && f.Generation == generation && f.End >= int64(position) {
			return
		}
	}
}

func (r *rig) eventStates() []dtc.State { return r.events.states() }

func crcOf(s string) uint32 { return crc32.Checksum([]byte(s), castagnoli()) }

// text is n bytes that say where they are.
func text(n int) string {
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "%d\n", b.Len())
	}
	return b.String()[:n]
}
