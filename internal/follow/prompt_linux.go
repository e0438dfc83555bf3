package follow

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls in this file never wait, so the runtime need not be told of them.
// Each call that it is told of wakes a thread of its own in a process that was
// idle, to watch over how long the call takes; with a line now and then that
// thread costs a third of all.

// statPromptly is statHandle for a file system that knows the answer.
func statPromptly(fd handle) (Stat, bool) {
	var st unix.Stat_t
	if _, _, err := unix.RawSyscall(unix.SYS_FSTAT, uintptr(fd), uintptr(unsafe.Pointer(&st)), 0); err != 0 {
		return Stat{}, false
	}
	return statOf(&st), true
}

// readPromptly reads what is in the page cache, and returns how much that was.
func readPromptly(fd handle, b []byte, off int64) int {
	if len(b) == 0 {
		return 0
	}
	vec := unix.Iovec{Base: &b[0]}
	vec.SetLen(len(b))
	n, _, err := unix.RawSyscall6(unix.SYS_PREADV2, uintptr(fd), uintptr(unsafe.Pointer(&vec)), 1, uintptr(off), 0, unix.RWF_NOWAIT)
	if err != 0 {
		return 0
	}
	return int(n)
}

// readEvents reads from an inotify instance that does not block.
func readEvents(fd uintptr, b []byte) (int, unix.Errno) {
	n, _, err := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if err != 0 {
		return 0, err
	}
	return int(n), 0
}
