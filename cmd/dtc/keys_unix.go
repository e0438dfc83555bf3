//go:build unix

package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// unicodeByDefault is whether the terminal of a program in no locale shows more
// than ASCII.
const unicodeByDefault = false

// suspend tells this program and those that were started with it what the
// terminal tells them at Ctrl-Z, see onSuspend.
func suspend() { _ = syscall.Kill(0, syscall.SIGTSTP) }

// onResize calls resized when the terminal has another size, until stop is
// called.
func onResize(resized func()) (stop func()) {
	changed := make(chan os.Signal, 1)
	done := make(chan struct{})
	signal.Notify(changed, syscall.SIGWINCH)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-changed:
				resized()
			case <-done:
				return
			}
		}
	})
	return func() {
		signal.Stop(changed)
		close(done)
		wg.Wait()
	}
}
