package wire

import (
	"syscall"
	"time"
)

const tcpRxtConnDropTime = 0x80 // TCP_RXT_CONNDROPTIME of netinet/tcp.h, in seconds

func setUserTimeout(fd uintptr, d time.Duration) error {
	return syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpRxtConnDropTime, int(d.Seconds()))
}

// setRetransmit: the system has no way to bound that.
func setRetransmit(uintptr, time.Duration) error { return nil }
