package wire

import (
	"io"
	"sync"
	"testing"

	"dtc"
)

// BenchmarkLink carries full Appends over TLS 1.3 on loopback; BenchmarkLinkTLS
// the same bytes over the bare connection, which is the measure of it.
func BenchmarkLink(b *testing.B) {
	agent, monitor := linkPair(b)
	data := make([]byte, dtc.MaxChunk)
	b.SetBytes(dtc.MaxChunk)
	b.ReportAllocs()
	var wg sync.WaitGroup
	b.ResetTimer()
	wg.Go(func() {
		f := dtc.Frame{Kind: dtc.FrameAppend, Stream: 1, Epoch: 1, Generation: 1, Sum: 1, Data: data}
		for range b.N {
			if err := agent.Send(&f); err != nil {
				b.Error(err)
			}
			f.Offset += dtc.MaxChunk
		}
		if err := agent.Flush(); err != nil {
			b.Error(err)
		}
	})
	var f dtc.Frame
	for range b.N {
		if err := monitor.Recv(&f); err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
}

func BenchmarkLinkTLS(b *testing.B) {
	agent, monitor, _ := linkTLS(b)
	data, got := make([]byte, dtc.MaxChunk), make([]byte, dtc.MaxChunk)
	b.SetBytes(dtc.MaxChunk)
	b.ReportAllocs()
	var wg sync.WaitGroup
	b.ResetTimer()
	wg.Go(func() {
		for range b.N {
			if _, err := agent.Write(data); err != nil {
				b.Error(err)
			}
		}
	})
	for range b.N {
		if _, err := io.ReadFull(monitor, got); err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
}

// BenchmarkLinkLines carries one line a frame, flushed every 16.
func BenchmarkLinkLines(b *testing.B) {
	agent, monitor := linkPair(b)
	b.SetBytes(200)
	b.ReportAllocs()
	var wg sync.WaitGroup
	b.ResetTimer()
	wg.Go(func() {
		f := dtc.Frame{Kind: dtc.FrameAppend, Stream: 1, Epoch: 1, Generation: 1, Sum: 1, Data: make([]byte, 200)}
		for i := range b.N {
			if err := agent.Send(&f); err != nil {
				b.Error(err)
			}
			if i%16 == 15 || i == b.N-1 {
				if err := agent.Flush(); err != nil {
					b.Error(err)
				}
			}
		}
	})
	var f dtc.Frame
	for range b.N {
		if err := monitor.Recv(&f); err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
}
