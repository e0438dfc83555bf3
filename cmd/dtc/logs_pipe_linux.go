package main

import (
	"io"
	"syscall"
)

// readerGone tells whether the output is a pipe or a socket that nobody reads
// any more. A follower that has nothing to write would not notice: so does
// tail(1).
func readerGone(w io.Writer) bool {
	f, ok := w.(interface{ Fd() uintptr })
	if !ok {
		return false
	}
	out := int(f.Fd())
	poll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return false
	}
	defer syscall.Close(poll) // nothing can be lost
	if syscall.EpollCtl(poll, syscall.EPOLL_CTL_ADD, out, &syscall.EpollEvent{}) != nil {
		return false // a file: it needs no reader
	}
	events := make([]syscall.EpollEvent, 1)
	n, err := syscall.EpollWait(poll, events, 0)
	return err == nil && n == 1 && events[0].Events&syscall.EPOLLERR != 0
}
