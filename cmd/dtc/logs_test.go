package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"dtc"
	"dtc/internal/logs"
	"dtc/internal/monitor"
	"dtc/internal/ship"
	"dtc/internal/wire"
)

// logsWorld is a home whose service receives a file of this machine.
type logsWorld struct {
	t      *testing.T
	home   string
	source string
	run    sync.WaitGroup
	stop   func()
}

func newLogsWorld(t *testing.T) *logsWorld {
	t.Helper()
	w := &logsWorld{t: t, home: t.TempDir()}
	for _, d := range []string{"conf", "logs", "state"} {
		must(t, os.Mkdir(filepath.Join(w.home, d), 0o750))
	}
	must(t, os.WriteFile(filepath.Join(w.home, "conf", "monitor.xml"), []byte(
		`<monitor><remote_host><ip_port>10.0.0.7:7701</ip_port><name>web1</name></remote_host></monitor>`), 0o600))
	w.source = filepath.Join(t.TempDir(), "app.log")
	must(t, os.WriteFile(w.source, []byte("one\ntwo\n"), 0o600))

	ctx, cancel := context.WithCancel(t.Context())
	store, err := logs.OpenStore(filepath.Join(w.home, "logs"), logs.Options{
		Folder: func(dtc.Peer) (string, error) { return "10.0.0.7", nil }, FreeFloorPercent: -1,
	})
	must(t, err)
	w.run.Go(func() { _ = store.Run(ctx) })
	w.run.Go(func() {
		_ = wire.ServeControl(ctx, monitor.SocketPath(w.home), store.Answer, slog.New(slog.DiscardHandler))
	})
	shipper := ship.New(ship.Options{Files: []ship.File{{Path: w.source, Alias: "app.log"}}, Boot: "boot"})
	here, there := net.Pipe()
	w.run.Go(func() { _ = shipper.Run(ctx) })
	w.run.Go(func() { _ = shipper.Serve(ctx, wire.NewLink(here)) })
	w.run.Go(func() { _ = store.Serve(ctx, dtc.Peer{ID: "agent", Role: dtc.RoleAgent}, wire.NewLink(there)) })
	w.stop = sync.OnceFunc(func() {
		cancel()
		w.run.Wait()
		must(t, store.Close())
	})
	t.Cleanup(w.stop)
	return w
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// dtc runs a command and returns what it printed.
func (w *logsWorld) dtc(args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	a := &app{stdout: &out, stderr: &errs, getenv: func(string) string { return "" }}
	status = a.run(w.t.Context(), append(args, "--home", w.home))
	return status, out.String(), errs.String()
}

// until runs a command again and again until its output matches.
func (w *logsWorld) until(want string, args ...string) {
	w.t.Helper()
	var status int
	var stdout, stderr string
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		status, stdout, stderr = w.dtc(args...)
		if regexp.MustCompile(want).MatchString(stdout) {
			return
		}
	}
	w.t.Fatalf("%q: status %d, %s%s, want %q", args, status, stdout, stderr, want)
}

func TestLogsOfARunningService(t *testing.T) {
	w := newLogsWorld(t)
	w.until(`(?m)^web1  app\.log  8     1:8       0    live$`, "logs", "ls")
	w.until(`^one\ntwo\n$`, "logs", "app.log")
	status, stdout, stderr := w.dtc("logs", "verify", "--host", "web1")
	if status != exitOK || stdout != "web1/app.log generation 1 bytes 0-8: exact\n" || stderr != "1 of 1 generations are exact\n" {
		t.Errorf("status %d, %s%s", status, stdout, stderr)
	}
	copied := filepath.Join(w.home, "logs", "10.0.0.7", "app.log")
	must(t, os.WriteFile(copied, []byte("one\ntwo\nmine\n"), 0o600))
	status, stdout, stderr = w.dtc("logs", "verify")
	if status != exitSome || stderr != "1 of 1 generations are exact; a copy holds something beside them that is not exact or not known\n" ||
		!strings.Contains(stdout, "web1/app.log: not exact: the copy has bytes that are none of the source, from its byte 8 on\n") {
		t.Errorf("status %d, %s%s", status, stdout, stderr)
	}
	must(t, os.WriteFile(copied, []byte("one\ntwO\n"), 0o600))
	status, stdout, stderr = w.dtc("logs", "verify")
	if status != exitSome || stdout != "web1/app.log generation 1 bytes 0-8: not exact at byte 6\n" || stderr != "0 of 1 generations are exact\n" {
		t.Errorf("status %d, %s%s", status, stdout, stderr)
	}
	w.stop()
	w.until(`(?m)^web1  app\.log  8     1:8       -    service not running$`, "logs", "ls")
	if status, _, stderr = w.dtc("logs", "verify"); status != exitSome || !bytes.Contains([]byte(stderr), []byte("no service runs")) {
		t.Errorf("status %d, %s", status, stderr)
	}
}

func TestLogsFollow(t *testing.T) {
	w := newLogsWorld(t)
	w.until(`^one\ntwo\n$`, "logs", "app.log")
	r, out := io.Pipe()
	var stderr bytes.Buffer
	a := &app{stdout: out, stderr: &stderr, terminal: true, getenv: func(string) string { return "" }}
	ctx, cancel := context.WithCancel(t.Context())
	status := make(chan int, 1)
	go func() {
		status <- a.run(ctx, []string{"logs", "-f", "-n", "1", "--home", w.home})
		out.Close()
	}()
	lines := bufio.NewScanner(r)
	prefix := "\x1b[36mweb1/app.log |\x1b[0m "
	for _, want := range []string{"two", "three", `fo\x1bur`} {
		if !lines.Scan() || lines.Text() != prefix+want {
			t.Fatalf("line %q, want %q; %s", lines.Text(), prefix+want, &stderr)
		}
		if want == "two" {
			f, err := os.OpenFile(w.source, os.O_APPEND|os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteString("three\nfo\x1bur\n")
			must(t, err)
			must(t, f.Close())
		}
	}
	cancel()
	go func() { _, _ = io.Copy(io.Discard, r) }()
	if got := <-status; got != exitOK || stderr.Len() > 0 {
		t.Errorf("status %d, %s", got, &stderr)
	}
}

// TestVerifyHole proves a copy with a hole, which nobody reads.
func TestVerifyHole(t *testing.T) {
	const hole = 1 << 30
	w := newLogsWorld(t)
	w.until(`^one\ntwo\n$`, "logs", "app.log")
	f, err := os.OpenFile(w.source, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("three\n"), hole)
	must(t, err)
	must(t, f.Close())
	w.until(`(?m)^web1  app\.log  1073741830  1:1073741830  0    live`, "logs", "ls")
	w.until(`(?m)^web1  app\.log  1\.0 GiB +1:1073741830  0 bytes +live`, "logs", "ls", "--human")
	_, stdout, _ := w.dtc("logs", "app.log")
	if want := "one\ntwo\n--- web1/app.log: 1.0 GiB of zeros that were never written ---\nthree\n"; stdout != want {
		t.Errorf("%q, want %q", stdout, want)
	}
	status, stdout, stderr := w.dtc("logs", "verify")
	if status != exitOK || stdout != "web1/app.log generation 1 bytes 0-1073741830: exact\n" {
		t.Errorf("status %d, %s%s", status, stdout, stderr)
	}
	copied, err := os.OpenFile(filepath.Join(w.home, "logs", "10.0.0.7", "app.log"), os.O_WRONLY, 0)
	must(t, err)
	_, err = copied.WriteAt([]byte{1}, hole/2+12345)
	must(t, err)
	must(t, copied.Close())
	status, stdout, _ = w.dtc("logs", "verify")
	if want := fmt.Sprintf("web1/app.log generation 1 bytes 0-1073741830: not exact at byte %d\n", hole/2+12345); status != exitSome || stdout != want {
		t.Errorf("status %d, %q, want %q", status, stdout, want)
	}
}

// TestLogsListJSON has every field.
func TestLogsListJSON(t *testing.T) {
	w := newLogsWorld(t)
	w.until(`(?s)^\[\n\{"host":"web1","folder":"10\.0\.0\.7","alias":"app\.log","size_bytes":8,"received_bytes":8,"durable_bytes":8,`+
		`"generation":1,"position":8,"lag_bytes":0,"state":"live"[^}]*\}\n\]\n$`, "logs", "ls", "-o", "json")
	w.until(`^one\n`, "logs", "web1/*.log")
}

// TestAwaitCopies waits for a service that has the copies and does not answer.
func TestAwaitCopies(t *testing.T) {
	home := t.TempDir()
	must(t, os.Mkdir(filepath.Join(home, "logs"), 0o750))
	var stderr bytes.Buffer
	a := &app{home: home, stderr: &stderr, getenv: func(string) string { return "" }}
	log, err := a.logger("text")
	must(t, err)
	a.awaitCopies(t.Context(), log)
	store, err := logs.OpenStore(a.logsDir(), logs.Options{FreeFloorPercent: -1})
	must(t, err)
	if !logs.Held(a.logsDir()) || stderr.Len() > 0 {
		t.Fatalf("nobody has the copies; %s", &stderr)
	}
	var run sync.WaitGroup
	run.Go(func() {
		time.Sleep(300 * time.Millisecond)
		must(t, store.Close())
	})
	a.awaitCopies(t.Context(), log)
	if logs.Held(a.logsDir()) || strings.Count(stderr.String(), "another service has the copies still") != 1 {
		t.Errorf("it did not wait; %s", &stderr)
	}
	run.Wait()
}
