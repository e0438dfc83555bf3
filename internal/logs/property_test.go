package logs

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dtc"
)

// crash leaves the store as kill -9 would: nothing is flushed, no mark is
// written, the page cache stays.
func (r *rig) crash() {
	r.mu.Lock()
	all := make([]*stream, 0, len(r.names))
	for _, st := range r.names {
		all = append(all, st)
	}
	r.mu.Unlock()
	for _, st := range all {
		st.mu.Lock()
		for st.syncing { // a syncer that is under way would have been killed too; let it end
			st.mu.Unlock()
			time.Sleep(time.Millisecond)
			st.mu.Lock()
		}
		st.drop()
		st.damage = os.ErrClosed // nobody loads it again
		st.mu.Unlock()
	}
	r.stop()
}

// sourceModel is a source, what its copy must be, and the agent between them.
type sourceModel struct {
	t      *rapid.T
	r      *rig
	a      *agent
	gens   []*sourceGeneration
	copy   []byte // what the data files must hold
	stream uint32
	gaps   int
	boot   int

	keep     [2]int64 // bytes that may be dropped behind, now and before; 0: none may be
	retained bool     // it was bounded
	touched  bool     // somebody else changed the copy
}

type sourceGeneration struct {
	content []byte // of the source
	start   int
	sent    int // position that the monitor must have
	sum     uint32
	broken  bool // the sum no longer counts
	sealed  bool
	chunks  []chunk // what of it the copy has, in order
}

type chunk struct{ source, n int }

func (m *sourceModel) identity(i int) string { return fmt.Sprintf("identity %d", i+1) }

func (m *sourceModel) grow(g *sourceGeneration) {
	n := rapid.IntRange(1, 6000).Draw(m.t, "bytes")
	b := make([]byte, n)
	seed := rapid.Uint64().Draw(m.t, "seed")
	for i := range b {
		seed = seed*6364136223846793005 + 1442695040888963407
		b[i] = byte(seed >> 56)
		if b[i] < 20 {
			b[i] = 0
		}
	}
	g.content = append(g.content, b...)
}

func (m *sourceModel) pick() (int, *sourceGeneration) {
	if len(m.gens) == 0 {
		m.t.Skip("no generation yet")
	}
	// The newest, or one of those that late writers may still write to.
	i := len(m.gens) - 1 - min(len(m.gens)-1, rapid.IntRange(0, 3).Draw(m.t, "back"))
	return i, m.gens[i]
}

// deliver sends bytes [from, to) of a generation, and the copy must take what
// is new of them.
func (m *sourceModel) deliver(i, from, to int) {
	g := m.gens[i]
	for at := from; at < to; {
		n := min(to-at, rapid.IntRange(1, 4000).Draw(m.t, "chunk"))
		at += m.send(i, at, to, n)
	}
	if to > g.sent {
		fresh := g.content[g.sent:to]
		m.copy = append(m.copy, fresh...)
		g.sum = crc32.Update(g.sum, castagnoli(), fresh)
		g.chunks = append(g.chunks, chunk{g.sent, len(fresh)})
		g.sent = to
		g.sealed = false
	}
	for {
		f := m.a.until(dtc.FrameAck)
		if f.Generation == uint64(i+1) && f.Offset == int64(g.sent) {
			return
		}
	}
}

func (m *sourceModel) connect() {
	m.a = m.r.connect(peerA)
	m.stream++
	states := m.a.attach(m.stream, "app.log")
	for _, s := range states {
		i := int(s.Generation) - 1
		g := m.gens[i]
		if s.Position < s.Durable || int(s.Position) > g.sent || int(s.Position) < g.start {
			m.t.Fatalf("generation %d: position %d durable %d, sent %d", s.Generation, s.Position, s.Durable, g.sent)
		}
		if int(s.Position) != g.sent {
			if m.boot == 0 {
				m.t.Fatalf("generation %d: position %d, sent %d, without a power loss", s.Generation, s.Position, g.sent)
			}
			// What was not durable comes again; the copy must be as it was.
			had := g.sent
			m.resend(i, int(s.Position), had)
			continue
		}
		m.compare(g, &s)
	}
	if len(states) < min(len(m.gens), 10) {
		m.t.Fatalf("%d states of %d generations", len(states), len(m.gens))
	}
}

func (m *sourceModel) resend(i, from, to int) {
	for at := from; at < to; {
		at += m.send(i, at, to, min(to-at, dtc.MaxChunk))
	}
	for {
		f := m.a.until(dtc.FrameAck)
		if f.Generation == uint64(i+1) && f.Offset == int64(to) {
			return
		}
	}
}

// compare compares the state with what the model knows.
func (m *sourceModel) compare(g *sourceGeneration, s *dtc.GenerationState) {
	if s.Sealed != g.sealed {
		m.t.Fatalf("generation %d: sealed %t, want %t", s.Generation, s.Sealed, g.sealed)
	}
	if !g.broken && s.Sum != g.sum {
		m.t.Fatalf("generation %d: sum %08x, want %08x", s.Generation, s.Sum, g.sum)
	}
	if s.MarkerLen > 0 {
		if want := hash(g.content[g.sent-s.MarkerLen : g.sent]); s.Marker != want {
			m.t.Fatalf("generation %d: marker of %d bytes before %d is wrong", s.Generation, s.MarkerLen, g.sent)
		}
	} else if g.sent > g.start && !g.broken && !m.touched {
		m.t.Fatalf("generation %d: no marker at %d", s.Generation, g.sent)
	}
	if s.HeadLen > 0 {
		if want := hash(g.content[g.start : g.start+s.HeadLen]); s.Head != want {
			m.t.Fatalf("generation %d: head of %d bytes is wrong", s.Generation, s.HeadLen)
		}
	}
	// A head of which a part was dropped before it was whole stays as it was.
	if want := min(g.sent-g.start, dtc.HeadSize); !g.broken && !m.touched && !m.retained && s.HeadLen != want {
		m.t.Fatalf("generation %d: head of %d bytes, want %d", s.Generation, s.HeadLen, want)
	}
}

func (m *sourceModel) check() {
	if len(m.copy) == 0 {
		return
	}
	got := []byte(m.r.whole("app.log"))
	gone := len(m.copy) - len(got)
	if gone > 0 && m.mayDrop(int64(len(got))) {
		m.copy = m.copy[gone:]
	}
	if !bytes.Equal(got, m.copy) {
		at := 0
		for at < min(len(got), len(m.copy)) && got[at] == m.copy[at] {
			at++
		}
		m.t.Fatalf("copy of %d bytes, want %d, differs at %d", len(got), len(m.copy), at)
	}
}

// mayDrop tells whether retention may have left so many bytes.
func (m *sourceModel) mayDrop(left int64) bool {
	return slices.ContainsFunc(m.keep[:], func(keep int64) bool { return keep > 0 && left >= keep })
}

// retain changes how much is kept.
func (m *sourceModel) retain() {
	m.keep[1], m.retained = m.keep[0], true
	m.keep[0] = rapid.SampledFrom([]int64{0, 1, 9000, 40_000}).Draw(m.t, "keep")
	m.setRetention()
	m.r.stream("app.log").retain(time.Now())
	if n := len(m.r.segments("app.log")); n > maxSegments {
		m.t.Fatalf("%d segments", n)
	}
}

func (m *sourceModel) setRetention() {
	if m.keep != [2]int64{} {
		m.r.keep(Retention{Size: m.keep[0]})
	}
}

// read compares what a reader gives with the copy.
func (m *sourceModel) read() {
	st := m.r.stream("app.log")
	st.lookAtSegments()
	st.retain(time.Now()) // nothing is dropped meanwhile
	m.check()
	if got := readAll(m.r.t, m.r.dir, Query{Lines: -1, Bytes: true}); got != string(m.copy) {
		m.t.Fatalf("%d bytes are read of %d", len(got), len(m.copy))
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &sourceModel{t: rt}
		dir := t.TempDir()
		sync := rapid.SampledFrom([]time.Duration{time.Millisecond, time.Hour}).Draw(rt, "sync")
		m.r = openRig(t, dir, func(o *Options) { o.SyncEvery, o.Boot, o.minSegment = sync, "boot 0", 3000 })
		defer func() { m.a.close(); m.r.stop() }()
		m.connect()
		m.open()
		rt.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) { m.check() },
			"open": func(rt *rapid.T) {
				m.t = rt
				m.open()
			},
			"append": func(rt *rapid.T) {
				m.t = rt
				i, g := m.pick()
				m.grow(g)
				m.deliver(i, g.sent, len(g.content))
			},
			"hole": func(rt *rapid.T) {
				m.t = rt
				i, g := m.pick()
				g.content = append(g.content, make([]byte, rapid.IntRange(1, 30_000).Draw(rt, "zeros"))...)
				if rapid.Bool().Draw(rt, "more") {
					m.grow(g)
				}
				m.deliver(i, g.sent, len(g.content))
			},
			"lost": func(rt *rapid.T) {
				m.t = rt
				i, g := m.pick()
				f := m.a.frame(dtc.FrameLost, m.stream, uint64(i+1))
				f.Offset, f.End, f.Text = int64(g.sent), int64(g.sent+1), "lost"
				m.a.send(f)
				m.a.ping()
			},
			"append 2": func(rt *rapid.T) {
				m.t = rt
				i := len(m.gens) - 1
				m.grow(m.gens[i])
				m.deliver(i, m.gens[i].sent, len(m.gens[i].content))
			},
			"again": func(rt *rapid.T) {
				m.t = rt
				i, g := m.pick()
				from := rapid.IntRange(g.start, g.sent).Draw(rt, "from")
				if rapid.Bool().Draw(rt, "more") {
					m.grow(g)
				}
				if from < len(g.content) {
					m.deliver(i, from, len(g.content))
				}
			},
			"ahead": func(rt *rapid.T) {
				m.t = rt
				i, g := m.pick()
				m.a.append(m.stream, uint64(i+1), g.sent+rapid.IntRange(1, 9).Draw(rt, "skip"), "never")
				if f := m.a.until(dtc.FrameNack); f.Generation != uint64(i+1) || f.Offset != int64(g.sent) {
					rt.Fatalf("nack %+v, want %d", f, g.sent)
				}
				if len(g.content) == g.sent {
					m.grow(g)
				}
				m.deliver(i, g.sent, len(g.content))
			},
			"seal":   func(rt *rapid.T) { m.t = rt; m.seal() },
			"gap":    func(rt *rapid.T) { m.t = rt; m.gap() },
			"rewind": func(rt *rapid.T) { m.t = rt; m.rewind() },
			"reconnect": func(rt *rapid.T) {
				m.t = rt
				m.a.close()
				m.connect()
			},
			"restart": func(rt *rapid.T) {
				m.t = rt
				m.a.close()
				m.r = m.r.reopen()
				m.setRetention()
				m.connect()
			},
			"kill": func(rt *rapid.T) {
				m.t = rt
				m.a.close()
				m.r.crash()
				m.r = m.r.again()
				m.setRetention()
				m.connect()
			},
			"power loss": func(rt *rapid.T) { m.t = rt; m.powerLoss(dir) },
			"foreign":    func(rt *rapid.T) { m.t = rt; m.foreign() },
			"compact":    func(rt *rapid.T) { m.t = rt; m.compact() },
			"unload":     func(rt *rapid.T) { m.t = rt; m.unload() },
			"retain":     func(rt *rapid.T) { m.t = rt; m.retain() },
			"read":       func(rt *rapid.T) { m.t = rt; m.read() },
		})
	})
}

// foreign changes the copy, and has the agent go on.
func (m *sourceModel) foreign() {
	path := m.r.path("app.log")
	if len(m.copy) == 0 {
		m.t.Skip("no copy yet")
	}
	st := m.r.stream("app.log")
	st.retain(time.Now()) // nothing is closed or dropped meanwhile
	m.check()
	m.touched = true
	closed := m.r.segments("app.log")
	if len(closed) > 0 && rapid.Bool().Draw(m.t, "of a segment") {
		path = m.r.path(rapid.SampledFrom(closed).Draw(m.t, "segment"))
	}
	was, err := os.ReadFile(path)
	check(m.t, err)
	switch rapid.IntRange(0, 3).Draw(m.t, "change") {
	case 0:
		if len(was) > 0 {
			check(m.t, os.Truncate(path, rapid.Int64Range(0, int64(len(was))-1).Draw(m.t, "cut to")))
		}
	case 1:
		addTo(m.t, path, "junk")
	case 2:
		check(m.t, os.Remove(path))
	case 3:
		check(m.t, os.WriteFile(path+".new", append(was, "more"...), 0o640))
		check(m.t, os.Rename(path+".new", path))
	}
	m.copy = []byte(m.r.whole("app.log"))
	i, g := m.pick()
	m.grow(g)
	m.deliver(i, g.sent, len(g.content))
}

func (m *sourceModel) open() {
	i := len(m.gens)
	g := &sourceGeneration{}
	if i == 0 && rapid.Bool().Draw(m.t, "from end") {
		m.grow(g)
		g.start, g.sent = len(g.content), len(g.content)
	}
	m.gens = append(m.gens, g)
	f := m.a.frame(dtc.FrameOpen, m.stream, uint64(i+1))
	f.Data, f.Offset = []byte(m.identity(i)), int64(g.start)
	m.a.send(f)
	m.a.send(f) // the same again is no error
	m.a.ping()
}

func (m *sourceModel) seal() {
	i, g := m.pick()
	f := m.a.frame(dtc.FrameSeal, m.stream, uint64(i+1))
	f.End, f.Sum = int64(g.sent), g.sum
	m.a.send(f)
	m.a.ping()
	g.sealed = true
}

func (m *sourceModel) gap() {
	i, g := m.pick()
	f := m.a.frame(dtc.FrameGap, m.stream, uint64(i+1))
	m.gaps++
	f.Offset, f.Text = int64(g.sent), fmt.Sprintf("gap %d", m.gaps)
	if rapid.Bool().Draw(m.t, "end known") {
		m.grow(g)
		g.broken, g.sealed = true, true
		g.sent = len(g.content)
		f.End = int64(g.sent)
		m.a.send(f)
		m.a.ping()
		return
	}
	g.sealed = true
	f.End = dtc.Absent
	m.a.send(f)
	m.a.ping()
}

func (m *sourceModel) rewind() {
	i, g := m.pick()
	to := rapid.IntRange(g.start, g.sent).Draw(m.t, "to")
	if to == g.sent {
		return
	}
	f := m.a.frame(dtc.FrameRewind, m.stream, uint64(i+1))
	f.Offset, f.Text = int64(to), "rewound"
	m.a.send(f)
	m.a.ping()
	g.content = slices.Clone(g.content[:to])
	g.sent, g.broken, g.sealed = to, true, false
}

// powerLoss restarts the monitor in another boot, with whatever a disk may
// have in the place of what was not synced.
func (m *sourceModel) powerLoss(dir string) {
	m.a.close()
	m.r.crash()
	b, err := os.ReadFile(filepath.Join(dir, "10.0.0.7", sideName("app.log")))
	if err != nil {
		m.t.Fatal(err)
	}
	s, err := parseSide(b, withoutArrivals)
	if err != nil {
		m.t.Fatal(err)
	}
	safe := (&replica{model: s.model, durable: s.durable}).safe().physical
	if st, err := os.Stat(m.r.path("app.log")); err == nil && st.Size() > safe {
		m.spoil(safe, st.Size())
	}
	m.boot++
	m.r = m.r.again(func(o *Options) { o.Boot = fmt.Sprintf("boot %d", m.boot) })
	m.setRetention()
	m.connect()
}

func (m *sourceModel) spoil(safe, size int64) {
	path := m.r.path("app.log")
	b, err := os.ReadFile(path)
	if err != nil {
		m.t.Fatal(err)
	}
	at := rapid.Int64Range(safe, size).Draw(m.t, "spoilt from")
	switch rapid.IntRange(0, 3).Draw(m.t, "how") {
	case 0: // nothing is wrong
	case 1:
		b = b[:at]
	case 2:
		clear(b[at:])
	case 3:
		for i := range b[at:] {
			b[at+int64(i)] ^= 0x55
		}
	}
	// In place, as the file system would have left it.
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, 0); err != nil {
		m.t.Fatal(err)
	}
	if err := f.Truncate(int64(len(b))); err != nil {
		m.t.Fatal(err)
	}
}

func (m *sourceModel) compact() { check(m.t, m.r.compact("app.log")) }

func (m *sourceModel) unload() {
	st := m.r.stream("app.log")
	st.mu.Lock()
	defer st.mu.Unlock()
	st.release()
}
