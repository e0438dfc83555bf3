//go:build linux

package e2e

import (
	"bufio"
	crand "crypto/rand"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// logText writes size bytes of what a web service logs.
func logText(tb testing.TB, path string, size int64) {
	tb.Helper()
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	out := bufio.NewWriterSize(f, 1<<20)
	r := rand.New(rand.NewPCG(1, 2))
	verbs, paths := []string{"GET", "GET", "GET", "POST", "PUT"}, []string{"/", "/login", "/api/v1/orders", "/api/v1/users", "/static/app.js"}
	at := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
	for n := int64(0); n < size; {
		at = at.Add(time.Duration(r.IntN(5_000_000)))
		k, err := fmt.Fprintf(out, "%s level=INFO request=%016x client=10.%d.%d.%d %s %s/%d status=%d bytes=%d took=%.3fms\n",
			at.Format("2006-01-02T15:04:05.000000Z07:00"), r.Uint64(), r.IntN(4), r.IntN(256), r.IntN(256),
			verbs[r.IntN(len(verbs))], paths[r.IntN(len(paths))], r.IntN(100_000), []int{200, 200, 200, 304, 404, 500}[r.IntN(6)], r.IntN(50_000), r.ExpFloat64()*12)
		if err != nil {
			tb.Fatal(err)
		}
		n += int64(k)
	}
	if err := out.Flush(); err != nil {
		tb.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		tb.Fatal(err)
	}
}

// random writes size bytes that nothing can compress.
func random(tb testing.TB, path string, size int64) {
	tb.Helper()
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	if _, err := io.CopyN(f, crand.Reader, size); err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkFollowSlowLink pairs a backlog of log lines with one of bytes that
// cannot be compressed, over a link of 10 Mbit/s between two namespaces.
func BenchmarkFollowSlowLink(b *testing.B) {
	const size = 24 << 20
	f := newFleet(b, 1)
	f.nodes[1].must(b, "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "10mbit", "burst", "32kbit", "latency", "50ms")
	dir := b.TempDir()
	drain := func(name string, make func(testing.TB, string, int64)) time.Duration {
		path := filepath.Join(dir, name)
		make(b, path, size)
		f.follow(b, 1, path)
		began := time.Now()
		f.startAgent(b, 1)
		copied := filepath.Join(f.home, "logs", f.ips[1], name)
		for time.Since(began) < 2*patience {
			if info, err := os.Stat(copied); err == nil && info.Size() == size {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		took := time.Since(began)
		namespace("").must(b, "cmp", path, copied)
		f.agents[1].stop(b)
		return took
	}
	for b.Loop() {
		raw, text := drain("random.bin", random), drain("text.log", logText)
		b.ReportMetric(float64(size)/(1<<20)/raw.Seconds(), "raw-MiB/s")
		b.ReportMetric(float64(size)/(1<<20)/text.Seconds(), "text-MiB/s")
		b.ReportMetric(raw.Seconds()/text.Seconds(), "rate-text/raw")
	}
}
