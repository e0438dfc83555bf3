//go:build linux

// Package e2e tests the two programs as they are delivered: built, started as
// processes, in network namespaces of their own, killed, cut off and asked.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that takes milliseconds on an idle
// machine.
const patience = 60 * time.Second

// bin is the folder with the two programs.
var bin string

// binEnv names a folder with programs to test instead of this tree's.
const binEnv = "DTC_TEST_BIN"

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if bin = os.Getenv(binEnv); bin != "" { // other programs than this tree's
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "dtc-e2e-bin-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if err := os.Chmod(dir, 0o755); err != nil { // other users run them too
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version=1.0.0-test", "-o", dir, "dtc/cmd/dtc", "dtc/cmd/dtc-agent")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
			return 1
		}
		bin = dir
		return m.Run()
	}())
}

// namespace is a network namespace, "" for the machine's own.
type namespace string

// command returns a command that runs in the namespace.
func (ns namespace) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	if ns != "" {
		args = append([]string{"netns", "exec", string(ns), name}, args...)
		name = "ip"
	}
	return exec.CommandContext(ctx, name, args...)
}

// result is what a command that ran to its end left.
type result struct {
	stdout, stderr string
	code           int
}

// run runs a command to its end, whatever its exit status.
func (ns namespace) run(tb testing.TB, name string, args ...string) result {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := ns.command(ctx, name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		tb.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// must runs a command that has to succeed and returns its standard output.
func (ns namespace) must(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	r := ns.run(tb, name, args...)
	if r.code != 0 {
		tb.Fatalf("%s %s: exit status %d\n%s%s", name, strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// network is some namespaces, each with one link to a bridge in the first.
type network struct {
	nodes []namespace
	ips   []string
}

// newNetwork makes n namespaces: 0 is the monitor's with the ip 10.77.N.1, the
// others have 10.77.N.11 and on. They are gone after the test.
func newNetwork(tb testing.TB, n int) *network {
	tb.Helper()
	if os.Getuid() != 0 {
		tb.Fatal("network namespaces need root")
	}
	net := &network{}
	id := os.Getpid() % 10000
	third := os.Getpid() % 250
	root := namespace("")
	for i := range n {
		ns := namespace(fmt.Sprintf("dtc%d-%d", id, i))
		root.run(tb, "ip", "netns", "del", string(ns)) // of a run that was killed
		root.must(tb, "ip", "netns", "add", string(ns))
		tb.Cleanup(func() { root.run(tb, "ip", "netns", "del", string(ns)) })
		ns.must(tb, "ip", "link", "set", "lo", "up")
		ip := fmt.Sprintf("10.77.%d.1", third)
		if i > 0 {
			ip = fmt.Sprintf("10.77.%d.%d", third, 10+i)
		}
		net.nodes, net.ips = append(net.nodes, ns), append(net.ips, ip)
	}
	hub := net.nodes[0]
	hub.must(tb, "ip", "link", "add", "br0", "type", "bridge")
	hub.must(tb, "ip", "addr", "add", net.ips[0]+"/24", "dev", "br0")
	hub.must(tb, "ip", "link", "set", "br0", "up")
	for i, ns := range net.nodes[1:] {
		port := fmt.Sprintf("port%d", i+1)
		hub.must(tb, "ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", string(ns))
		hub.must(tb, "ip", "link", "set", port, "master", "br0", "up")
		ns.must(tb, "ip", "addr", "add", net.ips[i+1]+"/24", "dev", "eth0")
		ns.must(tb, "ip", "link", "set", "eth0", "up")
	}
	return net
}

// cut and heal take the link of node i down and up.
func (n *network) cut(tb testing.TB, i int) {
	tb.Helper()
	n.nodes[0].must(tb, "ip", "link", "set", fmt.Sprintf("port%d", i), "down")
}

func (n *network) heal(tb testing.TB, i int) {
	tb.Helper()
	n.nodes[0].must(tb, "ip", "link", "set", fmt.Sprintf("port%d", i), "up")
}

// daemon is a program that runs until the test ends it.
type daemon struct {
	cmd  *exec.Cmd
	done chan struct{}
	log  *lockedBuffer
}

// start starts a program in the namespace.
func (ns namespace) start(tb testing.TB, name string, args ...string) *daemon {
	tb.Helper()
	d := &daemon{cmd: ns.command(context.Background(), name, args...), done: make(chan struct{}), log: &lockedBuffer{}}
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	if err := d.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = d.cmd.Wait()
		close(d.done)
	})
	tb.Cleanup(func() {
		d.cmd.Process.Kill()
		wg.Wait()
		if tb.Failed() {
			tb.Logf("%s %s:\n%s", filepath.Base(name), strings.Join(args, " "), tail(d.log.String(), 60))
		}
	})
	return d
}

// kill9 kills the program and waits for its end.
func (d *daemon) kill9() {
	d.cmd.Process.Kill()
	<-d.done
}

// stop ends the program as an init system would.
func (d *daemon) stop(tb testing.TB) {
	tb.Helper()
	began := time.Now()
	d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.done:
	case <-time.After(patience):
		tb.Fatalf("did not stop within %s of SIGTERM:\n%s", patience, d.log.String())
	}
	if took := time.Since(began); took > 5*time.Second {
		tb.Errorf("took %s to stop, promised are 5 s", took)
	}
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		tb.Errorf("exit status %d after SIGTERM:\n%s", code, d.log.String())
	}
}

// lockedBuffer collects the output of a program that still runs.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

var _ io.Writer = (*lockedBuffer)(nil)

// tail returns the last n lines of s.
func tail(s string, n int) string {
	lines := strings.SplitAfter(s, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "")
}

// eventually waits until ok, and fails the test with what() if that takes too
// long.
func eventually(tb testing.TB, what func() string, ok func() bool) {
	tb.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			tb.Fatalf("waited %s in vain: %s", patience, what())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// readFile returns a file's content, "" if there is none.
func readFile(path string) string {
	data, _ := os.ReadFile(path)
	return string(data)
}

// writeFile makes a file and its folders.
func writeFile(tb testing.TB, path, text string) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		tb.Fatal(err)
	}
}

// dtc and agent are the paths of the two programs.
func dtcPath() string   { return filepath.Join(bin, "dtc") }
func agentPath() string { return filepath.Join(bin, "dtc-agent") }
