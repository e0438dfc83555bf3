package wire

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"dtc"
)

// BenchmarkGetProcess1000 asks for 1,000 processes over a warm connection, TLS
// included: both sides' cost.
func BenchmarkGetProcess1000(b *testing.B) {
	all := processes(1000)
	r := serve(b, &Server{Agent: &fakeAgent{get: func(_ context.Context, _ dtc.Query, emit func(*dtc.Report) error) error {
		return emit(&dtc.Report{Process: all, CollectedAt: time.Now()})
	}}})
	c := r.client(b, r.monitor)
	get := func() {
		n := 0
		err := c.Get(b.Context(), dtc.Query{Status: dtc.StatusProcess}, func(part *dtc.Report) error {
			n += len(part.Process)
			return nil
		})
		if err != nil || n != len(all) {
			b.Fatal(n, err)
		}
	}
	get()
	b.ReportAllocs()
	for b.Loop() {
		get()
	}
}

func BenchmarkInfo(b *testing.B) {
	r := serve(b, &Server{Agent: &fakeAgent{}})
	c := r.client(b, r.monitor)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Info(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSighting measures from the agent's emit to the monitor's.
func BenchmarkSighting(b *testing.B) {
	emits, seen := make(chan struct{}), make(chan struct{})
	r := serve(b, &Server{Agent: &fakeAgent{watch: func(ctx context.Context, _ string, _ dtc.Watching, emit func(dtc.Sighting) error) error {
		for {
			select {
			case <-emits:
				if err := emit(dtc.Sighting{State: dtc.StateDead}); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}}})
	c := r.client(b, r.monitor)
	ctx, cancel := context.WithCancel(b.Context())
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() {
		_ = c.Watch(ctx, dtc.Watching{}, func(dtc.Sighting) error {
			seen <- struct{}{}
			return nil
		})
	})
	for b.Loop() {
		emits <- struct{}{}
		<-seen
	}
}

func BenchmarkEncode1000(b *testing.B) {
	report := &dtc.Report{Process: processes(1000)}
	e := newEncoder(&dtc.Query{Status: dtc.StatusProcess})
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		if err := e.send(report, func(m *PartMessage) (err error) {
			buf, err = proto.MarshalOptions{}.MarshalAppend(buf[:0], m)
			return err
		}); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkDecode1000(b *testing.B) {
	e := newEncoder(&dtc.Query{Status: dtc.StatusProcess})
	var buf []byte
	if err := e.send(&dtc.Report{Process: processes(1000)}, func(m *PartMessage) (err error) {
		buf, err = proto.Marshal(m)
		return err
	}); err != nil {
		b.Fatal(err)
	}
	d := newDecoder(&dtc.Query{Status: dtc.StatusProcess})
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		m := new(PartMessage)
		if err := proto.Unmarshal(buf, m); err != nil {
			b.Fatal(err)
		}
		if _, err := d.decode(m); err != nil {
			b.Fatal(err)
		}
		d.parts, d.amount = 0, amount{}
	}
}

// BenchmarkKept1000 tells what 1,000 kept connections take, both sides
// together, in this one process.
func BenchmarkKept1000(b *testing.B) {
	limit := defaultLimits()
	limit.perSource, limit.perMonitor, limit.unproven = 1000, 2000, 1000
	r := serve(b, &Server{Agent: &fakeAgent{}, limits: limit})
	rss := func() float64 {
		debug.FreeOSMemory()
		text, err := os.ReadFile("/proc/self/status")
		if err != nil {
			b.Skip("no /proc here")
		}
		_, after, _ := strings.Cut(string(text), "VmRSS:")
		var kib float64
		fmt.Sscan(after, &kib)
		return kib / 1024
	}
	for b.Loop() {
		before := rss()
		clients := make([]*Client, 1000)
		began := time.Now()
		var asking sync.WaitGroup
		slots := make(chan struct{}, 64)
		for i := range clients {
			clients[i] = r.client(b, r.monitor)
			slots <- struct{}{}
			asking.Go(func() {
				defer func() { <-slots }()
				if _, err := clients[i].Info(b.Context()); err != nil {
					b.Error(err)
				}
			})
		}
		asking.Wait()
		b.ReportMetric(time.Since(began).Seconds()*1000, "ms-cold")
		began = time.Now()
		for _, c := range clients {
			asking.Go(func() {
				if _, err := c.Info(b.Context()); err != nil {
					b.Error(err)
				}
			})
		}
		asking.Wait()
		b.ReportMetric(time.Since(began).Seconds()*1000, "ms-warm")
		b.ReportMetric(rss()-before, "MiB-both-sides")
		for _, c := range clients {
			c.Close()
		}
	}
}
