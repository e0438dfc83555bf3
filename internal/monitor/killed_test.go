package monitor

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"dtc"
	"dtc/internal/config"
)

// The test binary started with this in its environment is the service. Its
// configuration stands in the home as JSON.
const monitorHome = "DTC_TEST_MONITOR_HOME"

func testConfig(home string) string { return filepath.Join(home, "conf", "test.json") }

// runMonitor is the whole program dtc serve, as far as these tests need it.
func runMonitor(home string) int {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	load := func() (cfg config.Monitor, err error) {
		data, err := os.ReadFile(testConfig(home))
		if err != nil {
			return cfg, err
		}
		return cfg, json.Unmarshal(data, &cfg)
	}
	cfg, err := load()
	if err == nil {
		var m *Monitor
		m, err = New(Options{Home: home, Config: cfg, Load: load, Version: "1.0.0", Logger: log})
		if err == nil {
			err = m.Run(context.Background())
		}
	}
	log.Error("monitor", "error", err)
	return 1
}

// process starts the service in a process of its own, which kill ends.
func (f *fleetHome) process() (kill func()) {
	f.t.Helper()
	data, err := json.Marshal(f.cfg)
	if err == nil {
		err = os.WriteFile(testConfig(f.dir), data, 0o600)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	log := &syncBuffer{}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), monitorHome+"="+f.dir)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // of a kill
	}
	f.t.Cleanup(func() {
		if kill(); f.t.Failed() {
			f.t.Log(log.String())
		}
	})
	return kill
}

// The service is killed in the moments between an end's line and its notice,
// again and again: each end is one line, and in one notice.
func TestKilledMonitor(t *testing.T) {
	t.Parallel()
	const rounds = 12
	f, h := newHome(t), newHook(t)
	a := f.newAgent("web1", loopback(11)).start()
	pids := make([]int, rounds)
	for i := range pids {
		pids[i] = i + 1
	}
	r := h.receiver("ops")
	r.Wait = 300 * time.Millisecond
	f.set(config.Monitor{Hosts: []config.Host{a.host(pids...)}, Receivers: []config.Receiver{r}})
	lines := func() int {
		n := 0
		f.read(func(e dtc.Event) {
			if e.State == dtc.StateDead {
				n++
			}
		})
		return n
	}
	ends := func(upTo int) []dtc.Sighting { // as an agent that hears no acknowledgement tells them
		var all []dtc.Sighting
		for pid := 1; pid <= upTo; pid++ {
			all = append(all, dead("run1", uint64(1000+pid), pid, 0))
		}
		return all
	}
	for round := 1; round <= rounds; round++ {
		kill := f.process()
		w := a.watch()
		for _, s := range ends(round) {
			w.emit(t, s)
		}
		f.eventually("the line", func() bool { return lines() >= round })
		time.Sleep(time.Duration(rand.IntN(800)) * time.Millisecond)
		kill()
	}
	f.start()
	w := a.watch()
	for _, s := range ends(rounds) {
		w.emit(t, s)
	}
	times := map[string]int{}
	f.eventually("all notices", func() bool {
		clear(times)
		for _, n := range h.notices() {
			for _, e := range n.Events {
				if e.State == string(dtc.StateDead) {
					times[e.Event]++
				}
			}
		}
		return len(times) == rounds
	})
	for id, n := range times {
		if n != 1 {
			t.Errorf("%s was told %d times", id, n)
		}
	}
	if n := lines(); n != rounds {
		t.Errorf("%d lines of %d ends", n, rounds)
	}
}
