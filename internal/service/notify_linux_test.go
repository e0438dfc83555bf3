package service

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const patience = 30 * time.Second

// aManager is the socket of a service manager.
type aManager struct{ *net.UnixConn }

// newManager listens under a name as $NOTIFY_SOCKET has it.
func newManager(tb testing.TB, name string) aManager {
	tb.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return aManager{conn}
}

// hears waits for a message with that beginning.
func (m aManager) hears(tb testing.TB, begin string) string {
	tb.Helper()
	if err := m.SetReadDeadline(time.Now().Add(patience)); err != nil {
		tb.Fatal(err)
	}
	b := make([]byte, 4096)
	for {
		n, err := m.Read(b)
		if err != nil {
			tb.Fatalf("waited for %s: %v", begin, err)
		}
		if text := string(b[:n]); strings.HasPrefix(text, begin) {
			return text
		}
	}
}

// silent tells whether nothing comes for a while.
func (m aManager) silent(tb testing.TB, d time.Duration) bool {
	tb.Helper()
	if err := m.SetReadDeadline(time.Now().Add(d)); err != nil {
		tb.Fatal(err)
	}
	_, err := m.Read(make([]byte, 4096))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// aProgram is one that can hang.
type aProgram struct {
	ready chan struct{}
	hangs atomic.Bool
}

func (p *aProgram) Run(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

func (p *aProgram) Ready(ctx context.Context) error {
	select {
	case <-p.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *aProgram) Alive(ctx context.Context) error {
	if p.hangs.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func env(socket string, timeout time.Duration, pid string) func(string) string {
	return func(name string) string {
		switch name {
		case "NOTIFY_SOCKET":
			return socket
		case "WATCHDOG_USEC":
			return strconv.FormatInt(timeout.Microseconds(), 10)
		case "WATCHDOG_PID":
			return pid
		default:
			return ""
		}
	}
}

// TestNotifier goes through the life of a program, by the path of a file and by
// an abstract name.
func TestNotifier(t *testing.T) {
	t.Parallel()
	const timeout = 200 * time.Millisecond
	for _, socket := range []string{filepath.Join(t.TempDir(), "notify"), "@dtc-test-" + strconv.Itoa(os.Getpid())} {
		m := newManager(t, socket)
		n, err := NewNotifier(env(socket, timeout, strconv.Itoa(os.Getpid())), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		p := &aProgram{ready: make(chan struct{})}
		over := errors.New("over")
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error, 1)
		go func() { done <- n.Run(ctx, p) }()

		if !m.silent(t, timeout) {
			t.Error("something is told before the program is ready")
		}
		close(p.ready)
		m.hears(t, "READY=1\n")
		m.hears(t, "WATCHDOG=1")
		end := n.Reloading()
		text := m.hears(t, "RELOADING=1\n")
		if _, micros, _ := strings.Cut(text, "MONOTONIC_USEC="); !plausible(micros) {
			t.Errorf("reloading: %q", text)
		}
		end()
		m.hears(t, "READY=1\n")
		m.hears(t, "WATCHDOG=1")
		p.hangs.Store(true)
		_ = m.silent(t, 2*timeout) // a sign may have been on its way
		if !m.silent(t, 2*timeout) {
			t.Error("a program that hangs gives signs of life")
		}
		p.hangs.Store(false)
		m.hears(t, "WATCHDOG=1")
		cancel(over)
		m.hears(t, "STOPPING=1\n")
		if err := <-done; !errors.Is(err, over) {
			t.Error(err)
		}
	}
}

// plausible tells whether micros is a time of CLOCK_MONOTONIC not long ago.
func plausible(micros string) bool {
	at, err := strconv.ParseInt(strings.TrimSpace(micros), 10, 64)
	age := monotonicMicros() - at
	return err == nil && age >= 0 && age < patience.Microseconds()
}

// TestNoNotifier has to do with who was not started by a service manager, or not
// by one that wants signs of life.
func TestNoNotifier(t *testing.T) {
	t.Parallel()
	n, err := NewNotifier(func(string) string { return "" }, slog.New(slog.DiscardHandler))
	if n != nil || err != nil {
		t.Fatal(n, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("over"))
	if err := n.Run(ctx, &aProgram{}); err == nil {
		t.Error("without a notifier the program does not run")
	}
	n.Reloading()()
	for _, socket := range []string{"vsock:2:1", filepath.Join(t.TempDir(), "none")} {
		if n, err := NewNotifier(env(socket, 0, ""), slog.New(slog.DiscardHandler)); n != nil || err == nil {
			t.Errorf("%s: %v, %v", socket, n, err)
		}
	}
	for _, test := range []struct {
		micros, pid string
		want        time.Duration
	}{
		{"30000000", "", 7500 * time.Millisecond},
		{"30000000", strconv.Itoa(os.Getpid()), 7500 * time.Millisecond},
		{"30000000", "1", 0},
		{"", "", 0},
		{"0", "", 0},
		{"-5", "", 0},
		{"x", "", 0},
		{"9223372036854775807", "", 0},
	} {
		got := watchdog(func(name string) string {
			return map[string]string{"WATCHDOG_USEC": test.micros, "WATCHDOG_PID": test.pid}[name]
		})
		if got != test.want {
			t.Errorf("%q of %q: %s, want %s", test.micros, test.pid, got, test.want)
		}
	}
}
