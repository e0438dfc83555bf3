//go:build unix

package main

import (
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// obeySequences does nothing here: every terminal obeys control sequences.
func obeySequences(io.Writer) (ok bool, restore func()) { return true, func() {} }

// suspending is how long the system is given to suspend this program. It does
// not where nobody could have it go on again.
const suspending = 100 * time.Millisecond

// onSuspend calls aside when Ctrl-Z is to suspend the program, with what does
// so and returns when it goes on, until stop is called.
func onSuspend(aside func(sleep func())) (stop func()) {
	pressed := make(chan os.Signal, 1)
	done := make(chan struct{})
	signal.Notify(pressed, syscall.SIGTSTP)
	sleep := func() {
		// The Go runtime cannot give up SIGTSTP once it was caught. This one it
		// has never had, and the system does the same for it.
		_ = syscall.Kill(os.Getpid(), syscall.SIGTTOU)
		over := time.NewTimer(suspending)
		defer over.Stop()
		select {
		case <-over.C:
		case <-done:
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-pressed:
				aside(sleep)
			case <-done:
				return
			}
		}
	})
	return func() {
		signal.Stop(pressed)
		close(done)
		wg.Wait()
	}
}
