package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/config"
	"dtc/internal/status"
	"dtc/internal/watch"
	"dtc/internal/wire"
)

// testFleet is a home with a CA and hosts whose agents are real servers with
// real certificates that give answers which never change. What a host does
// stands in its name, up to the first dash:
//
//	web, db   answers
//	hostile   answers with what must not reach a terminal
//	noted     answers, and notes what it could not read
//	asked     answers, and notes what was to be selected
//	real      is this machine
//	slow      never answers
//	half      breaks off in the middle
//	failing   answers with an error
//	older     knows none of the questions
//	dead      nothing listens there
//	revoked   has a certificate that was revoked
//	stranger  has a certificate of another fleet
//	other     has a certificate for another address
type testFleet struct {
	home  string
	hosts []config.Host
	stop  context.CancelFunc
	serve sync.WaitGroup
}

func newTestFleet(dir string, names []string) (*testFleet, error) {
	ctx, stop := context.WithCancel(context.Background())
	f := &testFleet{home: dir, stop: stop}
	for _, d := range []string{"conf", "logs", "state"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o750); err != nil {
			return f, err
		}
	}
	own, err := testAuthority(filepath.Join(dir, "conf", "tls"))
	if err != nil {
		return f, err
	}
	strangers, err := testAuthority(filepath.Join(dir, "strangers"))
	if err != nil {
		return f, err
	}
	for i, name := range names {
		if err := f.add(ctx, i, name, own, strangers); err != nil {
			return f, fmt.Errorf("%s: %w", name, err)
		}
	}
	return f, f.writeConfig()
}

func testAuthority(dir string) (*ca.Authority, error) {
	if err := ca.Init(dir, []netip.Addr{netip.MustParseAddr("127.0.0.1")}); err != nil {
		return nil, err
	}
	return ca.Open(dir)
}

// add starts the agent of a host.
func (f *testFleet) add(ctx context.Context, i int, name string, own, strangers *ca.Authority) error {
	kind, _, _ := strings.Cut(name, "-")
	ip := netip.AddrFrom4([4]byte{127, 0, 0, byte(11 + i)})
	ln, err := net.Listen("tcp", netip.AddrPortFrom(ip, 0).String())
	if err != nil {
		return err
	}
	h := config.Host{Name: name, Address: ln.Addr().(*net.TCPAddr).AddrPort()}
	if kind == "web" {
		h.Groups = []string{"front"}
	}
	f.hosts = append(f.hosts, h)
	if kind == "dead" {
		return ln.Close()
	}
	authority := own
	switch kind {
	case "stranger":
		authority = strangers
	case "other":
		ip = netip.AddrFrom4([4]byte{127, 0, 1, byte(11 + i)})
	}
	key, cert, caPEM, _, err := authority.Issue(name, []netip.Addr{ip})
	if err != nil {
		return err
	}
	if kind == "revoked" {
		if _, err := own.Revoke(name); err != nil {
			return err
		}
	}
	dir := filepath.Join(f.home, "agents", name)
	if err := ca.StoreAgent(dir, key, cert, caPEM); err != nil {
		return err
	}
	credentials, err := ca.Load(dir, dtc.RoleAgent)
	if err != nil {
		return err
	}
	if kind == "older" {
		f.serve.Go(func() { serveOlder(ctx, ln, credentials.ServerTLS(nil, "", wire.ProtoRPC)) })
		return nil
	}
	server := &wire.Server{
		TLS: credentials.ServerTLS(nil, "", wire.ProtoRPC), Identify: ca.Identify,
		Agent: testAgent{kind: kind, name: name}, Logger: slog.New(slog.DiscardHandler),
	}
	f.serve.Go(func() { server.Serve(ctx, ln) })
	return nil
}

func (f *testFleet) writeConfig() error {
	var b strings.Builder
	b.WriteString("<monitor>\n")
	for _, h := range f.hosts {
		fmt.Fprintf(&b, "  <remote_host>\n    <ip_port>%s</ip_port>\n    <name>%s</name>\n", h.Address, h.Name)
		for _, g := range h.Groups {
			fmt.Fprintf(&b, "    <group>%s</group>\n", g)
		}
		b.WriteString("  </remote_host>\n")
	}
	b.WriteString("</monitor>\n")
	return os.WriteFile(filepath.Join(f.home, "conf", "monitor.xml"), []byte(b.String()), 0o600)
}

func (f *testFleet) close() {
	f.stop()
	f.serve.Wait()
}

// testAgent answers as its kind of host does.
type testAgent struct{ kind, name string }

func (a testAgent) Get(ctx context.Context, q dtc.Query, emit func(*dtc.Report) error) error {
	switch a.kind {
	case "slow":
		<-ctx.Done()
		return ctx.Err()
	case "failing":
		return errors.New("/proc is not\x1b[31m there")
	case "real":
		return realHost().Get(ctx, q, emit)
	}
	r := testReport(q.Status, a.name)
	if a.kind == "half" {
		r.Partial = true
		if err := emit(r); err != nil {
			return err
		}
		return errors.New("broke off")
	}
	if a.kind == "hostile" {
		makeHostile(r)
	}
	if a.kind == "noted" {
		r.Notes = []string{"/proc/7/fd: permission denied", "odd \x1b]0;title\a note"}
	}
	if a.kind == "asked" {
		r.Notes = []string{fmt.Sprintf("%+v", q.Selection)}
	}
	return emit(r)
}

// realHost returns the collector of this machine, one for all.
var realHost = sync.OnceValue(func() *status.Collector { return status.New(status.Options{}) })

func (a testAgent) Info(context.Context) (dtc.Info, error) {
	return dtc.Info{Version: "1.0.0", Boot: "b", Run: "r"}, nil
}

func (testAgent) Watch(ctx context.Context, _ string, _ dtc.Watching, _ func(dtc.Sighting) error) error {
	<-ctx.Done()
	return nil
}

func (testAgent) Check(context.Context, string, []int, []string) ([]dtc.Sighting, error) {
	return nil, nil
}

func (testAgent) Acknowledge(context.Context, string, string, uint64) error { return nil }

// testReport returns an answer that is always the same.
func testReport(status dtc.Status, name string) *dtc.Report {
	zone := time.FixedZone("CST", 8*3600)
	now := time.Date(2026, 11, 22, 7, 15, 1, 0, zone)
	r := &dtc.Report{Status: status, CollectedAt: now, PIDWidth: 7}
	switch status {
	case dtc.StatusProcess:
		r.Process = []dtc.Process{{
			PID: 1, PPID: 0, User: "root", CPUPercent: 0.1, MemPercent: 0.25, VSZBytes: 167000 << 10, RSSBytes: 12000 << 10,
			TTY: "?", State: "Ss", StartedAt: now.Add(-26 * time.Hour), CPUSeconds: 3.5, Name: "systemd", Command: "/sbin/init splash", Threads: 1,
		}, {
			PID: 812, PPID: 1, User: "www-data", CPUPercent: 12.5, MemPercent: 1.5, VSZBytes: 55180 << 10, RSSBytes: 5000 << 10,
			TTY: "pts/0", State: "Rl+", StartedAt: now.Add(-time.Hour), CPUSeconds: 450, Name: "nginx", Command: "nginx: worker process", Threads: 4,
		}}
	case dtc.StatusOpenFiles:
		r.OpenFiles = []dtc.OpenFile{{
			PID: 812, User: "www-data", Command: "nginx", FD: "cwd", Type: "DIR", Device: "254,1", SizeBytes: 4096, Offset: dtc.Absent, Node: "2", Name: "/",
		}, {
			PID: 812, User: "www-data", Command: "nginx", FD: "6", Mode: "u", Type: "IPv4", Device: "31862", SizeBytes: dtc.Absent, Offset: 0,
			Node: "TCP", Name: "*:80 (LISTEN)",
		}}
	case dtc.StatusMemory:
		r.Memory = &dtc.Memory{
			TotalBytes: 8 << 30, UsedBytes: 3 << 30, FreeBytes: 1 << 30, SharedBytes: 10 << 20, BuffersBytes: 100 << 20,
			CachedBytes: 4 << 30, AvailableBytes: 5 << 30, SwapTotalBytes: dtc.Absent, SwapUsedBytes: dtc.Absent, SwapFreeBytes: dtc.Absent,
		}
	case dtc.StatusCPU:
		r.CPU = &dtc.CPU{
			Model: "Test CPU", LogicalCores: 1, PhysicalCores: dtc.Absent, Load1: 0.5, Load5: 0.25, Load15: 0.125, IntervalSeconds: 1,
			Percent: []dtc.CPUPercent{
				{CPU: "all", User: 1.5, System: 0.5, Steal: math.NaN(), Idle: 98}, {CPU: "0", User: 1.5, System: 0.5, Steal: math.NaN(), Idle: 98},
			},
			UptimeSeconds: 90061, Users: 2, Hostname: name, OS: "Linux", Kernel: "6.1.0", Arch: "x86_64",
		}
	case dtc.StatusPlatform:
		r.Platform = &dtc.Platform{
			Hostname: name, OS: "Linux", Platform: "Debian GNU/Linux", PlatformVersion: "12 (bookworm)", Kernel: "6.1.0",
			KernelVersion: "#1 SMP", Arch: "x86_64", BootTime: now.Add(-90061 * time.Second), UptimeSeconds: 90061,
			Virtualization: "kvm", OperatingSystem: "GNU/Linux",
		}
	default:
		fillLists(r, now)
	}
	return r
}

// fillLists fills a report of one of the smaller lists.
func fillLists(r *dtc.Report, now time.Time) {
	switch r.Status {
	case dtc.StatusDisk:
		r.Disk = []dtc.Disk{{
			Filesystem: "/dev/sda1", Type: "ext4", TotalBytes: 100 << 30, UsedBytes: 25 << 30, AvailableBytes: 70 << 30, UsedPercent: 27,
			MountedOn: "/", TotalInodes: 6553600, UsedInodes: 1000, FreeInodes: 6552600,
		}}
	case dtc.StatusInterfaces:
		r.Interfaces = []dtc.Interface{{
			Index: 1, Name: "lo", Flags: "LOOPBACK,UP,LOWER_UP", MTUBytes: 65536, Qdisc: "noqueue", State: "UNKNOWN", Mode: "DEFAULT", Group: "default",
			QueueLen: 1000, LinkType: "loopback", Address: "00:00:00:00:00:00", Broadcast: "00:00:00:00:00:00",
			RX: dtc.Traffic{Bytes: 1234, Packets: 12}, TX: dtc.Traffic{Bytes: 1234, Packets: 12},
		}}
	case dtc.StatusSockets:
		r.Sockets = []dtc.Socket{{
			Protocol: "tcp", State: "LISTEN", SendQueue: 511, LocalAddress: "0.0.0.0", LocalPort: 80, RemoteAddress: "0.0.0.0", RemotePort: dtc.Absent,
			User: "root", Owners: []dtc.SocketOwner{{Name: "nginx", PID: 811, FD: 6}, {Name: "nginx", PID: 812, FD: 6}},
		}, {
			Protocol: "tcp", State: "TIME-WAIT", LocalAddress: "::1", LocalPort: 80, RemoteAddress: "::1", RemotePort: 51234, User: "root",
		}}
	case dtc.StatusUsers:
		r.Users = []dtc.User{{Name: "ann", Line: "pts/0", LoginAt: now.Add(-time.Hour), From: "10.0.0.5", PID: 777}}
	case dtc.StatusServices:
		r.Services = []dtc.Service{{
			Name: "nginx.service", Load: "loaded", State: "active", SubState: "running", Since: now.Add(-time.Hour), PID: 811, Description: "web server",
		}}
	default:
	}
}

// makeHostile puts into texts what must not reach a terminal.
func makeHostile(r *dtc.Report) {
	const evil = "a\x1b[2J\u202eb\u0085\xff\x7f"
	for i := range r.Process {
		r.Process[i].Command, r.Process[i].User = evil, evil
	}
	for i := range r.OpenFiles {
		r.OpenFiles[i].Name, r.OpenFiles[i].Command, r.OpenFiles[i].Device = evil, evil, "\x1b"
	}
	if r.CPU != nil {
		r.CPU.Hostname, r.CPU.Percent[0].CPU = evil, "\x1b"
	}
	if r.Platform != nil {
		r.Platform.Hostname, r.Platform.Virtualization = evil, evil
	}
}

// Preview answers that pids are there if they are even, and of a rule as many
// processes as its name says behind a dash.
func (a testAgent) Preview(ctx context.Context, want dtc.Watching) ([]dtc.RuleMatches, error) {
	switch a.kind {
	case "slow":
		<-ctx.Done()
		return nil, ctx.Err()
	case "failing":
		return nil, errors.New("/proc is not\x1b[31m there")
	case "half":
		return make([]dtc.RuleMatches, 1), nil
	case "real":
		return watch.New(watch.Options{Logger: slog.New(slog.DiscardHandler)}).Preview(ctx, want)
	}
	var answer []dtc.RuleMatches
	for _, t := range want.Targets {
		answer = append(answer, a.matches(dtc.RuleMatches{PID: t.PID, Total: 1 - t.PID%2}))
	}
	for _, r := range want.Rules {
		_, number, _ := strings.Cut(r.Name, "-")
		n, err := strconv.Atoi(number)
		m := dtc.RuleMatches{Rule: r.Name, Total: n}
		if err != nil {
			m.Problem = "systemd does not answer\x07"
		} else if r.PIDFile != "" && n == 0 {
			m.Reason = "there is no file " + r.PIDFile + "\x07"
		}
		answer = append(answer, a.matches(m))
	}
	return answer, nil
}

// matches adds the processes that there are, at most three.
func (a testAgent) matches(m dtc.RuleMatches) dtc.RuleMatches {
	for i := range min(m.Total, 3) {
		p := dtc.Match{ID: dtc.ProcessID{PID: cmp.Or(m.PID, 998) + i}, User: "root", Name: "nginx", Command: "nginx: master process"}
		if i > 0 {
			p.User, p.Command = "www-data", "nginx: worker process /usr/sbin/nginx -g daemon on; master_process on;"
		}
		if a.kind == "hostile" {
			p.User, p.Name, p.Command = "\x1b[31m", "\x1b[2J", "\x1b]0;owned\a\u202e\xff\n"
		}
		m.Matches = append(m.Matches, p)
	}
	return m
}

// serveOlder is an agent that knows no question at all.
func serveOlder(ctx context.Context, ln net.Listener, cfg *tls.Config) {
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	s := &http.Server{
		Handler: http.NotFoundHandler(), TLSConfig: cfg, Protocols: &protocols, ReadHeaderTimeout: patience,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	_ = s.ServeTLS(ln, "", "") // it ends by Close
}
