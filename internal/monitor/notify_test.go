package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dtc"
	"dtc/internal/config"
	"dtc/internal/wire"
)

// told is a notice as a webhook gets it.
type told struct {
	ID       string `json:"id"`
	Receiver string `json:"receiver"`
	Kind     string `json:"kind"`
	Title    string `json:"title"`
	Events   []struct {
		Event   string `json:"event"`
		Host    string `json:"host"`
		State   string `json:"state"`
		PID     int    `json:"pid"`
		Process string `json:"process"`
		Kind    string `json:"kind"`
	} `json:"events"`
}

// hook is a real receiver of notices.
type hook struct {
	t   *testing.T
	url string

	mu   sync.Mutex
	got  []told          // guarded by mu; each notice once
	ids  map[string]bool // guarded by mu; of these
	fail int             // guarded by mu; the status that it answers, 0: it takes them
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{t: t, ids: map[string]bool{}}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	h.url = srv.URL + "/hook"
	return h
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var n told
	if err == nil {
		err = json.Unmarshal(body, &n)
	}
	if err != nil {
		h.t.Errorf("a notice that is none: %v: %s", err, body)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fail != 0 {
		w.WriteHeader(h.fail)
		return
	}
	if !h.ids[n.ID] { // the same notice may come again when the sender died before it noted the answer
		h.ids[n.ID] = true
		h.got = append(h.got, n)
	}
}

func (h *hook) notices() []told {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.got)
}

// wait waits for so many notices.
func (h *hook) wait(n int) []told {
	h.t.Helper()
	for end := time.Now().Add(2 * patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if got := h.notices(); len(got) >= n {
			return got
		}
	}
	h.t.Fatalf("%d notices, want %d: %+v", len(h.notices()), n, h.notices())
	return nil
}

// receiver returns one that sends to the hook.
func (h *hook) receiver(name string, of ...string) config.Receiver {
	return config.Receiver{
		Name: name, Kind: "webhook", Settings: map[string]string{"url": h.url}, For: of,
		Wait: 100 * time.Millisecond, GiveUp: time.Hour,
	}
}

// ask sends a local command and returns what it is answered.
func ask[T any](f *fleetHome, verb string, request any) ([]T, error) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var all []T
	err := wire.Control(ctx, SocketPath(f.dir), verb, request, func(item json.RawMessage) error {
		var one T
		if err := json.Unmarshal(item, &one); err != nil {
			return err
		}
		all = append(all, one)
		return nil
	})
	return all, err
}

// What is written to the logs is told whoever wants to know, with the
// configuration of the moment, and not while a silence holds.
func TestNotices(t *testing.T) {
	t.Parallel()
	f, h := newHome(t), newHook(t)
	a := f.newAgent("web1", loopback(11)).start()
	cfg := config.Monitor{Hosts: []config.Host{a.ruled(web())}, Receivers: []config.Receiver{h.receiver("ops")}}
	cfg.Hosts[0].PIDs = []int{1, 2}
	f.set(cfg)
	m := f.start()
	w := a.watch()
	for pid := 1; pid <= 2; pid++ {
		w.emit(t, alive("run1", uint64(pid), pid))
	}
	w.emit(t, dead("run1", 3, 1, 0))
	got := h.wait(1)
	if n := got[0]; n.Receiver != "ops" || n.Kind != "problem" || len(n.Events) != 1 || n.Events[0].Event != "run1-3" || n.Events[0].PID != 1 {
		t.Errorf("told %+v", n)
	}

	if _, err := ask[Silence](f, VerbSilence, SilenceRequest{For: -time.Second}); err == nil {
		t.Error("a silence that is over was taken")
	}
	silences, err := ask[Silence](f, VerbSilence, SilenceRequest{Hosts: []string{"web*"}, Processes: []string{"web"}, For: time.Hour, Reason: "work"})
	if err != nil || len(silences) != 1 || silences[0].ID == "" || silences[0].Reason != "work" || !silences[0].End.After(time.Now()) {
		t.Fatalf("silence: %+v, %v", silences, err)
	}
	w.emit(t, whole("run1", 4, "web", dtc.StateMissing, 0))
	w.emit(t, dead("run1", 5, 2, 0)) // which is not silenced
	if got = h.wait(2); got[1].Events[0].PID != 2 || len(got[1].Events) != 1 {
		t.Errorf("told %+v", got[1])
	}
	if all, err := ask[Silence](f, VerbSilences, nil); err != nil || len(all) != 1 || all[0].ID != silences[0].ID {
		t.Errorf("silences: %+v, %v", all, err)
	}
	for _, wrong := range []UnsilenceRequest{{}, {IDs: []string{"none"}}, {IDs: []string{"a"}, All: true}} {
		if _, err := ask[Silence](f, VerbUnsilence, wrong); err == nil {
			t.Errorf("%+v was taken", wrong)
		}
	}
	if all, err := ask[Silence](f, VerbUnsilence, UnsilenceRequest{All: true}); err != nil || len(all) != 1 {
		t.Errorf("ended: %+v, %v", all, err)
	}
	if got = h.wait(3); got[2].Events[0].Process != "web" || got[2].Events[0].State != "missing" {
		t.Errorf("told %+v", got[2])
	}
	f.eventually("the status", func() bool {
		all, err := ask[NoticeStatus](f, VerbNotices, nil)
		return err == nil && len(all) == 1 && all[0].Name == "ops" && all[0].Kind == "webhook" && all[0].Waiting == 0 && all[0].Sent == 3
	})

	// Others are told from now on; a receiver that cannot be changes nothing.
	cfg.Receivers = []config.Receiver{h.receiver("dev", "rebooted")}
	f.set(cfg)
	if err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	bad := cfg
	bad.Hosts, bad.Receivers = nil, []config.Receiver{{Name: "x", Kind: "pigeon"}}
	f.set(bad)
	if err := m.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "the running configuration stays") {
		t.Errorf("a bad receiver: %v", err)
	}
	f.set(cfg)
	a.restart(dtc.Info{Boot: "boot2", Run: "run2"})
	if got = h.wait(4); got[3].Receiver != "dev" || got[3].Events[0].State != "rebooted" || len(got[3].Events) != 1 {
		t.Errorf("told %+v", got[3])
	}
}

// A notice that is given up on is an event of the monitor itself, and others
// are told of it.
func TestUndelivered(t *testing.T) {
	t.Parallel()
	f, deaf, h := newHome(t), newHook(t), newHook(t)
	deaf.fail = http.StatusBadRequest
	a := f.newAgent("web1", loopback(11)).start()
	f.set(config.Monitor{
		LocalHost: freePort(t, loopback(1)), Hosts: []config.Host{a.host(1)},
		Receivers: []config.Receiver{deaf.receiver("deaf"), h.receiver("ops", "undelivered")},
	})
	f.start()
	a.watch().emit(t, dead("run1", 1, 1, 0))
	n := h.wait(1)[0]
	if len(n.Events) != 1 || n.Events[0].Kind != "notify" || n.Events[0].Host != "monitor" {
		t.Errorf("told %+v", n)
	}
	recorded := 0
	f.read(func(e dtc.Event) {
		if e.Kind == dtc.EventNotify {
			recorded++
			if e.Host != "monitor" || e.Address != "127.0.0.1" || !strings.Contains(e.Reason, "deaf") || e.ID != n.Events[0].Event {
				t.Errorf("recorded %+v", e)
			}
		}
	})
	if recorded != 1 {
		t.Errorf("%d are recorded", recorded)
	}
}

// Without the part nobody is told, and the commands say so.
func TestNoNotices(t *testing.T) {
	t.Parallel()
	f, h := newHome(t), newHook(t)
	a := f.newAgent("web1", loopback(11)).start()
	f.set(config.Monitor{Hosts: []config.Host{a.host(1)}, Receivers: []config.Receiver{h.receiver("ops")}})
	f.start(PartProcess)
	a.watch().emit(t, dead("run1", 1, 1, 0))
	a.acknowledged(1)
	for _, verb := range []string{VerbSilence, VerbSilences, VerbUnsilence, VerbNotices} {
		if err := f.control(verb, nil); err == nil || !strings.Contains(err.Error(), "--only notify") {
			t.Errorf("%s: %v", verb, err)
		}
	}
	if n := len(h.notices()); n != 0 {
		t.Errorf("%d notices", n)
	}
}

func TestTestReceiver(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	if err := TestReceiver(t.Context(), t.TempDir(), h.receiver("ops")); err != nil {
		t.Fatal(err)
	}
	if got := h.notices(); len(got) != 1 || got[0].Kind != "test" || got[0].Receiver != "ops" {
		t.Errorf("told %+v", got)
	}
	h.fail = http.StatusInternalServerError
	if err := TestReceiver(t.Context(), t.TempDir(), h.receiver("ops")); err == nil {
		t.Error("it was not taken, and nobody says so")
	}
}

// cable is what all agents of a test hang on.
type cable struct {
	mu    sync.Mutex
	cut   bool
	conns map[*cabled]bool
}

// cabled is a connection that nothing goes over while the cable is cut.
type cabled struct {
	net.Conn
	on *cable
}

func (c *cable) isCut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut
}

func (c *cabled) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.on.isCut() {
			return n, err
		}
	}
}

func (c *cabled) Write(b []byte) (int, error) {
	if c.on.isCut() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *cabled) Close() error {
	c.on.mu.Lock()
	delete(c.on.conns, c)
	c.on.mu.Unlock()
	return c.Conn.Close()
}

// mend makes the cable whole. What was open is lost.
func (c *cable) mend() {
	c.mu.Lock()
	c.cut = false
	var conns []*cabled
	for conn := range c.conns {
		conns = append(conns, conn)
	}
	c.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
	}
}

func (c *cable) sever() {
	c.mu.Lock()
	c.cut = true
	c.mu.Unlock()
}

// socket is a listener whose connections hang on a cable.
type socket struct {
	net.Listener
	on *cable
}

func (s socket) Accept() (net.Conn, error) {
	raw, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &cabled{raw, s.on}
	s.on.mu.Lock()
	s.on.conns[c] = true
	s.on.mu.Unlock()
	return c, nil
}

// settledNotices is how long is waited for a notice that must not come.
const settledNotices = 8 * time.Second

// All links of a large fleet fall at once, and nobody says so: that is one
// notice. When all are back that is another.
func TestFleetFalls(t *testing.T) {
	t.Parallel()
	const size = 300
	f, h := newHome(t), newHook(t)
	line := &cable{conns: map[*cabled]bool{}}
	cfg := config.Monitor{Receivers: []config.Receiver{h.receiver("ops")}}
	agents := make([]*agent, size)
	for i := range agents {
		ip := netip.AddrFrom4([4]byte{127, 1, byte(i / 200), byte(1 + i%200)})
		a := f.newAgent(fmt.Sprintf("host%03d", i), ip)
		a.startOn(socket{listen(t, a.at), line})
		agents[i], cfg.Hosts = a, append(cfg.Hosts, a.host(1, 2, 3))
	}
	f.set(cfg)
	f.start(PartProcess, PartNotify)
	watchAll := func() {
		t.Helper()
		for _, a := range agents {
			w := a.watch()
			for pid := 1; pid <= 3; pid++ {
				w.emit(t, alive("run1", uint64(pid), pid))
			}
		}
	}
	watchAll()

	began := time.Now()
	line.sever()
	fallen := h.wait(1)[0]
	t.Logf("told after %s: %s", time.Since(began).Round(100*time.Millisecond), fallen.Title)
	time.Sleep(settledNotices)
	began = time.Now()
	line.mend()
	watchAll()
	risen := h.wait(2)[1]
	t.Logf("told after %s: %s", time.Since(began).Round(100*time.Millisecond), risen.Title)
	time.Sleep(settledNotices)
	for i, n := range h.notices() {
		hosts := map[string]bool{}
		want := []string{"unreachable", "reachable"}[min(i, 1)]
		for _, e := range n.Events {
			hosts[e.Host] = true
			if e.State != want {
				t.Errorf("the notice %q tells %+v", n.Title, e)
			}
		}
		if i > 1 || n.Kind != []string{"problem", "recovery"}[i] || len(hosts) != size || len(n.Events) != size {
			t.Errorf("notice %d is a %s with %d events of %d hosts: %s", i+1, n.Kind, len(n.Events), len(hosts), n.Title)
		}
	}
	dead := 0
	f.read(func(e dtc.Event) {
		if e.State == dtc.StateDead {
			dead++
		}
	})
	if dead > 0 {
		t.Errorf("%d processes were called dead", dead)
	}
}
