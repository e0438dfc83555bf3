package ship

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"dtc"
	"dtc/internal/wire"
)

// sink is a monitor that stores nothing: it grants every stream, acknowledges
// every byte, and tells when they came.
type sink struct {
	link   *wire.Link
	mu     sync.Mutex
	total  int64
	states int
	came   chan []byte // copies of what was appended, if anyone wants them
	late   func(f *dtc.Frame)
}

func (k *sink) serve() {
	var f dtc.Frame
	epoch := uint64(0)
	for {
		if err := k.link.Recv(&f); err != nil {
			return
		}
		switch f.Kind {
		case dtc.FrameHello:
			_ = k.link.Send(&dtc.Frame{Kind: dtc.FrameReady})
		case dtc.FrameAttach:
			epoch++
			_ = k.link.Send(&dtc.Frame{Kind: dtc.FrameState, Stream: f.Stream, Epoch: epoch})
			k.mu.Lock()
			k.states++
			k.mu.Unlock()
		case dtc.FramePing:
			_ = k.link.Send(&dtc.Frame{Kind: dtc.FramePong, ID: f.ID})
		case dtc.FrameAppend:
			if k.came != nil {
				k.came <- bytes.Clone(f.Data)
			}
			if k.late != nil {
				k.late(&f)
			}
			k.mu.Lock()
			k.total += int64(len(f.Data))
			k.mu.Unlock()
			end := f.Offset + int64(len(f.Data))
			_ = k.link.Send(&dtc.Frame{Kind: dtc.FrameAck, Stream: f.Stream, Epoch: f.Epoch, Generation: f.Generation, Offset: end, End: end})
		default:
		}
		if k.link.Buffered() == 0 {
			_ = k.link.Flush()
		}
	}
}

func (k *sink) got() (int64, int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.total, k.states
}

// rig is a Shipper that is connected to a sink.
func rig(tb testing.TB, files []File, k *sink) *Shipper {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	a, err := net.Dial("tcp", ln.Addr().String())
	b, err2 := ln.Accept()
	if err := errors.Join(err, err2, ln.Close()); err != nil {
		tb.Fatal(err)
	}
	s := New(Options{Files: files, Boot: "boot"})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	k.link = wire.NewLink(b)
	wg.Go(k.serve)
	wg.Go(func() { _ = s.Run(ctx) })
	wg.Go(func() { _ = s.Serve(ctx, wire.NewLink(a)) })
	tb.Cleanup(func() {
		cancel()
		_ = b.Close()
		wg.Wait()
	})
	return s
}

func until(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			tb.Fatalf("timed out: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func percentiles(d []time.Duration) string {
	slices.Sort(d)
	at := func(p float64) time.Duration { return d[min(int(p*float64(len(d))), len(d)-1)].Round(time.Microsecond) }
	return fmt.Sprintf("p50 %v, p90 %v, p99 %v, max %v", at(0.5), at(0.9), at(0.99), at(1))
}

func TestLatency(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f.log")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	k := &sink{came: make(chan []byte, 100)}
	rig(t, []File{{Path: path, Alias: "f"}}, k)
	_, _ = f.WriteString("first\n")
	<-k.came
	var all []time.Duration
	for i := range 500 {
		time.Sleep(2 * time.Millisecond)
		start := time.Now()
		_, _ = fmt.Fprintf(f, "line %d\n", i)
		select {
		case <-k.came:
		case <-time.After(30 * time.Second):
			t.Fatal("nothing came")
		}
		all = append(all, time.Since(start))
	}
	t.Log("write to append at the other end of a TCP connection: " + percentiles(all))
	if all[len(all)/2] > 2*time.Millisecond { // this machine is shared; alone it takes a tenth of that
		t.Error("too slow")
	}
}

// A file that catches up does not make the lines of another wait.
func TestFairness(t *testing.T) {
	dir := t.TempDir()
	big, quiet := filepath.Join(dir, "big"), filepath.Join(dir, "quiet")
	b, err := os.Create(big)
	if err != nil {
		t.Fatal(err)
	}
	const size = 1 << 30
	chunk := noise(1 << 20)
	for range size >> 20 {
		_, _ = b.Write(chunk)
	}
	_ = b.Close()
	q, err := os.Create(quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	lines := make(chan struct{}, 10)
	k := &sink{}
	k.late = func(f *dtc.Frame) {
		if len(f.Data) == 7 {
			lines <- struct{}{}
		}
	}
	start := time.Now()
	rig(t, []File{{Path: big, Alias: "big"}, {Path: quiet, Alias: "quiet"}}, k)
	var all []time.Duration
	for {
		time.Sleep(time.Millisecond)
		at := time.Now()
		_, _ = q.WriteString("0123456")
		select {
		case <-lines:
			all = append(all, time.Since(at))
		case <-time.After(30 * time.Second):
			t.Fatal("the quiet file waits")
		}
		if n, _ := k.got(); n >= size {
			break
		}
	}
	t.Logf("1 GiB in %v; lines of the other file meanwhile: %d, %s", time.Since(start).Round(time.Millisecond), len(all), percentiles(all))
	if all[len(all)*99/100] > 100*time.Millisecond {
		t.Error("too slow")
	}
}

// Ten thousand streams are nothing special.
func TestManyStreams(t *testing.T) {
	dir := t.TempDir()
	n := 2000
	if long() {
		n = 9000 // of the 10,000 that one agent may have; each needs a descriptor
	}
	for i := range n {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%d.log", i)), []byte("hello\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	k := &sink{}
	start := time.Now()
	rig(t, []File{{Path: filepath.Join(dir, "*.log"), Alias: "{name}"}}, k)
	until(t, "all files are shipped", func() bool { b, _ := k.got(); return b == int64(6*n) })
	took := time.Since(start)
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("%d streams shipped after %v; %.1f MB of heap, %.2f KB a stream", n, took.Round(time.Millisecond),
		float64(after.HeapAlloc-before.HeapAlloc)/1e6, float64(after.HeapAlloc-before.HeapAlloc)/float64(n)/1e3)
	if long() {
		time.Sleep(activeFor + sweepIdle)
		cpu := cpuTime()
		time.Sleep(10 * time.Second)
		t.Logf("idle %.2f %% of a core", 100*(cpuTime()-cpu).Seconds()/10)
	}
	f, _ := os.OpenFile(filepath.Join(dir, "f77.log"), os.O_APPEND|os.O_WRONLY, 0o644)
	defer f.Close()
	at := time.Now()
	_, _ = f.WriteString("again\n")
	until(t, "one more line", func() bool { b, _ := k.got(); return b == int64(6*n+6) })
	t.Logf("a line of one of them: %v", time.Since(at).Round(time.Microsecond))
}

// long reports whether the tests may take long.
func long() bool { return *tortureDuration >= 20*time.Second }
