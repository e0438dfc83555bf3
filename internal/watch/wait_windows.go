package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"

	"dtc"
	"dtc/internal/proc"
)

// handle is an open process and the registration of the wait for it.
type handle struct {
	process windows.Handle
	wait    windows.Handle
	token   uintptr // 0: none
}

// Flags of RegisterWaitForSingleObject.
const (
	waitInfinite         = math.MaxUint32
	executeInWaitThread  = 0x4
	executeOnlyOnce      = 0x8
	invalidHandle        = ^uintptr(0) // UnregisterWaitEx: return when no call back runs any more
	waitProcessEndAccess = windows.SYNCHRONIZE | windows.PROCESS_QUERY_LIMITED_INFORMATION
)

// waiter has the system's thread pool wait for the handles of processes: it
// puts as many on one thread as the version of Windows can.
type waiter struct {
	ended      func(*process, dtc.Exit, string)
	register   *windows.LazyProc
	unregister *windows.LazyProc
	callback   uintptr // of signaled; the runtime never frees one
	wake       chan struct{}

	mu     sync.Mutex
	closed bool                 // guarded by mu
	token  uintptr              // the last one given; guarded by mu
	procs  map[uintptr]*process // by token; guarded by mu
	over   []uintptr            // signaled and not yet told; guarded by mu
}

func newWaiter(ended func(*process, dtc.Exit, string)) (*waiter, error) {
	kernel := windows.NewLazySystemDLL("kernel32.dll")
	w := &waiter{
		ended:      ended,
		register:   kernel.NewProc("RegisterWaitForSingleObject"),
		unregister: kernel.NewProc("UnregisterWaitEx"),
		wake:       make(chan struct{}, 1),
		procs:      map[uintptr]*process{},
	}
	if err := errors.Join(w.register.Find(), w.unregister.Find()); err != nil {
		return nil, fmt.Errorf("wait with the thread pool: %w", err)
	}
	w.callback = windows.NewCallback(w.signaled)
	return w, nil
}

// signaled is called by a thread of the pool.
func (w *waiter) signaled(token, _ uintptr) uintptr {
	w.mu.Lock()
	w.over = append(w.over, token)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return 0
}

// add begins to wait for the end of p. The error wraps [fs.ErrNotExist] if it
// is not there any more; any other means that it has to be polled.
func (w *waiter) add(p *process) error {
	h, err := windows.OpenProcess(waitProcessEndAccess, false, uint32(p.id.PID))
	if errors.Is(err, windows.ERROR_INVALID_PARAMETER) {
		return fs.ErrNotExist
	}
	if err != nil {
		return fmt.Errorf("open the process: %w", err)
	}
	// The pid stays taken while we hold the handle.
	if _, err := sameStill(p.id); err != nil {
		_ = windows.CloseHandle(h)
		return err
	}
	if err := w.registerWait(p, h); err != nil {
		_ = windows.CloseHandle(h)
		return fmt.Errorf("wait for the process: %w", err)
	}
	return nil
}

func (w *waiter) registerWait(p *process, h windows.Handle) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errNoWaiter
	}
	w.token++
	var wait windows.Handle
	ok, _, err := w.register.Call(uintptr(unsafe.Pointer(&wait)), uintptr(h),
		w.callback, w.token, waitInfinite, executeInWaitThread|executeOnlyOnce)
	if ok == 0 {
		return err
	}
	p.handle = handle{process: h, wait: wait, token: w.token}
	w.procs[w.token] = p
	return nil
}

// remove stops waiting for p.
func (w *waiter) remove(p *process) {
	w.mu.Lock()
	held := w.procs[p.handle.token] == p
	if held {
		delete(w.procs, p.handle.token)
	}
	w.mu.Unlock()
	if held {
		w.release(p.handle)
	}
}

// release gives back what belongs to a handle. It waits for the call back of
// its wait, so that mu must not be held.
func (w *waiter) release(h handle) {
	_, _, _ = w.unregister.Call(uintptr(h.wait), invalidHandle)
	_ = windows.CloseHandle(h.process)
}

// close stops waiting for all.
func (w *waiter) close() {
	w.mu.Lock()
	w.closed = true
	procs := w.procs
	w.procs = nil
	w.mu.Unlock()
	for _, p := range procs {
		w.release(p.handle)
	}
}

// run tells of ends until ctx is done.
func (w *waiter) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.wake:
		}
		w.mu.Lock()
		over := w.over
		w.over = nil
		w.mu.Unlock()
		for _, token := range over {
			w.tell(token)
		}
	}
}

func (w *waiter) tell(token uintptr) {
	w.mu.Lock()
	p := w.procs[token]
	delete(w.procs, token)
	w.mu.Unlock()
	if p == nil {
		return
	}
	var exit dtc.Exit
	var code uint32
	if err := windows.GetExitCodeProcess(p.handle.process, &code); err == nil {
		exit = dtc.Exit{Kind: dtc.ExitCode, Number: int(code)}
	}
	p.last(usageAtEnd(p.handle.process))
	w.release(p.handle)
	w.ended(p, exit, "")
}

// sinceStart is the time since a process of this boot started.
func sinceStart(id dtc.ProcessID) time.Duration {
	started := windows.Filetime{LowDateTime: uint32(id.Start), HighDateTime: uint32(id.Start >> 32)}
	return max(0, time.Since(time.Unix(0, started.Nanoseconds())))
}

// livedOver is the most that a process of a former boot lived: until this one
// began.
func livedOver(id dtc.ProcessID, _ lastAlive, _ time.Duration) time.Duration {
	return max(0, sinceStart(id)-now())
}

// listed says whether a process stands in the system's own list: one that has
// ended does not, though somebody's handle keeps it.
func listed(seen proc.Seen) bool { return !seen.Zombie }
