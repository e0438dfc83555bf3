package notify

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"dtc"
)

// detailed is an end as an agent tells it.
func detailed(i int) dtc.Event {
	e := deadPID(i%300+1, 1000+i)
	e.ID, e.Time = fmt.Sprintf("7f3a5c0d11e2-%d", i), time.Now()
	e.PostMortem = &dtc.PostMortem{
		CPU: time.Minute, RSSBytes: 1 << 20, Threads: 4, Descriptors: 12, PPID: 1, Parent: "systemd",
		Command: "nginx: master process /usr/sbin/nginx -g daemon on; master_process on;", Sampled: time.Second,
	}
	return e
}

// BenchmarkTell measures events on their way into a notice that is on the disk
// and taken, with three receivers.
func BenchmarkTell(b *testing.B) {
	var got, wanted sync.WaitGroup
	cfg := Config{Hosts: someHosts(300), Receivers: []Receiver{{Name: "a"}, {Name: "b", For: []string{"all"}}, {Name: "c", For: []string{"h1*", "dead"}}}}
	n, err := New(Options{Dir: b.TempDir(), Config: cfg, NewSender: func(string, Settings) (Sender, error) {
		return counting{&got}, nil
	}})
	must(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	wanted.Go(func() { _ = n.Run(ctx) })
	i, began := 0, time.Now()
	for b.Loop() {
		i++
		e := detailed(i)
		n.mu.Lock()
		for _, m := range n.core.machines {
			if m.filter.wants(&e) {
				got.Add(1)
			}
		}
		n.mu.Unlock()
		n.Tell(e)
	}
	told := time.Now()
	got.Wait() // until every receiver has taken all
	b.ReportMetric(float64(i)/told.Sub(began).Seconds(), "events/s")
	b.ReportMetric(float64(i)/time.Since(began).Seconds(), "delivered/s")
	cancel()
	wanted.Wait()
}

// counting counts down the events that it takes.
type counting struct{ left *sync.WaitGroup }

func (c counting) Send(_ context.Context, n *Notice) error {
	c.left.Add(-len(n.Events))
	return nil
}

// BenchmarkSilenced measures what a thousand silences cost each event.
func BenchmarkSilenced(b *testing.B) {
	cfg := Config{Hosts: someHosts(300), Receivers: []Receiver{{Name: "a"}}}
	c := newCore(coreState{}, benchStart(), newNoticeID)
	for i := range maxSilences {
		c.silences = append(c.silences, Silence{Hosts: []string{fmt.Sprintf("x%d*", i)}, End: benchStart().Add(time.Hour)})
	}
	c.configure(&cfg, benchStart())
	i := 0
	for b.Loop() {
		i++
		e := detailed(i)
		c.observe(&e, benchStart())
	}
}

// BenchmarkWaiting fills a queue, and reports what a waiting notice of one event
// takes of the disk and of the memory, and what opening the queue again takes.
func BenchmarkWaiting(b *testing.B) {
	const notices = 10_000
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	for b.Loop() {
		dir := filepath.Join(b.TempDir(), "queue")
		before := heap()
		q := mustQueue(b, dir)
		for i := range notices {
			e := detailed(i)
			q.append(&record{
				Seq: uint64(i + 1), ID: newNoticeID(), Kind: Problem, Time: time.Now(),
				Title: "h1: nginx[812] dead: signal 9, lived 1h0m0s", Events: []storedEvent{storedEvent(e)},
			})
		}
		after := heap()
		size := 0.0
		entries, err := os.ReadDir(dir)
		must(b, err)
		for _, entry := range entries {
			if info, err := entry.Info(); err == nil && strings.HasSuffix(entry.Name(), segmentEnd) {
				size += float64(info.Size())
			}
		}
		must(b, q.release())
		began := time.Now()
		again := mustQueue(b, dir)
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms/open")
		b.ReportMetric(size/notices, "disk-B/notice")
		b.ReportMetric((after-before)/notices, "heap-B/notice")
		runtime.KeepAlive(q)
		runtime.KeepAlive(again)
	}
}
