package logs

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"dtc"
)

// TestVerifyForgotten tells how many bytes are of generations that are
// remembered no longer.
func TestVerifyForgotten(t *testing.T) {
	const generations = maxSealed + 6
	r := newRig(t)
	a := r.connect(peerA)
	content := func(g uint64) string { return fmt.Sprintf("content of %3d\n", g) }
	a.source = func(g uint64) []byte { return []byte(content(g)) }
	a.attach(1, "app.log")
	for g := uint64(1); g <= generations; g++ {
		a.open(1, g, fmt.Sprint(g))
		a.append(1, g, 0, content(g))
		seal := a.frame(dtc.FrameSeal, 1, g)
		seal.End, seal.Sum = int64(len(content(g))), crcOf(content(g))
		a.send(seal)
		a.ping()
	}
	a.answerAll()
	got := r.findings()
	known := len(r.stream("app.log").c.generations)
	rest := (generations - known) * len(content(1))
	if last := got[len(got)-1]; known >= generations || len(got) != known+1 ||
		last != fmt.Sprintf("app.log 0 0-0 not known: %d bytes are of generations that the monitor remembers no longer", rest) {
		t.Fatalf("%d findings of %d generations: %q", len(got), known, last)
	}
	for _, f := range got[:known] {
		if !strings.HasSuffix(f, " 0-15 exact") {
			t.Error(f)
		}
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
