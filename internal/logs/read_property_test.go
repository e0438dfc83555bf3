package logs

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dtc"
)

// readModel is a stream, what its copy must be, and the marks that belong
// between its bytes.
type readModel struct {
	t    *rapid.T
	r    *rig
	a    *agent
	gens []*modelGeneration
	runs []run  // as the extents must be
	copy []byte // the bytes that the stream has had
	keep int64  // retention
	lost []lostEntry
}

type modelGeneration struct {
	start int
	sent  int  // position
	lost  bool // it ended by a gap without an end
	over  bool // it did once
}

// run is a stretch of one generation in the copy.
type run struct {
	generation, source, at int
	n                      int
}

func (m *readModel) frame(kind dtc.FrameKind, i int) dtc.Frame {
	return m.a.frame(kind, 1, uint64(i+1))
}

func (m *readModel) connect() {
	m.a = m.r.connect(peerA)
	m.a.attach(1, "app.log")
}

func (m *readModel) pick() (int, *modelGeneration) {
	if len(m.gens) == 0 {
		m.open()
	}
	i := len(m.gens) - 1 - min(len(m.gens)-1, rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(m.t, "back"))
	return i, m.gens[i]
}

func (m *readModel) open() {
	g := &modelGeneration{}
	if len(m.gens) == 0 && rapid.Bool().Draw(m.t, "from end") {
		g.start, g.sent = 77, 77
	}
	m.gens = append(m.gens, g)
	f := m.frame(dtc.FrameOpen, len(m.gens)-1)
	f.Data, f.Offset = fmt.Append(nil, len(m.gens)), int64(g.sent)
	m.a.send(f)
	m.a.ping()
}

// switchTo begins a run as the store does.
func (m *readModel) switchTo(i, source int) {
	m.runs = append(m.runs, run{generation: i + 1, source: source, at: len(m.copy)})
}

func (m *readModel) append() {
	i, g := m.pick()
	var b []byte
	for range rapid.IntRange(1, 4).Draw(m.t, "pieces") {
		switch rapid.IntRange(0, 5).Draw(m.t, "piece") {
		case 0:
			b = append(b, make([]byte, rapid.SampledFrom([]int{1, 9, minZeros - 1, minZeros, 70_000, 200_000}).Draw(m.t, "zeros"))...)
		case 1:
			b = append(b, "half a li"...)
		case 2:
			b = append(b, bytes.Repeat([]byte("long "), rapid.IntRange(1, 30_000).Draw(m.t, "long"))...)
		default:
			b = fmt.Appendf(b, "line %d of %d\n", g.sent+len(b), i+1)
		}
	}
	for at := 0; at < len(b); at += dtc.MaxChunk {
		m.a.append(1, uint64(i+1), g.sent+at, string(b[at:min(at+dtc.MaxChunk, len(b))]))
	}
	m.a.ping()
	if n := len(m.runs); n == 0 || m.runs[n-1].generation != i+1 {
		m.switchTo(i, g.sent)
	}
	m.runs[len(m.runs)-1].n += len(b)
	m.copy = append(m.copy, b...)
	g.sent += len(b)
	g.lost = false
	m.dropped()
}

// dropped has retention drop what it may, and returns up to where it did.
func (m *readModel) dropped() int {
	st := m.r.stream("app.log")
	st.retain(time.Now())
	st.mu.Lock()
	defer st.mu.Unlock()
	c, err := st.open()
	if err != nil {
		return 0
	}
	return int(c.dropped)
}

func (m *readModel) gap() {
	i, g := m.pick()
	if g.over {
		return // no agent tells of more
	}
	f := m.frame(dtc.FrameGap, i)
	f.Offset, f.End, f.Text = int64(g.sent), dtc.Absent, "gap"
	if rapid.Bool().Draw(m.t, "end") {
		g.sent += rapid.IntRange(1, 99).Draw(m.t, "lost")
		f.End, g.lost = int64(g.sent), false
		m.switchTo(i, g.sent)
	} else {
		g.lost, g.over = true, true
	}
	m.a.send(f)
	m.a.ping()
}

func (m *readModel) lose() {
	if len(m.runs) == 0 {
		return
	}
	i, g := m.pick()
	e := lostEntry{int64(len(m.copy)), uint64(i + 1), int64(g.sent), int64(g.sent + rapid.IntRange(1, 99).Draw(m.t, "lost"))}
	if slices.ContainsFunc(m.lost, func(o lostEntry) bool { return o.generation == e.generation && o.from == e.from && o.to == e.to }) {
		return
	}
	m.lost = append(m.lost, e)
	f := m.frame(dtc.FrameLost, i)
	f.Offset, f.End, f.Text = e.from, e.to, "lost"
	m.a.send(f)
	m.a.ping()
}

func (m *readModel) rewind() {
	i, g := m.pick()
	if g.sent <= g.start+1 {
		return
	}
	f := m.frame(dtc.FrameRewind, i)
	g.sent = rapid.IntRange(g.start, g.sent-1).Draw(m.t, "to")
	g.lost = false
	f.Offset, f.Text = int64(g.sent), "rewound"
	m.a.send(f)
	m.a.ping()
	m.switchTo(i, g.sent)
}

func (m *readModel) restart() {
	m.a.close()
	m.r = m.r.reopen()
	m.r.keep(Retention{Size: m.keep})
	m.connect()
}

// marks returns the marks that belong before the bytes at a position, as text.
func (m *readModel) marks(at int) (out []string) {
	for _, l := range m.lost {
		if int(l.base) == at {
			out = append(out, fmt.Sprint(l.mark()))
		}
	}
	ends := map[int]int{}
	dropped := m.dropped()
	for i, x := range m.runs {
		end, known := ends[x.generation]
		if ends[x.generation] = x.source + x.n; dropped > 0 && i+1 < len(m.runs) && m.runs[i+1].at <= dropped {
			ends[x.generation] = max(end, x.source+x.n) // what is dropped is known up to where it came, at most
		}
		if known && x.at >= dropped && m.droppedWith(x.generation, i, dropped) {
			end = min(end, x.source)
		}
		if x.at != at || i == 0 {
			continue
		}
		before := m.runs[i-1].generation
		if before != x.generation && m.gens[before-1].lost && !slices.ContainsFunc(m.runs[i:], func(x run) bool { return x.generation == before }) {
			out = append(out, fmt.Sprint(Mark{Kind: MarkLost, Generation: uint64(before), From: int64(m.gens[before-1].sent), To: -1}))
		}
		mark := Mark{Generation: uint64(x.generation), From: int64(end), To: int64(x.source)}
		switch {
		case !known:
			if start := m.gens[x.generation-1].start; x.source > start && dropped > 0 {
				// Whether its start was dropped is not known for sure.
				out = append(out, fmt.Sprint(Mark{Kind: MarkEarlier, Generation: mark.Generation, From: int64(x.source)}))
				continue
			} else if x.source > start {
				mark.Kind, mark.From = MarkLost, int64(start)
				out = append(out, fmt.Sprint(mark))
			}
			out = append(out, fmt.Sprint(Mark{Kind: MarkFile, Generation: mark.Generation, From: int64(x.source)}))
			continue
		case x.source > end:
			mark.Kind = MarkLost
			out = append(out, fmt.Sprint(mark))
		case x.source < end:
			mark.Kind = MarkRewound
			out = append(out, fmt.Sprint(mark))
		}
		if before != x.generation {
			out = append(out, fmt.Sprint(Mark{Kind: MarkEarlier, Generation: mark.Generation, From: int64(x.source)}))
		}
	}
	return out
}

// droppedWith tells whether all that a run's generation had before it was
// dropped.
func (m *readModel) droppedWith(generation, i, dropped int) bool {
	for j := i - 1; j >= 0; j-- {
		if x := m.runs[j]; x.generation == generation {
			return dropped > 0 && m.runs[j+1].at <= dropped
		}
	}
	return false
}

// check compares what a reading from a position on gave with the copy, and the
// marks between with those that belong there.
func (m *readModel) check(from int, lines []Line) (to int) {
	at := from
	if len(lines) > 0 && lines[0].Mark != nil && lines[0].Mark.Kind == MarkDropped {
		at += int(lines[0].Mark.Bytes)
		from, lines = at, lines[1:]
		if at != m.dropped() {
			m.t.Fatalf("it begins at %d, dropped was up to %d", at, m.dropped())
		}
	}
	var had []string
	flush := func() {
		if at == m.dropped() && at > 0 {
			had = nil // what stood before is not remembered
			return
		}
		if want := m.marks(at); fmt.Sprint(had) != fmt.Sprint(want) {
			m.t.Fatalf("marks at %d: %v, want %v; runs %v", at, had, want, m.runs)
		}
		had = nil
	}
	if at < len(m.copy) && len(lines) > 0 && lines[0].Mark == nil {
		flush()
	}
	for _, l := range lines {
		var piece []byte
		switch {
		case l.Mark == nil:
			piece = l.Text
		case l.Mark.Kind == MarkZeros || l.Mark.Kind == MarkHole:
			piece = make([]byte, l.Mark.Bytes)
		default:
			had = append(had, fmt.Sprint(*l.Mark))
			if n := len(had); l.Mark.Kind == MarkFile && l.Mark.From > int64(m.gens[l.Mark.Generation-1].start) && m.dropped() > 0 {
				had = append(had[:n-2], fmt.Sprint(Mark{Kind: MarkEarlier, Generation: l.Mark.Generation, From: l.Mark.From}))
			}
			continue
		}
		if at > from {
			if len(had) > 0 || len(m.marks(at)) > 0 {
				flush()
			}
		} else {
			flush()
		}
		if at+len(piece) > len(m.copy) || !bytes.Equal(piece, m.copy[at:at+len(piece)]) {
			m.t.Fatalf("at %d: %.60q, which is not what the copy has: %.60q", at, piece, m.copy[at:min(at+60, len(m.copy))])
		}
		for i := at + 1; i < at+len(piece); i++ {
			if len(m.marks(i)) > 0 && i < at+len(piece) {
				m.t.Fatalf("the mark at %d is missing in [%d, %d)", i, at, at+len(piece))
			}
			if next := m.nextRun(i); next > i {
				i = min(next, at+len(piece)) - 1
			}
		}
		at += len(piece)
	}
	return at
}

func (m *readModel) nextRun(at int) int {
	next := len(m.copy) + 1
	for _, x := range m.runs {
		if x.at > at {
			next = x.at
			break
		}
	}
	for _, l := range m.lost {
		if int(l.base) > at {
			next = min(next, int(l.base))
		}
	}
	return next
}

// read reads with a query, and keeps the lines.
func (m *readModel) read(q Query) (lines []Line, reached Place) {
	q.Reached = func(p Place) error { reached = p; return nil }
	err := Read(m.r.t.Context(), m.r.dir, q, func(l Line) error {
		l.Text = bytes.Clone(l.Text)
		lines = append(lines, l)
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return lines, reached
}

var appLog = Target{"10.0.0.7", "app.log"}

// TestReadModel reads what random sequences of appends, new generations, late
// writers, gaps and rewinds make of a copy: the text is the copy's, byte for
// byte, the marks stand in their places, and whoever goes on at any position
// misses nothing and gets nothing twice.
func TestReadModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &readModel{t: rt}
		m.r = openRig(t, t.TempDir(), func(o *Options) { o.SyncEvery, o.minSegment = time.Hour, 3000 })
		m.keep = rapid.SampledFrom([]int64{0, 600_000, 1 << 30}).Draw(rt, "keep")
		m.r.keep(Retention{Size: m.keep})
		defer func() { m.a.close(); m.r.stop() }()
		m.connect()
		cursor, cursorAt := Place{Target: appLog}, 0
		rt.Repeat(map[string]func(*rapid.T){
			"append":  func(rt *rapid.T) { m.t = rt; m.append() },
			"append2": func(rt *rapid.T) { m.t = rt; m.append() },
			"open":    func(rt *rapid.T) { m.t = rt; m.open() },
			"gap":     func(rt *rapid.T) { m.t = rt; m.gap() },
			"rewind":  func(rt *rapid.T) { m.t = rt; m.rewind() },
			"lose":    func(rt *rapid.T) { m.t = rt; m.lose() },
			"restart": func(rt *rapid.T) { m.t = rt; m.restart() },
			"read": func(rt *rapid.T) {
				m.t = rt
				lines, reached := m.read(Query{Lines: -1, Marks: true})
				if to := m.check(0, lines); to != len(m.copy) || len(lines) > 0 && int(reached.Position) != to {
					rt.Fatalf("it came to %d (%d), not to %d", to, reached.Position, len(m.copy))
				}
			},
			"from": func(rt *rapid.T) {
				m.t = rt
				if len(m.copy) == 0 {
					return
				}
				from := rapid.IntRange(m.dropped(), len(m.copy)).Draw(rt, "from")
				begin := map[Target]Place{appLog: {Target: appLog, Position: int64(from)}}
				lines, _ := m.read(Query{Begin: begin, Marks: true, Strict: true})
				if to := m.check(from, lines); to != len(m.copy) {
					rt.Fatalf("from %d it came to %d, not to %d", from, to, len(m.copy))
				}
				lines, reached := m.read(Query{Begin: begin, Bytes: true, Strict: true})
				var raw []byte
				for _, l := range lines {
					raw = append(raw, l.Text...)
				}
				if !bytes.Equal(raw, m.copy[from:]) || int(reached.Position) != len(m.copy) {
					rt.Fatalf("raw from %d: %d bytes, position %d", from, len(raw), reached.Position)
				}
			},
			"cursor": func(rt *rapid.T) {
				m.t = rt
				lines, reached := m.read(Query{Begin: map[Target]Place{appLog: cursor}, Marks: true, Hold: true})
				if reached.Alias == "" {
					return // there is no copy yet
				}
				if cursorAt = m.check(cursorAt, lines); int(reached.Position) != cursorAt || reached.ID == "" {
					rt.Fatalf("the cursor is %+v, but it came to %d", reached, cursorAt)
				}
				cursor = reached
			},
		})
	})
}
