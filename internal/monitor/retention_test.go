package monitor

import (
	"bytes"
	"hash/crc32"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dtc"
	"dtc/internal/config"
	"dtc/internal/wire"
)

// shipper is an agent that ships one stream.
type shipper struct {
	t     *testing.T
	link  *wire.Link
	epoch uint64
	at    int64
}

func (a *agent) ship(to netip.AddrPort, alias string) *shipper {
	a.f.t.Helper()
	s := &shipper{t: a.f.t, link: wire.NewLink(a.logLink(to))}
	s.send(&dtc.Frame{Kind: dtc.FrameHello, ID: 1, Text: "boot"})
	s.until(dtc.FrameReady)
	s.send(&dtc.Frame{Kind: dtc.FrameAttach, Stream: 1, Text: alias})
	f := s.until(dtc.FrameState)
	s.epoch = f.Epoch
	if len(f.States) > 0 {
		s.at = f.States[0].Position
	} else {
		s.send(&dtc.Frame{Kind: dtc.FrameOpen, Stream: 1, Epoch: s.epoch, Generation: 1, Data: []byte("one")})
	}
	return s
}

func (s *shipper) send(f *dtc.Frame) {
	s.t.Helper()
	if err := s.link.Send(f); err != nil {
		s.t.Fatal(err)
	}
	if err := s.link.Flush(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shipper) until(kind dtc.FrameKind) dtc.Frame {
	s.t.Helper()
	var f dtc.Frame
	for f.Kind != kind {
		if err := s.link.Recv(&f); err != nil {
			s.t.Fatal(err)
		}
	}
	return f
}

// more ships n bytes more.
func (s *shipper) more(n int) {
	s.t.Helper()
	b := bytes.Repeat([]byte("a line of text\n"), dtc.MaxChunk/15)
	for n > 0 {
		b = b[:min(n, len(b))]
		s.send(&dtc.Frame{
			Kind: dtc.FrameAppend, Stream: 1, Epoch: s.epoch, Generation: 1, Offset: s.at, Data: b,
			Sum: crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)),
		})
		n, s.at = n-len(b), s.at+int64(len(b))
	}
	for s.until(dtc.FrameAck).Offset < s.at {
	}
}

// kept returns how many bytes of a copy there are, and in how many files.
func (f *fleetHome) kept(folder, alias string) (size int64, files int) {
	f.t.Helper()
	closed, err := filepath.Glob(filepath.Join(f.dir, "logs", folder, "."+alias+".[0-9]*"))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, name := range append(closed, filepath.Join(f.dir, "logs", folder, alias)) {
		if st, err := os.Stat(name); err == nil {
			size, files = size+st.Size(), files+1
		}
	}
	return size, files
}

// What the configuration says of how much is kept counts from a reload on, and
// no more when it is taken out again.
func TestRetention(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11))
	at := freePort(t, loopback(1))
	cfg := config.Monitor{LocalHost: at, Hosts: []config.Host{a.host()}}
	f.set(cfg)
	m := f.start(PartLog)
	s := a.ship(at, "app.log")
	s.more(3 << 20)
	if size, files := f.kept("127.0.0.11", "app.log"); size != 3<<20 || files != 1 {
		t.Fatalf("%d bytes in %d files", size, files)
	}
	bounded := a.host()
	bounded.Retention = []config.Retention{{Size: 1 << 40, Alias: "other"}, {Size: 1e6}}
	cfg.Hosts = []config.Host{bounded}
	cfg.Retention = []config.Retention{{Size: 1 << 50}}
	f.set(cfg)
	if err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.eventually("the file to be closed", func() bool { _, files := f.kept("127.0.0.11", "app.log"); return files == 2 })
	s.more(3 << 20)
	f.eventually("what is old to be dropped", func() bool { size, _ := f.kept("127.0.0.11", "app.log"); return size < 2e6 })
	if size, _ := f.kept("127.0.0.11", "app.log"); size < 1e6 {
		t.Fatalf("%d bytes are left", size)
	}
	f.set(config.Monitor{LocalHost: at, Hosts: []config.Host{a.host()}})
	if err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	before, files := f.kept("127.0.0.11", "app.log")
	s.more(3 << 20)
	if size, n := f.kept("127.0.0.11", "app.log"); size != before+3<<20 || n != files {
		t.Fatalf("%d bytes in %d files, were %d in %d", size, n, before, files)
	}
	if told := f.told("web1"); len(told) > 0 {
		t.Fatalf("told %v", told)
	}
}

// A stream is its agent's host's, wherever its folder is.
func TestStreamHosts(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a, b := f.newAgent("web1", loopback(11)), f.newAgent("web2", loopback(12))
	cfg := config.Monitor{Hosts: []config.Host{a.host(), b.host()}}
	for i := range cfg.Hosts {
		cfg.Hosts[i].Retention = []config.Retention{{Age: time.Duration(i+1) * time.Hour}}
	}
	m := f.start()
	hosts := m.streamHosts(&cfg)
	ids := map[string]string{}
	for _, r := range m.authority.Issued() {
		ids[r.Name] = r.ID
	}
	for _, c := range []struct {
		folder, peer string
		want         time.Duration
	}{
		{"127.0.0.11", ids["web1"], time.Hour},
		{"127.0.0.99", ids["web1"], time.Hour},
		{"127.0.0.11", ids["web2"], 2 * time.Hour},
		{"127.0.0.12", "gone", 2 * time.Hour},
		{"127.0.0.99", "gone", 0},
	} {
		var got time.Duration
		if own := hosts.of(c.folder, c.peer); len(own) > 0 {
			got = own[0].Age
		}
		if got != c.want {
			t.Errorf("%s of %s: %v, want %v", c.folder, c.peer, got, c.want)
		}
	}
}
