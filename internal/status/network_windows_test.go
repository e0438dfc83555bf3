package status

import (
	"testing"

	"golang.org/x/sys/windows"
)

// datagramPort opens a socket of UDP on 127.0.0.1 and returns its port. Wine
// refuses a call that the package net makes of each.
func datagramPort(tb testing.TB) int {
	tb.Helper()
	fd, err := windows.Socket(windows.AF_INET, windows.SOCK_DGRAM, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = windows.Closesocket(fd) })
	if err := windows.Bind(fd, &windows.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		tb.Fatal(err)
	}
	at, err := windows.Getsockname(fd)
	if err != nil {
		tb.Fatal(err)
	}
	return at.(*windows.SockaddrInet4).Port
}
