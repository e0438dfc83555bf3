package events

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dtc"
)

// fleet writes events of three hosts over three days, one every hour in turn,
// and returns their ids in the order of time.
func fleet(t *testing.T, dir string) []string {
	t.Helper()
	c := &clock{t: at("2026-11-20T00:30:00+08:00").In(shanghai)}
	s := openStore(t, dir, c.now)
	var list []string
	for i := range 72 {
		e := process("x")
		e.ID, e.Time = fmt.Sprint(i), time.Time{}
		e.Host = fmt.Sprintf("web%d", i%3)
		e.Address = fmt.Sprintf("10.0.0.%d:7701", i%3)
		if i%5 == 0 {
			gap(&e)
		}
		if err := s.Append(fmt.Sprintf("10.0.0.%d", i%3), port, e); err != nil {
			t.Fatal(err)
		}
		list = append(list, e.ID)
		c.set(c.now().Add(time.Hour))
	}
	return list
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	all := fleet(t, dir)
	for name, c := range map[string]struct {
		filter Filter
		want   []string
	}{
		"all":        {Filter{}, all},
		"since":      {Filter{Since: at("2026-11-21T12:30:00+08:00")}, all[36:]},
		"since late": {Filter{Since: at("2027-01-01T00:00:00Z")}, nil},
		"last":       {Filter{Last: 30}, all[42:]},
		"more":       {Filter{Last: 1000}, all},
		"both":       {Filter{Since: at("2026-11-21T12:30:00+08:00"), Last: 1}, all[71:]},
		"host": {
			Filter{Since: at("2026-11-22T18:00:00+08:00"), Match: func(h, a string) bool { return h == "web1" && a == "10.0.0.1:7701" }},
			[]string{"67", "70"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got, want := ids(t, dir, c.filter), strings.Join(c.want, " "); got != want {
				t.Errorf("read %s\nwant %s", got, want)
			}
		})
	}
	if got := ids(t, filepath.Join(dir, "none"), Filter{}); got != "" {
		t.Errorf("read %s out of no folder", got)
	}
	stop := errors.New("stop")
	if err := Read(t.Context(), dir, Filter{}, func(dtc.Event) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Read = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Read(ctx, dir, Filter{}, func(dtc.Event) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Read = %v", err)
	}
}

func TestHosts(t *testing.T) {
	dir := t.TempDir()
	fleet(t, dir)
	s := openStore(t, dir, time.Now)
	renamed := process("x")
	renamed.Host, renamed.Address, renamed.Time = "new", "10.0.0.1:7701", at("2026-11-24T00:00:00Z")
	if err := s.Append("10.0.0.1", port, renamed); err != nil {
		t.Fatal(err)
	}
	got, err := Hosts(dir)
	if want := "[{web0 10.0.0.0:7701} {new 10.0.0.1:7701} {web2 10.0.0.2:7701}]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("Hosts = %v, %v; want %s", got, err, want)
	}
}

// following is a running follower.
type following struct {
	seen chan string
	done chan error
	stop context.CancelFunc
}

func follow(t *testing.T, dir string, filter Filter, now func() time.Time) *following {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &following{seen: make(chan string, 1000), done: make(chan error, 1), stop: cancel}
	w := newFollower(dir, filter, func(e dtc.Event) error {
		f.seen <- e.ID
		return nil
	}, now)
	go func() {
		defer w.close()
		f.done <- w.run(ctx, 10*time.Millisecond)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-f.done; !errors.Is(err, context.Canceled) {
			t.Errorf("Follow = %v", err)
		}
	})
	return f
}

func (f *following) want(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		select {
		case got := <-f.seen:
			if got != id {
				t.Fatalf("saw %s, want %s", got, id)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%s did not come within 30 s", id)
		}
	}
}

func (f *following) quiet(t *testing.T) {
	t.Helper()
	select {
	case got := <-f.seen:
		t.Fatalf("saw %s, want nothing", got)
	case <-time.After(100 * time.Millisecond):
	}
}

func TestFollow(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	c := &clock{t: at("2026-11-20T23:59:00+08:00").In(shanghai)}
	s := openStore(t, dir, c.now)
	f := follow(t, dir, Filter{}, c.now)
	f.quiet(t)
	appendEvent(t, s, "1") // the first folder, even the first logs/
	f.want(t, "1")
	appendEvent(t, s, "2", died)
	appendEvent(t, s, "3", gap)
	f.want(t, "2", "3")

	c.set(c.now().Add(time.Minute)) // midnight
	appendEvent(t, s, "4")
	f.want(t, "4")
	appendEvent(t, s, "5")
	f.want(t, "5")

	e := process("x") // a new host
	e.ID, e.Time = "6", time.Time{}
	if err := s.Append("10.0.0.8", port, e); err != nil {
		t.Fatal(err)
	}
	f.want(t, "6")

	for day := range 6 { // old files are let go, new ones are followed
		c.set(c.now().AddDate(0, 0, 1))
		id := fmt.Sprintf("day%d", day)
		appendEvent(t, s, id)
		f.want(t, id)
	}
	f.quiet(t)
}

func TestFollowBeginsWithTheLast(t *testing.T) {
	dir := t.TempDir()
	all := fleet(t, dir)
	for _, days := range []int{0, 1, 100} {
		c := &clock{t: at("2026-11-22T23:45:00+08:00").In(shanghai).AddDate(0, 0, days)}
		f := follow(t, dir, Filter{Last: 5}, c.now)
		f.want(t, all[67:]...)
		f.quiet(t)
		s := openStore(t, dir, c.now)
		next := fmt.Sprintf("next%d", days)
		appendEvent(t, s, next)
		f.want(t, next)
		all = append(all[1:], next)
	}
}

// TestFollowMissesNothingAtItsBegin has events come while the last few of before
// are being shown: into the file that these stand in, and into one that they
// leave unread, which ends with half a line.
func TestFollowMissesNothingAtItsBegin(t *testing.T) {
	dir := t.TempDir()
	c := &clock{t: at("2026-11-22T12:00:00Z").UTC()}
	s := openStore(t, dir, c.now)
	yesterday := func(e *dtc.Event) { e.Time = c.now().AddDate(0, 0, -1) }
	appendEvent(t, s, "old 1", yesterday)
	appendEvent(t, s, "old 2", yesterday)
	appendEvent(t, s, "new 1")
	path := processFile(dir, "2026-11-21")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, whole[:len(whole)-5], 0o640); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var seen []string
	w := newFollower(dir, Filter{Last: 1}, func(e dtc.Event) error {
		switch seen = append(seen, e.ID); len(seen) {
		case 1:
			if err := os.WriteFile(path, whole, 0o640); err != nil {
				t.Error(err)
			}
			appendEvent(t, s, "new 2")
		case 3:
			cancel()
		}
		return nil
	}, c.now)
	defer w.close()
	stuck := time.AfterFunc(10*time.Second, cancel)
	defer stuck.Stop()
	if err := w.run(ctx, 10*time.Millisecond); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	slices.Sort(seen[1:]) // of two files, in the order of the notices
	if !slices.Equal(seen, []string{"new 1", "new 2", "old 2"}) {
		t.Errorf("saw %q", seen)
	}
}

func TestFollowATornLine(t *testing.T) {
	dir := t.TempDir()
	c := &clock{t: at("2026-11-22T12:00:00Z").UTC()}
	s := openStore(t, dir, c.now)
	appendEvent(t, s, "1")
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	path := processFile(dir, "2026-11-22")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := follow(t, dir, Filter{}, c.now)
	f.want(t, "1")
	if err := os.WriteFile(path, append(whole, whole[:len(whole)-4]...), 0o640); err != nil {
		t.Fatal(err)
	}
	f.quiet(t)
	appendEvent(t, s, "2") // cuts the torn line off
	f.want(t, "2")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	appendEvent(t, s, "3")
	f.want(t, "3")
	f.quiet(t)
}

func TestFollowIsQuick(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, time.Now)
	appendEvent(t, s, "first")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen, done := make(chan string, 10), make(chan error, 1)
	go func() {
		done <- Follow(ctx, dir, Filter{}, func(e dtc.Event) error {
			seen <- e.ID
			return nil
		})
	}()
	<-seen
	began := time.Now()
	const n = 20
	for i := range n {
		appendEvent(t, s, fmt.Sprint(i))
		if got := <-seen; got != fmt.Sprint(i) {
			t.Fatalf("saw %s", got)
		}
	}
	took := time.Since(began) / n
	t.Logf("append to follow: %v", took)
	if took > rescanInterval/4 {
		t.Errorf("%v each: the notices do not come", took)
	}
	cancel()
	<-done
}

// The end of a large process log is found without reading all of it, and no
// line of it is left out.
func TestTail(t *testing.T) {
	dir := t.TempDir()
	c := &clock{t: at("2026-11-22T01:00:00Z").UTC()}
	s := openStore(t, dir, c.now)
	const lines = 20_000 // of some 130 bytes, one a second
	begin := c.now()
	for i := range lines {
		c.set(begin.Add(time.Duration(i) * time.Second))
		appendEvent(t, s, strconv.Itoa(i))
		if i%1000 == 0 {
			appendEvent(t, s, "g"+strconv.Itoa(i), gap)
		}
	}
	for _, last := range []int{0, 1, 10, 700, 5000, lines - 1, lines, 2 * lines} {
		since := begin.Add(time.Duration(lines-last) * time.Second)
		want := ids(t, dir, Filter{Since: since})
		if got := ids(t, dir, Filter{Since: since, Tail: true}); got != want {
			t.Errorf("of the last %d: %d bytes of ids, want %d", last, len(got), len(want))
		}
	}
	probe := cursor{path: processFile(dir, "2026-11-22")}
	if err := probe.skipBefore(begin.Add((lines - 10) * time.Second)); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(probe.path); err != nil || info.Size()-probe.off > tailStep {
		t.Errorf("reads from %d of %d on, %v", probe.off, info.Size(), err)
	}
}
