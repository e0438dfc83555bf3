package status

import (
	"net"
	"testing"
)

// datagramPort opens a socket of UDP on 127.0.0.1 and returns its port.
func datagramPort(tb testing.TB) int {
	tb.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c.LocalAddr().(*net.UDPAddr).Port
}
