//go:build linux

package e2e

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/wire"
)

// listing tells of everything below a folder that skip does not name: its kind,
// mode, size and content.
func listing(tb testing.TB, dir string, skip ...string) (all []string) {
	tb.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		for _, s := range skip {
			if name == s || strings.HasPrefix(name, s) {
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		line := name + " " + info.Mode().String()
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %d %x", len(data), sha256.Sum256(data))
		}
		all = append(all, line)
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

// ownedHost is a host of the fleet whose owner does what he likes.
type ownedHost struct {
	l      *lone
	ip     string
	creds  *ca.Credentials
	number uint32 // of the last stream
}

// shipper is one of its connections.
type shipper struct {
	*wire.Link
	raw net.Conn
}

// dial connects as an agent that ships.
func (o *ownedHost) dial(t *testing.T) shipper {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := wire.Dialer{TLS: o.creds.ToMonitor()}.Dial(ctx, netip.MustParseAddrPort(o.l.monitorAt), wire.ProtoLog)
	if err != nil {
		t.Fatal(err)
	}
	s := shipper{wire.NewLink(conn), conn}
	t.Cleanup(func() { s.Close() })
	if err := errors.Join(s.Send(&dtc.Frame{Kind: dtc.FrameHello, ID: 1, Text: "boot\x1b[2J\r\n"}), s.Flush()); err != nil {
		t.Fatal(err)
	}
	s.until(t, dtc.FrameReady)
	return s
}

// until returns the next frame of a kind; nil if the connection ends before.
func (s shipper) until(t *testing.T, kinds ...dtc.FrameKind) *dtc.Frame {
	t.Helper()
	for {
		var f dtc.Frame
		if s.Recv(&f) != nil {
			return nil
		}
		if slices.Contains(kinds, f.Kind) {
			f.Data, f.States = slices.Clone(f.Data), slices.Clone(f.States)
			return &f
		}
	}
}

// attach asks for a stream, and returns the answer.
func (o *ownedHost) attach(t *testing.T, s shipper, alias string) *dtc.Frame {
	t.Helper()
	o.number++
	if err := errors.Join(s.Send(&dtc.Frame{Kind: dtc.FrameAttach, Stream: o.number, Text: alias}), s.Flush()); err != nil {
		return &dtc.Frame{Kind: dtc.FrameRefused, Text: err.Error()}
	}
	return s.until(t, dtc.FrameState, dtc.FrameRefused)
}

func (s shipper) send(frames ...dtc.Frame) error {
	for i := range frames {
		if err := s.Send(&frames[i]); err != nil {
			return err
		}
	}
	return s.Flush()
}

// begun attaches a stream and begins its first generation with some bytes.
func (o *ownedHost) begun(t *testing.T, s shipper, alias, content string) dtc.Frame {
	t.Helper()
	state := o.attach(t, s, alias)
	if state == nil || state.Kind != dtc.FrameState {
		t.Fatalf("%q: %+v", alias, state)
	}
	f := dtc.Frame{Stream: state.Stream, Epoch: state.Epoch, Generation: 1}
	for _, g := range state.States {
		f.Generation = max(f.Generation, g.Generation+1)
	}
	open, data := f, f
	open.Kind, open.Data = dtc.FrameOpen, []byte("identity of "+alias)
	data.Kind, data.Data, data.Sum = dtc.FrameAppend, []byte(content), crc32.Checksum([]byte(content), crc32.MakeTable(crc32.Castagnoli))
	if err := s.send(open, data); err != nil {
		t.Fatal(err)
	}
	if s.until(t, dtc.FrameAck) == nil {
		t.Fatalf("%q: no acknowledgment", alias)
	}
	return f
}

// TestHostileAgent has the owner of one host, with its certificate, send the
// monitor whatever he can: it is refused and told, nothing outside of that host's
// folder is touched, and the memory is bounded.
func TestHostileAgent(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.log")
	writeFile(t, file, "one\ntwo\n")
	l := newLone(t, file)
	eventually(t, func() string { return "the copy: " + readFile(l.copyOf("app.log")) }, func() bool {
		return readFile(l.copyOf("app.log")) == "one\ntwo\n"
	})
	o := &ownedHost{l: l, ip: "127.0.0.66"}
	at := fmt.Sprintf("%s:%d", o.ip, freePort(t))
	o.join(t, at)
	agent := &hostileReports{}
	agent.serve(t, o, at)
	own := "logs/" + o.ip
	eventually(t, func() string { return "the hostile agent to be watched" }, func() bool { return agent.watched() })
	before := listing(t, l.home, own, "state", "logs/127.0.0.1/.127.0.0.1_events_")
	base := usageOf(t, l.serve)
	forget(t, l.serve)

	t.Run("aliases", func(t *testing.T) { badAliases(t, o) })
	t.Run("frames", func(t *testing.T) { badFrames(t, o) })
	t.Run("streams", func(t *testing.T) { manyStreams(t, o) })
	t.Run("events", func(t *testing.T) { manyEvents(t, o) })
	t.Run("questions", func(t *testing.T) { hugeQuestions(t, o) })
	t.Run("never reads", func(t *testing.T) { neverReads(t, o) })
	t.Run("reports", func(t *testing.T) { badReports(t, o) })
	t.Run("trust", func(t *testing.T) { badTrust(t, o) })

	grown := usageOf(t, l.serve).peak - base.now
	t.Logf("RSS %.1f MiB before, at most %+.1f MiB", float64(base.now)/(1<<20), float64(grown)/(1<<20))
	if grown > 128<<20 {
		t.Errorf("the service grew by %d MiB", grown>>20)
	}
	if after := listing(t, l.home, own, "state", "logs/127.0.0.1/.127.0.0.1_events_"); !slices.Equal(before, after) {
		t.Errorf("it touched what is not its own:\n%s\nwas\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
	for line := range strings.Lines(readFile(l.home + "/logs/127.0.0.1/.127.0.0.1_events_" + time.Now().Format(time.DateOnly) + ".log")) {
		if strings.Contains(line, "owned") && !strings.Contains(line, "state=refused") {
			t.Errorf("it made an event of another: %s", line)
		}
	}
	appendFile(t, file, "three\n")
	eventually(t, func() string { return "the copy of another: " + readFile(l.copyOf("app.log")) }, func() bool {
		return readFile(l.copyOf("app.log")) == "one\ntwo\nthree\n"
	})
	l.dtc(t, "get", "memory", "--host", "here")
	l.dtc(t, "logs", "verify", "--host", "here")
}

func appendFile(tb testing.TB, path, text string) {
	tb.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		tb.Fatal(err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		tb.Fatal(err)
	}
}

// join has the fleet know the host.
func (o *ownedHost) join(t *testing.T, at string) {
	t.Helper()
	dir := t.TempDir()
	o.l.dtc(t, "issue", "owned", "--ip", o.ip, "--out", dir, "--listen", at)
	o.l.dtc(t, "reload")
	var err error
	if o.creds, err = ca.Load(filepath.Join(dir, "conf", "tls"), dtc.RoleAgent); err != nil {
		t.Fatal(err)
	}
}

func badAliases(t *testing.T, o *ownedHost) {
	t.Helper()
	s := o.dial(t)
	for _, alias := range []string{
		".", "..", "../x", "../../conf/monitor.xml", "../127.0.0.1/app.log", "/etc/passwd", "a/b", `a\b`, `..\x`, "C:x", "x:stream", ".hidden",
		".app.log.dtc", "x.", "a\x00b", "a\nb", "a\x1b[2Jb", "\u202ex", "\xff\xfe", "CON", "con.log", "nul", "COM1.txt", "x ",
		"127.0.0.66_7701_process_2026-11-22.log", "127.0.0.1_7701_PROCESS_2026-11-22.log",
	} {
		if f := o.attach(t, s, alias); f == nil || f.Kind != dtc.FrameRefused || f.Text == "" || strings.ContainsAny(f.Text, "\x1b\n") {
			t.Errorf("alias %q: %+v", alias, f)
		}
	}
	// A twin by case is the same stream.
	o.begun(t, s, "own.log", "mine\n")
	if f := o.attach(t, s, "OWN.LOG"); f == nil || f.Kind != dtc.FrameState || len(f.States) == 0 {
		t.Errorf("a twin by case: %+v", f)
	}
	// Another host's stream is one of its own here, in its own folder.
	o.begun(t, s, "app.log", "FORGED\n")
	if got := readFile(o.l.copyOf("app.log")); got != "one\ntwo\n" {
		t.Errorf("the copy of another has %q", got)
	}
}

func badFrames(t *testing.T, o *ownedHost) {
	t.Helper()
	for name, bad := range map[string]func(f *dtc.Frame){
		"beyond the end":        func(f *dtc.Frame) { f.Kind, f.Offset, f.Data, f.Sum = dtc.FrameAppend, 1<<40, []byte("x"), 0x9e2fcf28 },
		"at the largest offset": func(f *dtc.Frame) { f.Kind, f.Offset, f.Data = dtc.FrameAppend, math.MaxInt64-1, []byte("xx") },
		"a wrong checksum":      func(f *dtc.Frame) { f.Kind, f.Offset, f.Data, f.Sum = dtc.FrameAppend, 5, []byte("x"), 1 },
		"packed nonsense": func(f *dtc.Frame) {
			f.Kind, f.Offset, f.End, f.Data = dtc.FramePacked, 5, 5+dtc.MaxChunk, []byte("\x28\xb5\x2f\xfd")
		},
		"a hole of 2^62":         func(f *dtc.Frame) { f.Kind, f.Offset, f.End, f.Sum = dtc.FrameHole, 5, 1<<62, 1 },
		"a hole that goes back":  func(f *dtc.Frame) { f.Kind, f.Offset, f.End = dtc.FrameHole, 5, 1 },
		"an end before the end":  func(f *dtc.Frame) { f.Kind, f.End, f.Sum = dtc.FrameSeal, 1, 1 },
		"a seal of another sum":  func(f *dtc.Frame) { f.Kind, f.End, f.Sum = dtc.FrameSeal, 5, 1 },
		"a rewind into nothing":  func(f *dtc.Frame) { f.Kind, f.Offset = dtc.FrameRewind, 1<<50 },
		"a gap that goes back":   func(f *dtc.Frame) { f.Kind, f.Offset, f.End = dtc.FrameGap, 5, 2 },
		"a loss that goes back":  func(f *dtc.Frame) { f.Kind, f.Offset, f.End = dtc.FrameLost, 5, 2 },
		"a generation far ahead": func(f *dtc.Frame) { f.Kind, f.Generation, f.Data = dtc.FrameOpen, math.MaxUint64, []byte("x") },
		"a size of 2^62":         func(f *dtc.Frame) { f.Kind, f.Offset = dtc.FrameSize, 1<<62 },
		"an answer to nothing":   func(f *dtc.Frame) { f.Kind, f.ID, f.Data = dtc.FrameAnswer, 77, make([]byte, 32) },
		"a monitor's frame":      func(f *dtc.Frame) { f.Kind, f.Offset, f.End = dtc.FrameAck, 1, 1 },
	} {
		s := o.dial(t)
		alias := strings.ReplaceAll(name, " ", "-") + ".log"
		f := o.begun(t, s, alias, "mine\n")
		bad(&f)
		if err := s.send(f, dtc.Frame{Kind: dtc.FramePing, ID: 9}); err != nil {
			t.Logf("%s: %v", name, err)
		}
		s.until(t, dtc.FramePong) // or its end
		s.Close()
		if got := readFile(filepath.Join(o.l.home, "logs", o.ip, alias)); got != "mine\n" {
			t.Errorf("%s: the copy has %.100q", name, got)
		}
	}
	for range 20 { // what is no frame at all
		s := o.dial(t)
		_, _ = s.raw.Write(noise(1 << 16))
		_ = s.raw.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, s.raw); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("noise does not end the connection")
		}
		s.Close()
	}
}

func manyStreams(t *testing.T, o *ownedHost) {
	t.Helper()
	s := o.dial(t)
	const many = 10_500
	sent := make(chan error, 1)
	var sending sync.WaitGroup
	sending.Go(func() {
		var err error
		for i := range many {
			if err = s.Send(&dtc.Frame{Kind: dtc.FrameAttach, Stream: uint32(100_000 + i), Text: fmt.Sprintf("flood-%d.log", i)}); err != nil {
				break
			}
		}
		sent <- errors.Join(err, s.Flush())
	})
	granted, refused := 0, 0
	for granted+refused < many {
		f := s.until(t, dtc.FrameState, dtc.FrameRefused)
		if f == nil {
			break
		}
		if f.Kind == dtc.FrameState {
			granted++
		} else {
			refused++
		}
	}
	sending.Wait()
	t.Logf("%d granted, %d refused, %v", granted, refused, <-sent)
	if granted > dtc.MaxStreams || granted == 0 || refused == 0 {
		t.Errorf("%d streams were granted, %d refused", granted, refused)
	}
}

func manyEvents(t *testing.T, o *ownedHost) {
	t.Helper()
	s := o.dial(t)
	f := o.begun(t, s, "events.log", "mine\n")
	for i := range 25_000 {
		e := dtc.Frame{Kind: dtc.FrameRejected, ID: uint64(i), Text: fmt.Sprintf("\x1b]0;owned\x07\r\nhost=here address=%s kind=host state=rebooted event=x %d", o.l.agentAt, i)}
		if i%100 == 0 {
			e = f
			e.Kind, e.Generation, e.Offset, e.End, e.Text = dtc.FrameGap, 0, int64(i), int64(i+1), "\x1b[2J\u202e\n"
		}
		if err := s.Send(&e); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.send(dtc.Frame{Kind: dtc.FramePing, ID: 9}); err != nil {
		t.Fatal(err)
	}
	s.until(t, dtc.FramePong)
	files, _ := filepath.Glob(filepath.Join(o.l.home, "logs", o.ip, ".*_events_*.log"))
	lines := 0
	for _, file := range files {
		for line := range strings.Lines(readFile(file)) {
			lines++
			if strings.ContainsAny(line, "\x1b\r\a") || strings.Contains(line, "\u202e") || !strings.Contains(line, "host=owned") {
				t.Fatalf("an event: %q", line)
			}
		}
	}
	t.Logf("%d events are recorded", lines)
	if lines > 21_000 {
		t.Errorf("%d events are recorded", lines)
	}
	if out := o.l.dtc(t, "events", "--host", "owned"); strings.ContainsAny(out, "\x1b\r") {
		t.Error("dtc events prints control characters")
	}
}

// hugeQuestions has the monitor hash what it has of the host, as far as it says
// that it is, again and again.
func hugeQuestions(t *testing.T, o *ownedHost) {
	t.Helper()
	s := o.dial(t)
	f := o.begun(t, s, "holes.log", "mine\n")
	const hole = 1 << 36
	h := f
	h.Kind, h.Offset, h.End, h.Sum = dtc.FrameHole, 5, 5+hole, 1 // a sum that nobody has: the claim is refused
	ask := f
	ask.Kind, ask.Offset, ask.End = dtc.FrameAsk, 0, 5+hole
	frames := []dtc.Frame{h}
	for i := range 2000 {
		ask.ID = uint64(i)
		frames = append(frames, ask)
	}
	_ = s.send(frames...) // it may be cut off
	s.Close()
	began := time.Now()
	o.l.dtc(t, "get", "memory", "--host", "here")
	t.Logf("another is asked in %s", time.Since(began))
}

// neverReads sends what wants answers, and takes none.
func neverReads(t *testing.T, o *ownedHost) {
	t.Helper()
	s := o.dial(t)
	_ = s.raw.SetWriteDeadline(time.Now().Add(patience))
	var err error
	n := 0
	for ; n < 2_000_000 && err == nil; n++ {
		err = s.Send(&dtc.Frame{Kind: dtc.FramePing, ID: uint64(n + 1)})
	}
	t.Logf("%d pings that nobody reads the answers of: %v", n, err)
	s.Close()
}

// badTrust asks for certificates of others.
func badTrust(t *testing.T, o *ownedHost) {
	t.Helper()
	c := wire.NewClient(func(ctx context.Context) (net.Conn, error) {
		return wire.Dialer{TLS: o.creds.ToMonitor()}.Dial(ctx, netip.MustParseAddrPort(o.l.monitorAt), wire.ProtoRPC)
	})
	defer c.Close()
	_, csr, err := ca.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, request := range [][]byte{csr, noise(4096), make([]byte, 1<<20)} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		state := dtc.TrustState{Request: request}
		for range 20 {
			state.Refusals = append(state.Refusals, dtc.Refusal{Peer: dtc.Peer{ID: "x\x1b[2J", Role: "root"}, What: strings.Repeat("\x1b]0;x\a", 1000), Count: 1 << 60})
		}
		grant, err := c.Renew(ctx, state)
		cancel()
		t.Logf("%d bytes of a request: a certificate of %d bytes, %v", len(request), len(grant.Certificate), err)
		if len(grant.Certificate) > 0 && len(request) > 4096 {
			t.Error("it was certified")
		}
	}
	if err := c.Control(t.Context(), "revoke", map[string]string{"name": "here"}, nil); dtc.KindOf(err) != dtc.KindDenied {
		t.Errorf("it revokes: %v", err)
	}
}

// hostileReports is an agent that answers what it likes.
type hostileReports struct {
	mu      sync.Mutex
	watches int
}

var _ wire.Agent = (*hostileReports)(nil)

func (h *hostileReports) serve(t *testing.T, o *ownedHost, at string) {
	t.Helper()
	ln, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	s := &wire.Server{TLS: o.creds.ServerTLS(nil, "", wire.ProtoRPC), Identify: ca.Identify, Agent: h, Logger: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(ctx, ln) })
	t.Cleanup(func() {
		cancel()
		serving.Wait()
	})
}

func (h *hostileReports) watched() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.watches > 0
}

func (h *hostileReports) Info(context.Context) (dtc.Info, error) {
	return dtc.Info{Version: "\x1b[2J" + strings.Repeat("9", 1000), Boot: strings.Repeat("b", 1000), Run: "run\n"}, nil
}

// Get tells processes without an end, each with a huge command line.
func (h *hostileReports) Get(ctx context.Context, _ dtc.Query, emit func(*dtc.Report) error) error {
	command := "\x1b]0;owned\x07\u202e" + strings.Repeat("x", 1<<20)
	for ctx.Err() == nil {
		if err := emit(&dtc.Report{Partial: true, Process: []dtc.Process{{PID: 1, User: "\x1b[31mroot", Name: "n\n", Command: command}}}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Watch tells of processes that nobody asked for.
func (h *hostileReports) Watch(ctx context.Context, _ string, _ dtc.Watching, emit func(dtc.Sighting) error) error {
	h.mu.Lock()
	h.watches++
	h.mu.Unlock()
	for i := range 50_000 {
		s := dtc.Sighting{
			Run: "run", Number: uint64(i + 1), State: dtc.StateDead, Process: dtc.ProcessID{PID: i + 1, Start: 5}, Boot: "b", Name: "forged\x1b[2J\nhost=here",
			Rule: []string{"", "no such rule"}[i%2], Reason: strings.Repeat("\x1b", 1000), Lived: math.MaxInt64, Age: math.MaxInt64,
		}
		if err := emit(s); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

func (h *hostileReports) Check(context.Context, string, []int, []string) ([]dtc.Sighting, error) {
	return make([]dtc.Sighting, 100_000), nil
}

func (h *hostileReports) Preview(context.Context, dtc.Watching) ([]dtc.RuleMatches, error) {
	return make([]dtc.RuleMatches, 100_000), nil
}

func (h *hostileReports) Acknowledge(context.Context, string, string, uint64) error {
	return errors.New("\x1b[2J")
}

// badReports asks the hostile agent, and looks at what was made of its sightings.
func badReports(t *testing.T, o *ownedHost) {
	t.Helper()
	began := time.Now()
	r := namespace("").run(t, dtcPath(), "get", "process", "--home", o.l.home, "--timeout", "20s")
	t.Logf("asked for %s: exit status %d, %d bytes, %.300s", time.Since(began), r.code, len(r.stdout), r.stderr)
	if r.code != 1 || strings.ContainsAny(r.stdout+r.stderr, "\x1b\a\r") || strings.Contains(r.stdout, "\u202e") || !strings.Contains(r.stdout, "dtc") {
		t.Errorf("exit status %d\n%.1000s", r.code, r.stderr)
	}
	// What ended on his own host he may claim.
	files, _ := filepath.Glob(filepath.Join(o.l.home, "logs", "*", "*_process_*.log"))
	for _, file := range files {
		for line := range strings.Lines(readFile(file)) {
			its := strings.Contains(file, "/"+o.ip+"/") && strings.Contains(line, " host=owned address="+o.ip)
			if strings.Contains(line, "\x1b") || strings.Contains(line, "forged") && !its {
				t.Fatalf("%s: %.300q", file, line)
			}
		}
	}
}
