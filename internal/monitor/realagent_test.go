package monitor

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	real "dtc/internal/agent"
	"dtc/internal/ca"
	"dtc/internal/config"
)

// The test binary started with these in its environment is an agent.
const (
	agentHome = "DTC_TEST_AGENT_HOME"
	agentAt   = "DTC_TEST_AGENT_AT"
)

// runAgent is the whole program dtc-agent run, as far as these tests need it.
func runAgent(home, at string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	cfg := config.Agent{LocalHost: netip.MustParseAddrPort(at), ScanFileTime: config.DefaultScanFileTime}
	a, err := real.New(real.Options{
		Home: home, Config: cfg, Load: func() (config.Agent, error) { return cfg, nil },
		Parts: []string{real.PartStatus}, Version: "1.0.0", Logger: log,
	})
	if err == nil {
		err = a.Run(ctx)
	}
	if err != nil {
		log.Error("agent", "error", err)
		return 1
	}
	return 0
}

// realAgent is an agent of this very machine in a process of its own.
type realAgent struct {
	tb   testing.TB
	home string
	at   netip.AddrPort
	log  syncBuffer

	starts []time.Time
	cmd    *exec.Cmd
	waited func() error // for the end of cmd
}

// newRealAgent makes the home of an agent at an address of its own.
func (f *fleetHome) newRealAgent(name string, ip netip.Addr) *realAgent {
	f.t.Helper()
	r := &realAgent{tb: f.t, home: f.t.TempDir(), at: freePort(f.t, ip)}
	key, cert, root, _, err := f.authority.Issue(name, []netip.Addr{ip})
	if err != nil {
		f.t.Fatal(err)
	}
	if err := ca.StoreAgent(filepath.Join(r.home, "conf", "tls"), key, cert, root); err != nil {
		f.t.Fatal(err)
	}
	return r
}

func (r *realAgent) start() *realAgent {
	r.tb.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), agentHome+"="+r.home, agentAt+"="+r.at.String())
	cmd.Stderr = &r.log
	if err := cmd.Start(); err != nil {
		r.tb.Fatal(err)
	}
	r.starts = append(r.starts, time.Now())
	r.cmd, r.waited = cmd, sync.OnceValue(cmd.Wait)
	r.tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = r.waited()
		if r.tb.Failed() {
			r.tb.Logf("the agent at %s:\n%s", r.at, bytes.TrimSpace([]byte(r.log.String())))
		}
	})
	return r
}

// signal sends the agent a signal.
func (r *realAgent) signal(s os.Signal) {
	r.tb.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.tb.Fatal(err)
	}
}

// ended waits until the agent is gone.
func (r *realAgent) ended() {
	r.tb.Helper()
	_ = r.waited() // a signal is an error
}
