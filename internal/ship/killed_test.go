package ship

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dtc"
	"dtc/internal/logs"
	"dtc/internal/wire"
)

// The test binary is also the agent and the monitor that the tests kill.
const (
	helperEnv  = "DTC_SHIP_HELPER" // agent or monitor
	rootEnv    = "DTC_SHIP_ROOT"
	addressEnv = "DTC_SHIP_ADDRESS"
	namesEnv   = "DTC_SHIP_NAMES"
	bootEnv    = "DTC_SHIP_BOOT" // of the monitor, empty: as the system says
	keepEnv    = "DTC_SHIP_KEEP" // how many bytes of a copy it keeps, empty: all
)

func TestMain(m *testing.M) {
	switch os.Getenv(helperEnv) {
	case "agent":
		os.Exit(helperAgent())
	case "monitor":
		os.Exit(helperMonitor())
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func helperAgent() int {
	var files []File
	for name := range strings.SplitSeq(os.Getenv(namesEnv), ",") {
		files = append(files, File{Path: filepath.Join(os.Getenv(rootEnv), "src", name), Alias: name})
	}
	s := New(Options{Files: files, Scan: time.Second, Boot: "boot", Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	ctx := context.Background()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with the parent
		os.Exit(0)
	}()
	go func() { _ = s.Run(ctx) }()
	for {
		conn, err := net.Dial("tcp", os.Getenv(addressEnv))
		if err != nil {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		_ = s.Serve(ctx, wire.NewLink(conn))
	}
}

func helperMonitor() int {
	ln, err := net.Listen("tcp", os.Getenv(addressEnv))
	for err != nil {
		time.Sleep(5 * time.Millisecond)
		ln, err = net.Listen("tcp", os.Getenv(addressEnv))
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	store, err := logs.OpenStore(filepath.Join(os.Getenv(rootEnv), "logs"), logs.Options{
		Folder: func(dtc.Peer) (string, error) { return "10.0.0.7", nil },
		Report: func(_ string, e dtc.Event) error {
			_, err := fmt.Fprintf(os.Stdout, "%s %s %v %s\n", e.Alias, e.State, deref(e.To), e.Reason)
			return err
		},
		Boot:   os.Getenv(bootEnv),
		Logger: log,
	})
	if err != nil {
		log.Error("open store", "error", err)
		return 1
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	if keep, err := strconv.ParseInt(os.Getenv(keepEnv), 10, 64); err == nil {
		store.SetRetention(func(_, _, _ string) logs.Retention { return logs.Retention{Size: keep} })
	}
	go func() { _ = store.Run(context.Background()) }()
	peer := dtc.Peer{ID: "agent-1", Role: dtc.RoleAgent, IPs: []netip.Addr{netip.MustParseAddr("10.0.0.7")}}
	for {
		conn, err := ln.Accept()
		if err != nil {
			return 1
		}
		go func() { _ = store.Serve(context.Background(), peer, wire.NewLink(conn)) }()
	}
}

// helper is a process of this test binary.
type helper struct {
	t    *testing.T
	kind string
	env  []string
	out  *os.File
	cmd  *exec.Cmd
	pipe io.Closer
}

func (h *helper) start() {
	h.t.Helper()
	h.cmd = exec.Command(os.Args[0])
	h.cmd.Env = append(append(os.Environ(), h.env...), helperEnv+"="+h.kind)
	h.cmd.Stdout, h.cmd.Stderr = h.out, h.out
	pipe, err := h.cmd.StdinPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	h.pipe = pipe
	if err := h.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
}

// kill ends it with SIGKILL.
func (h *helper) kill() {
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait()
	_ = h.pipe.Close()
}

// TestKilled kills the agent, the monitor, or either at any moment while files
// are written and rotated. At the end every copy is byte for byte what was
// written.
func TestKilled(t *testing.T) {
	t.Parallel()
	for _, victims := range []string{"agent", "monitor", "agent or monitor"} {
		t.Run(victims, func(t *testing.T) {
			t.Parallel()
			testKilled(t, victims)
		})
	}
}

// killPause is how long something lives.
func killPause(rnd *rand.Rand) time.Duration {
	if long() {
		return time.Duration(5+rnd.IntN(120)) * time.Millisecond
	}
	return time.Duration(20+rnd.IntN(250)) * time.Millisecond // with the race detector a start takes long
}

func testKilled(t *testing.T, victims string) {
	t.Helper()
	rnd := seed(t)
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "src"), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(root, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	w := &world{t: t, root: root, src: filepath.Join(root, "src"), logged: &lockedBuffer{}}
	names := []string{"f0.log", "f1.log", "f2.log"}
	env := []string{rootEnv + "=" + root, addressEnv + "=" + freeAddress(t), namesEnv + "=" + strings.Join(names, ",")}
	agent := &helper{t: t, kind: "agent", env: env, out: out}
	monitor := &helper{t: t, kind: "monitor", env: env, out: out}
	agent.start()
	monitor.start()
	var wg sync.WaitGroup
	var stop atomic.Bool
	var sources []*source
	for i, name := range names {
		s := &source{w: w, how: "rename", name: name, rnd: rand.New(rand.NewPCG(rnd.Uint64(), uint64(i)))}
		sources = append(sources, s)
		wg.Go(func() { s.run(&stop) })
	}
	kills := [2]int{}
	for end := time.Now().Add(*tortureDuration); time.Now().Before(end); {
		time.Sleep(killPause(rnd))
		victim := map[string]int{"agent": 0, "monitor": 1, "agent or monitor": rnd.IntN(2)}[victims]
		h := []*helper{agent, monitor}[victim]
		h.kill()
		kills[victim]++
		h.start()
	}
	stop.Store(true)
	wg.Wait()
	total := 0
	for _, s := range sources {
		w.wait(s.name, s.truth)
		total += len(s.truth)
	}
	agent.kill()
	monitor.kill()
	b, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		for _, bad := range []string{" gap ", " corrupt ", "panic", "DATA RACE"} {
			if strings.Contains(line, bad) {
				t.Errorf("said: %s", line)
			}
		}
	}
	t.Logf("%d kills of the agent, %d of the monitor, %.1f MB, exact", kills[0], kills[1], float64(total)/1e6)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err := errors.Join(err, ln.Close()); err != nil {
		t.Fatal(err)
	}
	return ln.Addr().String()
}
