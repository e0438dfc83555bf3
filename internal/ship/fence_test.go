package ship

import (
	"context"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"dtc"
	"dtc/internal/logs"
	"dtc/internal/wire"
)

func (w *world) count(what string) int { return strings.Count(w.logged.String(), what) }

// A stream that a newer connection took is this one's again after that ended,
// though this one was never cut.
func TestFencedForAWhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog())
	a := w.writer("app.log")
	all := a.lines(5)
	w.start()
	w.shipper.retries = [2]time.Duration{time.Second, 100 * time.Millisecond}
	w.up()
	w.wait("app.log", all)
	other := New(Options{Files: w.files, Scan: time.Second, Logger: w.log})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = other.Run(ctx) })
	wg.Go(func() { w.connect(ctx, other, w.store) })
	until(t, "fenced", func() bool { return w.count("a newer connection of this agent has the stream") == 1 })
	all = append(all, a.lines(5)...)
	w.wait("app.log", all)
	cancel()
	wg.Wait()
	all = append(all, a.lines(5)...)
	w.still("app.log", all)
	if n := w.count("a newer connection of this agent has the stream"); n != 1 {
		t.Errorf("%d warnings", n)
	}
	if n := w.count("Hello stream=0"); n != 2 { // one of each
		t.Errorf("%d hellos", n)
	}
}

// scripted is a monitor that answers what a test wants.
type scripted struct {
	t    *testing.T
	link *wire.Link
	got  chan dtc.Frame
}

func newScripted(t *testing.T, s *Shipper) *scripted {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return againScripted(t, s)
}

// againScripted is the next connection of an agent that runs.
func againScripted(t *testing.T, s *Shipper) *scripted {
	t.Helper()
	until(t, "the last connection has ended", func() bool { return s.session.Load() == nil })
	a, b := net.Pipe()
	m := &scripted{t: t, link: wire.NewLink(b), got: make(chan dtc.Frame, 10_000)}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve(ctx, wire.NewLink(a)) })
	wg.Go(func() {
		var f dtc.Frame
		for m.link.Recv(&f) == nil {
			m.got <- keep(&f)
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = m.link.Close()
		wg.Wait()
	})
	m.next(dtc.FrameHello)
	m.send(dtc.Frame{Kind: dtc.FrameReady})
	return m
}

func (m *scripted) send(frames ...dtc.Frame) {
	m.t.Helper()
	for i := range frames {
		if err := m.link.Send(&frames[i]); err != nil {
			m.t.Fatal(err)
		}
	}
	if err := m.link.Flush(); err != nil {
		m.t.Fatal(err)
	}
}

// next returns the next frame of a kind, and drops those before it.
func (m *scripted) next(kind dtc.FrameKind) dtc.Frame {
	m.t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		select {
		case f := <-m.got:
			if f.Kind == kind {
				return f
			}
		case <-timeout:
			m.t.Fatalf("no frame of kind %d", kind)
		}
	}
}

// Many streams that are fenced are one line of the log, and asked for until the
// monitor gives them.
func TestManyFenced(t *testing.T) {
	t.Parallel()
	const n = 50
	w := newWorld(t)
	var files []File
	for i := range n {
		name := fmt.Sprintf("f%d", i)
		w.writer(name).lines(1)
		files = append(files, File{Path: w.path(name), Alias: name})
	}
	s := New(Options{Files: files, Logger: w.log})
	s.retries = [2]time.Duration{50 * time.Millisecond, 50 * time.Millisecond}
	m := newScripted(t, s)
	for epoch := range uint64(n) {
		m.send(dtc.Frame{Kind: dtc.FrameState, Stream: m.next(dtc.FrameAttach).Stream, Epoch: epoch + 1})
	}
	for i := range uint32(n) {
		m.send(dtc.Frame{Kind: dtc.FrameFenced, Stream: i + 1, Epoch: uint64(i + 1)})
	}
	for range 3 * n { // the newer connection is alive
		f := m.next(dtc.FrameAttach)
		m.send(
			dtc.Frame{Kind: dtc.FrameFenced, Stream: f.Stream, Epoch: uint64(f.Stream)}, // late
			dtc.Frame{Kind: dtc.FrameFenced, Stream: f.Stream},
		)
	}
	time.Sleep(gatherFenced)
	if n := w.count("level=WARN"); n != 1 {
		t.Errorf("%d warnings", n)
	}
	if !strings.Contains(w.logged.String(), fmt.Sprintf("streams=%d ", n)) {
		t.Error("the warning does not say how many streams there are")
	}
	opened := map[uint32]bool{}
	for len(m.got) > 0 {
		<-m.got
	}
	for len(opened) < n {
		f := m.next(dtc.FrameAttach)
		m.send(dtc.Frame{Kind: dtc.FrameState, Stream: f.Stream, Epoch: uint64(1000 + len(opened))})
		opened[f.Stream] = true
	}
	if f := m.next(dtc.FrameAppend); f.Epoch < 1000 {
		t.Errorf("bytes of epoch %d", f.Epoch)
	}
}

// Another rule that gives the same alias to the same file changes nothing, and
// what is followed no longer is not live at the monitor.
func TestConfigureSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t, File{Path: "a.log", Alias: "a.log"}, File{Path: "b.log", Alias: "b"})
	a, b := w.writer("a.log"), w.writer("b.log")
	wa, wb := a.lines(3), b.lines(3)
	w.start()
	w.up()
	w.wait("a.log", wa)
	w.wait("b", wb)
	w.shipper.Configure([]File{{Path: w.path("*.log"), Alias: "{name}"}}, time.Second)
	w.wait("b.log", wb) // a stream that goes before it was opened leaves nothing
	for _, files := range [][]File{
		{{Path: w.path("*.log"), Alias: "{name}"}},
		{{Path: w.path("a*"), Alias: "{name}"}},
		{{Path: w.path("a.log"), Alias: "A.log"}},
		{{Path: w.path("a.log"), Alias: "a.log"}, {Path: w.path("none"), Alias: "none"}},
	} {
		w.shipper.Configure(files, time.Second)
		wa = append(wa, a.lines(3)...)
		w.wait("a.log", wa)
	}
	until(t, "b and b.log are not live: "+w.states(), func() bool { return w.states() == "a.log live, b away, b.log away" })
	b.lines(1)
	w.still("b", wb)
	if n := len(regexp.MustCompile(`Attach stream=\d+ .*text=\\"(?i:a\.log)\\"`).FindAllString(w.logged.String(), -1)); n != 1 {
		t.Errorf("the stream was asked for %d times", n)
	}
	if n := w.count("level=WARN"); n != 0 {
		t.Errorf("%d warnings", n)
	}
	w.shipper.Configure([]File{{Path: w.path("b.log"), Alias: "a.log"}}, time.Second) // another file
	w.still("a.log", append(wa, b.bytes()...))
	if n := w.count("newer connection"); n != 0 {
		t.Errorf("%d warnings", n)
	}
}

func (wr *writer) bytes() []byte {
	wr.t.Helper()
	b, err := os.ReadFile(wr.path)
	if err != nil {
		wr.t.Fatal(err)
	}
	return b
}

func (w *world) states() string {
	var all []string
	for _, i := range w.store.Streams() {
		all = append(all, i.Alias+" "+i.State)
	}
	return strings.Join(all, ", ")
}

// What never had a file is no stream, unless the monitor has something of it.
func TestNoFileNoStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appLog(), File{Path: "folder", Alias: "folder"}, File{Path: "later", Alias: "later"})
	a := w.writer("app.log")
	all := a.lines(3)
	if err := os.Mkdir(w.path("folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.up()
	w.wait("app.log", all)
	refused := w.wantEvents(dtc.StateRefused, 1)
	time.Sleep(500 * time.Millisecond) // more than a scan
	if got := w.states(); got != "app.log live" {
		t.Errorf("streams: %s", got)
	}
	later := w.writer("later")
	w.wait("later", later.lines(3))
	w.kill()
	a.lines(3)
	if err := os.Remove(w.path("app.log")); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.up()
	gap := w.wantEvents(dtc.StateGap, 1)
	if gap[0].Alias != "app.log" || *gap[0].From != int64(len(all)) {
		t.Errorf("gap %+v", gap[0])
	}
	// A refusal that is told again is the same event.
	for _, e := range w.wantEvents(dtc.StateRefused, 2) {
		if e.ID == "" || e.ID != refused[0].ID {
			t.Errorf("refused: %+v, then %+v", refused[0], e)
		}
	}
	if got := w.states(); got != fmt.Sprintf("app.log %s, later %[1]s", logs.StreamLive) {
		t.Errorf("streams: %s", got)
	}
}
