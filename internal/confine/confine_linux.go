//go:build amd64 || arm64

package confine

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// confine goes from what every thread gets to what only some do. The keepers are
// made in between: they have the first filter and not the second.
func (k *Keepers) confine(folders []string) Held {
	var held Held
	lack := func(what string, err error) { held.Lacks = append(held.Lacks, what+": "+err.Error()) }
	_ = unix.Umask(0o077) // modes cannot be changed any more, and nothing of the agent's is for others
	if err := onAllThreads(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		if errors.Is(err, unix.ENOTSUP) {
			err = errors.New("the program is built with cgo, build it with CGO_ENABLED=0")
		}
		lack("nothing is confined", err)
		return held
	}
	now, err := capabilities()
	if err != nil {
		lack("capabilities", err)
		return held
	}
	dropBounds(now)
	if err := install(base(syscall.Getpid()), unix.SECCOMP_FILTER_FLAG_TSYNC); err != nil {
		lack("no seccomp filter: all threads may change files, start programs and signal processes", err)
		// Who does what cannot be told apart without a filter.
		now &= (readerCapabilities | keeperCapabilities) &^ overrides
		if err := limitAll(now); err != nil {
			lack("capabilities", err)
		}
		held.Capabilities = capabilityNames(now)
		return held
	}
	keeperKeeps := now & keeperCapabilities
	rules, version, err := newRules(folders)
	if err != nil {
		lack("no Landlock: the few threads that write may do it wherever the agent's user may", err)
		keeperKeeps &^= overrides
	} else {
		defer func() { _ = unix.Close(rules) }()
		held.Landlock = version
	}
	for _, err := range k.start(rules, keeperKeeps) {
		lack("a thread that writes", err)
	}
	if err := limitAll(now & readerCapabilities); err != nil {
		lack("capabilities", err)
	}
	if err := installAll(readers()); err != nil {
		lack("no second seccomp filter: all threads may change files", err)
	}
	held.Seccomp = true
	held.Capabilities = capabilityNames(now & (readerCapabilities | keeperKeeps))
	return held
}

// start starts the keepers.
func (k *Keepers) start(rules int, keeps capSet) []error {
	k.work, k.quit = make(chan func()), make(chan struct{})
	ready := make(chan error)
	for range keeperCount {
		k.threads.Go(func() { k.keep(rules, keeps, ready) })
	}
	var errs []error
	for range keeperCount {
		if err := <-ready; err != nil {
			errs = append(errs, err)
		}
	}
	k.confined.Store(true)
	return errs
}

// keep is a keeper. Its goroutine keeps its thread, which ends with it; the
// runtime never makes a thread from one that a goroutine has locked.
func (k *Keepers) keep(rules int, keeps capSet, ready chan<- error) {
	runtime.LockOSThread()
	ready <- bind(rules, keeps)
	for {
		select {
		case f := <-k.work:
			f()
		case <-k.quit:
			return
		}
	}
}

// bind limits the calling thread to what a keeper may. The filter comes last: it
// answers to the calls before it, when they are made for all threads, that they
// are done.
func bind(rules int, keeps capSet) error {
	if err := limit(keeps); err != nil {
		return err
	}
	if rules >= 0 {
		if _, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(rules), 0, 0); errno != 0 {
			return fmt.Errorf("landlock_restrict_self: %w", errno)
		}
	}
	return install(keepers(), 0)
}

// onAllThreads makes a system call on every thread there is. Those to come are
// made by one of them and have what it has.
func onAllThreads(call, a, b, c uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall(call, a, b, c); errno != 0 {
		return errno
	}
	return nil
}
