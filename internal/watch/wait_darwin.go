package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/proc"
)

// handle is empty: the kernel knows a process by its pid until it has told its
// end.
type handle struct{}

// wakeIdent is the user event that ends run.
const wakeIdent = 1

// waiter has the kernel tell of ends: EVFILT_PROC of kqueue(2).
type waiter struct {
	ended func(*process, dtc.Exit, string)
	queue int

	mu     sync.Mutex
	closed bool             // guarded by mu
	procs  map[int]*process // by pid; guarded by mu
}

func newWaiter(ended func(*process, dtc.Exit, string)) (*waiter, error) {
	queue, err := unix.Kqueue()
	if err != nil {
		return nil, fmt.Errorf("create a kqueue: %w", err)
	}
	unix.CloseOnExec(queue)
	w := &waiter{ended: ended, queue: queue, procs: map[int]*process{}}
	if err := w.change(wakeIdent, unix.EVFILT_USER, unix.EV_ADD|unix.EV_CLEAR, 0); err != nil {
		_ = unix.Close(queue)
		return nil, fmt.Errorf("create a kqueue: %w", err)
	}
	return w, nil
}

func (w *waiter) change(ident, filter, flags int, fflags uint32) error {
	change := unix.Kevent_t{Fflags: fflags}
	unix.SetKevent(&change, ident, filter, flags)
	_, err := unix.Kevent(w.queue, []unix.Kevent_t{change}, nil, nil)
	return err
}

// add begins to wait for the end of p. The error wraps [fs.ErrNotExist] if it
// is not there any more; any other means that it has to be polled.
func (w *waiter) add(p *process) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errNoWaiter
	}
	pid := p.id.PID
	err := w.change(pid, unix.EVFILT_PROC, unix.EV_ADD, unix.NOTE_EXIT|unix.NOTE_EXITSTATUS)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		// The status is told to the parent and the debugger alone.
		err = w.change(pid, unix.EVFILT_PROC, unix.EV_ADD, unix.NOTE_EXIT)
	}
	if errors.Is(err, unix.ESRCH) {
		return fs.ErrNotExist
	}
	if err != nil {
		return fmt.Errorf("have the kernel tell the end of the process: %w", err)
	}
	// It was there before and is still: what was registered is no other.
	seen, err := sameStill(p.id)
	if err == nil && seen.Zombie {
		err = fs.ErrNotExist
	}
	if err != nil {
		_ = w.change(pid, unix.EVFILT_PROC, unix.EV_DELETE, 0)
		return err
	}
	w.procs[pid] = p
	return nil
}

// remove stops waiting for p.
func (w *waiter) remove(p *process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.procs[p.id.PID] == p && !w.closed {
		delete(w.procs, p.id.PID)
		_ = w.change(p.id.PID, unix.EVFILT_PROC, unix.EV_DELETE, 0)
	}
}

// close stops waiting for all.
func (w *waiter) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.closed = true
		_ = unix.Close(w.queue)
	}
	clear(w.procs)
}

// run tells of ends until ctx is done.
func (w *waiter) run(ctx context.Context) error {
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_ = w.change(wakeIdent, unix.EVFILT_USER, 0, unix.NOTE_TRIGGER)
	})
	defer func() {
		if !stop() {
			<-woken // before close gives the descriptor's number away
		}
	}()
	events := make([]unix.Kevent_t, 128)
	for {
		n, err := unix.Kevent(w.queue, nil, events, nil)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("kevent: %w", err)
		}
		for _, e := range events[:n] {
			w.handle(e)
		}
	}
}

func (w *waiter) handle(e unix.Kevent_t) {
	if e.Filter != unix.EVFILT_PROC || e.Fflags&unix.NOTE_EXIT == 0 {
		return
	}
	pid := int(e.Ident)
	w.mu.Lock()
	p := w.procs[pid]
	delete(w.procs, pid)
	w.mu.Unlock()
	if p == nil {
		return
	}
	seen, err := proc.Look(pid)
	known := err == nil && seen.ID == p.id
	var exit dtc.Exit
	switch {
	case e.Fflags&unix.NOTE_EXITSTATUS != 0:
		exit = proc.WaitStatus(int(e.Data))
	case known:
		exit = seen.Exit
	}
	name := ""
	if known {
		name = seen.Name
	}
	w.ended(p, exit, name)
}

// sinceStart is the time since a process of this boot started.
func sinceStart(id dtc.ProcessID) time.Duration {
	return max(0, time.Since(time.UnixMicro(int64(id.Start))))
}

// listed says whether a process stands in the system's own list: zombies do.
func listed(proc.Seen) bool { return true }
