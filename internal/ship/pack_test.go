package ship

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"dtc"
)

// narrow is a connection over a link that takes few bytes a second.
type narrow struct {
	net.Conn
	rate float64 // bytes a second
	sent *atomic.Int64
}

func (n *narrow) Write(b []byte) (int, error) {
	time.Sleep(time.Duration(float64(len(b)) / n.rate * float64(time.Second)))
	n.sent.Add(int64(len(b)))
	return n.Conn.Write(b)
}

// TestPackedWhenSlow compresses on a slow link only, and only what can be
// compressed; the copy is exact in any case.
func TestPackedWhenSlow(t *testing.T) {
	lines := []byte{}
	for i := range 200_000 {
		lines = fmt.Appendf(lines, "2026-11-22T07:15:01Z level=INFO request=%d served\n", i)
	}
	for name, c := range map[string]struct {
		rate     float64
		content  []byte
		low, top float64 // of what is sent, as a part of the content
	}{
		"slow, lines": {16 << 20, lines, 0.05, 0.6},
		"slow, noise": {32 << 20, noise(8 << 20), 1, 1.1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, File{Path: "app.log", Alias: "app.log"})
			var sent atomic.Int64
			w.wrap = func(conn net.Conn) net.Conn { return &narrow{conn, c.rate, &sent} }
			if err := os.WriteFile(w.path("app.log"), c.content, 0o600); err != nil {
				t.Fatal(err)
			}
			w.start()
			w.up()
			w.wait("app.log", c.content)
			if part := float64(sent.Load()) / float64(len(c.content)); part < c.low || part > c.top {
				t.Errorf("%.2f of the bytes were sent, wanted %.2f to %.2f", part, c.low, c.top)
			}
		})
	}
}

// An encoder that is not used is let go, and what cannot be packed is not.
func TestPackerRests(t *testing.T) {
	var p packer
	now := time.Now()
	if b := p.pack(bytes.Repeat([]byte("line\n"), 1000), now); len(b) == 0 || len(b) > 500 {
		t.Fatalf("5000 bytes were packed to %d", len(b))
	}
	if b := p.pack(noise(dtc.MaxChunk), now); b != nil {
		t.Fatalf("noise was packed to %d bytes", len(b))
	}
	p.rest(now.Add(packKeep))
	if p.encoder == nil {
		t.Fatal("the encoder was let go too early")
	}
	p.rest(now.Add(packKeep + time.Second))
	if p.encoder != nil {
		t.Fatal("the encoder was kept")
	}
}

// A verdict needs a full link: a burst into an empty one says that it is fast.
func TestMeter(t *testing.T) {
	var m meter
	for range 10 {
		m.count(20*time.Millisecond, 64<<10)
	}
	if !m.slow {
		t.Error("3 MiB/s are not found slow")
	}
	for range 300 {
		m.count(100*time.Microsecond, dtc.MaxChunk)
	}
	if m.slow {
		t.Error("2.5 GiB/s are found slow")
	}
}
