//go:build linux

package e2e

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/wire"
)

// Frames of HTTP/2, RFC 9113 section 6.
const (
	h2Headers      = 1
	h2Reset        = 3
	h2Settings     = 4
	h2Ping         = 6
	h2Window       = 8
	h2Continuation = 9
)

func h2Frame(kind, flags byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	b := append([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags}, binary.BigEndian.AppendUint32(nil, stream)...)
	return append(b, payload...)
}

// h2Request is the headers of a call: see RFC 7541, appendix A for the numbers.
func h2Request(path string) []byte {
	b := []byte{0x83, 0x86}
	for _, text := range []struct {
		name  byte
		value string
	}{{0x04, path}, {0x01, "x"}, {0x0f, ""}} {
		if text.name == 0x0f { // content-type, number 31 as 15 and 16 more
			text.value = "application/proto"
			b = append(b, 0x0f, 0x10)
		} else {
			b = append(b, text.name)
		}
		b = append(append(b, byte(len(text.value))), text.value...)
	}
	return b
}

// h2Abuses are what a peer with a certificate can do to an HTTP/2 server. Each
// writes until it is cut off or told to end.
var h2Abuses = map[string]func(w io.Writer, path string, more func() bool) error{
	"endless headers": func(w io.Writer, path string, more func() bool) error {
		_, err := w.Write(h2Frame(h2Headers, 0, 1, h2Request(path)))
		for junk := make([]byte, 16<<10); err == nil && more(); {
			for i := range junk { // a header "a: b" again and again
				junk[i] = "\x00\x01a\x01b"[i%5]
			}
			_, err = w.Write(h2Frame(h2Continuation, 0, 1, junk[:len(junk)/5*5]))
		}
		return err
	},
	"rapid resets": func(w io.Writer, path string, more func() bool) (err error) {
		for stream := uint32(1); err == nil && more(); {
			var b []byte
			for range 100 {
				b = append(b, h2Frame(h2Headers, 4, stream, h2Request(path))...)
				b = append(b, h2Frame(h2Reset, 0, stream, []byte{0, 0, 0, 8})...)
				stream += 2
			}
			_, err = w.Write(b)
		}
		return err
	},
	"no window, no reading": func(w io.Writer, path string, more func() bool) error {
		_, err := w.Write(h2Frame(h2Settings, 0, 0, []byte{0, 4, 0, 0, 0, 0}))
		for stream := uint32(1); err == nil && more(); stream += 2 {
			_, err = w.Write(h2Frame(h2Headers, 4, stream, h2Request(path)))
			time.Sleep(time.Millisecond)
		}
		return err
	},
	"pings": func(w io.Writer, _ string, more func() bool) (err error) {
		for err == nil && more() {
			_, err = w.Write(h2Frame(h2Ping, 0, 0, make([]byte, 8)))
		}
		return err
	},
	"settings": func(w io.Writer, _ string, more func() bool) (err error) {
		for err == nil && more() {
			_, err = w.Write(h2Frame(h2Settings, 0, 0, []byte{0, 1, 0, 0, 0x10, 0, 0, 3, 0xff, 0xff, 0xff, 0xff}))
		}
		return err
	},
	"windows": func(w io.Writer, _ string, more func() bool) (err error) {
		for err == nil && more() {
			_, err = w.Write(h2Frame(h2Window, 0, 0, []byte{0, 0, 0, 1}))
		}
		return err
	},
	"huge frame": func(w io.Writer, _ string, _ func() bool) error {
		_, err := w.Write([]byte{0xff, 0xff, 0xff, h2Headers, 4, 0, 0, 0, 1})
		return err
	},
}

// TestHostileCertificates has the owner of one host, with its certificate, do to
// both sides what an HTTP/2 server can be done.
func TestHostileCertificates(t *testing.T) {
	l := newLone(t)
	owned := l.issue(t, "owned", "127.0.0.66")
	for _, s := range l.sides(t) {
		procedure, cfg := wire.AgentServiceGetProcedure, owned.ToAgents(nil)(netip.MustParseAddr("127.0.0.1"))
		if s.name == "monitor" {
			procedure, cfg = wire.MonitorServiceTrustProcedure, owned.ToMonitor()(netip.Addr{})
		}
		cfg.NextProtos = []string{wire.ProtoRPC}
		d := tls.Dialer{NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 66)}, Timeout: attackLate}, Config: cfg}
		s.endure(t, func() string {
			var cut, opened atomic.Int64
			var all sync.WaitGroup
			end := time.Now().Add(3 * time.Second)
			for _, abuse := range h2Abuses {
				for range 4 {
					all.Go(func() {
						for first := true; first || time.Now().Before(end); first = false {
							conn, err := d.DialContext(t.Context(), "tcp", s.at)
							if err != nil {
								continue // one of too many
							}
							opened.Add(1)
							_ = conn.SetDeadline(end.Add(attackLate))
							_, err = io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
							if err == nil {
								_, err = conn.Write(h2Frame(h2Settings, 0, 0, nil))
							}
							if err == nil {
								err = abuse(conn, procedure, func() bool { return time.Now().Before(end) })
							}
							if err != nil {
								cut.Add(1)
							}
							conn.Close()
							time.Sleep(10 * time.Millisecond)
						}
					})
				}
			}
			all.Wait()
			return fmt.Sprintf("%d connections with a certificate abused it, %d were cut off", opened.Load(), cut.Load())
		})
	}
}

// issue makes a host's certificate without a network, and returns what it proves
// itself with.
func (l *lone) issue(tb testing.TB, name, ip string) *ca.Credentials {
	tb.Helper()
	dir := tb.TempDir()
	l.dtc(tb, "issue", name, "--ip", ip, "--out", dir)
	l.dtc(tb, "reload")
	creds, err := ca.Load(filepath.Join(dir, "conf", "tls"), dtc.RoleAgent)
	if err != nil {
		tb.Fatal(err)
	}
	return creds
}
