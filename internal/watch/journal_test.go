package watch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"dtc"
)

// run is a run of an agent's watcher, in a folder that outlives it.
type run struct {
	*Watcher

	stop func()
	log  *bytes.Buffer // to be read when it has stopped
}

// startRun starts a watcher with a journal, which ends with stop, or with the
// test.
func startRun(t *testing.T, dir, id string, prepare ...func(*Watcher)) *run {
	t.Helper()
	r := &run{log: &bytes.Buffer{}}
	r.Watcher = New(Options{Run: id, Dir: dir, Logger: slog.New(slog.NewTextHandler(io.MultiWriter(r.log, t.Output()), nil))})
	for _, p := range prepare {
		p(r.Watcher)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(r.stop)
	if err := r.await(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// ack acknowledges a sighting.
func (r *run) ack(t *testing.T, asker string, s dtc.Sighting) {
	t.Helper()
	if err := r.Acknowledge(t.Context(), asker, s.Run, s.Number); err != nil {
		t.Error(err)
	}
}

// unseen fails unless a sighting tells an end that nobody saw, between two
// moments.
func unseen(t *testing.T, s dtc.Sighting, after, before time.Time) {
	t.Helper()
	earliest, latest := time.Now().Add(-s.AgeMost), time.Now().Add(-s.Age)
	if s.AgeMost <= s.Age || earliest.After(after) || latest.Before(before.Add(-time.Second)) {
		t.Errorf("ended between %v and %v, want it around %v to %v: %+v", earliest, latest, after, before, s)
	}
	guessed := s.Exit.Kind != dtc.ExitUnknown && runtime.GOOS != "windows"
	if guessed || s.Lived <= 0 {
		t.Errorf("told %+v", s)
	}
}

func TestRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "watch")
	a, b, c := start(t, "exit 3"), start(t, "exit 0"), start(t, "exit 0")
	w := startRun(t, dir, "run1")
	f := watchFor(t, w.Watcher, "m", pids(a.pid, b.pid, c.pid)...)
	for _, child := range []*child{a, b, c} {
		f.is(t, child.pid, dtc.StateAlive)
	}
	a.end()
	first := f.is(t, a.pid, dtc.StateDead)
	w.stop()
	if s := f.is(t, 0, dtc.StateStopped); s.Number != 0 || s.Run != "run1" || s.Boot != w.boot {
		t.Errorf("the last word is %+v", s)
	}
	wantKind(t, f.wait(), dtc.KindUnavailable)

	id, died := identify(t, b.pid), time.Now()
	b.kill()
	time.Sleep(300 * time.Millisecond)
	w = startRun(t, dir, "run2")
	restarted := time.Now()
	w.mu.Lock()
	if n := len(w.held); n != 1 {
		t.Errorf("%d processes are held, want the one that is there", n)
	}
	w.mu.Unlock()
	f = watchFor(t, w.Watcher, "m", pids(a.pid, b.pid, c.pid)...)
	again := f.is(t, a.pid, dtc.StateDead)
	if again.Run != "run1" || again.Number != first.Number || again.Exit != first.Exit || again.Lived != first.Lived ||
		again.Name != first.Name || again.Boot != first.Boot || again.AgeMost != 0 {
		t.Errorf("told again as %+v, first as %+v", again, first)
	}
	if again.Age < 300*time.Millisecond || again.Age > time.Since(died)+5*time.Second {
		t.Errorf("it was %v ago", again.Age)
	}
	gone := f.is(t, b.pid, dtc.StateDead)
	unseen(t, gone, died, restarted)
	if gone.Run != "run2" || gone.Process != id || gone.Boot != w.boot || gone.Reason != "" || gone.Name == "" {
		t.Errorf("found gone: %+v", gone)
	}
	f.is(t, c.pid, dtc.StateAlive)
	f.quiet(t)

	// What is seen from now on is exact again. Another restart tells the same.
	c.kill()
	exact := f.is(t, c.pid, dtc.StateDead)
	if exact.AgeMost != 0 || exact.Run != "run2" {
		t.Errorf("told %+v", exact)
	}
	w.ack(t, "m", again)
	w.stop()
	w = startRun(t, dir, "run3")
	f = watchFor(t, w.Watcher, "m", pids(a.pid, b.pid, c.pid)...)
	if s := f.is(t, b.pid, dtc.StateDead); s.Run != "run2" || s.Number != gone.Number || s.AgeMost-s.Age-(gone.AgeMost-gone.Age) > time.Millisecond {
		t.Errorf("told again as %+v, first as %+v", s, gone)
	}
	if s := f.is(t, c.pid, dtc.StateDead); s.Run != "run2" || s.Number != exact.Number || s.Exit != exact.Exit {
		t.Errorf("told again as %+v, first as %+v", s, exact)
	}
	f.is(t, a.pid, dtc.StateMissing) // recorded, and no process any more
	w.ack(t, "m", exact)
	f.stop()
	w.stop()
	w = startRun(t, dir, "run4")
	f = watchFor(t, w.Watcher, "m", pids(b.pid)...)
	f.is(t, b.pid, dtc.StateMissing)
	f.quiet(t)
}

func TestAcknowledgeOverRuns(t *testing.T) {
	add := func(w *Watcher, s *session, run string, numbers ...uint64) {
		for _, n := range numbers {
			w.restoreKept(s, entry{sighting: dtc.Sighting{Run: run, Number: n, State: dtc.StateDead}})
		}
	}
	for _, c := range []struct {
		run    string
		number uint64
		left   int
	}{
		{"one", 3, 7},
		{"one", 4, 7},
		{"one", 5, 6},
		{"one", 2, 8},
		{"one", 9, 6},
		{"two", 0, 6},
		{"two", 1, 5},
		{"two", 2, 4},
		{"two", 100, 4},
		{"this", 1, 4},
		{"this", 5, 3},
		{"this", 7, 2},
		{"this", 9, 0},
		{"this", 100, 0},
		{"none", 100, 8},
	} {
		w := New(Options{Run: "this", Logger: slog.New(slog.DiscardHandler)})
		s := newSession("m")
		w.sessions["m"] = s
		add(w, s, "one", 3, 5)
		add(w, s, "two", 1, 2)
		add(w, s, "this", 5, 7, 8, 9)
		if err := w.Acknowledge(t.Context(), "m", c.run, c.number); err != nil {
			t.Error(err)
		}
		if len(s.kept) != c.left {
			t.Errorf("%s-%d leaves %d, want %d", c.run, c.number, len(s.kept), c.left)
		}
	}
}

// editJournal changes the file of the newest journal.
func editJournal(t *testing.T, dir string, edit func([]byte) []byte) {
	t.Helper()
	list, err := generations(dir)
	if err != nil || len(list) == 0 {
		t.Fatalf("no journal: %v", err)
	}
	path := filepath.Join(dir, journalName(list[0]))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, edit(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

// ended is a folder that a run has left that watched two processes: the first
// has ended, which nobody has acknowledged, the second is still there.
func ended(t *testing.T) (dir string, a, b *child, dead dtc.Sighting) {
	t.Helper()
	dir = t.TempDir()
	a, b = start(t, "exit 3"), start(t, "exit 0")
	w := startRun(t, dir, "run1")
	f := watchFor(t, w.Watcher, "m", pids(a.pid, b.pid)...)
	f.is(t, a.pid, dtc.StateAlive)
	f.is(t, b.pid, dtc.StateAlive)
	a.end()
	dead = f.is(t, a.pid, dtc.StateDead)
	w.stop()
	return dir, a, b, dead
}

func TestAnotherBoot(t *testing.T) {
	dir, a, b, dead := ended(t)
	id := identify(t, b.pid)
	boot := dead.Boot
	rename := func(data []byte) []byte { return bytes.ReplaceAll(data, []byte(boot), []byte("former-boot")) }
	editJournal(t, dir, rename)
	alive, err := os.ReadFile(filepath.Join(dir, aliveName))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, aliveName), rename(alive), 0o600); err != nil {
		t.Fatal(err)
	}

	w := startRun(t, dir, "run2")
	f := watchFor(t, w.Watcher, "m", pids(a.pid, b.pid)...)
	again := f.is(t, a.pid, dtc.StateDead)
	if again.Run != "run1" || again.Exit.Number != 3 || again.Boot != "former-boot" || again.AgeMost != 0 || again.Age < now()-time.Second {
		t.Errorf("told again as %+v, %v after the boot", again, now())
	}
	gone := f.is(t, b.pid, dtc.StateDead)
	if gone.Process != id || gone.Boot != "former-boot" || gone.Reason != reasonRebooted || gone.Exit.Kind != dtc.ExitUnknown {
		t.Errorf("told %+v", gone)
	}
	// The process is told to be of a former boot, and was there in this one, so
	// that its bounds are as narrow as can be: the begin of this boot.
	if gone.Age < now()-time.Second || gone.AgeMost <= gone.Age || gone.AgeMost > gone.Age+time.Minute {
		t.Errorf("told %+v, %v after the boot", gone, now())
	}
	f.quiet(t)
}

func TestDamagedJournal(t *testing.T) {
	cut := func(data []byte, n int) []byte { return data[:len(data)-n] }
	insert := func(line string) func([]byte) []byte {
		return func(data []byte) []byte {
			first := bytes.IndexByte(data, '\n') + 1
			return append(append(append([]byte{}, data[:first]...), line...), data[first:]...)
		}
	}
	for name, c := range map[string]struct {
		edit  func([]byte) []byte
		knows bool   // what was there before
		says  string // in the log
	}{
		"torn":         {edit: func(d []byte) []byte { return append(d, `{"asker":"m","untarget":[1,`...) }, knows: true},
		"not ended":    {edit: func(d []byte) []byte { return append(d, "{\"asker\":\"m\",\"forget\":\"m\"}\n"...) }, knows: true},
		"zeros":        {edit: func(d []byte) []byte { return append(d, make([]byte, 100_000)...) }, knows: true},
		"a bad line":   {edit: insert("what?\n\x00\xff\n"), knows: true, says: "lines=2"},
		"a wrong line": {edit: insert(`{"asker":"m","target":{"pid":-5}}` + "\n"), knows: true, says: "lines=1"},
		"a long line":  {edit: insert(strings.Repeat("x", maxLine+1) + "\n"), knows: true},
		"empty":        {edit: func([]byte) []byte { return nil }, says: "cannot read"},
		"garbage":      {edit: func([]byte) []byte { return bytes.Repeat([]byte("\x80garbage\n"), 1000) }, says: "cannot read"},
		"no head":      {edit: func([]byte) []byte { return []byte("{\"done\":true}\n") }, says: "cannot read"},
		"unfinished":   {edit: func(d []byte) []byte { return cut(d, len(d)-100) }, says: "cannot read"},
		"newer": {edit: func(d []byte) []byte {
			return bytes.Replace(d, []byte(`"version":1`), []byte(`"version":2`), 1)
		}, says: "another version"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, a, b, dead := ended(t)
			editJournal(t, dir, c.edit)
			w := startRun(t, dir, "run2")
			f := watchFor(t, w.Watcher, "m", pids(b.pid)...)
			if c.knows {
				if again := f.is(t, a.pid, dtc.StateDead); again.Run != dead.Run || again.Number != dead.Number {
					t.Errorf("told again as %+v, first as %+v", again, dead)
				}
			}
			f.is(t, b.pid, dtc.StateAlive)
			b.kill()
			f.is(t, b.pid, dtc.StateDead)
			f.stop()
			w.stop()
			if said := w.log.String(); !strings.Contains(said, c.says) || c.says == "" && strings.Contains(said, "WARN") {
				t.Errorf("the log is %q, want %q in it", said, c.says)
			}
			// And the new journal is sound.
			w = startRun(t, dir, "run3")
			f = watchFor(t, w.Watcher, "m")
			if c.knows {
				f.is(t, a.pid, dtc.StateDead)
			}
			f.is(t, b.pid, dtc.StateDead)
		})
	}
}

// TestStrangeThings puts what is no file of ours where the journal has its
// files: none of it keeps the agent from its work.
func TestStrangeThings(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, dir string){
		"a folder as a journal": func(t *testing.T, dir string) {
			t.Helper()
			if err := os.MkdirAll(filepath.Join(dir, journalName(7), "sub"), 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"a folder as the sign of life": func(t *testing.T, dir string) {
			t.Helper()
			if err := os.MkdirAll(filepath.Join(dir, aliveName, "sub"), 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"a file as the folder": func(t *testing.T, dir string) {
			t.Helper()
			if err := os.WriteFile(dir, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "watch")
			prepare(t, dir)
			c := start(t, "exit 0")
			w := startRun(t, dir, "run1")
			f := watchFor(t, w.Watcher, "m", pids(c.pid)...)
			f.is(t, c.pid, dtc.StateAlive)
			c.kill()
			f.is(t, c.pid, dtc.StateDead)
		})
	}
}

func TestOldGenerationsGo(t *testing.T) {
	dir, a, _, _ := ended(t)
	for i := range 3 {
		w := startRun(t, dir, "more"+string(rune('a'+i)))
		w.stop()
	}
	w := startRun(t, dir, "run2")
	eventually(t, "one journal is left", func() bool {
		names, err := filepath.Glob(filepath.Join(dir, journalPrefix+"*"))
		return err == nil && len(names) == 1
	})
	f := watchFor(t, w.Watcher, "m")
	f.is(t, a.pid, dtc.StateDead)
}

// TestIsWrittenAnew lets the journal grow beyond what it has to say.
func TestIsWrittenAnew(t *testing.T) {
	dir := t.TempDir()
	c := start(t, "exit 0")
	w := startRun(t, dir, "run1")
	f := watchFor(t, w.Watcher, "m", pids(c.pid)...)
	f.is(t, c.pid, dtc.StateAlive)
	size := func() (total int64) {
		names, _ := filepath.Glob(filepath.Join(dir, journalPrefix+"*"))
		for _, name := range names {
			if info, err := os.Stat(name); err == nil {
				total += info.Size()
			}
		}
		return total
	}
	w.mu.Lock()
	s := w.sessions["m"]
	w.mu.Unlock()
	for i := range 20_000 {
		w.mu.Lock()
		w.keepSighting(s, dtc.Sighting{State: dtc.StateDead, Boot: w.boot, Name: "somebody", Process: dtc.ProcessID{PID: i + 1, Start: 1}}, now())
		w.mu.Unlock()
		told := f.next(t)
		if i%2 == 0 {
			w.ack(t, "m", told)
		}
	}
	eventually(t, "the journal is small again", func() bool { return size() < 2*journalLong })
	f.stop()
	w.stop()
	w = startRun(t, dir, "run2")
	f = watchFor(t, w.Watcher, "m")
	f.is(t, 20_000, dtc.StateDead)
	f.quiet(t)
}

func TestLongAwayIsForgotten(t *testing.T) {
	dir, _, b, dead := ended(t)
	ago := time.Now().Add(-forgetAfter - time.Hour).UnixNano()
	editJournal(t, dir, func(data []byte) []byte {
		var out []byte
		for line := range bytes.Lines(data) {
			if !bytes.Contains(line, []byte(`"session"`)) {
				out = append(out, line...)
			}
		}
		return append(out, []byte("{\"asker\":\"m\",\"session\":{\"left_ns\":"+jsonNumber(ago)+"}}\n{\"done\":true}\n")...)
	})
	w := startRun(t, dir, "run2")
	w.mu.Lock()
	if len(w.sessions)+len(w.held) != 0 {
		t.Errorf("%d sessions, %d processes are held", len(w.sessions), len(w.held))
	}
	w.mu.Unlock()
	f := watchFor(t, w.Watcher, "m", dtc.WatchTarget{PID: b.pid, Known: identify(t, b.pid), KnownBoot: dead.Boot})
	f.is(t, b.pid, dtc.StateAlive)
	f.quiet(t)
	f.stop()

	// While it runs, too.
	w.mu.Lock()
	w.sessions["m"].left = now() - forgetAfter - time.Hour
	w.mu.Unlock()
	w.forgetOld()
	w.mu.Lock()
	if len(w.sessions)+len(w.held) != 0 {
		t.Errorf("%d sessions, %d processes are held", len(w.sessions), len(w.held))
	}
	w.mu.Unlock()
	w.stop()
	w = startRun(t, dir, "run3")
	if len(w.sessions) != 0 {
		t.Error("it is remembered")
	}
}

func TestTextOfAnyBytes(t *testing.T) {
	for _, s := range []text{"", "nginx: master", "a\xff\xfeb", "\x00\n\"\\", "語"} {
		b, err := s.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var back text
		if err := back.UnmarshalJSON(b); err != nil || back != s {
			t.Errorf("%q came back as %q: %v", s, back, err)
		}
	}
	var back text
	for _, bad := range []string{`5`, `[]`, `["a","b"]`, `["!"]`, `{}`} {
		if err := back.UnmarshalJSON([]byte(bad)); err == nil {
			t.Errorf("%s is a text", bad)
		}
	}
}

// TestStalledDisk shows that nobody waits for long for a journal that does not
// get on.
func TestStalledDisk(t *testing.T) {
	dir := t.TempDir()
	c := start(t, "exit 0")
	w := New(Options{Run: "r", Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	w.journal.idle = false // as if its goroutine hung in a write
	cl, err := w.begin("m")
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	for range 10 {
		w.keepSighting(cl.session, dtc.Sighting{State: dtc.StateDead, Process: dtc.ProcessID{PID: c.pid}}, now())
	}
	w.mu.Unlock()
	began, told := time.Now(), 0
	err = w.flush(t.Context(), cl, func(dtc.Sighting) error { told++; return nil })
	if took := time.Since(began); err != nil || told != 10 || took < journalPatience || took > 5*time.Second {
		t.Errorf("told %d after %v: %v", told, took, err)
	}
}

func TestLastWord(t *testing.T) {
	c := start(t, "exit 0")
	w := startRun(t, t.TempDir(), "run1")
	block := make(chan struct{})
	blocked := make(chan error, 1)
	go func() { // somebody who takes nothing does not keep the others waiting for ever
		blocked <- w.Watch(t.Context(), "slow", dtc.Watching{Targets: pids(c.pid)}, func(dtc.Sighting) error {
			<-block
			return errEmit
		})
	}()
	a, b := watchFor(t, w.Watcher, "a", pids(c.pid)...), watchFor(t, w.Watcher, "b", pids(c.pid)...)
	a.is(t, c.pid, dtc.StateAlive)
	b.is(t, c.pid, dtc.StateAlive)
	began := time.Now()
	w.stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v to stop", took)
	}
	for _, f := range []*feed{a, b} {
		if s := f.is(t, 0, dtc.StateStopped); s.Process != (dtc.ProcessID{}) || s.Number != 0 || s.Run != "run1" || s.Boot == "" {
			t.Errorf("the last word is %+v", s)
		}
		wantKind(t, f.wait(), dtc.KindUnavailable)
	}
	close(block)
	<-blocked
}

func TestOpenRegular(t *testing.T) {
	dir := t.TempDir()
	if _, err := openRegular(filepath.Join(dir, "none"), os.O_RDONLY); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := openRegular(filepath.Join(dir, "folder"), os.O_RDONLY); err == nil {
		t.Error("a folder is a regular file")
	}
}
