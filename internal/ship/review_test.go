package ship

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"dtc/internal/follow"
)

// A loss that becomes one with one that was told already is told, too.
func TestMergedLossIsTold(t *testing.T) {
	s := New(Options{})
	x := newSession(s, nil)
	st := &stream{chain: s.host.NewChain("/nowhere"), shipments: map[*follow.Generation]*shipment{}}
	g := &follow.Generation{Losses: []follow.Loss{{From: 1, To: 2}, {From: 5, To: 6}}}
	st.chain.Generations = append(st.chain.Generations, g)
	st.shipment(g).number = 1
	x.tellLosses(st)
	g.Losses[1].To = 9
	x.pong.Store(st.shipment(g).lossesPing)
	x.out = nil
	x.tellLosses(st)
	if len(x.out) != 1 || x.out[0].frame.End != 9 {
		t.Fatalf("told: %v", x.out)
	}
	x.pong.Store(st.shipment(g).lossesPing)
	if x.tellLosses(st); len(g.Losses) != 0 {
		t.Fatalf("losses that were told are kept: %v", g.Losses)
	}
}

// When the system tells of no changes any more every path is looked at, so that
// the files are looked at often from then on.
func TestLostWatcherSoilsAll(t *testing.T) {
	s := New(Options{Files: []File{{Path: filepath.Join(t.TempDir(), "a.log"), Alias: "a.log"}}})
	s.takeDirty()
	s.loseWatcher()
	if _, dirty := s.takeDirty(); len(dirty) != 1 {
		t.Fatalf("%d paths are looked at", len(dirty))
	}
}

// A file that cannot be read keeps its own stream waiting, not the connection.
func TestUnreadableFileEndsNoConnection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	if err := os.WriteFile(path, []byte("some lines"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := New(Options{Files: []File{{Path: path, Alias: "a.log", FromEnd: true}}})
	st := s.streams["a.log"]
	if _, err := st.chain.Sync(); err != nil {
		t.Fatal(err)
	}
	_ = st.chain.Current().File.Close() // a disk that fails
	x := newSession(s, nil)
	st.grant = grant{session: x, number: 1, granted: true}
	if out := x.pump(st, time.Now()); out != outIdle || st.wake.IsZero() {
		t.Fatalf("outcome %d, to be looked at again: %t", out, !st.wake.IsZero())
	}
}

// Files whose changes are told are not looked at more often because there is
// one of which they are not.
func TestPollsOnlyWhatIsNotTold(t *testing.T) {
	dir := t.TempDir()
	s := New(Options{Files: []File{
		{Path: filepath.Join(dir, "a.log"), Alias: "a.log"}, {Path: filepath.Join(dir, "b.log"), Alias: "b.log"},
	}})
	s.streams["b.log"].polled.Store(true)
	l := &loop{s: s, prover: s.host.NewProver(), later: map[*stream]time.Time{}, polls: true}
	l.lookActive(time.Now())
	if !s.streams["a.log"].glanced.IsZero() || s.streams["b.log"].glanced.IsZero() {
		t.Fatalf("looked at: %v, %v", s.streams["a.log"].glanced, s.streams["b.log"].glanced)
	}
}

// While an archive is read the plain siblings are not held open, unless they may
// be what the monitor has not.
func TestSearchHoldsNoSiblings(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.log")
	for _, name := range []string{"a.log", "a.log.1", "a.log.2", "a.log.3.gz"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := New(Options{})
	for _, newest := range []bool{false, true} {
		ts := &searching{finder: s.finder, path: path, q: &search{newest: newest}, held: map[follow.Identity]bool{}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if !ts.look(ctx) {
			t.Fatal("the folder was not read")
		}
		open := slices.ContainsFunc(ts.family.Members, func(m follow.Member) bool { return m.File != nil })
		if open != newest || len(ts.family.Members) != 4 {
			t.Errorf("newest %t: siblings are open: %t, %d members", newest, open, len(ts.family.Members))
		}
		ts.family.Close()
		cancel()
	}
}

// A read that ends before a hole is not the last one: the stream goes on at
// once, and does not wait until somebody looks at the file again.
func TestGoesOnBehindHole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(5) {
		if _, err := f.WriteAt([]byte("some lines"), i<<20); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s := New(Options{Files: []File{{Path: path, Alias: "a.log"}}})
	st := s.streams["a.log"]
	if _, err := st.chain.Sync(); err != nil {
		t.Fatal(err)
	}
	x := newSession(s, nil)
	x.reader.Holes = true
	st.grant = grant{session: x, number: 1, granted: true}
	for turns := 0; x.pump(st, time.Now()) != outIdle; turns++ {
		if turns > 100 {
			t.Fatal("it does not come to an end")
		}
	}
	if g := st.chain.Current(); g.Left() != 0 {
		t.Fatalf("it rests at %d of %d", g.Position(), g.Seen)
	}
}
