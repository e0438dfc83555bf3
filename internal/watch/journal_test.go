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
	t.Parallel() // it mostly waits
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
