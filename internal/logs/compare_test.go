package logs

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dtc"
)

// sealedSource is a source of many generations, all sealed.
func sealedSource(r *rig, generations int) (a *agent, content func(g uint64) string) {
	r.t.Helper()
	a = r.connect(peerA)
	content = func(g uint64) string { return fmt.Sprintf("content of %3d\n", g) }
	a.source = func(g uint64) []byte { return []byte(content(g)) }
	a.attach(1, "app.log")
	for g := range uint64(generations) {
		g++
		a.open(1, g, fmt.Sprint(g))
		a.append(1, g, 0, content(g))
		seal := a.frame(dtc.FrameSeal, 1, g)
		seal.End, seal.Sum = int64(len(content(g))), crcOf(content(g))
		a.send(seal)
		a.ping()
	}
	return a, content
}

// TestVerifyForgotten proves generations by their checksum that there are too
// many newer ones of to be asked for.
func TestVerifyForgotten(t *testing.T) {
	const generations = maxSealed + 6
	r := newRig(t)
	a, _ := sealedSource(r, generations)
	a.answerAll()
	expect := func(when string, other map[int]string) {
		t.Helper()
		got := r.findings()
		known := len(r.stream("app.log").c.generations)
		if len(got) != generations || known >= generations {
			t.Fatalf("%s: %d findings of %d generations, %d of them known: %q", when, len(got), generations, known, got)
		}
		for i, f := range got {
			want := fmt.Sprintf("app.log %d 0-15 exact", i+1)
			if i < generations-known {
				want += ": " + bySum
			}
			if other[i+1] != "" {
				want = fmt.Sprintf("app.log %d 0-15 %s", i+1, other[i+1])
			}
			if f != want {
				t.Errorf("%s: %q, want %q", when, f, want)
			}
		}
	}
	expect("as it came", nil)
	check(t, r.compact("app.log"))
	expect("written anew", nil)
	check(t, a.close())
	r = r.reopen()
	if got := r.findings(); len(got) != generations || got[0] != "app.log 1 0-15 exact: "+bySum {
		t.Errorf("loaded: %q", got)
	}
	spoil(t, r.path("app.log"), 15+3)
	if got := r.findings(); len(got) != generations || got[1] != "app.log 2 0-15 not exact: its checksum is not the one of the source when it ended" {
		t.Errorf("a byte is another: %q", got)
	}
}

// What retention has dropped of such a generation counts as of any other.
func TestForgottenAndDropped(t *testing.T) {
	const generations = maxSealed + 9
	r := newRig(t, func(o *Options) { o.minSegment = 1 })
	r.keep(Retention{Age: 8_000_000 * time.Second})
	a := r.connect(peerA)
	a.attach(1, "app.log")
	for g := uint64(1); g <= generations; g++ {
		a.open(1, g, fmt.Sprint(g))
		a.append(1, g, 0, "one\n")
		a.ping()
		if g < 8 {
			r.roll("app.log")
		}
		a.append(1, g, 4, "two\n")
		seal := a.frame(dtc.FrameSeal, 1, g)
		seal.End, seal.Sum = 8, crcOf("one\ntwo\n")
		a.send(seal)
		a.ping()
	}
	check(t, a.close())
	r.drop("app.log", 3)
	for _, when := range []string{"as it came", "written anew", "loaded"} {
		switch when {
		case "written anew":
			check(t, r.compact("app.log"))
		case "loaded":
			r = r.reopen()
		}
		got := r.findings()
		exact := " exact: " + bySum
		if len(got) != generations-1 || got[0] != "app.log 3 4-8"+exact || got[1] != "app.log 4 0-8"+exact ||
			!strings.HasPrefix(got[len(got)-1], "app.log 0 0-0 dropped") {
			t.Fatalf("%s: %d findings: %q", when, len(got), got)
		}
	}
}

// There are never more proofs than extents, and not too many drops.
func TestProofsAreBounded(t *testing.T) {
	var m model
	add := func(number uint64) {
		g := &generation{number: number, end: -1}
		check(t, g.applyTo(&m))
		base := int64(number) * 10
		check(t, (&extentEntry{seq: number, base: base, physical: base, generation: number}).applyTo(&m))
		sealed := *g
		sealed.position, sealed.end = 10, 10
		check(t, (&sealed).applyTo(&m))
	}
	const all = maxExtents + 500
	for n := uint64(1); n <= all; n++ {
		add(n)
	}
	if len(m.extents) != maxExtents || len(m.proven) != maxExtents-len(m.generations) || m.proven[0].number != all-maxExtents+1 {
		t.Fatalf("%d extents, %d generations, %d proofs, from %d on", len(m.extents), len(m.generations), len(m.proven), m.proven[0].number)
	}
	for _, p := range m.proven[:maxDrops+7] {
		m.drops = append(m.drops, dropped{generation: p.number, to: 1})
	}
	m.drops = append(m.drops, dropped{generation: 1, to: 1}) // of which nothing is known
	before := len(m.proven)
	m.pruneDrops()
	if len(m.drops) != maxDrops || len(m.proven) != before-7 || m.drops[0].generation != m.proven[0].number {
		t.Errorf("%d drops, %d proofs of %d", len(m.drops), len(m.proven), before)
	}
}

// TestVerifyDropped says what retention dropped, which is no fault.
func TestVerifyDropped(t *testing.T) {
	r := retaining(t, Retention{Size: 2000}, 1000)
	a := r.connect(peerA)
	source := text(20_000)
	a.source = func(uint64) []byte { return []byte(source) }
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.feed(1, 1, source, 0, len(source))
	r.stream("app.log").retain(r.stream("app.log").now())
	a.answerAll()
	var got []Finding
	check(t, r.Verify(t.Context(), nil, func(f Finding) error { got = append(got, f); return nil }))
	if len(got) != 2 || got[0].Verdict != VerdictExact || got[0].From == 0 || got[0].Dropped != got[0].From || got[0].To != int64(len(source)) {
		t.Fatalf("%+v", got)
	}
	if got[1].Verdict != VerdictDropped || got[1].Dropped != got[0].From || got[1].Generation != 0 {
		t.Fatalf("%+v", got[1])
	}
}

// TestCompareBlocks compares many blocks, holes among them, and tells how far
// it has come.
func TestCompareBlocks(t *testing.T) {
	const size = 2*holeBlock + 3*verifyBlock + 5
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	a.append(1, 1, 0, "one\n")
	hole := a.frame(dtc.FrameHole, 1, 1)
	hole.Offset, hole.End, hole.Sum = 4, size-4, dtc.ZeroSum(0, size-8)
	a.send(hole)
	a.append(1, 1, size-4, "end\n")
	a.ping()
	other := int64(-1)
	var asked atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		var f dtc.Frame
		for a.link.Recv(&f) == nil {
			if f.Kind != dtc.FrameAsk {
				continue
			}
			asked.Add(1)
			h := sha256.New()
			for at := f.Offset; at < f.End; at++ {
				switch {
				case at == other:
					h.Write([]byte{1})
				case at < 4:
					h.Write([]byte("one\n")[at : at+1])
				case at >= size-4:
					h.Write([]byte("end\n")[at-(size-4) : at-(size-4)+1])
				default:
					n := min(f.End, size-4) - at
					if other > at {
						n = min(n, other-at)
					}
					zeros := make([]byte, min(n, 1<<20))
					h.Write(zeros)
					at += int64(len(zeros)) - 1
				}
			}
			f.Kind, f.Data = dtc.FrameAnswer, h.Sum(nil)
			a.send(f)
		}
	})
	defer wg.Wait()
	defer a.link.Close()
	compare := func() (f Finding, places []int64) {
		t.Helper()
		f = Finding{Generation: 1, To: size}
		c := &comparing{st: r.stream("app.log"), zeros: sync.OnceValue(func() [32]byte { return zerosHash(holeBlock) })}
		c.tell = func(f Finding) error {
			if f.Verdict != VerdictChecking {
				t.Errorf("%+v", f)
			}
			places = append(places, *f.Place)
			return nil
		}
		c.compare(t.Context(), &f)
		return f, places
	}
	f, places := compare()
	if f.Verdict != VerdictExact || len(places) == 0 || places[0] != verifyBlock {
		t.Fatalf("%+v %v", f, places)
	}
	if n := asked.Load(); n > 8 {
		t.Errorf("%d questions", n)
	}
	for _, other = range []int64{size / 2, 4, size - 5} {
		if f, _ = compare(); f.Verdict != VerdictDiffers || f.Place == nil || *f.Place != other {
			t.Errorf("another byte at %d: %+v", other, f)
		}
	}
	other = -1
	file, err := os.OpenFile(r.path("app.log"), os.O_RDWR, 0)
	check(t, err)
	_, err = file.WriteAt([]byte("x"), holeBlock)
	check(t, err)
	check(t, file.Close())
	if f, _ = compare(); f.Verdict != VerdictDiffers || f.Place == nil || *f.Place != holeBlock {
		t.Errorf("the copy: %+v", f)
	}
}
