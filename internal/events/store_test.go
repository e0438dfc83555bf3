package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"dtc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a clock that a test sets.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = t
}

func openStore(t *testing.T, dir string, now func() time.Time) *Store {
	t.Helper()
	s, err := Open(dir, Options{Now: now, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

const folder, port = "10.0.0.7", 7701

func appendEvent(t *testing.T, s *Store, id string, change ...func(*dtc.Event)) {
	t.Helper()
	e := process("nginx")
	e.ID, e.Time = id, time.Time{}
	for _, c := range change {
		c(&e)
	}
	if err := s.Append(folder, port, e); err != nil {
		t.Fatalf("append %s: %v", id, err)
	}
}

func died(e *dtc.Event) {
	e.State, e.Exit, e.Lived = dtc.StateDead, &dtc.Exit{Kind: dtc.ExitCode}, time.Second
}

func gap(e *dtc.Event) {
	*e = dtc.Event{ID: e.ID, Time: e.Time, Host: e.Host, Address: e.Address, Kind: dtc.EventLog, State: dtc.StateGap, Alias: "a"}
}

// ids returns the ids on record under dir, in the order in which they are read.
func ids(t *testing.T, dir string, filter Filter) string {
	t.Helper()
	var list []string
	err := Read(t.Context(), dir, filter, func(e dtc.Event) error {
		list = append(list, e.ID)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, " ")
}

func wantIDs(t *testing.T, dir, want string) {
	t.Helper()
	if got := ids(t, dir, Filter{}); got != want {
		t.Errorf("on record: %s\nwant:      %s", got, want)
	}
}

func processFile(dir, date string) string {
	return filepath.Join(dir, folder, folder+"_7701_process_"+date+".log")
}

func TestAppend(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	c := &clock{t: at("2026-11-22T23:59:58+08:00").In(shanghai)}
	s := openStore(t, dir, c.now)
	wantIDs(t, dir, "")
	appendEvent(t, s, "1")
	c.set(c.now().Add(time.Second))
	appendEvent(t, s, "2", gap)
	c.set(c.now().Add(time.Second)) // midnight
	appendEvent(t, s, "3", died)
	appendEvent(t, s, "4", func(e *dtc.Event) { e.Kind, e.PID, e.State = dtc.EventHost, 0, dtc.StateUnreachable })
	wantIDs(t, dir, "1 2 3 4")
	if err := s.Sync(t.Context(), folder); err != nil {
		t.Error(err)
	}
	for path, lines := range map[string]int{
		processFile(dir, "2026-11-22"):                                1,
		processFile(dir, "2026-11-23"):                                2,
		filepath.Join(dir, folder, ".10.0.0.7_events_2026-11-22.log"): 1,
	} {
		data, err := os.ReadFile(path)
		if err != nil || strings.Count(string(data), "\n") != lines {
			t.Errorf("%s: %q, %v", path, data, err)
		}
		checkMode(t, path, 0o640)
	}
	checkMode(t, dir, 0o750)
	checkMode(t, filepath.Join(dir, folder), 0o750)
	for _, r := range s.recordsOf(nil) {
		if len(r.open) != 0 {
			t.Errorf("%s is open after a sync", r.series.prefix)
		}
	}
}

func TestZoneChanges(t *testing.T) {
	dir := t.TempDir()
	c := &clock{t: at("2026-11-22T20:00:00Z").UTC()}
	s := openStore(t, dir, c.now)
	appendEvent(t, s, "1")
	c.set(c.now().In(shanghai)) // it is the next day there
	appendEvent(t, s, "2")
	c.set(c.now().UTC())
	appendEvent(t, s, "3")
	for date, want := range map[string]string{"2026-11-22": "event=1\nevent=3\n", "2026-11-23": "event=2\n"} {
		data, err := os.ReadFile(processFile(dir, date))
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for line := range strings.Lines(string(data)) {
			if !strings.HasPrefix(line, date) {
				t.Errorf("in the file of %s: %s", date, line)
			}
			got.WriteString(line[strings.LastIndexByte(line, ' ')+1:])
		}
		if got.String() != want {
			t.Errorf("%s has %q, want %q", date, got.String(), want)
		}
	}
}

func TestOnceOnly(t *testing.T) {
	dir := t.TempDir()
	c := &clock{t: at("2026-11-20T12:00:00Z").UTC()}
	for _, run := range []string{"first", "second", "third"} {
		s := openStore(t, dir, c.now)
		for i := range 3 {
			appendEvent(t, s, strconv.Itoa(i), died)
			appendEvent(t, s, "a"+strconv.Itoa(i))
			appendEvent(t, s, "g"+strconv.Itoa(i), gap)
		}
		for id := range strings.FieldsSeq(ids(t, dir, Filter{})) {
			if strings.Count(" "+ids(t, dir, Filter{})+" ", " "+id+" ") != 1 {
				t.Errorf("%s run: %s is on record twice", run, id)
			}
		}
		c.set(c.now().AddDate(0, 0, 1))
		appendEvent(t, s, run)
	}
	// It is the last files that count, however old they are.
	c.set(c.now().AddDate(0, 0, 100))
	s := openStore(t, dir, c.now)
	appendEvent(t, s, "third")
	appendEvent(t, s, "second")
	if got := ids(t, dir, Filter{}); strings.Count(got, "third") != 1 || strings.Count(got, "second") != 1 {
		t.Errorf("on record: %s", got)
	}
}

func TestTornLine(t *testing.T) {
	e := process("nginx")
	whole := string(formatLine(&e, time.UTC))
	date := e.Time.UTC().Format(dateLayout)
	for name, torn := range map[string]string{
		"nothing":           "",
		"all but a newline": whole[:len(whole)-1],
		"a part of the id":  whole[:len(whole)-2],
		"a part":            whole[:40],
		"garbage":           "\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c := &clock{t: e.Time.UTC()}
			s := openStore(t, dir, c.now)
			appendEvent(t, s, "1", died)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			path := processFile(dir, date)
			before, _ := os.ReadFile(path)
			if err := os.WriteFile(path, append(before, torn...), 0o640); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, dir, c.now)
			appendEvent(t, s, "7f3a-101") // the torn one is told again
			appendEvent(t, s, "1", died)
			wantIDs(t, dir, "1 7f3a-101")
			bad := 0
			ids(t, dir, Filter{Bad: func(_ string, lines int) { bad += lines }})
			if bad != 0 {
				t.Errorf("%d lines are no events", bad)
			}
		})
	}
	t.Run("of another program", func(t *testing.T) {
		dir := t.TempDir()
		path := processFile(dir, date)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Repeat("x", maxLine+5)), 0o640); err != nil {
			t.Fatal(err)
		}
		s := openStore(t, dir, (&clock{t: e.Time.UTC()}).now)
		appendEvent(t, s, "1")
		wantIDs(t, dir, "1")
		if info, err := os.Stat(path); err != nil || info.Size() < maxLine+5 {
			t.Errorf("it was cut: %v, %v", info, err)
		}
	})
}

func TestGarbageIsPassedOver(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, (&clock{t: at("2026-11-22T12:00:00Z").UTC()}).now)
	appendEvent(t, s, "1")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := processFile(dir, "2026-11-22")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString("\n\nan operator's note\n" + strings.Repeat("long", maxLine) + "\n\x00\xff\n")
	_ = f.Close()
	appendEvent(t, s, "2")
	bad := 0
	if got := ids(t, dir, Filter{Bad: func(p string, lines int) {
		if p != path {
			t.Errorf("bad lines in %s", p)
		}
		bad += lines
	}}); got != "1 2" || bad != 5 {
		t.Errorf("read %s and %d bad lines", got, bad)
	}
}

func TestRefused(t *testing.T) {
	s := openStore(t, t.TempDir(), time.Now)
	ok := process("x")
	for name, try := range map[string]func() error{
		"up":        func() error { return s.Append("..", port, ok) },
		"path":      func() error { return s.Append("a/b", port, ok) },
		"backslash": func() error { return s.Append(`a\b`, port, ok) },
		"hidden":    func() error { return s.Append(".x", port, ok) },
		"no folder": func() error { return s.Append("", port, ok) },
		"no port":   func() error { return s.Append(folder, 0, ok) },
		"no id":     func() error { e := ok; e.ID = ""; return s.Append(folder, port, e) },
		"long id":   func() error { e := ok; e.ID = strings.Repeat("i", maxID+1); return s.Append(folder, port, e) },
		"no pid":    func() error { e := ok; e.PID = 0; return s.Append(folder, port, e) },
		"no state":  func() error { e := ok; e.State = ""; return s.Append(folder, port, e) },
		"unkind":    func() error { e := ok; e.Kind = ""; return s.Append(folder, port, e) },
	} {
		if try() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	wantIDs(t, s.dir, "")
	long := ok
	long.Name, long.Host = strings.Repeat("\U000e0001", 100_000), strings.Repeat("\xff", 100_000)
	if err := s.Append(folder, port, long); err != nil {
		t.Error(err)
	}
	wantIDs(t, s.dir, long.ID)
}

func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, time.Now)
	var wg sync.WaitGroup
	const hosts, each = 8, 50
	for h := range hosts {
		for range 2 { // two tell the same
			wg.Go(func() {
				for i := range each {
					e := process("x")
					died(&e)
					e.Time, e.ID = time.Time{}, fmt.Sprintf("%d-%d", h, i)
					folder := fmt.Sprintf("10.0.0.%d", h)
					if err := errors.Join(s.Append(folder, port, e), s.Sync(t.Context(), folder)); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	got := strings.Fields(ids(t, dir, Filter{}))
	distinct := map[string]bool{}
	for _, id := range got {
		distinct[id] = true
	}
	if len(got) != hosts*each || len(distinct) != hosts*each {
		t.Errorf("%d lines, %d events, want %d", len(got), len(distinct), hosts*each)
	}
}

// TestSuspectIsRewritten shows what happens after a failed sync: the lines are
// written again in their place.
func TestSuspectIsRewritten(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, (&clock{t: at("2026-11-22T12:00:00Z").UTC()}).now)
	appendEvent(t, s, "1")
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	appendEvent(t, s, "2")
	appendEvent(t, s, "3")
	path := processFile(dir, "2026-11-22")
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := s.record(processSeries(folder, port))
	f := r.open["2026-11-22"]
	f.suspect = true
	lost := slices.Concat(want[:f.size-int64(len(f.unsynced))], make([]byte, len(f.unsynced)))
	if err := os.WriteFile(path, lost, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != string(want) {
		t.Errorf("after the rewrite %q, %v; want %q", got, err, want)
	}
	appendEvent(t, s, "4")
	wantIDs(t, dir, "1 2 3 4")
}

func TestRunSyncs(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		appendEvent(t, s, "1")
		r := s.record(processSeries(folder, port))
		open := func() int {
			r.mu.Lock()
			defer r.mu.Unlock()
			return len(r.open)
		}
		synctest.Wait()
		if open() != 1 {
			t.Error("not open before the delay")
		}
		time.Sleep(syncDelay)
		synctest.Wait()
		if open() != 0 {
			t.Error("still open after the delay")
		}
		appendEvent(t, s, "2")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil || open() != 0 {
			t.Errorf("Close: %v, %d open", err, open())
		}
	})
	wantIDs(t, dir, "1 2")
}

func TestRingForgetsTheOldest(t *testing.T) {
	r := idRing{limit: 3}
	for id := range uint64(10) {
		r.add(id)
		r.add(id)
		for old := range id + 1 {
			if want := id-old < 3; r.has(old) != want {
				t.Fatalf("after %d: has %d is %v", id, old, r.has(old))
			}
		}
	}
}
