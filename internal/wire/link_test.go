package wire

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"dtc"
)

// linkTLS gives both ends of one TLS 1.3 connection over loopback, as an agent
// and a monitor have it, and the TCP connection below the agent's end.
func linkTLS(tb testing.TB) (agent, monitor *tls.Conn, below net.Conn) {
	tb.Helper()
	a := newAuthority(tb)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer ln.Close()
	below, err = net.Dial("tcp", ln.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	other, err := ln.Accept()
	if err != nil {
		tb.Fatal(err)
	}
	client := a.clientTLS(a.issue(tb, dtc.RoleAgent, "a1", time.Hour))
	client.NextProtos = []string{ProtoLog}
	agent = tls.Client(prompted(below), client)
	monitor = tls.Server(other, a.serverTLS(a.issue(tb, dtc.RoleMonitor, "m1", time.Hour)))
	tb.Cleanup(func() { below.Close(); other.Close() })
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := agent.HandshakeContext(tb.Context()); err != nil {
			tb.Error(err)
		}
	})
	if err := monitor.HandshakeContext(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	wg.Wait()
	return agent, monitor, below
}

func linkPair(tb testing.TB) (agent, monitor *Link) {
	tb.Helper()
	a, m, _ := linkTLS(tb)
	agent, monitor = NewLink(a), NewLink(m)
	tb.Cleanup(func() { agent.Close(); monitor.Close() })
	return agent, monitor
}

// linkSend sends a frame at once.
func linkSend(tb testing.TB, l *Link, f dtc.Frame) {
	tb.Helper()
	if err := l.Send(&f); err != nil {
		tb.Fatal(err)
	}
	if err := l.Flush(); err != nil {
		tb.Fatal(err)
	}
}

// Frames of every size arrive as they were sent, whatever is flushed when.
func TestLinkCarriesFrames(t *testing.T) {
	agent, monitor := linkPair(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	full := frameFull()
	var frames []dtc.Frame
	for i := range 600 {
		size := rnd.IntN(2 << rnd.IntN(18))
		if i%50 == 0 {
			size = dtc.MaxChunk
		}
		f := dtc.Frame{Kind: dtc.FrameAppend, Stream: 1, Epoch: 1, Generation: 1, Offset: int64(i), Data: bytes.Repeat([]byte{byte(i)}, size)}
		switch i % 10 {
		case 3:
			f = dtc.Frame{Kind: dtc.FramePing, ID: uint64(i)}
		case 6:
			f = full
		}
		f.Sum = crc32.ChecksumIEEE(f.Data)
		frames = append(frames, f)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range frames {
			if err := agent.Send(&frames[i]); err != nil {
				t.Error(err)
			}
			if i%7 == 0 {
				if err := agent.Flush(); err != nil {
					t.Error(err)
				}
			}
		}
		if err := agent.Flush(); err != nil {
			t.Error(err)
		}
		agent.Close()
	})
	var got dtc.Frame
	for i := range frames {
		if err := monitor.Recv(&got); err != nil {
			t.Fatal(err)
		}
		if !frameSame(got, frames[i]) {
			t.Fatalf("frame %d is not what was sent: %+v", i, got)
		}
	}
	if err := monitor.Recv(&got); !errors.Is(err, io.EOF) {
		t.Errorf("error %v at the end, want io.EOF", err)
	}
	wg.Wait()
}

// A frame that Send refuses harms nothing that is sent before or after it.
func TestLinkSendRefuses(t *testing.T) {
	agent, monitor := linkPair(t)
	if err := agent.Send(&dtc.Frame{Kind: dtc.FramePing, ID: 1}); err != nil {
		t.Fatal(err)
	}
	if err := agent.Send(&dtc.Frame{Kind: dtc.FrameAppend, Data: make([]byte, dtc.MaxChunk+1)}); !errors.Is(err, ErrFrame) {
		t.Fatalf("error %v, want ErrFrame", err)
	}
	linkSend(t, agent, dtc.Frame{Kind: dtc.FramePing, ID: 2})
	var f dtc.Frame
	for id := uint64(1); id <= 2; id++ {
		if err := monitor.Recv(&f); err != nil || f.ID != id {
			t.Fatalf("got %+v, %v", f, err)
		}
	}
}

func TestLinkBuffered(t *testing.T) {
	agent, monitor := linkPair(t)
	for id := range uint64(3) {
		if err := agent.Send(&dtc.Frame{Kind: dtc.FramePing, ID: id + 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := agent.Flush(); err != nil {
		t.Fatal(err)
	}
	if n := monitor.Buffered(); n != 0 {
		t.Errorf("%d bytes before the first Recv", n)
	}
	var f dtc.Frame
	for _, want := range []int{2 * (framePrefix + 1), framePrefix + 1, 0} {
		if err := monitor.Recv(&f); err != nil {
			t.Fatal(err)
		}
		if n := monitor.Buffered(); n != want {
			t.Errorf("%d bytes behind frame %d, want %d", n, f.ID, want)
		}
	}
}

// A connection that breaks off within a frame is no end of the row of frames.
func TestLinkCut(t *testing.T) {
	whole := frameEncode(t, &dtc.Frame{Kind: dtc.FrameAppend, Stream: 1, Data: bytes.Repeat([]byte("x"), 100_000)})
	for _, cut := range []int{1, framePrefix - 1, framePrefix, framePrefix + 1, 5000, len(whole) - 1} {
		for _, polite := range []bool{true, false} {
			t.Run(fmt.Sprint(cut, polite), func(t *testing.T) {
				agent, m, below := linkTLS(t)
				monitor := NewLink(m)
				if _, err := agent.Write(slices.Concat(whole, whole[:cut])); err != nil {
					t.Fatal(err)
				}
				if polite {
					agent.Close() // with TLS' own notice of the end
				} else {
					below.Close()
				}
				var f dtc.Frame
				if err := monitor.Recv(&f); err != nil || len(f.Data) != 100_000 {
					t.Fatalf("the frame before: %v", err)
				}
				for range 2 {
					if err := monitor.Recv(&f); !errors.Is(err, io.ErrUnexpectedEOF) {
						t.Errorf("error %v, want io.ErrUnexpectedEOF", err)
					}
				}
			})
		}
	}
}

// What is no frame ends the link, before anything is allocated for it.
func TestLinkRecvRefuses(t *testing.T) {
	for name, b := range map[string]string{
		"HTTP":         "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"huge":         "\x09\x00\x00\x00\xff\xff\xff\xff",
		"unknown kind": "\xff\x00\x00\x00\x00\x00\x00\x00",
		"bad head":     "\x17\x00\x00\x01\x00\x00\x00\x00x",
	} {
		t.Run(name, func(t *testing.T) {
			agent, m, _ := linkTLS(t)
			monitor := NewLink(m)
			if _, err := agent.Write([]byte(b)); err != nil {
				t.Fatal(err)
			}
			var f dtc.Frame
			for range 2 {
				if err := monitor.Recv(&f); !errors.Is(err, ErrFrame) {
					t.Errorf("error %v, want ErrFrame", err)
				}
			}
			if cap(monitor.data) > 0 {
				t.Errorf("%d bytes allocated", cap(monitor.data))
			}
		})
	}
}

func TestLinkReadDeadline(t *testing.T) {
	agent, monitor := linkPair(t)
	monitor.SetTimeouts(100*time.Millisecond, time.Minute)
	var f dtc.Frame
	for id := range uint64(3) { // each frame gives more time
		time.Sleep(60 * time.Millisecond)
		linkSend(t, agent, dtc.Frame{Kind: dtc.FramePing, ID: id + 1})
		if err := monitor.Recv(&f); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	if err := monitor.Recv(&f); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v, want os.ErrDeadlineExceeded", err)
	}
	if took := time.Since(start); took < 80*time.Millisecond || took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

// linkFill sends until the peer, which does not read, holds no more.
func linkFill(l *Link) error {
	f := dtc.Frame{Kind: dtc.FrameAppend, Data: make([]byte, dtc.MaxChunk)}
	for {
		if err := l.Send(&f); err != nil {
			return err
		}
	}
}

func TestLinkWriteDeadline(t *testing.T) {
	agent, _ := linkPair(t)
	agent.SetTimeouts(time.Minute, 100*time.Millisecond)
	if err := linkFill(agent); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v, want os.ErrDeadlineExceeded", err)
	}
	if err := agent.Flush(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v of a broken link, want the first one", err)
	}
	if err := agent.Send(&dtc.Frame{Kind: dtc.FramePing}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v of a broken link, want the first one", err)
	}
}

// A peer that is slow but takes something all the time is not dead.
func TestLinkSlowPeer(t *testing.T) {
	agent, monitor := linkPair(t)
	agent.SetTimeouts(time.Minute, 400*time.Millisecond)
	var wg sync.WaitGroup
	const n = 24
	wg.Go(func() {
		f := dtc.Frame{Kind: dtc.FrameAppend, Data: make([]byte, dtc.MaxChunk)}
		for range n {
			if err := agent.Send(&f); err != nil {
				t.Error(err)
				return
			}
		}
		if err := agent.Flush(); err != nil {
			t.Error(err)
		}
	})
	var f dtc.Frame
	for range n {
		time.Sleep(30 * time.Millisecond)
		if err := monitor.Recv(&f); err != nil {
			t.Error(err)
			break
		}
	}
	wg.Wait()
}

// Close ends a Send and a Recv that wait.
func TestLinkClose(t *testing.T) {
	agent, _ := linkPair(t)
	var wg sync.WaitGroup
	errs := make(chan error, 2)
	wg.Go(func() { errs <- linkFill(agent) })
	wg.Go(func() {
		var f dtc.Frame
		errs <- agent.Recv(&f)
	})
	time.Sleep(50 * time.Millisecond) // they would end as well if they did not wait yet
	start := time.Now()
	for range 2 {
		agent.Close()
	}
	for range 2 {
		if err := <-errs; !errors.Is(err, net.ErrClosed) {
			t.Errorf("error %v, want net.ErrClosed", err)
		}
	}
	wg.Wait()
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// Frames that several goroutines send arrive whole, those of each in its order.
func TestLinkConcurrentSends(t *testing.T) {
	agent, monitor := linkPair(t)
	const senders, each = 8, 100
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(s), 0))
			for i := range each {
				f := dtc.Frame{
					Kind: dtc.FrameAppend, Stream: uint32(s) + 1, Offset: int64(i),
					Data: bytes.Repeat([]byte{byte(s)}, rnd.IntN(40_000)),
				}
				if err := agent.Send(&f); err != nil {
					t.Error(err)
				}
				if rnd.IntN(3) == 0 || i == each-1 {
					if err := agent.Flush(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	var next [senders]int64
	var f dtc.Frame
	for range senders * each {
		if err := monitor.Recv(&f); err != nil {
			t.Fatal(err)
		}
		s := f.Stream - 1
		if f.Offset != next[s] || len(bytes.Trim(f.Data, string(byte(s)))) > 0 {
			t.Fatalf("sender %d: frame %d where %d is next, or of mixed bytes", s, f.Offset, next[s])
		}
		next[s]++
	}
	wg.Wait()
}

// A link that was busy once lets the big buffer go.
func TestLinkReleasesBuffer(t *testing.T) {
	agent, monitor := linkPair(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		f := dtc.Frame{Kind: dtc.FrameAppend, Data: make([]byte, dtc.MaxChunk)}
		for range 3 {
			linkSend(t, agent, f)
		}
		for range linkKeep + 1 {
			linkSend(t, agent, dtc.Frame{Kind: dtc.FramePing})
		}
	})
	var f dtc.Frame
	for i := range 3 + linkKeep + 1 {
		if err := monitor.Recv(&f); err != nil {
			t.Fatal(err)
		}
		if i == 2 && cap(monitor.data) != dtc.MaxChunk {
			t.Errorf("%d bytes for the largest data", cap(monitor.data))
		}
	}
	wg.Wait()
	if cap(monitor.data) > linkRecord {
		t.Errorf("%d bytes are kept", cap(monitor.data))
	}
}

// linkLoop is a connection that gives back what is written to it: both sides of
// a link without a network, to count what they allocate.
type linkLoop struct {
	net.Conn
	bytes.Buffer
}

func (l *linkLoop) Read(p []byte) (int, error)       { return l.Buffer.Read(p) }
func (l *linkLoop) Write(p []byte) (int, error)      { return l.Buffer.Write(p) }
func (l *linkLoop) SetReadDeadline(time.Time) error  { return nil }
func (l *linkLoop) SetWriteDeadline(time.Time) error { return nil }

func TestLinkAllocatesNothing(t *testing.T) {
	for _, size := range []int{0, 1, 100, 5000, linkRecord, dtc.MaxChunk} {
		l := NewLink(&linkLoop{})
		f := dtc.Frame{Kind: dtc.FrameAppend, Stream: 1, Epoch: 2, Generation: 3, Offset: 1 << 40, Sum: 5, Data: make([]byte, size)}
		var got dtc.Frame
		round := func() {
			for range 4 {
				if err := l.Send(&f); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.Flush(); err != nil {
				t.Fatal(err)
			}
			for range 4 {
				if err := l.Recv(&got); err != nil || len(got.Data) != size {
					t.Fatal(err)
				}
			}
		}
		round()
		if n := testing.AllocsPerRun(100, round); n > 0 {
			t.Errorf("%v allocations for four frames of %d bytes", n, size)
		}
	}
}
