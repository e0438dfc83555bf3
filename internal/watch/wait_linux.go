package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/proc"
)

// handle is a pidfd and the number under which epoll tells of it. The number is
// never used again, as that of a descriptor is: an event that is told late means
// nobody else.
type handle struct {
	fd    int
	token uint64 // 0: none
}

// reapPatience is how long the status of a process that has ended is waited for
// when it is a zombie that we may not inspect: the kernel tells the status of
// every process once its parent has reaped it, which most do at once.
const reapPatience = 20 * time.Millisecond

// waiter has the kernel tell of ends: a pidfd for each process, one epoll for
// all (pidfd_open(2): readable when the process has ended, hung up when it is
// reaped).
type waiter struct {
	ended  func(*process, dtc.Exit, string)
	epoll  *os.File
	conn   syscall.RawConn
	budget int // descriptors that may be open at once

	mu    sync.Mutex
	token uint64              // the last one given; guarded by mu
	procs map[uint64]*process // by token; guarded by mu

	// unreaped are the ends whose status is still waited for, first due first.
	// Only run touches it.
	unreaped []unreaped
}

type unreaped struct {
	token uint64
	due   time.Time
}

func newWaiter(ended func(*process, dtc.Exit, string)) (*waiter, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create an epoll: %w", err)
	}
	// Non-blocking makes the Go runtime wait for it without a thread.
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("create an epoll: %w", err)
	}
	w := &waiter{
		ended:  ended,
		epoll:  os.NewFile(uintptr(fd), "epoll"),
		budget: descriptorBudget(),
		procs:  map[uint64]*process{},
	}
	if w.conn, err = w.epoll.SyscallConn(); err != nil {
		_ = w.epoll.Close()
		return nil, fmt.Errorf("create an epoll: %w", err)
	}
	return w, nil
}

// descriptorBudget is half of what the process may have open: the rest is for
// connections and followed files.
func descriptorBudget() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 512
	}
	return int(min(limit.Cur/2, MaxAskers*MaxTargets))
}

// add begins to wait for the end of p. The error wraps [fs.ErrNotExist] if it
// is not there any more; any other means that it has to be polled.
func (w *waiter) add(p *process) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.procs) >= w.budget {
		return fmt.Errorf("the limit on open files leaves room for %d processes", w.budget)
	}
	fd, err := unix.PidfdOpen(p.id.PID, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return fs.ErrNotExist
	}
	if err != nil {
		return fmt.Errorf("open a descriptor of the process: %w", err)
	}
	// It was there before and is still: the descriptor is of no other.
	if _, err := sameStill(p.id); err != nil {
		_ = unix.Close(fd)
		return err
	}
	w.token++
	p.handle = handle{fd: fd, token: w.token}
	if err := w.arm(p.handle); err != nil {
		_ = unix.Close(fd)
		p.handle = handle{}
		return fmt.Errorf("wait for the descriptor of the process: %w", err)
	}
	w.procs[p.handle.token] = p
	return nil
}

// arm asks for edges: one when the process ends and one when it is reaped.
func (w *waiter) arm(h handle) error {
	event := unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLET,
		Fd:     int32(uint32(h.token)),
		Pad:    int32(uint32(h.token >> 32)),
	}
	var err error
	if cerr := w.conn.Control(func(epoll uintptr) {
		err = unix.EpollCtl(int(epoll), unix.EPOLL_CTL_ADD, h.fd, &event)
	}); cerr != nil {
		return cerr
	}
	return err
}

// remove stops waiting for p.
func (w *waiter) remove(p *process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop(p)
}

func (w *waiter) drop(p *process) {
	if w.procs[p.handle.token] == p {
		delete(w.procs, p.handle.token)
		_ = unix.Close(p.handle.fd) // which takes it out of the epoll too
	}
}

// close stops waiting for all.
func (w *waiter) close() {
	_ = w.epoll.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.procs {
		w.drop(p)
	}
}

// run tells of ends until ctx is done.
func (w *waiter) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = w.epoll.Close() })
	defer stop()
	events := make([]unix.EpollEvent, 128)
	for {
		n, err := w.wait(events)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("epoll: %w", err)
		}
		for _, e := range events[:n] {
			w.handle(uint64(uint32(e.Pad))<<32|uint64(uint32(e.Fd)), e.Events)
		}
		w.giveUp(time.Now())
	}
}

// wait waits for events, at most until the first unreaped end is due.
func (w *waiter) wait(events []unix.EpollEvent) (n int, err error) {
	var deadline time.Time
	if len(w.unreaped) > 0 {
		deadline = w.unreaped[0].due
	}
	if err := w.epoll.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	rerr := w.conn.Read(func(epoll uintptr) bool {
		n, err = unix.EpollWait(int(epoll), events, 0)
		if errors.Is(err, unix.EINTR) {
			n, err = 0, nil
		}
		return n > 0 || err != nil
	})
	if rerr != nil {
		return 0, rerr
	}
	return n, err
}

// handle looks into one event and tells the end if its status is known, or will
// not be.
func (w *waiter) handle(token uint64, events uint32) {
	w.mu.Lock()
	p := w.procs[token]
	if p == nil {
		w.mu.Unlock()
		return
	}
	st := w.inspect(p, events)
	if st.told {
		w.drop(p)
	}
	w.mu.Unlock()
	switch {
	case st.told:
		w.ended(p, st.exit, st.name)
	case st.unreaped:
		w.unreaped = append(w.unreaped, unreaped{token, time.Now().Add(reapPatience)})
	}
}

// status is what can be said of a process after an event.
type status struct {
	told     bool // it has ended, and nothing more will be known
	unreaped bool // it has ended; its exit may become known
	exit     dtc.Exit
	name     string
}

// inspect finds out how p ended: the kernel says it of the descriptor once the
// process is reaped, /proc says it of the zombie before, to those who may know.
// w.mu is held, so that the descriptor stays open.
func (w *waiter) inspect(p *process, events uint32) status {
	reaped := events&unix.EPOLLHUP != 0
	if exit, ok := exitInfo(p.handle.fd); ok {
		return status{told: true, exit: exit}
	}
	seen, err := proc.Look(p.id.PID)
	if err == nil && seen.ID == p.id {
		if !seen.Zombie {
			return status{} // a false alarm
		}
		p.last(seen.Usage)
		switch {
		case seen.Exit.Kind != dtc.ExitUnknown:
			return status{told: true, exit: seen.Exit, name: seen.Name}
		case !reaped:
			return status{unreaped: true}
		}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) && !reaped {
		return status{unreaped: true} // the system does not say now, for want of descriptors perhaps
	}
	exit, _ := exitInfo(p.handle.fd) // it may have been reaped since the first question
	return status{told: true, exit: exit}
}

// exitInfo asks the kernel how a reaped process ended (PIDFD_GET_INFO, Linux
// 6.15). ok is false if it does not say.
func exitInfo(fd int) (exit dtc.Exit, ok bool) {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	if err := unix.IoctlPidfdInfo(fd, &info); err != nil || info.Mask&unix.PIDFD_INFO_EXIT == 0 {
		return dtc.Exit{}, false
	}
	return proc.WaitStatus(int(info.Exit_code)), true
}

// giveUp tells the ends whose status nobody will hear of in time.
func (w *waiter) giveUp(at time.Time) {
	for len(w.unreaped) > 0 && !w.unreaped[0].due.After(at) {
		token := w.unreaped[0].token
		w.unreaped = w.unreaped[1:]
		w.mu.Lock()
		p := w.procs[token]
		var exit dtc.Exit
		if p != nil {
			exit, _ = exitInfo(p.handle.fd)
			w.drop(p)
		}
		w.mu.Unlock()
		if p != nil {
			w.ended(p, exit, "")
		}
	}
}

// sinceStart is the time since a process of this boot started.
func sinceStart(id dtc.ProcessID) time.Duration {
	return max(0, now()-proc.TicksToDuration(id.Start))
}

// livedOver is the most that a process of a former boot lived: it was there at
// the last sign of life, and this boot began so long after.
func livedOver(id dtc.ProcessID, alive lastAlive, after time.Duration) time.Duration {
	return max(0, time.Duration(alive.SinceBoot)-proc.TicksToDuration(id.Start)) + after
}

// listed says whether a process stands in the system's own list: zombies do.
func listed(proc.Seen) bool { return true }
