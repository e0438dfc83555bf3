package status

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dtc"
	"dtc/internal/proc"
)

// blocking is a reader that gets stuck in one process as long as it is told.
type blocking struct {
	pid   int
	after int // items that it puts before
	until chan struct{}
	total int  // items of each process
	bytes int  // of text of each item
	never bool // read with care, it gets stuck too

	text int
}

func (*blocking) notes() []string { return nil }

func (b *blocking) made() int { return b.text }

func (b *blocking) read(p *target, put func(int)) {
	for i := range b.total {
		if p.stat.PID == b.pid && i == b.after && (!p.careful || b.never) {
			<-b.until
		}
		b.text += b.bytes
		put(p.stat.PID*10 + i)
	}
}

func TestSweepPassesTheStuck(t *testing.T) {
	var pids []int
	for range 5 {
		pids = append(pids, sleeper(t, nil))
	}
	slices.Sort(pids)
	for _, test := range []struct{ after, lost int }{{0, 0}, {1, 2}} {
		t.Run(fmt.Sprintf("after %d items", test.after), func(t *testing.T) {
			until := make(chan struct{})
			var marks stuckProcesses
			s := sweep[int]{fs: proc.Default, stuck: &marks, stall: 50 * time.Millisecond, parts: new(partPool[int]), open: func() reader[int] {
				return &blocking{pid: pids[2], after: test.after, until: until, total: 3}
			}}
			run := func() (items []int, notes []string) {
				err := s.run(t.Context(), pids, func(part []int, last bool, more []string) error {
					items = append(items, part...)
					notes = append(notes, more...)
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				return items, notes
			}
			items, notes := run()
			if !slices.IsSorted(items) || len(items) != 15-test.lost {
				t.Errorf("items %v", items)
			}
			if want := fmt.Sprintf("process %d does not let", pids[2]); len(notes) != 1 || !strings.Contains(notes[0], want) {
				t.Errorf("notes %q", notes)
			}
			start := time.Now()
			if items, notes := run(); len(items) != 15 || len(notes) != 0 || time.Since(start) > s.stall {
				t.Errorf("again: items %v, notes %q, after %v", items, notes, time.Since(start))
			}
			if len(marks.readers) != 1 {
				t.Errorf("marks %v", marks.readers)
			}
			close(until)
			marks.sweepers.Wait()
			if len(marks.readers) != 0 {
				t.Errorf("marks %v after the end", marks.readers)
			}
		})
	}
}

func TestSweepEndsWhileStuck(t *testing.T) {
	pid := sleeper(t, nil)
	until := make(chan struct{})
	var marks stuckProcesses
	s := sweep[int]{fs: proc.Default, stuck: &marks, stall: 100 * time.Millisecond, parts: new(partPool[int]), open: func() reader[int] {
		return &blocking{pid: pid, until: until, total: 1}
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := s.run(ctx, []int{pid}, func([]int, bool, []string) error { return nil })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	// Who comes next knows of it, however short the patience of this asker was.
	if len(marks.readers) != 1 {
		t.Errorf("marks %v", marks.readers)
	}
	close(until)
	marks.sweepers.Wait()
	if len(marks.readers) != 0 {
		t.Errorf("marks %v after the end", marks.readers)
	}
}

// TestSweepGivesUpTheHopeless has a process that blocks whatever is read of it:
// it may hold two of our threads, not one more with each question.
func TestSweepGivesUpTheHopeless(t *testing.T) {
	pids := []int{sleeper(t, nil), sleeper(t, nil)}
	slices.Sort(pids)
	until := make(chan struct{})
	var marks stuckProcesses
	s := sweep[int]{fs: proc.Default, stuck: &marks, stall: 50 * time.Millisecond, parts: new(partPool[int]), open: func() reader[int] {
		return &blocking{pid: pids[0], until: until, total: 1, never: true}
	}}
	for range 4 {
		var items []int
		var notes []string
		err := s.run(t.Context(), pids, func(part []int, _ bool, more []string) error {
			items, notes = append(items, part...), append(notes, more...)
			return nil
		})
		if err != nil || !slices.Equal(items, []int{pids[1] * 10}) || len(notes) == 0 || notes[0] != unreadableNote(pids[0]) {
			t.Errorf("items %v, notes %q, %v", items, notes, err)
		}
	}
	for id, n := range marks.readers {
		if n != (stuckReaders{1, 1}) {
			t.Errorf("process %d holds %+v", id.PID, n)
		}
	}
	close(until)
	marks.sweepers.Wait()
	if len(marks.readers) != 0 {
		t.Errorf("marks %v after the end", marks.readers)
	}
}

func TestSweepBoundsTheTextOfAPart(t *testing.T) {
	var pids []int
	for range 20 {
		pids = append(pids, os.Getpid())
	}
	s := sweep[int]{fs: proc.Default, stuck: new(stuckProcesses), stall: time.Minute, parts: new(partPool[int]), open: func() reader[int] {
		return &blocking{total: 1, bytes: partText / 4}
	}}
	var sizes []int
	err := s.run(t.Context(), pids, func(part []int, _ bool, _ []string) error {
		sizes = append(sizes, len(part))
		return nil
	})
	if err != nil || !slices.Equal(sizes, []int{4, 4, 4, 4, 4, 0}) {
		t.Errorf("parts of %v items, %v", sizes, err)
	}
	s.stuck.sweepers.Wait()
}

func TestSweepHandsOverParts(t *testing.T) {
	pids := []int{os.Getpid(), 1}
	s := sweep[int]{fs: proc.Default, stuck: new(stuckProcesses), stall: time.Minute, parts: new(partPool[int]), open: func() reader[int] {
		return &blocking{total: 2*partItems + 500}
	}}
	var sizes []int
	err := s.run(t.Context(), pids, func(part []int, last bool, _ []string) error {
		sizes = append(sizes, len(part))
		if last != (len(sizes) == 6) {
			t.Errorf("part %d is the last: %v", len(sizes), last)
		}
		return nil
	})
	if err != nil || !slices.Equal(sizes, []int{1000, 1000, 1000, 1000, 1000, 0}) {
		t.Errorf("parts of %v items, %v", sizes, err)
	}
	broken := errors.New("broken")
	if err := s.run(t.Context(), pids, func([]int, bool, []string) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	s.stuck.sweepers.Wait()
}

// fakeList makes a proc(5) of n processes of which only that much is known that
// a sweep reads itself.
func fakeList(tb testing.TB, n int) (proc.FS, []int) {
	tb.Helper()
	root := tb.TempDir()
	pids := make([]int, n)
	for i := range pids {
		pids[i] = 10 + 3*i
		dir := filepath.Join(root, strconv.Itoa(pids[i]))
		if err := os.Mkdir(dir, 0o755); err != nil {
			tb.Fatal(err)
		}
		stat := fmt.Sprintf("%d (x) S %s", pids[i], strings.Repeat("1 ", 49))
		if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(stat), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	return proc.FS(root), pids
}

// telling is a reader that puts as many items of a process as it is told, and
// text in each.
type telling struct {
	items func(pid int) int
	count *atomic.Int64 // items so far, of all readers
	wait  func(pid int, careful bool)
}

func (*telling) notes() []string { return []string{"the same of each"} }

func (*telling) made() int { return 0 }

func (r *telling) read(p *target, put func(string)) {
	if r.wait != nil {
		r.wait(p.stat.PID, p.careful)
	}
	for i := range r.items(p.stat.PID) {
		put(p.text(fmt.Appendf(nil, "%d %d", p.stat.PID, i)))
		if r.count != nil {
			r.count.Add(1)
		}
	}
}

func tellingSweep(fs proc.FS, r telling) sweep[string] {
	return sweep[string]{
		fs: fs, stuck: new(stuckProcesses), stall: time.Minute, parts: new(partPool[string]), side: 2,
		open: func() reader[string] { own := r; return &own },
	}
}

// collectItems returns all items of a sweep, and its notes.
func collectItems(tb testing.TB, s *sweep[string], pids []int) (items, notes []string) {
	tb.Helper()
	ended := false
	err := s.run(tb.Context(), pids, func(part []string, last bool, more []string) error {
		if ended || len(part) > partItems || len(part) == 0 && !last {
			tb.Errorf("a part of %d items, the last: %v, after the last: %v", len(part), last, ended)
		}
		for _, item := range part {
			items = append(items, strings.Clone(item))
		}
		notes, ended = append(notes, more...), last
		return nil
	})
	if err != nil || !ended {
		tb.Fatalf("ended: %v, %v", ended, err)
	}
	s.stuck.sweepers.Wait()
	return items, notes
}

func TestSweepKeepsTheOrder(t *testing.T) {
	fs, pids := fakeList(t, 700)
	for _, n := range []int{0, 1, minBlock, minBlock + 1, 333, len(pids)} {
		for name, items := range map[string]func(pid int) int{
			"one": func(int) int { return 1 }, "none": func(int) int { return 0 }, "various": func(pid int) int { return pid * 7919 % 5 },
			"many of few":   func(pid int) int { return pid % 101 / 100 * 2 * partItems },
			"many at first": func(pid int) int { return 3000 / pid },
		} {
			t.Run(fmt.Sprintf("%s of %d", name, n), func(t *testing.T) {
				s := tellingSweep(fs, telling{items: items})
				var want []string
				for _, pid := range pids[:n] {
					for i := range items(pid) {
						want = append(want, fmt.Sprintf("%d %d", pid, i))
					}
				}
				got, notes := collectItems(t, &s, pids[:n])
				if !slices.Equal(got, want) {
					t.Errorf("%d items, want %d", len(got), len(want))
				}
				if len(notes) > 1 || n > 0 && len(notes) == 0 {
					t.Errorf("notes %q", notes)
				}
			})
		}
	}
}

// TestSweepPassesManyStuck has processes stuck in several blocks: as many as may
// be, and one that stays so even when it is read with care.
func TestSweepPassesManyStuck(t *testing.T) {
	fs, pids := fakeList(t, 400)
	stuck := []int{pids[0], pids[70], pids[399]}
	hopeless := pids[200]
	until := make(chan struct{})
	s := tellingSweep(fs, telling{items: func(int) int { return 1 }, wait: func(pid int, careful bool) {
		if pid == hopeless || slices.Contains(stuck, pid) && !careful {
			<-until
		}
	}})
	s.stall = 50 * time.Millisecond
	var want []string
	for _, pid := range pids {
		if pid != hopeless {
			want = append(want, fmt.Sprintf("%d 0", pid))
		}
	}
	for range 3 {
		var items, notes []string
		err := s.run(t.Context(), pids, func(part []string, _ bool, more []string) error {
			for _, item := range part {
				items = append(items, strings.Clone(item))
			}
			notes = append(notes, more...)
			return nil
		})
		if err != nil || !slices.Equal(items, want) {
			t.Errorf("%d items, want %d, %v", len(items), len(want), err)
		}
		if !slices.Contains(notes, unreadableNote(hopeless)) || notes[len(notes)-1] != "the same of each" {
			t.Errorf("notes %q", notes)
		}
	}
	close(until)
	s.stuck.sweepers.Wait()
	if len(s.stuck.readers) != 0 {
		t.Errorf("marks %v after the end", s.stuck.readers)
	}
}

// TestSweepDoesNotReadAhead has a slow receiver: what is read before it takes it
// is bounded.
func TestSweepDoesNotReadAhead(t *testing.T) {
	fs, pids := fakeList(t, 3000)
	var count atomic.Int64
	s := tellingSweep(fs, telling{items: func(int) int { return 10 }, count: &count})
	delivered := 0
	err := s.run(t.Context(), pids, func(part []string, _ bool, _ []string) error {
		if delivered == 0 {
			before := int64(-1)
			for now := count.Load(); now != before; now = count.Load() { // until nothing moves any more
				before = now
				time.Sleep(100 * time.Millisecond)
			}
			if most := int64(2 * maxSide * partItems); before > most {
				t.Errorf("%d items were read, at most %d may wait", before, most)
			}
		}
		delivered += len(part)
		return nil
	})
	if err != nil || delivered != 30000 {
		t.Errorf("%d items, %v", delivered, err)
	}
}

// TestSweepAllocatesNothingEach compares answers of few and of many processes.
func TestSweepAllocatesNothingEach(t *testing.T) {
	c := New(Options{})
	drivers := c.host.ttyDrivers()
	s := sweep[dtc.Process]{
		fs: proc.Default, stuck: new(stuckProcesses), stall: time.Minute, parts: new(partPool[dtc.Process]), side: 2,
		open: func() reader[dtc.Process] {
			return &processReader{users: c.host.users.Load(), ttys: newTTYs(c.host, drivers)}
		},
	}
	answer := func(n int) uint64 {
		pids := slices.Repeat([]int{os.Getpid()}, n)
		run := func() {
			err := s.run(t.Context(), pids, func([]dtc.Process, bool, []string) error { return nil })
			if err != nil {
				t.Fatal(err)
			}
		}
		run() // makes what is used again
		before := mallocs()
		run()
		return mallocs() - before
	}
	few, many := answer(1000), answer(5000)
	// The pools lose some of their memory now and then: to the garbage collector,
	// and to the race detector on purpose.
	if many > few+400 {
		t.Errorf("%d allocations for 1000 processes, %d for 5000", few, many)
	}
}

// TestSweepWaitsForASlowStart has a sweeper that takes long before it has begun
// with any process.
func TestSweepWaitsForASlowStart(t *testing.T) {
	fs, pids := fakeList(t, 3)
	s := tellingSweep(fs, telling{items: func(int) int { return 1 }})
	s.stall = 20 * time.Millisecond
	open := s.open
	s.open = func() reader[string] {
		time.Sleep(4 * s.stall)
		return open()
	}
	if items, notes := collectItems(t, &s, pids); len(items) != len(pids) || len(notes) != 1 {
		t.Errorf("items %q, notes %q", items, notes)
	}
}

// TestSweepHurries has processes that are slow on purpose, but not so slow that
// they count as stuck: the answer must come before who asks gives up.
func TestSweepHurries(t *testing.T) {
	fs, pids := fakeList(t, 400)
	var slow atomic.Int64
	s := tellingSweep(fs, telling{items: func(int) int { return 1 }, wait: func(_ int, careful bool) {
		if !careful {
			slow.Add(1)
			time.Sleep(50 * time.Millisecond)
		}
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	var items int
	var notes []string
	err := s.run(ctx, pids, func(part []string, _ bool, more []string) error {
		items, notes = items+len(part), append(notes, more...)
		return nil
	})
	if err != nil || items != len(pids) || slow.Load() == 0 || !slices.Contains(notes, hurriedNote) {
		t.Errorf("%d items, %d read slowly, notes %q, %v", items, slow.Load(), notes, err)
	}
}
