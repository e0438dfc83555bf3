package wire

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// An address that somebody has still is waited for, and told once; any other
// failure is one at once.
func TestListenPatiently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		taken := &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
		denied := &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EACCES)}
		for name, c := range map[string]struct {
			free     time.Duration // when the address is
			patience time.Duration
			before   error
			want     error
			after    time.Duration
			told     int
		}{
			"free":          {patience: TakenTime},
			"soon free":     {free: 3 * time.Second, patience: TakenTime, before: taken, after: 3 * time.Second, told: 1},
			"of Windows":    {free: time.Second, patience: TakenTime, before: addressInUse, after: time.Second, told: 1},
			"taken":         {free: time.Hour, patience: TakenTime, before: taken, want: syscall.EADDRINUSE, after: TakenTime, told: 1},
			"not patient":   {free: time.Hour, before: taken, want: syscall.EADDRINUSE},
			"another fault": {free: time.Hour, patience: TakenTime, before: denied, want: syscall.EACCES},
		} {
			began, told := time.Now(), 0
			_, err := ListenPatiently(t.Context(), c.patience, func() (net.Listener, error) {
				if time.Since(began) < c.free {
					return nil, c.before
				}
				return nil, nil
			}, func(error) { told++ })
			if !errors.Is(err, c.want) || time.Since(began) != c.after || told != c.told {
				t.Errorf("%s: %v after %s, told %d times", name, err, time.Since(began), told)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := ListenPatiently(ctx, TakenTime, func() (net.Listener, error) { return nil, taken }, func(error) {})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a context that ends: %v", err)
		}
	})
}

// The system's own error is known.
func TestListenOnTaken(t *testing.T) {
	var lc net.ListenConfig
	first, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := ListenPatiently(t.Context(), time.Hour, func() (net.Listener, error) {
		return lc.Listen(t.Context(), "tcp", first.Addr().String())
	}, func(error) { first.Close() })
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
}
