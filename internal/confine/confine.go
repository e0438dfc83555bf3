// Package confine takes from the running program what it does not need, so that
// who takes it over gets no more than it has: to read this host.
//
// On Linux, from [Keepers.Confine] on:
//
//   - No thread can start a program, bring in code (memory cannot be made
//     executable), trace, signal or limit another process, mount, load modules,
//     use bpf(2), io_uring, keys or System V objects, enter a namespace, change
//     modes, owners, times or attributes of files, or make a socket other than of
//     IP, Unix and three kinds of netlink. That is a seccomp filter, see base.
//   - No thread but the keepers can change a file system or bind a socket: not
//     open for writing or creating, not make, rename, link or remove anything. That
//     is a second filter, see readers.
//   - The keepers, a few threads that work for the others by [Keepers.Do], are
//     bound by Landlock: they change nothing outside the folders named.
//   - Each has no capabilities but those in readerCapabilities and
//     keeperCapabilities, and none of them can get new ones (no_new_privs).
//
// Why not Landlock for all: a thread in a Landlock domain may not look at any
// process outside of it as a debugger would, whatever its capabilities: not at
// /proc/PID/exe, fd, maps or environ. But that is what the program is for. The
// threads of a process share their memory: who has taken over one can use them
// all. So what holds is the sum of both kinds, and neither can change anything but
// in those folders. Where the kernel has no Landlock the keepers can, with the
// rights of their user, and [Held] says so.
//
// What stays open. Everything can be read that the user and the capabilities let
// be read, the memory of other processes included (/proc/PID/mem). Files that were
// open for writing before stay so: the log. TCP is not limited, as a new
// configuration may name another address. Landlock does not limit connections to
// Unix sockets by path, and readers may connect to abstract ones too: as root,
// with systemd's socket or that of a container engine, that is as much as to start
// a program; a user of the agent's own, with the capabilities alone, closes it.
// Opening a device for reading can be an act in itself. The filters refuse what is
// known; of system calls that came after them all are refused.
package confine

import (
	"sync"
	"sync/atomic"
)

// keeperCount is how many keepers there are: one for the control socket for good,
// three for goroutines that each may hang on a dead disk, one for the rest.
const keeperCount = 5

// Keepers are the threads that may still change files when the program is
// confined. The zero value is not confined.
type Keepers struct {
	confined atomic.Bool
	work     chan func() // set before confined
	quit     chan struct{}
	threads  sync.WaitGroup
}

// Held says what holds.
type Held struct {
	Landlock     int      // version of Landlock's interface that binds the keepers, 0: none
	Seccomp      bool     // the filters are in force
	Capabilities []string // that any thread still has, such as "cap_syslog"
	Lacks        []string // what is not confined, and why, each a line for the log
}

// Do runs f on a keeper and returns when it is done: everything that makes,
// renames or removes files, opens them for writing, or binds a socket. What f has
// opened may be used anywhere. Without confinement, f is just called. It waits
// when all keepers are busy: what may take long has no place in f.
func (k *Keepers) Do(f func()) {
	if !k.confined.Load() {
		f()
		return
	}
	done := make(chan struct{})
	select {
	case k.work <- func() { defer close(done); f() }:
		<-done
	case <-k.quit:
		f() // which is refused what it may not
	}
}

// Confine takes effect for all threads, those to come included, and for good. It
// is called once, before Do is used by others. The program may change files in the
// folders named and below them; one that does not exist is left out, and one that
// is removed and made again is another one. What cannot be had from this system is
// left out too, and told.
func (k *Keepers) Confine(folders ...string) Held { return k.confine(folders) }

// Close ends the keepers when their work is done. The program stays confined.
func (k *Keepers) Close() {
	if k.confined.Load() {
		close(k.quit)
		k.threads.Wait()
	}
}
