package wire

import (
	"syscall"
	"time"
)

const (
	tcpUserTimeout = 18 // TCP_USER_TIMEOUT of tcp(7), in milliseconds
	tcpRTOMaxMS    = 44 // TCP_RTO_MAX_MS of linux/tcp.h, in milliseconds; since Linux 6.15
)

func setUserTimeout(fd uintptr, d time.Duration) error {
	return syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(d.Milliseconds()))
}

// setRetransmit bounds how long the kernel waits between two tries to deliver
// something; else it doubles that up to two minutes.
func setRetransmit(fd uintptr, d time.Duration) error {
	return syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpRTOMaxMS, int(d.Milliseconds()))
}
