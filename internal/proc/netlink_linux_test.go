package proc

import (
	"maps"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestUnixDiag(t *testing.T) {
	for raw, want := range map[string]string{
		"/run/x\x00":    "/run/x",
		"\x00abs\x00\n": "@abs@\n",
		"":              "",
		"\x00":          "@",
	} {
		if got := string(socketName([]byte(raw))); got != want {
			t.Errorf("%q: got %q, want %q", raw, got, want)
		}
	}
}

// TestSocketTablesAgree compares what the kernel says over netlink with its text
// files.
func TestSocketTablesAgree(t *testing.T) {
	for _, protocol := range []Protocol{TCP, UDP} {
		var told, read map[uint64]InetSocket
		for range 20 { // sockets come and go
			told, read = make(map[uint64]InetSocket), make(map[uint64]InetSocket)
			err := Default.ask(unix.NETLINK_SOCK_DIAG, func(n *netlink) error {
				return n.inet(protocol, openStates, func(s *NetSocket) error {
					if s.Inode != 0 {
						told[s.Inode] = s.InetSocket
					}
					return nil
				})
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range protocol.files() {
				data, err := os.ReadFile("/proc/net/" + name)
				if err != nil {
					t.Fatal(err)
				}
				parseInetSockets(data, func(inode uint64, s InetSocket) {
					s.Protocol = protocol
					read[inode] = s
				})
			}
			if maps.Equal(told, read) {
				break
			}
		}
		if !maps.Equal(told, read) {
			t.Errorf("protocol %d: told %v\nread %v", protocol, told, read)
		}
	}
}


func FuzzNetlink(f *testing.F) {
	f.Add([]byte("\x10\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add(append([]byte("\x58\x00\x00\x00\x14\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x0a"), make([]byte, 70)...))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _, _ = new(netlink).datagram(data, func(msg []byte) error {
			new(NetSocket).parse(msg)
			parseUnixDiag(msg)
			return nil
		})
	})
}
