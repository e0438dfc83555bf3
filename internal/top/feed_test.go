package top

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dtc"
	"dtc/internal/fleet"
)

// fakeFleet answers as its hosts' names say, in the bubble's time:
//
//	web   at once
//	slow  after a minute, or when the question times out
//	old   at once, but it cannot select
type fakeFleet struct {
	mu        sync.Mutex
	asked     map[string][]time.Time // for cpu, by host
	questions []string               // for lists
	canceled  int                    // questions for processes
	processes int                    // that a host has
}

func (f *fakeFleet) Get(ctx context.Context, hosts []fleet.Host, q dtc.Query, timeout time.Duration, deliver func(int, *dtc.Report)) {
	h := hosts[0]
	f.note(h, q)
	kind := strings.TrimRight(h.Name, "0123456789")
	r := &dtc.Report{Status: q.Status, CollectedAt: time.Now()}
	if kind == "slow" {
		timer := time.NewTimer(min(timeout, time.Minute))
		defer timer.Stop()
		r.Err = &dtc.Error{Kind: dtc.KindTimeout, Err: errors.New("no answer in time")}
		select {
		case <-timer.C:
		case <-ctx.Done():
			if q.Status == dtc.StatusProcess {
				f.mu.Lock()
				f.canceled++
				f.mu.Unlock()
			}
		}
		deliver(0, r)
		return
	}
	if kind == "old" && !q.Selection.IsZero() {
		r.Err = &dtc.Error{Kind: dtc.KindInvalid, Err: errors.New("too old to select")}
		deliver(0, r)
		return
	}
	f.answer(r, q)
	part := *r
	part.Partial = true
	deliver(0, &part)
	deliver(0, &dtc.Report{Status: q.Status, CollectedAt: r.CollectedAt, Notes: []string{"a note"}})
}

func (f *fakeFleet) note(h fleet.Host, q dtc.Query) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch q.Status {
	case dtc.StatusCPU:
		f.asked[h.Name] = append(f.asked[h.Name], time.Now())
	case dtc.StatusMemory:
	default:
		f.questions = append(f.questions, fmt.Sprintf("%s %s %s %d %v", h.Name, q.Status, q.Selection.Sort, q.Selection.Limit, q.Selection.PIDs))
	}
}

func (f *fakeFleet) answer(r *dtc.Report, q dtc.Query) {
	switch q.Status {
	case dtc.StatusCPU:
		r.CPU = &dtc.CPU{LogicalCores: 2, Load1: 1, UptimeSeconds: 7, Percent: []dtc.CPUPercent{{CPU: "all", Idle: 75}}}
	case dtc.StatusMemory:
		r.Memory = &dtc.Memory{TotalBytes: 100, UsedBytes: 50}
	case dtc.StatusProcess:
		r.Process = testProcesses(f.processes)
		r.Process[0].Command = strings.Repeat("x", 2*maxText)
	case dtc.StatusOpenFiles:
		for i := range f.processes {
			r.OpenFiles = append(r.OpenFiles, dtc.OpenFile{PID: i%2 + 1, Name: strings.Repeat("y", maxText+i%2)})
		}
	default:
	}
}

// times returns when a host was asked for its load, and lists what was asked for
// lists.
func (f *fakeFleet) times(name string) []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[name]
}

func (f *fakeFleet) lists() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.questions
}

// screenOf runs a feed for hosts and gathers what it sends, until stop.
func screenOf(t *testing.T, f *fakeFleet, hosts ...string) (fd *feed, got func() []Answers, stop func()) {
	t.Helper()
	f.asked = map[string][]time.Time{}
	fd = newFeed(&Options{Hosts: testHosts(hosts...), Asker: f, Every: 2 * time.Second, Timeout: 5 * time.Second})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all []Answers
	wg.Go(func() {
		fd.run(ctx, func(a Answers) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, a)
		}, func(work func()) { work() })
	})
	got = func() []Answers {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return all
	}
	return fd, got, func() { cancel(); wg.Wait() }
}

// A host that hangs delays no other, the hosts are asked at times of their own,
// and what they say comes at most ten times a second.
func TestFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeFleet{}
		hosts := []string{"slow0"}
		for i := 1; i < 100; i++ {
			hosts = append(hosts, fmt.Sprintf("web%d", i))
		}
		began := time.Now()
		_, got, stop := screenOf(t, f, hosts...)
		time.Sleep(10100 * time.Millisecond)
		all := got()
		stop()
		if n := len(all); n > 102 || n < 80 {
			t.Errorf("%d times in ten seconds", n)
		}
		seen, times := map[int]HostAnswer{}, map[int]int{}
		for _, a := range all {
			for _, h := range a.Hosts {
				seen[h.Index] = h
				times[h.Index]++
			}
		}
		for i := range hosts {
			h := seen[i]
			if i == 0 && dtc.KindOf(h.Err) == dtc.KindTimeout {
				continue
			}
			if s := h.Sample; h.Err != nil || s.CPU != 25 || s.Cores != 2 || s.Uptime != 7 || s.memoryPercent() != 50 {
				t.Errorf("%s: %+v", hosts[i], h)
			}
			if times[i] < 5 || times[i] > 7 {
				t.Errorf("%s came %d times", hosts[i], times[i])
			}
		}
		at := map[time.Duration]bool{}
		for name, asked := range f.asked {
			if strings.HasPrefix(name, "web") && asked[0] != began {
				t.Errorf("%s was first asked after %s", name, asked[0].Sub(began))
			}
			at[asked[len(asked)-1].Sub(began)] = true
		}
		if len(at) < 90 {
			t.Errorf("the last questions were put at %d times only", len(at))
		}
		if n := len(f.asked["slow0"]); n != 2 {
			t.Errorf("the slow one was asked %d times", n)
		}
	})
}

func TestPausedFeedAsksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeFleet{processes: 3}
		fd, got, stop := screenOf(t, f, "web1")
		time.Sleep(time.Second)
		fd.set(want{subject: processes, paused: true})
		time.Sleep(20 * time.Second)
		if n := len(f.times("web1")); n != 1 || len(f.lists()) != 0 {
			t.Errorf("asked %d times, %q", n, f.lists())
		}
		fd.set(want{subject: processes})
		time.Sleep(5 * time.Second)
		got()
		if n := len(f.times("web1")); n < 3 || len(f.lists()) < 2 {
			t.Errorf("asked %d times, %q", n, f.lists())
		}
		stop()
	})
}

func TestFeedOfLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeFleet{processes: maxItems + 1}
		fd, got, stop := screenOf(t, f, "web1", "slow1", "old1")
		last := func() (p *ProcessAnswer, o *FileAnswer) {
			for _, a := range got() {
				if a.Processes != nil {
					p = a.Processes
				}
				if a.Files != nil {
					o = a.Files
				}
			}
			return p, o
		}
		fd.set(want{subject: processes, sort: "cpu_percent"})
		time.Sleep(time.Second)
		p, _ := last()
		if p == nil || len(p.Processes) != maxItems || !p.More || p.Sort != "cpu_percent" || p.Note != "a note" || len(p.Processes[0].Command) != maxText {
			t.Errorf("%+v", p)
		}
		fd.set(want{subject: processes, sort: "pid"}) // not at once
		time.Sleep(500 * time.Millisecond)
		if len(f.lists()) != 1 {
			t.Errorf("%q", f.lists())
		}
		time.Sleep(time.Second)
		fd.set(want{subject: processes, host: 1})
		time.Sleep(time.Second)
		fd.set(want{subject: openFiles, host: 2, pid: 2}) // does not wait for host 1
		time.Sleep(time.Second)
		_, o := last()
		if o == nil || o.Host != 2 || len(o.Files) != (maxItems+1)/2 || o.More || len(o.Files[0].Name) != maxText {
			t.Errorf("files: %v", o)
		}
		fd.set(want{subject: processes, filter: "p5001 "}) // beyond what is shown
		time.Sleep(time.Second)
		p, _ = last()
		if p == nil || len(p.Processes) != 1 || p.Processes[0].PID != 5001 || p.More || p.Filter != "p5001 " {
			t.Errorf("%+v", p)
		}
		fd.set(want{})
		time.Sleep(time.Minute)
		stop()
		want := []string{
			"web1 process cpu_percent 5001 []", "web1 process pid 5001 []", "slow1 process  5001 []",
			"old1 openfiles  5001 [2]", "old1 openfiles  0 []", "web1 process  0 []",
		}
		if strings.Join(f.questions, "|") != strings.Join(want, "|") || f.canceled != 1 {
			t.Errorf("%q, %d given up", f.questions, f.canceled)
		}
	})
}

func TestUntilNext(t *testing.T) {
	const every = 2 * time.Second
	for _, test := range []struct{ now, offset, want time.Duration }{
		{0, 0, 2 * time.Second},
		{0, time.Second, time.Second},
		{0, 500 * time.Millisecond, 2500 * time.Millisecond},
		{10 * time.Second, time.Second, time.Second},
		{10100 * time.Millisecond, time.Second, 2900 * time.Millisecond},
	} {
		if got := untilNext(test.now, test.offset, every); got != test.want {
			t.Errorf("%s, offset %s: %s, want %s", test.now, test.offset, got, test.want)
		}
	}
}

// What is kept of an answer holds nothing else of it in memory.
func TestClipHoldsNoMore(t *testing.T) {
	const parts, size = 64, 1 << 20
	kept := make([]string, parts)
	for i := range kept {
		kept[i] = clip(strings.Repeat("x", size)[:8])
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > parts*size/2 {
		t.Errorf("%d bytes for %d texts", m.HeapAlloc, len(kept))
	}
	runtime.KeepAlive(kept)
}
