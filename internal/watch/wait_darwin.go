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

	// passed are those whose event has been taken out of the queue but not yet
	// been looked at, by pid: another process may have the pid by now. A nil one
	// is to be told to nobody. Guarded by mu.
	passed map[int][]*process
}

func newWaiter(ended func(*process, dtc.Exit, string)) (*waiter, error) {
	queue, err := unix.Kqueue()
	if err != nil {
		return nil, fmt.Errorf("create a kqueue: %w", err)
	}
	unix.CloseOnExec(queue)
	w := &waiter{ended: ended, queue: queue, procs: map[int]*process{}, passed: map[int][]*process{}}
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
	if old := w.replaced(p); old != nil {
		w.ended(old, dtc.Exit{}, "")
	}
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
		w.unregister(pid, nil)
		return err
	}
	w.procs[pid] = p
	return nil
}

// replaced stops waiting for who had the pid of p before, and has ended
// therefore. It returns it if no event is on its way that will tell so.
func (w *waiter) replaced(p *process) *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	old := w.procs[p.id.PID]
	if old == nil || old.id == p.id || w.closed {
		return nil
	}
	delete(w.procs, p.id.PID)
	if w.unregister(p.id.PID, old) {
		return old
	}
	return nil
}

// unregister says whether no event of the pid's process comes any more. If one
// is on its way, it is that of p.
func (w *waiter) unregister(pid int, p *process) bool {
	// An event that has been taken out of the queue was its registration's end.
	if errors.Is(w.change(pid, unix.EVFILT_PROC, unix.EV_DELETE, 0), unix.ENOENT) {
		w.passed[pid] = append(w.passed[pid], p)
		return false
	}
	return true
}

// remove stops waiting for p.
func (w *waiter) remove(p *process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.procs[p.id.PID] == p && !w.closed {
		delete(w.procs, p.id.PID)
		w.unregister(p.id.PID, p)
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

// taken returns whose end an event of this pid tells; nil if nobody is to hear of
// it.
func (w *waiter) taken(pid int) *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	if before := w.passed[pid]; len(before) > 0 {
		if w.passed[pid] = before[1:]; len(before) == 1 {
			delete(w.passed, pid)
		}
		return before[0]
	}
	p := w.procs[pid]
	delete(w.procs, pid)
	return p
}

func (w *waiter) handle(e unix.Kevent_t) {
	if e.Filter != unix.EVFILT_PROC || e.Fflags&unix.NOTE_EXIT == 0 {
		return
	}
	pid := int(e.Ident)
	p := w.taken(pid)
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
		p.last(seen.Usage)
	}
	w.ended(p, exit, name)
}

// sinceStart is the time since a process of this boot started.
func sinceStart(id dtc.ProcessID) time.Duration {
	return max(0, time.Since(time.UnixMicro(int64(id.Start))))
}

// livedOver is the most that a process of a former boot lived: until this one
// began.
func livedOver(id dtc.ProcessID, _ lastAlive, _ time.Duration) time.Duration {
	return max(0, sinceStart(id)-now())
}

// listed says whether a process stands in the system's own list: zombies do.
func listed(proc.Seen) bool { return true }
