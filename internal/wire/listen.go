package wire

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"
)

// TakenTime is how long a program that starts waits for an address that
// somebody else has: one that was killed a moment ago, with thousands of files
// open, has its own until the system has closed them all.
const TakenTime = 5 * time.Second

// takenEvery is how often it tries.
const takenEvery = 100 * time.Millisecond

// addressInUse is WSAEADDRINUSE of Windows, which syscall.EADDRINUSE is not
// there; no other system has an error of that number.
const addressInUse = syscall.Errno(10048)

// ListenPatiently calls listen, and where somebody else has the address again
// for up to patience; told is called with the error when it begins to wait.
func ListenPatiently(ctx context.Context, patience time.Duration, listen func() (net.Listener, error), told func(error)) (net.Listener, error) {
	until := time.Now().Add(patience)
	for waits := false; ; waits = true {
		ln, err := listen()
		taken := errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, addressInUse)
		if !taken || !time.Now().Before(until) {
			return ln, err
		}
		if !waits {
			told(err)
		}
		timer := time.NewTimer(takenEvery)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
	}
}
