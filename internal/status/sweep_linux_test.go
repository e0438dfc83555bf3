package status

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

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
