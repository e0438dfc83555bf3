package ship

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dtc"
	"dtc/internal/follow"
	"dtc/internal/logs"
	"dtc/internal/wire"
)

// world is an agent's ship and a monitor's logs in one process, with files to
// follow and a record of what was written to them.
type world struct {
	t      *testing.T
	root   string
	src    string // folder of the sources
	files  []File
	peer   dtc.Peer
	log    *slog.Logger
	logged *lockedBuffer

	store     *logs.Store
	stopStore func()

	shipper   *Shipper
	stopAgent func()
	stopLink  func()
	limits    Limits
	unwatched bool                            // the system tells of no changes
	watch     func() (*follow.Watcher, error) // another one than usual
	boot      string                          // of the agent's host
	yields    bool                            // rotated files are let go when they are quiet
	over      func(Link) Link                 // sees all that the agent says and hears; nil: nobody does

	mu     sync.Mutex
	events []dtc.Event
	wrap   func(net.Conn) net.Conn // of the agent's side
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t *testing.T, files ...File) *world {
	t.Helper()
	return newWorldIn(t, t.TempDir(), files...)
}

// newWorldIn has its sources below root. Paths of files are relative to their
// folder.
func newWorldIn(t *testing.T, root string, files ...File) *world {
	t.Helper()
	w := &world{
		t: t, root: t.TempDir(), src: filepath.Join(root, "src"), logged: &lockedBuffer{}, boot: "boot",
		peer: dtc.Peer{ID: "agent-1", Role: dtc.RoleAgent, IPs: []netip.Addr{netip.MustParseAddr("10.0.0.7")}},
	}
	w.log = slog.New(slog.NewTextHandler(w.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if err := os.MkdirAll(w.src, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		f.Path = filepath.Join(w.src, f.Path)
		w.files = append(w.files, f)
	}
	w.openStore()
	t.Cleanup(func() {
		w.down()
		w.kill()
		w.stopStore()
		if t.Failed() {
			t.Log("log:\n" + w.logged.String())
			for _, e := range w.told("") {
				t.Logf("event %s %s from %v to %v: %s", e.Alias, e.State, deref(e.From), deref(e.To), e.Reason)
			}
		}
	})
	return w
}

func deref(p *int64) any {
	if p == nil {
		return "-"
	}
	return *p
}

func (w *world) openStore() {
	w.t.Helper()
	store, err := logs.OpenStore(filepath.Join(w.root, "logs"), logs.Options{
		Report: func(_ string, e dtc.Event) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
			return nil
		},
		Folder: func(dtc.Peer) (string, error) { return "10.0.0.7", nil },
		Logger: w.log,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = store.Run(ctx) })
	w.store = store
	w.stopStore = func() {
		cancel()
		wg.Wait()
		_ = store.Close()
	}
}

// start starts the agent, without a connection.
func (w *world) start() {
	s := New(Options{Files: w.files, Scan: 200 * time.Millisecond, Boot: w.boot, Logger: w.log, Limits: w.limits})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	if w.unwatched {
		s.watch = func() (*follow.Watcher, error) { return nil, errors.New("no more watches") }
	}
	if w.watch != nil {
		s.watch = w.watch
	}
	s.yields = s.yields || w.yields
	w.shipper = s
	wg.Go(func() { _ = s.Run(ctx) })
	w.stopAgent = func() {
		cancel()
		wg.Wait()
	}
}

// kill ends the agent. It keeps no state, so how does not matter.
func (w *world) kill() {
	w.down()
	if w.stopAgent != nil {
		w.stopAgent()
		w.stopAgent = nil
	}
}

// up connects the agent, again and again.
func (w *world) up() {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	s, store := w.shipper, w.store
	wg.Go(func() {
		for ctx.Err() == nil {
			w.connect(ctx, s, store)
		}
	})
	w.stopLink = func() {
		cancel()
		wg.Wait()
	}
}

func (w *world) connect(ctx context.Context, s *Shipper, store *logs.Store) {
	a, b := net.Pipe()
	if w.wrap != nil {
		a = w.wrap(a)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = store.Serve(ctx, w.peer, wire.NewLink(b)) })
	var link Link = tracing{wire.NewLink(a), w}
	if w.over != nil {
		link = w.over(link)
	}
	_ = s.Serve(ctx, link)
	_ = b.Close()
	wg.Wait()
}

// down cuts the connection, for good.
func (w *world) down() {
	if w.stopLink != nil {
		w.stopLink()
		w.stopLink = nil
	}
}

func (w *world) path(name string) string { return filepath.Join(w.src, name) }

func (w *world) copyOf(alias string) []byte {
	b, err := os.ReadFile(filepath.Join(w.root, "logs", "10.0.0.7", alias))
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	return b
}

// wait waits until the copy has exactly these bytes, and stays so.
func (w *world) wait(alias string, want []byte) {
	w.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		got := w.copyOf(alias)
		if bytes.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) || len(got) > len(want) {
			w.t.Fatalf("%s: %s\n%.3000s", alias, difference(got, want), account(got, want))
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// still checks that nothing more comes.
func (w *world) still(alias string, want []byte) {
	w.t.Helper()
	w.wait(alias, want)
	time.Sleep(600 * time.Millisecond)
	w.wait(alias, want)
}

func difference(got, want []byte) string {
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	around := func(b []byte) string { return fmt.Sprintf("%.60q", b[i:]) }
	return fmt.Sprintf("%d bytes instead of %d, different from byte %d on:\n got %s\nwant %s", len(got), len(want), i, around(got), around(want))
}

func (w *world) told(state dtc.State) []dtc.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []dtc.Event
	for _, e := range w.events {
		if state == "" || e.State == state {
			all = append(all, e)
		}
	}
	return all
}

func (w *world) wantEvents(state dtc.State, n int) []dtc.Event {
	w.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for len(w.told(state)) < n && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	got := w.told(state)
	if len(got) != n {
		w.t.Fatalf("%d events of state %s, want %d: %+v", len(got), state, n, got)
	}
	return got
}

// writer appends to a file, and keeps what it wrote.
type writer struct {
	t    *testing.T
	path string
	f    *os.File
	n    int
}

func (w *world) writer(name string) *writer {
	w.t.Helper()
	wr := &writer{t: w.t, path: w.path(name)}
	wr.reopen()
	w.t.Cleanup(func() { _ = wr.f.Close() })
	return wr
}

func (wr *writer) reopen() {
	wr.t.Helper()
	if wr.f != nil {
		_ = wr.f.Close()
	}
	f, err := os.OpenFile(wr.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		wr.t.Fatal(err)
	}
	wr.f = f
}

// lines appends n lines that are like no others, and returns them.
func (wr *writer) lines(n int) []byte {
	wr.t.Helper()
	var b []byte
	for range n {
		wr.n++
		b = fmt.Appendf(b, "%s line %d %016x\n", filepath.Base(wr.path), wr.n, rand.Uint64())
	}
	wr.write(b)
	return b
}

func (wr *writer) write(b []byte) []byte {
	wr.t.Helper()
	if _, err := wr.f.Write(b); err != nil {
		wr.t.Fatal(err)
	}
	return b
}

func noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

func (w *world) rename(from, to string) {
	w.t.Helper()
	if err := os.Rename(w.path(from), w.path(to)); err != nil {
		w.t.Fatal(err)
	}
}

// rotate renames name.k to name.k+1 for every k that there is, and name to
// name.1, as logrotate does.
func (w *world) rotate(name string) {
	w.t.Helper()
	old, _ := filepath.Glob(w.path(name) + ".*")
	slices.SortFunc(old, func(a, b string) int { return len(b) - len(a) + 10*strings.Compare(b, a)*0 })
	for k := len(old); k > 0; k-- {
		_ = os.Rename(fmt.Sprintf("%s.%d", w.path(name), k), fmt.Sprintf("%s.%d", w.path(name), k+1))
	}
	w.rename(name, name+".1")
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// inodeOf returns the number by which the system knows a file.
func inodeOf(t *testing.T, path string) uint64 {
	t.Helper()
	id, err := follow.Glance(path)
	if err != nil {
		t.Fatal(err)
	}
	return id.Node[0]
}
