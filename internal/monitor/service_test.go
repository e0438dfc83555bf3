package monitor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/config"
	"dtc/internal/events"
	"dtc/internal/logs"
	"dtc/internal/wire"
)

func (f *fleetHome) invite(req InviteRequest) (InviteReply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if req.TTL == 0 {
		req.TTL = time.Hour
	}
	var reply InviteReply
	err := wire.Control(ctx, SocketPath(f.dir), VerbInvite, req, func(m json.RawMessage) error { return json.Unmarshal(m, &reply) })
	return reply, err
}

// joiner is a host that joins.
type joiner struct {
	f        *fleetHome
	key, csr []byte
}

func (f *fleetHome) newJoiner() joiner {
	f.t.Helper()
	key, csr, err := ca.NewKey()
	if err != nil {
		f.t.Fatal(err)
	}
	return joiner{f, key, csr}
}

// join joins with a new token for the ip.
func (j joiner) join(at, listen netip.AddrPort, name string) (wire.JoinReply, error) {
	j.f.t.Helper()
	invited, err := j.f.invite(InviteRequest{Name: name, IPs: []netip.Addr{listen.Addr().Unmap()}})
	if err != nil {
		j.f.t.Fatal(err)
	}
	if invited.Address != at {
		j.f.t.Errorf("invited to %s, the service is at %s", invited.Address, at)
	}
	token, err := ca.ParseToken(invited.Token)
	if err != nil {
		j.f.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return wire.Join(ctx, at, token.TLS(), wire.JoinRequest{Token: token.Secret, CSR: j.csr, Listen: listen})
}

// startFile runs a monitor on a monitor.xml with this text, LOCAL being where
// it listens.
func (f *fleetHome) startFile(text string) (*running, netip.AddrPort) {
	f.t.Helper()
	at := freePort(f.t, loopback(1))
	f.write(strings.ReplaceAll(text, "LOCAL", at.String()))
	return f.startWith(f.loadFile), at
}

func (f *fleetHome) write(text string) {
	f.t.Helper()
	if err := os.WriteFile(f.path(), []byte(text), 0o640); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleetHome) text() string {
	f.t.Helper()
	data, err := os.ReadFile(f.path())
	if err != nil {
		f.t.Fatal(err)
	}
	return string(data)
}

// A host that joins comes into monitor.xml, and all else there stays as it was:
// byte order mark, line ends, comments.
func TestJoin(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	m, at := f.startFile("\ufeff<?xml version=\"1.0\"?>\r\n<!-- mine -->\r\n<monitor >\r\n\t<local_host> LOCAL </local_host>\r\n" +
		"\t<remote_host><ip_port>127.0.0.9:1</ip_port><!-- old --></remote_host>\r\n</monitor>\r\n<!-- end -->")
	before := f.text()
	j := f.newJoiner()
	listen := netip.AddrPortFrom(loopback(11), 7701)
	reply, err := j.join(at, listen, "web1")
	if err != nil || reply.Name != "web1" {
		t.Fatalf("join: %+v, %v", reply, err)
	}
	after := f.text()
	added := regexp.MustCompile(`\r\n\t<remote_host><ip_port>127.0.0.11:7701.*</remote_host>`).FindString(after)
	if strings.Replace(after, added, "", 1) != before || !strings.Contains(added, "<name>web1</name>") {
		t.Errorf("monitor.xml was\n%q\nand is\n%q", before, after)
	}
	if cfg, _ := m.config(); len(cfg.Hosts) != 2 || cfg.Hosts[1].Name != "web1" || cfg.Hosts[1].Address != listen {
		t.Errorf("hosts: %+v", cfg.Hosts)
	}

	// Another host of an IPv6 address, named by it; and one that listens nowhere.
	six := netip.MustParseAddrPort("[fd00::7]:7701")
	if reply, err = f.newJoiner().join(at, six, ""); err != nil || reply.Name != "fd00::7" {
		t.Errorf("join of an IPv6 host: %+v, %v", reply, err)
	}
	if cfg, err := f.loadFile(); err != nil || len(cfg.Hosts) != 3 || cfg.Hosts[2].Address != six || cfg.Hosts[2].Name != "fd00::7" {
		t.Errorf("hosts: %+v, %v", cfg.Hosts, err)
	}

	// Who stands there already stays as the operator wrote it.
	f.write(strings.Replace(f.text(), "</remote_host>\r\n</monitor>", "</remote_host><remote_host><ip_port>127.0.0.12:7701</ip_port><name>db</name><monitor_pid>4</monitor_pid></remote_host></monitor>", 1))
	before = f.text()
	mapped := netip.AddrPortFrom(netip.AddrFrom16(loopback(12).As16()), 7701)
	if _, err := f.newJoiner().join(at, mapped, "web3"); err != nil {
		t.Error(err)
	}
	if f.text() != before {
		t.Errorf("monitor.xml was\n%s\nand is\n%s", before, f.text())
	}
	if cfg, _ := m.config(); len(cfg.Hosts) != 4 || !slices.Equal(cfg.Hosts[3].PIDs, []int{4}) {
		t.Errorf("what the operator wrote is not applied: %+v", cfg.Hosts)
	}
}

// An agent that joins again with its old key keeps its id, and its host moves;
// what the operator says of it stays.
func TestRejoin(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	m, at := f.startFile("<monitor><local_host>LOCAL</local_host>\n</monitor>")
	j := f.newJoiner()
	old, moved := netip.AddrPortFrom(loopback(11), 7701), netip.AddrPortFrom(loopback(12), 7702)
	if _, err := j.join(at, old, "web1"); err != nil {
		t.Fatal(err)
	}
	f.write(strings.Replace(f.text(), "</name>", "</name><monitor_pid>4</monitor_pid><group>front</group><detect_interval_time>60</detect_interval_time>", 1))
	id := agentRecord(t, f).ID
	if _, err := j.join(at, moved, "web9"); err != nil {
		t.Fatal(err)
	}
	r := agentRecord(t, f)
	if r.ID != id || r.Name != "web9" || !slices.Equal(r.IPs, []netip.Addr{loopback(12)}) {
		t.Errorf("the register has %+v", r)
	}
	cfg, _ := m.config()
	want := config.Host{Name: "web9", Address: moved, PIDs: []int{4}, Groups: []string{"front"}, DetectInterval: time.Minute}
	if len(cfg.Hosts) != 1 {
		t.Fatalf("hosts: %+v", cfg.Hosts)
	}
	got := cfg.Hosts[0]
	if got.Name != want.Name || got.Address != want.Address || !slices.Equal(got.PIDs, want.PIDs) || !slices.Equal(got.Groups, want.Groups) || got.DetectInterval != want.DetectInterval {
		t.Errorf("the host is %+v, want %+v", got, want)
	}
	f.eventually("the event", func() bool { return slices.Contains(f.told("web9"), "rejoined") })

	// Its new address is that of another host: that one stays as well.
	f.write(strings.Replace(f.text(), "</monitor>", "<remote_host><ip_port>127.0.0.13:7703</ip_port><name>db</name></remote_host></monitor>", 1))
	before := f.text()
	if _, err := j.join(at, netip.AddrPortFrom(loopback(13), 7703), "web9"); err != nil {
		t.Fatal(err)
	}
	if f.text() != before {
		t.Errorf("monitor.xml was\n%s\nand is\n%s", before, f.text())
	}
}

func agentRecord(t *testing.T, f *fleetHome) ca.Record {
	t.Helper()
	if err := f.authority.Reload(); err != nil {
		t.Fatal(err)
	}
	for _, r := range f.authority.Issued() {
		if r.Role == dtc.RoleAgent {
			return r
		}
	}
	t.Fatal("no agent is in the register")
	return ca.Record{}
}

// A join whose host cannot be added is one all the same, and nothing of the
// file is lost.
func TestJoinWithoutFile(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	m, at := f.startFile("<monitor><local_host>LOCAL</local_host></monitor>")
	f.write("<monitor><mistake/></monitor>")
	if _, err := f.newJoiner().join(at, netip.AddrPortFrom(loopback(11), 7701), "web1"); err != nil {
		t.Error(err)
	}
	if f.text() != "<monitor><mistake/></monitor>" || !strings.Contains(m.log.String(), "could not be added") {
		t.Errorf("monitor.xml is %s, the log\n%s", f.text(), m.log.String())
	}
	_, err := f.newJoiner().join(at, netip.AddrPortFrom(loopback(12), 0), "web2")
	if dtc.KindOf(err) != dtc.KindInvalid || !strings.Contains(err.Error(), "no port") {
		t.Errorf("a listen address without a port: %v", err)
	}
}

// A changed local_host is applied; one that is not to be had is told, and taken
// as soon as it is.
func TestLocalHost(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	one, two := freePort(t, loopback(1)), freePort(t, loopback(1))
	a := f.newAgent("web1", loopback(11))
	f.set(config.Monitor{LocalHost: one})
	m := f.start()
	link := a.logLink(one)
	f.set(config.Monitor{LocalHost: two})
	if err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	closedWithin(t, link, patience)
	a.logLink(two)
	blocker := listen(t, one) // the old one is free
	f.set(config.Monitor{LocalHost: one})
	if err := m.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "listen on local_host") {
		t.Errorf("an address that another has: %v", err)
	}
	blocker.Close()
	f.eventually("the address to be taken", func() bool { return strings.Count(m.log.String(), "msg=listening address="+one.String()) == 2 })
	a.logLink(one)

	// Nowhere, and somewhere again.
	f.set(config.Monitor{})
	if err := m.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	listen(t, one).Close()
	if _, err := f.invite(InviteRequest{}); err == nil || !strings.Contains(err.Error(), "set local_host in ") {
		t.Errorf("invite: %v", err)
	}
	f.set(config.Monitor{LocalHost: two})
	if err := m.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	a.logLink(two)
}

// An address that another program has is an error at the start.
func TestStartOnTakenAddress(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	ln := listen(t, netip.AddrPortFrom(loopback(1), 0))
	defer ln.Close()
	m, err := New(Options{Home: f.dir, ConfigPath: f.path(), Load: f.load, Logger: discard(), Config: config.Monitor{LocalHost: netip.MustParseAddrPort(ln.Addr().String())}})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "listen on local_host") {
		t.Errorf("Run: %v", err)
	}
}

func TestAlone(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	f.start()
	if _, err := New(Options{Home: f.dir, Load: f.load, Logger: discard()}); err == nil {
		t.Error("a second service has the copies too")
	}
	m, err := New(Options{Home: f.dir, Load: f.load, Logger: discard(), Parts: []string{PartProcess}})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Run(t.Context()); !errors.Is(err, wire.ErrInUse) {
		t.Errorf("Run: %v", err)
	}
	if err := f.control("", nil); err != nil {
		t.Errorf("the first one: %v", err)
	}
}

// Each part runs without the other.
func TestParts(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11)).start()
	at := freePort(t, loopback(1))
	f.set(config.Monitor{LocalHost: at, Hosts: []config.Host{a.host(1)}})
	m := f.start(PartProcess)
	a.watch()
	closedWithin(t, a.logLink(at), time.Second)
	if err := f.control(logs.VerbList, nil); err == nil || !strings.Contains(err.Error(), "without the log receiver") {
		t.Errorf("%s: %v", logs.VerbList, err)
	}
	if _, err := f.newJoiner().join(at, netip.AddrPortFrom(loopback(12), 7701), "web2"); err != nil {
		t.Errorf("join: %v", err)
	}
	m.stop()
	f.start(PartLog)
	if err := f.control(logs.VerbList, nil); err != nil {
		t.Error(err)
	}
	link := wire.NewLink(a.logLink(at))
	if err := errors.Join(link.Send(&dtc.Frame{Kind: dtc.FrameHello, ID: 1, Text: "boot1"}), link.Flush()); err != nil {
		t.Fatal(err)
	}
	var frame dtc.Frame
	if err := link.Recv(&frame); err != nil || frame.Kind != dtc.FrameReady {
		t.Errorf("answered %v, %v", frame.Kind, err)
	}
	link.Close()
	if len(a.watches) > 0 {
		t.Error("it watches without being told to")
	}
	if err := f.control("frobnicate", nil); err == nil || !strings.Contains(err.Error(), `"frobnicate"`) {
		t.Errorf("an unknown command: %v", err)
	}
}

// What nobody waits for is on the disk soon, too: an agent that asks for what
// is not its to ask is recorded.
func TestDenied(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	a := f.newAgent("web1", loopback(11))
	at := freePort(t, loopback(1))
	f.set(config.Monitor{LocalHost: at, Hosts: []config.Host{a.host()}})
	m := f.start(PartLog)
	m.denied(dtc.Peer{ID: "x", Role: dtc.RoleAgent, IPs: []netip.Addr{loopback(11)}}, "get")
	m.denied(dtc.Peer{ID: "y", Role: dtc.RoleAgent, IPs: []netip.Addr{loopback(99)}}, "get")
	m.denied(dtc.Peer{ID: "z", Role: dtc.RoleMonitor}, "get")
	f.wantTold("web1", "refused")
	f.wantTold("127.0.0.99", "refused")
	if err := m.report("127.0.0.11", dtc.Event{ID: "s-1", Kind: dtc.EventLog, State: dtc.StateGap, Alias: "app.log"}); err != nil {
		t.Error(err)
	}
	f.wantTold("web1", "refused", "gap")
}

// What an operator is told to paste leads to the service.
func TestReachable(t *testing.T) {
	t.Parallel()
	any4, any6 := netip.MustParseAddrPort("0.0.0.0:7700"), netip.MustParseAddrPort("[::]:7700")
	given := netip.MustParseAddrPort("10.0.0.5:7700")
	if got := Reachable(t.Context(), given, loopback(7)); got != given {
		t.Errorf("of %s: %s", given, got)
	}
	if got := Reachable(t.Context(), any4, loopback(7)); !got.Addr().IsLoopback() || got.Port() != 7700 {
		t.Errorf("for a host on the loopback: %s", got)
	}
	for _, at := range []netip.AddrPort{any4, any6} {
		got := Reachable(t.Context(), at, netip.Addr{})
		if got.Port() != 7700 || got.Addr().IsUnspecified() || got.Addr().Zone() != "" {
			t.Errorf("of %s: %s", at, got)
		}
	}
}

// Certificates that end soon are told, the agents' too, but for those that
// nobody needs.
func TestWarn(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	f.newAgent("gone", loopback(12))
	if _, err := f.authority.Revoke("gone"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(f.dir, "conf", "tls", "issued")
	f.newAgent("web1", loopback(11))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	soon := time.Now().Add(72 * time.Hour).UTC().Format(time.RFC3339)
	data = regexp.MustCompile(`"expires":"[^"]*"`).ReplaceAll(data, []byte(`"expires":"`+soon+`"`))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	m := f.start()
	f.eventually("the warning", func() bool {
		return strings.Contains(m.log.String(), `"an agent's certificate ends soon: let it join again" name=web1`)
	})
	if strings.Contains(m.log.String(), "gone") {
		t.Errorf("of a revoked one, too:\n%s", m.log.String())
	}
}

// A change of the last moment is in the memory.
func TestMemoryOfTheLastMoment(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	f.set(config.Monitor{Hosts: []config.Host{{Name: "gone", Address: netip.MustParseAddrPort("127.0.0.1:1"), PIDs: []int{7}, DetectInterval: time.Hour}}})
	m := f.start()
	m.memory.SetProcess("127.0.0.1:1", 7, events.ProcessMemory{Start: 77, Boot: "b"})
	m.stop()
	data, err := os.ReadFile(filepath.Join(f.dir, "state", "watch.json"))
	if err != nil || !bytes.Contains(data, []byte(`"start":77`)) {
		t.Errorf("%s, %v", data, err)
	}
}

// One that a service has that was killed a moment ago is waited for.
func TestStartOnSoonFreeAddress(t *testing.T) {
	t.Parallel()
	f := newHome(t)
	ln := listen(t, netip.AddrPortFrom(loopback(1), 0))
	at := netip.MustParseAddrPort(ln.Addr().String())
	f.set(config.Monitor{LocalHost: at})
	m := f.start()
	f.eventually("it to be told", func() bool { return strings.Contains(m.log.String(), "local_host is still taken") })
	ln.Close()
	f.eventually("it to listen", func() bool { return strings.Contains(m.log.String(), "msg=listening address="+at.String()) })
}
