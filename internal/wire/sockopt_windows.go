package wire

import (
	"syscall"
	"time"
)

const tcpMaxRT = 5 // TCP_MAXRT of ws2ipdef.h, in seconds

func setUserTimeout(fd uintptr, d time.Duration) error {
	return syscall.SetsockoptInt(syscall.Handle(fd), syscall.IPPROTO_TCP, tcpMaxRT, int(d.Seconds()))
}

// setRetransmit: the system has no way to bound that.
func setRetransmit(uintptr, time.Duration) error { return nil }
