package logs

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestKillRetaining is TestKill with a copy that is closed and dropped all the
// time: what is kept must be there once and in order, and nothing else dropped.
func TestKillRetaining(t *testing.T) {
	const kills, keep = 200, 128 << 10
	base := t.TempDir()
	dir := filepath.Join(base, "logs")
	rng := rand.New(rand.NewPCG(2, uint64(time.Now().UnixNano())))
	l := &ledger{alias: "app.log"}
	deadline := time.Now().Add(60 * time.Second)
	n := 0
	for ; n < kills && time.Now().Before(deadline); n++ {
		v := startVictim(t, dir, keepEnv+"=131072")
		var wg sync.WaitGroup
		wg.Go(func() { l.session(t, v.addr, rand.New(rand.NewPCG(uint64(n), 7))) })
		time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond)
		v.kill(t)
		wg.Wait()
		if t.Failed() {
			t.Fatalf("after %d kills", n+1)
		}
		if n%20 == 0 {
			l.verifyKept(t, dir, keep)
		}
	}
	l.verifyKept(t, dir, keep)
	if b, err := os.ReadFile(filepath.Join(base, "events")); err == nil && len(b) > 0 {
		t.Fatalf("events of a monitor that was only killed:\n%s", b)
	}
	var total int64
	for _, n := range l.sent {
		total += n
	}
	t.Logf("%d kills, %d generations, %d bytes", n, len(l.sent), total)
}

// verifyKept compares what is kept of the copy with the ledger, and with what a
// reader gives.
func (l *ledger) verifyKept(tb testing.TB, dir string, keep int64) {
	tb.Helper()
	read := readAll(tb, dir, Query{Lines: -1, Bytes: true})
	s, err := OpenStore(dir, Options{FreeFloorPercent: -1})
	check(tb, err)
	defer s.Close()
	st := s.streams[ownerKey{peerA.ID, fold(l.alias)}]
	if st == nil {
		return // killed before it was made
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	c, err := st.open()
	check(tb, err)
	check(tb, c.removeDoomed()) // what a kill left
	next := map[uint64]int64{}
	for _, d := range c.drops {
		next[d.generation] = d.to
	}
	var want bytes.Buffer
	for i, x := range c.extents {
		end := c.length
		if i+1 < len(c.extents) {
			end = c.extents[i+1].base
		}
		if _, ok := next[x.generation]; !ok && c.find(x.generation).start == x.source {
			next[x.generation] = x.source
		}
		if x.source != next[x.generation] || !c.keeps(x.file) {
			tb.Fatalf("extent %d of generation %d begins at %d in file %d, want %d", i, x.generation, x.source, x.file, next[x.generation])
		}
		want.Write(l.bytes(int(x.generation), x.source, end-x.base))
		next[x.generation] += end - x.base
	}
	if c.dropped > 0 && int64(want.Len()) < keep {
		tb.Fatalf("only %d bytes are kept", want.Len())
	}
	if len(c.segments) > 20 {
		tb.Fatalf("%d segments", len(c.segments))
	}
	if read != want.String() {
		at := 0
		for at < min(len(read), want.Len()) && read[at] == want.Bytes()[at] {
			at++
		}
		tb.Fatalf("%d bytes are read, %d are kept; they differ at %d", len(read), want.Len(), at)
	}
	files, err := os.ReadDir(filepath.Join(dir, "10.0.0.7"))
	check(tb, err)
	n := 0
	for _, f := range files {
		if _, _, ok := segmentOf(f.Name()); ok {
			n++
		} else if f.Name() != l.alias && f.Name() != sideName(l.alias) && !strings.HasSuffix(f.Name(), ".tmp") {
			tb.Errorf("a file %s", f.Name())
		}
	}
	if n != len(c.segments) {
		tb.Fatalf("%d segments are there, %d are known", n, len(c.segments))
	}
	for i, n := range l.sent {
		g := c.find(uint64(i + 1))
		if g != nil && g.position < n {
			tb.Fatalf("generation %d has %d bytes, acknowledged were %d", i+1, g.position, n)
		}
	}
}
