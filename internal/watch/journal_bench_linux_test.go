package watch

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dtc"
)

// BenchmarkBurst is 1,000 ends at once, from being noticed until all are
// written and told.
func BenchmarkBurst(b *testing.B) {
	const burst = 1000
	for name, dir := range map[string]string{"memory": "", "journal": b.TempDir()} {
		b.Run(name, func(b *testing.B) {
			w := New(Options{Run: "r", Dir: dir, Logger: slog.New(slog.DiscardHandler)})
			ctx, cancel := context.WithCancel(b.Context())
			over := make(chan error, 2)
			go func() { over <- w.Run(ctx) }()
			told := make(chan dtc.Sighting, burst)
			go func() {
				over <- w.Watch(ctx, "0123456789abcdef0123456789abcdef", dtc.Watching{}, func(s dtc.Sighting) error {
					told <- s
					return nil
				})
			}()
			var s *session
			for s == nil {
				w.mu.Lock()
				s = w.sessions["0123456789abcdef0123456789abcdef"]
				w.mu.Unlock()
			}
			var last dtc.Sighting
			first, hold := time.Duration(0), time.Duration(0)
			for b.Loop() {
				began := time.Now()
				for i := range burst {
					w.mu.Lock()
					w.keepSighting(s, dtc.Sighting{
						State: dtc.StateDead, Boot: w.boot, Name: "nginx", Exit: dtc.Exit{Kind: dtc.ExitSignal, Number: 9},
						Process: dtc.ProcessID{PID: i + 1, Start: 123456},
					}, now())
					w.mu.Unlock()
				}
				hold += time.Since(began)
				last = <-told
				first += time.Since(began)
				for range burst - 1 {
					last = <-told
				}
				_ = w.Acknowledge(ctx, s.asker, last.Run, last.Number)
			}
			b.ReportMetric(float64(hold.Nanoseconds())/float64(b.N)/burst, "ns/keep")
			b.ReportMetric(float64(first.Microseconds())/float64(b.N), "µs/first")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/burst, "µs/end")
			cancel()
			<-over
			<-over
		})
	}
}

// benchHerd is how many processes the start is measured with.
const benchHerd = 5000

// BenchmarkStart is the start of an agent that watched 5,000 processes before.
func BenchmarkStart(b *testing.B) {
	list := herd(b, benchHerd)
	dir := b.TempDir()
	begin := func(run string) (w *Watcher, stop func()) {
		w = New(Options{Run: run, Dir: dir, Logger: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(b.Context())
		over := make(chan error)
		go func() { over <- w.Run(ctx) }()
		if err := w.await(b.Context()); err != nil {
			b.Fatal(err)
		}
		return w, func() {
			cancel()
			<-over
		}
	}
	w, stop := begin("first")
	ctx, cancel := context.WithCancel(b.Context())
	seen, over := 0, make(chan error)
	go func() {
		over <- w.Watch(ctx, "0123456789abcdef0123456789abcdef", dtc.Watching{Targets: pids(list...)}, func(dtc.Sighting) error {
			if seen++; seen == len(list) {
				cancel()
			}
			return nil
		})
	}()
	<-over
	stop()
	for i := 0; b.Loop(); i++ {
		w, stop := begin(fmt.Sprint("run", i))
		if len(w.held) != len(list) {
			b.Fatalf("%d are held", len(w.held))
		}
		b.StopTimer()
		stop()
		b.StartTimer()
	}
	names, _ := filepath.Glob(filepath.Join(dir, journalPrefix+"*"))
	for _, name := range names[len(names)-1:] {
		if info, err := os.Stat(name); err == nil {
			b.ReportMetric(float64(info.Size())/1024, "KiB")
		}
	}
}
