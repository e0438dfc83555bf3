package logs

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"dtc"
	"dtc/internal/wire"
)

// The environment variable that makes the test binary a monitor: it holds the
// folder of the copies.
const monitorEnv = "DTC_TEST_MONITOR"

// keepEnv is how many bytes of each copy it keeps at least; empty: all.
const keepEnv = "DTC_TEST_KEEP"

func TestMain(m *testing.M) {
	if dir := os.Getenv(monitorEnv); dir != "" {
		if err := runMonitor(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// runMonitor is a monitor that is there to be killed. It prints its port.
func runMonitor(dir string) error {
	events, err := os.OpenFile(filepath.Join(dir, "..", "events"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	s, err := OpenStore(dir, Options{
		Folder:           func(dtc.Peer) (string, error) { return "10.0.0.7", nil },
		FreeFloorPercent: -1,
		SyncEvery:        2 * time.Millisecond,
		minSegment:       16 << 10,
		Report: func(_ string, e dtc.Event) error {
			_, err := fmt.Fprintf(events, "%s %s %s\n", e.ID, e.State, e.Reason)
			return err
		},
	})
	if err != nil {
		return err
	}
	if n, err := strconv.ParseInt(os.Getenv(keepEnv), 10, 64); err == nil {
		s.SetRetention(func(string, string, string) Retention { return Retention{Size: n} })
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr().String())
	ctx := context.Background()
	go func() { _ = s.Run(ctx) }()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() { _ = s.Serve(ctx, peerA, wire.NewLink(conn)) }()
	}
}

// victim is a monitor in a process of its own.
type victim struct {
	cmd  *exec.Cmd
	addr string
}

func startVictim(tb testing.TB, dir string, env ...string) *victim {
	tb.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(append(os.Environ(), monitorEnv+"="+dir), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	check(tb, err)
	check(tb, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = cmd.Wait()
		tb.Fatalf("the monitor does not start: %v\n%s", err, stderr.String())
	}
	return &victim{cmd, line[:len(line)-1]}
}

func (v *victim) kill(tb testing.TB) {
	tb.Helper()
	check(tb, v.cmd.Process.Kill())
	_ = v.cmd.Wait() // it says that it was killed
}

// ledger is the source: some generations, switched every now and then, with
// late writes. Content is a function of generation and position.
type ledger struct {
	alias string
	sent  []int64
}

func (l *ledger) bytes(g int, from, n int64) []byte {
	b := make([]byte, 0, n+8)
	for at := from &^ 7; at < from+n; at += 8 {
		v := uint64(at)*0x9e3779b97f4a7c15 + uint64(g)*0xff51afd7ed558ccd
		if l.hollow(g, at) > 0 {
			v = 0
		}
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b[from&7 : from&7+n]
}

// hollow returns how many bytes from a position on are a hole; some blocks are.
func (l *ledger) hollow(g int, at int64) int64 {
	const block = 16 << 10
	if (at/block*7+int64(g)*3)%5 != 0 {
		return 0
	}
	return block - at%block
}

// session ships until the link breaks. What was acknowledged as written, and
// more, must be there at the next.
func (l *ledger) session(tb testing.TB, addr string, rng *rand.Rand) {
	tb.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	link := wire.NewLink(conn)
	defer link.Close()
	if link.Send(&dtc.Frame{Kind: dtc.FrameHello, ID: 1, Text: "boot"}) != nil || link.Flush() != nil {
		return
	}
	var f dtc.Frame
	for f.Kind != dtc.FrameReady {
		if link.Recv(&f) != nil {
			return
		}
	}
	if link.Send(&dtc.Frame{Kind: dtc.FrameAttach, Stream: 1, Text: l.alias}) != nil || link.Flush() != nil {
		return
	}
	for f.Kind != dtc.FrameState {
		if link.Recv(&f) != nil {
			return
		}
	}
	epoch := f.Epoch
	for _, s := range f.States {
		g := int(s.Generation)
		for len(l.sent) < g {
			l.sent = append(l.sent, 0)
		}
		if s.Position < l.sent[g-1] {
			tb.Errorf("generation %d: position %d, acknowledged were %d", g, s.Position, l.sent[g-1])
		}
		if want := crc32.Checksum(l.bytes(g, 0, s.Position), castagnoli()); s.Sum != want {
			tb.Errorf("generation %d: sum at %d is wrong", g, s.Position)
		}
		l.sent[g-1] = s.Position
	}
	highest := 0
	if n := len(f.States); n > 0 {
		highest = int(f.States[n-1].Generation)
	}
	for g, n := range l.sent[highest:] {
		if n > 0 {
			tb.Errorf("generation %d is not known, %d bytes of it were acknowledged", highest+g+1, n)
		}
	}
	l.sent = l.sent[:highest]
	at := append([]int64(nil), l.sent...)
	var mu sync.Mutex
	var wg sync.WaitGroup
	wg.Go(func() {
		var f dtc.Frame
		for link.Recv(&f) == nil {
			if f.Kind == dtc.FrameAck {
				mu.Lock()
				l.sent[f.Generation-1] = max(l.sent[f.Generation-1], f.Offset)
				mu.Unlock()
			}
		}
	})
	for {
		g := len(at)
		if g == 0 || rng.IntN(400) == 0 {
			g++
			at = append(at, 0)
			mu.Lock()
			l.sent = append(l.sent, 0)
			mu.Unlock()
			if l.next(link, epoch, at) != nil {
				break
			}
		} else if g > 1 && rng.IntN(50) == 0 {
			g-- // a late writer
		}
		if n := l.hollow(g, at[g-1]); n > 0 && rng.IntN(4) > 0 {
			n = 1 + rng.Int64N(n)
			if link.Send(&dtc.Frame{
				Kind: dtc.FrameHole, Stream: 1, Epoch: epoch, Generation: uint64(g), Offset: at[g-1], End: at[g-1] + n, Sum: dtc.ZeroSum(0, n),
			}) != nil {
				break
			}
			at[g-1] += n
			continue
		}
		b := l.bytes(g, at[g-1], 1+rng.Int64N(3000))
		if link.Send(&dtc.Frame{
			Kind: dtc.FrameAppend, Stream: 1, Epoch: epoch, Generation: uint64(g), Offset: at[g-1], Data: b, Sum: crc32.Checksum(b, castagnoli()),
		}) != nil {
			break
		}
		at[g-1] += int64(len(b))
		if rng.IntN(4) == 0 && link.Flush() != nil {
			break
		}
	}
	link.Close()
	wg.Wait()
}

// next opens one more generation, and seals an old one so that there are never
// too many.
func (l *ledger) next(link *wire.Link, epoch uint64, at []int64) error {
	if old := len(at) - 9; old >= 0 {
		err := link.Send(&dtc.Frame{
			Kind: dtc.FrameSeal, Stream: 1, Epoch: epoch, Generation: uint64(old + 1), End: at[old],
			Sum: crc32.Checksum(l.bytes(old+1, 0, at[old]), castagnoli()),
		})
		if err != nil {
			return err
		}
	}
	return link.Send(&dtc.Frame{
		Kind: dtc.FrameOpen, Stream: 1, Epoch: epoch, Generation: uint64(len(at)), Data: fmt.Appendf(nil, "gen %d", len(at)),
	})
}

// TestKill kills the monitor again and again while bytes of several
// generations arrive. Every byte must be in the copy once and in order.
func TestKill(t *testing.T) {
	const kills = 220
	base := t.TempDir()
	dir := filepath.Join(base, "logs")
	rng := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	l := &ledger{alias: "app.log"}
	deadline := time.Now().Add(60 * time.Second)
	n := 0
	for ; n < kills && time.Now().Before(deadline); n++ {
		v := startVictim(t, dir)
		var wg sync.WaitGroup
		wg.Go(func() { l.session(t, v.addr, rand.New(rand.NewPCG(uint64(n), 7))) })
		time.Sleep(time.Duration(rng.IntN(25)) * time.Millisecond)
		v.kill(t)
		wg.Wait()
		if t.Failed() {
			t.Fatalf("after %d kills", n+1)
		}
	}
	l.verify(t, dir)
	if b, err := os.ReadFile(filepath.Join(base, "events")); err == nil && len(b) > 0 {
		t.Fatalf("events of a monitor that was only killed:\n%s", b)
	}
	var total int64
	for _, n := range l.sent {
		total += n
	}
	t.Logf("%d kills, %d generations, %d bytes", n, len(l.sent), total)
}

// verify compares the copy with the ledger through the side record.
func (l *ledger) verify(tb testing.TB, dir string) {
	tb.Helper()
	s, err := OpenStore(dir, Options{FreeFloorPercent: -1})
	check(tb, err)
	defer s.Close()
	st := s.streams[ownerKey{peerA.ID, fold(l.alias)}]
	st.mu.Lock()
	defer st.mu.Unlock()
	c, err := st.open()
	check(tb, err)
	copied, err := os.ReadFile(filepath.Join(dir, "10.0.0.7", l.alias))
	check(tb, err)
	var total int64
	next := map[uint64]int64{}
	for i, x := range c.extents {
		end := c.length
		if i+1 < len(c.extents) {
			end = c.extents[i+1].base
		}
		if x.source != next[x.generation] || x.physical != x.base {
			tb.Fatalf("extent %d of generation %d begins at %d (%d in the file), want %d", i, x.generation, x.source, x.physical, next[x.generation])
		}
		n := end - x.base
		if !bytes.Equal(copied[x.physical:x.physical+n], l.bytes(int(x.generation), x.source, n)) {
			tb.Fatalf("extent %d: wrong bytes", i)
		}
		next[x.generation] += n
		total += n
	}
	if total != int64(len(copied)) {
		tb.Fatalf("%d bytes in extents, %d in the copy", total, len(copied))
	}
	for i, n := range l.sent {
		if next[uint64(i+1)] < n {
			tb.Fatalf("generation %d has %d bytes, acknowledged were %d", i+1, next[uint64(i+1)], n)
		}
	}
}
