package watch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dtc"
	"dtc/internal/proc"
)

// TestFewAreSampledInTurn has ten processes sampled four at a time.
func TestFewAreSampledInTurn(t *testing.T) {
	w := New(Options{})
	const n = 10
	for pid := range n {
		id := dtc.ProcessID{PID: pid + 1}
		w.held[id] = &process{id: id, vitals: vitals{tried: time.Duration(pid + 1)}}
	}
	clock := time.Duration(1000)
	var order []int
	for range 10 {
		some, all := w.longestUnseen()
		if len(some) != fewOnce || all != n {
			t.Fatalf("%d at once of %d", len(some), all)
		}
		for _, p := range some {
			clock++
			p.vitals.tried = clock
			order = append(order, p.id.PID)
		}
	}
	for i, pid := range order {
		if pid != i%n+1 {
			t.Fatalf("sampled in the order %v", order)
		}
	}
}

// TestManyAreSampledAtRandom has every one of many sampled sooner or later.
func TestManyAreSampledAtRandom(t *testing.T) {
	w := New(Options{})
	const n = 1000
	for pid := range n {
		id := dtc.ProcessID{PID: pid + 1}
		w.held[id] = &process{id: id, vitals: vitals{tried: 1}}
	}
	seen := map[int]bool{}
	for round := 0; len(seen) < n; round++ {
		some, all := w.longestUnseen()
		if len(some) != manyOnce || all != n {
			t.Fatalf("%d at once of %d", len(some), all)
		}
		for _, p := range some {
			p.vitals.tried = time.Duration(round) + 2
			seen[p.id.PID] = true
		}
		if round > 100*n {
			t.Fatalf("%d of %d were sampled in %d rounds", len(seen), n, round)
		}
	}
}

func TestLateCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var asked []int
		blocked := make(chan struct{})
		var c commands
		c.ask = func(pid, limit int) (string, error) {
			mu.Lock()
			asked = append(asked, pid)
			mu.Unlock()
			switch {
			case limit != maxCommand:
				return "", fmt.Errorf("limit %d", limit)
			case pid < 100:
				<-blocked
				return "late", nil
			case pid == 100:
				return "", errors.New("gone")
			default:
				return "at once", nil
			}
		}
		read := func(pid int) string {
			line, told := c.read(dtc.ProcessID{PID: pid})
			if told != (line != "") {
				t.Errorf("process %d: %q, %v", pid, line, told)
			}
			return line
		}
		if read(101) != "at once" || read(100) != "" {
			t.Error("who does not block is not told")
		}
		began := time.Now()
		for pid := range maxLateCommands {
			if line := read(pid); line != "" {
				t.Errorf("told %q", line)
			}
			if pid < maxLateCommands-1 && read(101) != "at once" {
				t.Error("another is late for it")
			}
		}
		if took := time.Since(began); took != maxLateCommands*commandPatience {
			t.Errorf("took %v", took)
		}
		again := func() []int { // who was asked since the last call
			mu.Lock()
			defer mu.Unlock()
			list := asked
			asked = nil
			return list
		}
		again()
		// Nobody more is asked, and none of these twice.
		if read(0) != "" || read(101) != "" || len(again()) != 0 || time.Since(began) != maxLateCommands*commandPatience {
			t.Error("it is waited for again")
		}
		close(blocked)
		synctest.Wait()
		if read(0) != "late" || read(101) != "at once" || !slices.Equal(again(), []int{0, 101}) {
			t.Error("who has come back is not asked again")
		}
		c.readers.Wait()
	})
}

func TestSharedTexts(t *testing.T) {
	if s := newShared(""); s != (shared{}) || s.String() != "" {
		t.Errorf("%v", s)
	}
	a, b := newShared(fmt.Sprint("x", 1)), newShared(fmt.Sprint("x", 1))
	if a != b || a.String() != "x1" {
		t.Errorf("%v and %v", a, b)
	}
}

func TestPostMortemOfWhatIsKnown(t *testing.T) {
	if post := postMortem(&process{vitals: vitals{descriptors: dtc.Absent}}, 1); post != nil {
		t.Errorf("of nothing: %+v", post)
	}
	p := &process{vitals: vitals{descriptors: dtc.Absent, command: newShared("a b")}}
	want := dtc.NoPostMortem()
	want.Command = "a b"
	if post := postMortem(p, 1); post == nil || *post != want {
		t.Errorf("of the command: %+v", post)
	}
	p.last(proc.Usage{})
	p.last(proc.Usage{CPU: 3 * time.Second, Threads: 1})
	want.CPU = 3 * time.Second
	if post := postMortem(p, 1); post == nil || *post != want {
		t.Errorf("of the zombie: %+v", post)
	}
	p.vitals = vitals{
		at: time.Second, descriptors: 7, parent: newShared("init"), command: newShared("a b"),
		usage: proc.Usage{PPID: 1, Threads: 2, CPU: time.Second, RSSBytes: 4096},
	}
	want = dtc.PostMortem{
		CPU: 3 * time.Second, RSSBytes: 4096, Threads: 2, Descriptors: 7, PPID: 1, Parent: "init", Command: "a b",
		Sampled: 500 * time.Millisecond,
	}
	if post := postMortem(p, 1500*time.Millisecond); post == nil || *post != want {
		t.Errorf("of all: %+v", post)
	}
}

// TestPostMortemOfAHelper is what every system tells.
func TestPostMortemOfAHelper(t *testing.T) {
	w := newWatcher(t, func(w *Watcher) { w.sampler.fewEach = time.Millisecond })
	c := start(t, "exit 0")
	f := watchFor(t, w, "m", pids(c.pid)...)
	f.is(t, c.pid, dtc.StateAlive)
	id := identify(t, c.pid)
	eventually(t, "a sample", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		p := w.held[id]
		return p != nil && p.vitals.usage.RSSBytes > 0 && p.vitals.command.String() != ""
	})
	c.end()
	post := f.is(t, c.pid, dtc.StateDead).PostMortem
	if post == nil {
		t.Fatal("there is no post-mortem")
	}
	if post.CPU < 0 || post.RSSBytes <= 0 || post.Sampled < 0 || post.PPID != os.Getpid() || !strings.Contains(post.Command, filepath.Base(os.Args[0])) {
		t.Errorf("post-mortem %+v", post)
	}
	if me, err := proc.Look(os.Getpid()); err != nil || post.Parent != me.Name {
		t.Errorf("parent %q, want %q: %v", post.Parent, me.Name, err)
	}
}
