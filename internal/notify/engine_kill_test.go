package notify

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dtc"
	"dtc/internal/events"
)

// The environment of a victim: where it keeps everything, and where it tells.
const (
	victimDir = "DTC_TEST_NOTIFY_DIR"
	victimURL = "DTC_TEST_NOTIFY_URL"
)

// TestVictim is no test, but what a monitor does of notices, in a process that
// is there to be killed. It records what it reads, a number a line, as an end,
// and answers with the number once that is written.
func TestVictim(t *testing.T) {
	dir, url := os.Getenv(victimDir), os.Getenv(victimURL)
	if dir == "" {
		return
	}
	logs := filepath.Join(dir, "logs")
	var n *Notifier
	store, err := events.Open(logs, events.Options{Recorded: func(e dtc.Event) { n.Tell(e) }})
	must(t, err)
	n, err = New(Options{
		Dir: filepath.Join(dir, "notify"),
		Config: Config{
			Hosts:     someHosts(5),
			Receivers: []Receiver{{Name: "ops", Kind: "webhook", Wait: 100 * time.Millisecond, Values: map[string]string{"url": url}}},
		},
		Report: func(e dtc.Event) error {
			e.Host, e.Address = "monitor", "127.0.0.1"
			return store.Append("127.0.0.1", 0, e)
		},
	})
	must(t, err)
	if since := n.Until(); !since.IsZero() {
		must(t, events.Read(t.Context(), logs, events.Filter{Since: since}, func(e dtc.Event) error { n.Tell(e); return nil }))
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { _ = n.Run(t.Context()) })
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		number, err := strconv.Atoi(lines.Text())
		must(t, err)
		e := deadPID(number%5+1, 1000+number)
		e.ID = fmt.Sprintf("end-%d", number)
		must(t, store.Append("10.0.0.1", 7701, e))
		fmt.Println(number)
	}
}

// victim is such a process.
type victim struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	done *bufio.Scanner
}

func startVictim(tb testing.TB, dir, url string) *victim {
	tb.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestVictim$", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), victimDir+"="+dir, victimURL+"="+url)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(tb, err)
	out, err := cmd.StdoutPipe()
	must(tb, err)
	must(tb, cmd.Start())
	v := &victim{cmd: cmd, in: in, done: bufio.NewScanner(out)}
	tb.Cleanup(v.kill)
	return v
}

func (v *victim) kill() {
	_ = v.cmd.Process.Kill()
	_ = v.cmd.Wait()
}

// record has an end recorded, and says whether it was.
func (v *victim) record(number int) bool {
	if _, err := fmt.Fprintln(v.in, number); err != nil {
		return false
	}
	return v.done.Scan() && v.done.Text() == strconv.Itoa(number)
}

// hook is a server that takes webhooks, or does not.
type hook struct {
	tb     testing.TB
	addr   string
	mu     sync.Mutex
	server *http.Server // nil: nothing listens
	refuse bool
	titles map[string]string   // guarded by mu; by id of the notice
	events map[string][]string // guarded by mu; ids, by id of the notice
	order  []string            // guarded by mu; ids of notices as they came first
	again  int                 // guarded by mu; notices that came again
	took   chan struct{}
}

func newHook(tb testing.TB) *hook {
	tb.Helper()
	h := &hook{tb: tb, titles: map[string]string{}, events: map[string][]string{}, took: make(chan struct{}, 1)}
	h.up()
	tb.Cleanup(h.down)
	return h
}

func (h *hook) up() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.server != nil {
		return
	}
	at := h.addr
	if at == "" {
		at = "127.0.0.1:0"
	}
	ln, err := net.Listen("tcp", at)
	must(h.tb, err)
	h.addr = ln.Addr().String()
	h.server = &http.Server{Handler: h}
	go func(s *http.Server) { _ = s.Serve(ln) }(h.server)
}

func (h *hook) down() {
	h.mu.Lock()
	server := h.server
	h.server = nil
	h.mu.Unlock()
	if server != nil {
		_ = server.Close()
	}
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var n struct {
		ID, Kind, Title string
		Events          []struct{ Event string }
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &n)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err != nil: // whoever sent it was killed
		return
	case h.refuse:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var ids []string
	for _, e := range n.Events {
		ids = append(ids, e.Event)
	}
	if before, ok := h.events[n.ID]; ok {
		h.again++
		if !slices.Equal(before, ids) {
			h.tb.Errorf("the notice %s is another the second time", n.ID)
		}
	} else {
		h.order = append(h.order, n.ID)
		h.events[n.ID], h.titles[n.ID] = ids, n.Title
	}
	select {
	case h.took <- struct{}{}:
	default:
	}
}

// all returns the events of all notices, in order.
func (h *hook) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var ids []string
	for _, id := range h.order {
		ids = append(ids, h.events[id]...)
	}
	return ids
}

// await waits until so many events have come.
func (h *hook) await(events int, patience time.Duration) {
	h.tb.Helper()
	deadline := time.After(patience)
	for len(h.all()) < events {
		select {
		case <-h.took:
		case <-deadline:
			h.tb.Fatalf("%d of %d events came", len(h.all()), events)
		}
	}
}

// check compares what came with the ends from first to last.
func (h *hook) check(first, last int) {
	h.tb.Helper()
	var want []string
	for i := first; i <= last; i++ {
		want = append(want, fmt.Sprintf("end-%d", i))
	}
	if got := h.all(); !slices.Equal(got, want) {
		sorted := slices.Sorted(slices.Values(got))
		h.tb.Errorf("%d events came, %d different, in order %t, wanted %d", len(got), len(slices.Compact(sorted)), slices.IsSortedFunc(got, byNumber), len(want))
	}
}

func byNumber(a, b string) int {
	number := func(s string) int {
		n, _ := strconv.Atoi(strings.TrimPrefix(s, "end-"))
		return n
	}
	return number(a) - number(b)
}

// TestKilledAtAnyMoment kills the process that makes and delivers the notices
// again and again, while the receiver comes and goes.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	const ends, kills = 300, 20
	h := newHook(t)
	dir := t.TempDir()
	v := startVictim(t, dir, "http://"+h.addr+"/hook")
	killed := 0
	for i := 1; i <= ends; i++ {
		for !v.record(i) {
			v.kill()
			v = startVictim(t, dir, "http://"+h.addr+"/hook")
		}
		time.Sleep(rand.N(15 * time.Millisecond))
		switch {
		case i%(ends/kills) == 0:
			time.Sleep(rand.N(150 * time.Millisecond)) // the notice is made, or sent, or is not
			v.kill()
			killed++
			v = startVictim(t, dir, "http://"+h.addr+"/hook")
		case i%50 == 10:
			h.down()
		case i%50 == 30:
			h.up()
		}
	}
	h.up()
	h.await(ends, time.Minute)
	h.check(1, ends)
	h.mu.Lock()
	t.Logf("%d kills, %d ends in %d notices, %d of them came twice", killed, ends, len(h.order), h.again)
	h.mu.Unlock()
}

// TestRealReceiverIsDown has 200 ends in one second told to a real receiver
// that is away for a while.
func TestRealReceiverIsDown(t *testing.T) {
	t.Parallel()
	const ends = 200
	away := 20 * time.Second
	if testing.Short() {
		away = 2 * time.Second
	}
	h := newHook(t)
	h.down()
	n, err := New(Options{Dir: t.TempDir(), Config: Config{
		Hosts:     someHosts(5),
		Receivers: []Receiver{{Name: "ops", Kind: "webhook", Values: map[string]string{"url": "http://" + h.addr + "/hook"}}},
	}})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := n.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	began := time.Now()
	for i := 1; i <= ends; i++ {
		e := deadPID(i%5+1, 1000+i)
		e.ID, e.Time = fmt.Sprintf("end-%d", i), time.Now()
		n.Tell(e)
		time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / ends)))
	}
	time.Sleep(away - time.Since(began))
	h.up()
	back := time.Now()
	h.await(ends, time.Minute)
	h.check(1, ends)
	h.mu.Lock()
	t.Logf("%d ends in %d notices, %d came twice, %s after the receiver was back", ends, len(h.order), h.again, time.Since(back).Round(time.Millisecond))
	h.mu.Unlock()
	cancel()
	wg.Wait()
}
