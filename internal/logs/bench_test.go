package logs

import (
	"fmt"
	"hash/crc32"
	"testing"

	"dtc"
)

// BenchmarkAppend is the way of a chunk from the frame into the page cache.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{200, 4 << 10, dtc.MaxChunk} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			r := newRig(b, func(o *Options) { o.SyncEvery = 0 })
			st, err := r.find(peerA, "app.log")
			check(b, err)
			c := &conn{store: r.Store, peer: peerA}
			c.out.wake = make(chan struct{}, 1)
			att := &attachment{conn: c, stream: st}
			st.owner = att
			check(b, att.open(&dtc.Frame{Generation: 1, Data: []byte("one")}))
			data := make([]byte, size)
			f := dtc.Frame{Kind: dtc.FrameAppend, Generation: 1, Data: data, Sum: crc32.Checksum(data, castagnoli())}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				check(b, att.append(&f))
				f.Offset += int64(size)
				c.out.flushAcks()
				c.out.take()
			}
			b.StopTimer()
			r.stop()
		})
	}
}

// BenchmarkLoad is what a stream costs that was not in memory.
func BenchmarkLoad(b *testing.B) {
	r := newRig(b)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	for g := uint64(1); g <= 20; g++ {
		a.open(1, g, "an identity of a usual length, some seventy bytes or so, not more than")
		a.append(1, g, 0, text(5000))
		f := a.frame(dtc.FrameSeal, 1, g)
		f.End, f.Sum = 5000, crcOf(text(5000))
		a.send(f)
	}
	a.ping()
	a.close()
	r.crash()
	r = r.again()
	st := r.stream("app.log")
	eventually(b, "quiet", func() bool {
		st.mu.Lock()
		defer st.mu.Unlock()
		return st.c != nil && st.c.dirty.IsZero() && !st.syncing
	})
	st.mu.Lock()
	defer st.mu.Unlock()
	st.release()
	b.ReportAllocs()
	for b.Loop() {
		c, err := st.open()
		check(b, err)
		if len(c.states()) != 20 {
			b.Fatal("not all of it")
		}
		st.release()
	}
}

// BenchmarkSync makes many streams durable at a time.
func BenchmarkSync(b *testing.B) {
	const n = 200
	r := newRig(b, func(o *Options) { o.SyncEvery = 1 << 62 })
	a := r.connect(peerA)
	for i := range n {
		a.attach(uint32(i+1), fmt.Sprintf("%d.log", i))
		a.open(uint32(i+1), 1, "one")
	}
	a.ping()
	var all []*stream
	for i := range n {
		all = append(all, r.stream(fmt.Sprintf("%d.log", i)))
	}
	for b.Loop() {
		for _, st := range all {
			st.mu.Lock()
			check(b, st.update(func(c *replica) error {
				line := []byte("a line of some length\n")
				return c.append(c.find(1), line, crc32.Checksum(line, castagnoli()))
			}))
			st.mu.Unlock()
		}
		r.syncAll(all)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/n, "µs/stream")
}
