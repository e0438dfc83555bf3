package wire

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dtc"
)

func TestInfo(t *testing.T) {
	r := serve(t, &Server{Agent: &fakeAgent{}})
	got, err := r.client(t, r.monitor).Info(within(t, 5*time.Second))
	if want := (dtc.Info{Version: "1", Boot: "boot", Run: "run"}); got != want || err != nil {
		t.Errorf("Info = %v, %v; want %v", got, err, want)
	}
}

func sameProcess(a, b dtc.Process) bool {
	zoneA, offsetA := a.StartedAt.Zone()
	zoneB, offsetB := b.StartedAt.Zone()
	same := a.StartedAt.Equal(b.StartedAt) && zoneA == zoneB && offsetA == offsetB
	a.StartedAt, b.StartedAt = time.Time{}, time.Time{}
	return same && a == b
}

func TestGetLongListInParts(t *testing.T) {
	want := processes(2500)
	zone := time.FixedZone("CET", 3600)
	collected := time.Date(2026, 1, 2, 3, 4, 5, 6000, zone)
	r := serve(t, &Server{Agent: &fakeAgent{get: func(_ context.Context, q dtc.Query, emit func(*dtc.Report) error) error {
		if q.Status != dtc.StatusProcess {
			return fmt.Errorf("asked %q", q.Status)
		}
		if err := emit(&dtc.Report{CollectedAt: collected, Process: want[:2000], Partial: true}); err != nil {
			return err
		}
		return emit(&dtc.Report{CollectedAt: collected, Process: want[2000:], Notes: []string{"a note"}})
	}}})
	var got []dtc.Process
	var partial []bool
	var notes []string
	err := r.client(t, r.monitor).Get(within(t, 5*time.Second), dtc.Query{Status: dtc.StatusProcess}, func(part *dtc.Report) error {
		name, _ := part.CollectedAt.Zone()
		if !part.CollectedAt.Equal(collected) || name != "CET" || part.Status != dtc.StatusProcess {
			t.Errorf("a part of %s collected at %s", part.Status, part.CollectedAt)
		}
		got, partial, notes = append(got, part.Process...), append(partial, part.Partial), append(notes, part.Notes...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(got, want, sameProcess) {
		t.Errorf("%d processes came over differently than the %d that were sent", len(got), len(want))
	}
	if n := len(partial); slices.Contains(partial[n-1:], true) || slices.Contains(partial[:n-1], false) || n < 3 {
		t.Errorf("partial = %v", partial)
	}
	if !slices.Equal(notes, []string{"a note"}) {
		t.Errorf("notes = %q", notes)
	}
}

func TestGetSplitsLongTexts(t *testing.T) {
	long := strings.Repeat("x", 700<<10)
	want := slices.Repeat([]dtc.Process{{PID: 1, Command: long}}, 20)
	want = append(want, dtc.Process{PID: 2, Command: strings.Repeat("y", maxText)})
	r := serve(t, &Server{Agent: &fakeAgent{get: func(_ context.Context, _ dtc.Query, emit func(*dtc.Report) error) error {
		return emit(&dtc.Report{Process: want})
	}}})
	var got []dtc.Process
	err := r.client(t, r.monitor).Get(within(t, 10*time.Second), dtc.Query{Status: dtc.StatusProcess}, func(part *dtc.Report) error {
		got = append(got, part.Process...)
		return nil
	})
	same := func(a, b dtc.Process) bool { return a.PID == b.PID && a.Command == b.Command }
	if err != nil || !slices.EqualFunc(got, want, same) {
		t.Errorf("got %d processes, %v", len(got), err)
	}
}

// everyReport is an answer to every question, with what is absent and what is
// no text in it.
func everyReport() []*dtc.Report {
	nan := math.NaN()
	cet := time.FixedZone("CET", 3600)
	return []*dtc.Report{
		{Status: dtc.StatusProcess, Process: processes(3), PIDWidth: 7, CollectedAt: time.Unix(1_700_000_000, 0)},
		{Status: dtc.StatusMemory, Memory: &dtc.Memory{
			TotalBytes: 1, UsedBytes: 2, FreeBytes: 3, SharedBytes: dtc.Absent, BuffersBytes: 5, CachedBytes: 6,
			AvailableBytes: 0, SwapTotalBytes: 8, SwapUsedBytes: dtc.Absent, SwapFreeBytes: 10,
		}},
		{Status: dtc.StatusPlatform, Platform: &dtc.Platform{
			Hostname: "h\xff", OS: "Linux", Platform: "p", PlatformVersion: "v", Kernel: "k", KernelVersion: "kv", Arch: "x86_64",
			BootTime: time.Unix(1_700_000_000, 5).In(cet), UptimeSeconds: 12.5, Virtualization: "none", OperatingSystem: "GNU/Linux",
		}},
		{Status: dtc.StatusCPU, CPU: &dtc.CPU{
			Model: "m", LogicalCores: 4, PhysicalCores: dtc.Absent, Load1: 0, Load5: nan, Load15: 3, IntervalSeconds: 1.5,
			Percent:       []dtc.CPUPercent{{CPU: "all", User: 1, Steal: nan, Idle: 99}, {CPU: "0", GuestNice: 2}},
			UptimeSeconds: 7, Users: 0, Hostname: "h", OS: "Linux", Kernel: "6", Arch: "a",
		}},
		{Status: dtc.StatusOpenFiles, OpenFiles: []dtc.OpenFile{
			{PID: 1, User: "u", Command: "c", FD: "cwd", Type: "DIR", Device: "254,1", SizeBytes: 4096, Offset: dtc.Absent, Node: "2", Name: "/"},
			{PID: 1, FD: "3", Mode: "u", Lock: "W", Type: "IPv4", Device: "1", SizeBytes: dtc.Absent, Offset: 0, Node: "TCP", Name: "*:22"},
		}},
		{Status: dtc.StatusDisk, Disk: []dtc.Disk{
			{
				Filesystem: "/dev/vda1", Type: "ext4", TotalBytes: 1 << 50, UsedBytes: 2, AvailableBytes: 3, UsedPercent: 41, MountedOn: "/\xff",
				TotalInodes: 4, UsedInodes: 5, FreeInodes: 6,
			},
			{Filesystem: "tmpfs", UsedPercent: nan, TotalInodes: dtc.Absent, UsedInodes: dtc.Absent, FreeInodes: dtc.Absent},
		}},
		{Status: dtc.StatusInterfaces, Interfaces: []dtc.Interface{
			{Index: 1, Name: "lo", Flags: "LOOPBACK,UP", MTUBytes: 65536, Qdisc: "noqueue", State: "UNKNOWN", Mode: "DEFAULT", Group: "default", QueueLen: 1000},
			{
				Index: 2, Name: "eth0", Lower: "if5", Master: "br0", QueueLen: dtc.Absent, LinkType: "ether", Address: "02:00:00:00:00:01",
				Broadcast: "ff:ff:ff:ff:ff:ff", Rest: "link-netnsid 0", AltNames: "a b",
				RX: dtc.Traffic{Bytes: 1, Packets: 2, Errors: 3, Dropped: 4, Missed: 5, Multicast: dtc.Absent},
				TX: dtc.Traffic{Bytes: 7, Packets: 8, Errors: 9, Dropped: 10, Carrier: 11, Collisions: 12},
			},
		}},
		{Status: dtc.StatusSockets, Sockets: []dtc.Socket{
			{
				Protocol: "tcp", State: "LISTEN", ReceiveQueue: 0, SendQueue: 128, LocalAddress: "0.0.0.0", LocalPort: 22, RemoteAddress: "0.0.0.0",
				RemotePort: dtc.Absent, User: "root", Owners: []dtc.SocketOwner{{Name: "sshd", PID: 1, FD: 3}, {Name: "init", PID: 2, FD: dtc.Absent}},
			},
			{Protocol: "udp", LocalAddress: "*", LocalPort: dtc.Absent, Owners: []dtc.SocketOwner{}},
			{Protocol: "tcp", State: "ESTAB", LocalAddress: "[::1]", LocalPort: 1, Owners: []dtc.SocketOwner{{Name: "sshd", PID: 9, FD: 4}}},
		}},
		{Status: dtc.StatusUsers, Users: []dtc.User{
			{Name: "root", Line: "pts/0", LoginAt: time.Unix(1_700_000_000, 7).In(cet), From: "10.0.0.1", PID: 12},
			{Name: "\x1b", PID: dtc.Absent},
		}},
		{Status: dtc.StatusServices, Services: []dtc.Service{
			{
				Name: "ssh.service", Load: "loaded", State: "active", SubState: "running", Since: time.Unix(1_600_000_000, 0).UTC(), PID: 7,
				Description: "OpenSSH",
			},
			{Name: "x", PID: dtc.Absent},
		}, Notes: []string{"a note"}},
	}
}

func TestGetEveryStatus(t *testing.T) {
	want := map[dtc.Status]*dtc.Report{}
	for _, r := range everyReport() {
		want[r.Status] = r
	}
	r := serve(t, &Server{Agent: &fakeAgent{get: func(_ context.Context, q dtc.Query, emit func(*dtc.Report) error) error {
		return emit(want[q.Status])
	}}})
	c := r.client(t, r.monitor)
	for _, s := range dtc.Statuses() {
		n := 0
		err := c.Get(within(t, 5*time.Second), dtc.Query{Status: s.Status}, func(part *dtc.Report) error {
			n++
			if got, want := show(part), show(want[s.Status]); got != want {
				t.Errorf("%s:\n got %s\nwant %s", s.Status, got, want)
			}
			return nil
		})
		if err != nil || n != 1 {
			t.Errorf("%s: %d parts, %v", s.Status, n, err)
		}
	}
}

// show writes out all of a report but the times of its making.
func show(r *dtc.Report) string {
	return fmt.Sprintf("%+v %+v %+v %+v %+v %+v %+v %+v %+v %+v %q %d", r.Process, r.OpenFiles, r.Disk, r.Interfaces, r.Sockets,
		r.Users, r.Services, r.Memory, r.CPU, r.Platform, r.Notes, r.PIDWidth)
}

func TestErrorsKeepTheirKind(t *testing.T) {
	fail := errors.New("it failed\x1b[2J\n" + strings.Repeat("x", 5000))
	r := serve(t, &Server{Agent: &fakeAgent{info: func(context.Context) (dtc.Info, error) { return dtc.Info{}, fail }}})
	c := r.client(t, r.monitor)
	_, err := c.Info(within(t, 5*time.Second))
	if err == nil || !strings.HasPrefix(err.Error(), "it failed\uFFFD[2J\uFFFDxxx") || len(err.Error()) > maxNote+10 {
		t.Errorf("Info = %.100q", err)
	}
	for _, kind := range []dtc.ErrorKind{dtc.KindInvalid, dtc.KindDenied, dtc.KindTimeout, dtc.KindUnavailable, dtc.KindOther} {
		fail = &dtc.Error{Kind: kind, Err: errors.New("so")}
		if _, err := c.Info(within(t, 5*time.Second)); dtc.KindOf(err) != kind || err.Error() != "so" {
			t.Errorf("Info = %v (%s), want so (%s)", err, dtc.KindOf(err), kind)
		}
	}
	if _, err := c.Check(within(t, 5*time.Second), []int{0}, nil); dtc.KindOf(err) != dtc.KindInvalid {
		t.Errorf("Check of pid 0 = %v", err)
	}
	if err := c.Watch(within(t, 5*time.Second), dtc.Watching{Targets: []dtc.WatchTarget{{PID: -1}}}, nil); dtc.KindOf(err) != dtc.KindInvalid {
		t.Errorf("Watch of pid -1 = %v", err)
	}
}

func TestPanicIsAnErrorAndNoMore(t *testing.T) {
	r := serve(t, &Server{Agent: &fakeAgent{
		info: func(context.Context) (dtc.Info, error) { panic("secret") },
		get:  func(context.Context, dtc.Query, func(*dtc.Report) error) error { panic("secret") },
	}})
	c := r.client(t, r.monitor)
	_, err := c.Info(within(t, 5*time.Second))
	err2 := c.Get(within(t, 5*time.Second), dtc.Query{}, func(*dtc.Report) error { return nil })
	for _, err := range []error{err, err2} {
		if err == nil || err.Error() != "internal error" {
			t.Errorf("err = %v", err)
		}
	}
	if text := r.logged.String(); !strings.Contains(text, "panic=secret") {
		t.Errorf("logged: %s", text)
	}
}

func TestDeadlines(t *testing.T) {
	deadline := make(chan bool, 1)
	r := serve(t, &Server{Agent: &fakeAgent{
		info: func(ctx context.Context) (dtc.Info, error) {
			_, ok := ctx.Deadline()
			deadline <- ok
			<-ctx.Done()
			return dtc.Info{}, ctx.Err()
		},
	}})
	c := r.client(t, r.monitor)
	_, err := c.Info(within(t, 100*time.Millisecond))
	if dtc.KindOf(err) != dtc.KindTimeout {
		t.Errorf("Info = %v (%s)", err, dtc.KindOf(err))
	}
	if !<-deadline {
		t.Error("the agent does not know the deadline")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-deadline
		cancel(&dtc.Error{Kind: dtc.KindTimeout, Err: errors.New("given up")})
	}()
	if _, err := c.Info(ctx); dtc.KindOf(err) != dtc.KindTimeout || err.Error() != "given up" {
		t.Errorf("Info = %v (%s)", err, dtc.KindOf(err))
	}
}

func TestEmitErrorIsReturnedAsItIs(t *testing.T) {
	r := serve(t, &Server{Agent: &fakeAgent{
		get: func(_ context.Context, _ dtc.Query, emit func(*dtc.Report) error) error {
			return emit(&dtc.Report{Process: processes(3000)})
		},
		watch: func(_ context.Context, _ string, _ dtc.Watching, emit func(dtc.Sighting) error) error {
			return emit(dtc.Sighting{State: dtc.StateAlive})
		},
	}})
	c := r.client(t, r.monitor)
	own := errors.New("the disk is full")
	if err := c.Get(within(t, 5*time.Second), dtc.Query{Status: dtc.StatusProcess}, func(*dtc.Report) error { return own }); !errors.Is(err, own) {
		t.Errorf("Get = %v", err)
	}
	if err := c.Watch(within(t, 5*time.Second), dtc.Watching{}, func(dtc.Sighting) error { return own }); !errors.Is(err, own) {
		t.Errorf("Watch = %v", err)
	}
	if err := c.Watch(within(t, 5*time.Second), dtc.Watching{}, func(dtc.Sighting) error { return nil }); dtc.KindOf(err) != dtc.KindUnavailable {
		t.Errorf("Watch = %v", err)
	}
}

func TestAnswerWithoutEndIsAnError(t *testing.T) {
	r := serve(t, &Server{Agent: &fakeAgent{get: func(_ context.Context, _ dtc.Query, emit func(*dtc.Report) error) error {
		return emit(&dtc.Report{Partial: true})
	}}})
	err := r.client(t, r.monitor).Get(within(t, 5*time.Second), dtc.Query{Status: dtc.StatusProcess}, func(*dtc.Report) error { return nil })
	if dtc.KindOf(err) != dtc.KindUnavailable {
		t.Errorf("Get = %v", err)
	}
}

// countDials returns a client and how often it has dialed.
func countDials(t *testing.T, r *rig) (*Client, *atomic.Int32) {
	t.Helper()
	var dials atomic.Int32
	c := NewClient(func(ctx context.Context) (net.Conn, error) {
		dials.Add(1)
		return r.dialer(r.monitor).Dial(ctx, r.at, ProtoRPC)
	})
	t.Cleanup(func() { c.Close() })
	return c, &dials
}

func TestClientKeepsOneConnection(t *testing.T) {
	r := serve(t, &Server{Agent: &fakeAgent{}})
	c, dials := countDials(t, r)
	var asking sync.WaitGroup
	for range 50 {
		asking.Go(func() {
			if _, err := c.Info(within(t, 10*time.Second)); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	if n := dials.Load(); n != 1 {
		t.Errorf("dialed %d times", n)
	}
}

func TestClientDialsAgain(t *testing.T) {
	r := serve(t, &Server{Agent: &fakeAgent{}})
	c, dials := countDials(t, r)
	for i := range int32(20) {
		if _, err := c.Info(within(t, 5*time.Second)); err != nil {
			t.Fatal(err)
		}
		if n := dials.Load(); n != i+1 {
			t.Fatalf("dialed %d times, not %d", n, i+1)
		}
		// The client may notice before the next call or in its middle.
		r.server.Disconnect(func(dtc.Peer) bool { return true })
		if i%2 == 0 {
			soon(t, "the connection is lost", func() bool { s, _ := c.open(); return s == nil })
		}
	}
}

func TestClosedClientFails(t *testing.T) {
	r := serve(t, &Server{Agent: &fakeAgent{}})
	c, _ := countDials(t, r)
	c.Close()
	c.Close()
	if _, err := c.Info(within(t, 5*time.Second)); dtc.KindOf(err) != dtc.KindUnavailable {
		t.Errorf("Info = %v", err)
	}
}

func TestCloseEndsDial(t *testing.T) {
	dialing := make(chan struct{})
	c := NewClient(func(ctx context.Context) (net.Conn, error) {
		close(dialing)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	go func() {
		<-dialing
		c.Close()
	}()
	if _, err := c.Info(t.Context()); dtc.KindOf(err) != dtc.KindUnavailable {
		t.Errorf("Info = %v", err)
	}
}

// A monitor that does not take an answer holds it for a while only.
func TestStalledReaderIsCutOff(t *testing.T) {
	limit := defaultLimits()
	limit.stall = 50 * time.Millisecond
	given := make(chan struct{})
	r := serve(t, &Server{limits: limit, Agent: &fakeAgent{
		get: func(_ context.Context, _ dtc.Query, emit func(*dtc.Report) error) error {
			for {
				if err := emit(&dtc.Report{Process: processes(1000), Partial: true}); err != nil {
					close(given)
					return err
				}
			}
		},
	}})
	err := r.client(t, r.monitor).Get(within(t, 10*time.Second), dtc.Query{Status: dtc.StatusProcess}, func(*dtc.Report) error {
		<-given // nothing is read until the server gives up
		return nil
	})
	if err == nil {
		t.Error("an answer without an end is whole")
	}
}
