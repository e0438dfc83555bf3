package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Notifier tells the service manager how the program is, see sd_notify(3). A
// nil one tells nobody.
type Notifier struct {
	conn  net.Conn
	every time.Duration // between two signs of life; 0: none are wanted
	log   *slog.Logger
}

// Program is what a [Notifier] tells of.
type Program interface {
	// Run runs the program until ctx is done.
	Run(ctx context.Context) error
	// Ready waits until the program does what it is for.
	Ready(ctx context.Context) error
	// Alive returns nil if what the program consists of still answers.
	Alive(ctx context.Context) error
}

// beatsPerTimeout is how many signs of life come in the time after which a
// program without one is started anew.
const beatsPerTimeout = 4

// NewNotifier returns the notifier that the environment asks for: nil if none
// does, as the program was started by somebody else.
func NewNotifier(getenv func(string) string, log *slog.Logger) (*Notifier, error) {
	path := getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil, nil //nolint:nilnil // a nil Notifier is one that tells nobody
	}
	if path[0] != '/' && path[0] != '@' { // vsock and others are for virtual machines
		return nil, fmt.Errorf("tell the service manager: $NOTIFY_SOCKET is %q, expected a path or a name that begins with '@'", path)
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("tell the service manager: %w", err)
	}
	return &Notifier{conn: conn, every: watchdog(getenv), log: log}, nil
}

// watchdog returns how often the service manager is to hear of the program, 0
// for never: see sd_watchdog_enabled(3).
func watchdog(getenv func(string) string) time.Duration {
	if pid := getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0 // it is another process's
	}
	micros, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || micros <= 0 || micros > int64(24*time.Hour/time.Microsecond) {
		return 0
	}
	return time.Duration(micros) * time.Microsecond / beatsPerTimeout
}

// Run runs the program, tells that it is ready once it is, gives signs of its
// life for as long as it answers, and tells that it stops when ctx is done. It
// returns what the program's Run returns.
func (n *Notifier) Run(ctx context.Context, p Program) error {
	if n == nil {
		return p.Run(ctx)
	}
	defer func() { _ = n.conn.Close() }() // what was told was told
	ctx, cancel := context.WithCancel(ctx)
	var telling sync.WaitGroup
	telling.Go(func() { n.tend(ctx, p) })
	err := p.Run(ctx)
	cancel()
	telling.Wait()
	return err
}

func (n *Notifier) tend(ctx context.Context, p Program) {
	if err := p.Ready(ctx); err == nil {
		n.tell("READY=1", "STATUS=running")
	} else if ctx.Err() == nil {
		n.log.Warn("the service manager is not told that all is ready", "error", err)
	}
	if n.every > 0 {
		n.beat(ctx, p)
	}
	<-ctx.Done()
	n.tell("STOPPING=1", "STATUS=stopping")
}

// beat gives signs of life until ctx is done: each one only after all parts of
// the program have answered, so that none comes from a program that hangs.
func (n *Notifier) beat(ctx context.Context, p Program) {
	t := time.NewTicker(n.every)
	defer t.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, n.every*(beatsPerTimeout-1))
		err := p.Alive(asking)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			n.log.Error("a part of the program does not answer; the service manager starts it anew if that lasts", "error", err)
		default:
			n.tell("WATCHDOG=1")
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// Reloading tells that the configuration is being read again, until over is
// called.
func (n *Notifier) Reloading() (over func()) {
	if n == nil {
		return func() {}
	}
	lines := []string{"RELOADING=1", "STATUS=reading the configuration again"}
	if at := monotonicMicros(); at > 0 { // since systemd 253 it must stand there
		lines = append(lines, "MONOTONIC_USEC="+strconv.FormatInt(at, 10))
	}
	n.tell(lines...)
	return func() { n.tell("READY=1", "STATUS=running") }
}

// tell sends lines. That they cannot be sent is not worth more than a line: the
// program goes on, and the service manager will see for itself.
func (n *Notifier) tell(lines ...string) {
	_, err := n.conn.Write([]byte(strings.Join(lines, "\n")))
	if err != nil && !errors.Is(err, net.ErrClosed) {
		n.log.Warn("tell the service manager", "error", err)
	}
}
