package status

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dtc"
	"dtc/internal/proc"
)

func ipLink(tb testing.TB) string {
	tb.Helper()
	return toolOutput(tb, "", "ip", "-s", "link")
}

func TestInterfacesAsIP(t *testing.T) {
	enterNewNetwork(t)
	name, pid := namedNetwork(t), otherNetwork(t)
	for _, args := range []string{
		"link add v0 type veth peer name v1",
		"link add far type veth peer name near netns " + name,
		fmt.Sprintf("link add further type veth peer name near netns %d", pid),
		"link add br0 type bridge", "link set v0 master br0", "link set v0 up", "link set br0 up",
		"link add mac0 link v1 type macvlan", // v1 is down: M-DOWN
		"link add mac1 link v1 type macvlan mode bridge", "link set mac1 address 02:00:00:00:00:07",
		"link add ifb-renamed type ifb", "link set ifb-renamed name ifb-other",
		"link add vx0 type vxlan id 7 dev v1 dstport 4789", "link set vx0 protodown on", "link set vx0 protodown_reason 3 on",
		"link set mac0 protodown on",
		"link property add dev v1 altname a-second-name altname and-a-third-one-that-is-longer-than-others",
		"link set v1 mtu 1287", "link set v1 alias a-description-of-it", "link set v1 group 17",
		"link set v1 promisc on", "link set v1 allmulticast on", "link set v1 txqueuelen 0",
		"link set far txqueuelen 123456", "link set far arp off", "link set far multicast off", "link set far up",
		"link set far mode dormant", "link set further state dormant",
		"tuntap add mode tun name tun0", "tuntap add mode tap name tap0", "link set tap0 up",
	} {
		ip(t, args)
	}
	// Not every kernel has these.
	for _, args := range []string{
		"link add dummy0 type dummy", "link add bond0 type bond", "link set dummy0 master bond0", "link set bond0 up",
		"link add link v1 name v1.7 type vlan id 7", "link add ipv0 link v1 type ipvlan", "link add gre0 type gre",
		"link add ipip1 type ipip local 10.0.0.1 remote 10.0.0.2", "link add sit1 type sit local 10.0.0.1", "link add vrf0 type vrf table 10",
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Logf("this kernel cannot %s: %s", args, out)
		}
	}
	attachXDP(t, "v0")
	toolOutput(t, "", "tc", "qdisc", "add", "dev", "far", "root", "tbf", "rate", "1mbit", "burst", "10k", "latency", "50ms")
	c := New(Options{})
	sameAsTool(t, func() string { return textOf(t, c, dtc.StatusInterfaces) }, func() string { return ipLink(t) })

	got := make(map[string]dtc.Interface)
	r := list(t, c, dtc.StatusInterfaces)
	for _, i := range r.Interfaces {
		got[i.Name] = i
	}
	if rest := got["far"].Rest; rest != "link-netns "+name {
		t.Errorf("far: %q", rest)
	}
	if i := got["mac0"]; i.Lower != "v1" || !strings.HasSuffix(i.Flags, ",M-DOWN") || i.Rest != "protodown on" {
		t.Errorf("mac0: %+v", i)
	}
	if i := got["v0"]; i.XDP != "xdpgeneric" || !strings.HasPrefix(i.XDPPrograms, "prog/xdp id ") || !strings.Contains(i.XDPPrograms, "name dtc_pass") {
		t.Errorf("v0: %+v", i)
	}
}

// TestInterfacesOfMachine compares what carries this machine's traffic.
func TestInterfacesOfMachine(t *testing.T) {
	c := New(Options{})
	sameAsTool(t, func() string { return textOf(t, c, dtc.StatusInterfaces) }, func() string { return ipLink(t) })
}

// TestLinkTypesAsIP gives one device every type that there is a name for, and
// some for which there is none.
func TestLinkTypesAsIP(t *testing.T) {
	enterNewNetwork(t)
	fd := tun(t, "t0", unix.IFF_TAP|unix.IFF_NO_PI)
	c := New(Options{})
	types := []int{5, 17, 20, 281, 519, 700, 826, 830, 0xfffd}
	for kind := range 1 << 16 {
		if !strings.HasPrefix(linkType(uint16(kind)), "[") {
			types = append(types, kind)
		}
	}
	if len(types) < 70 {
		t.Errorf("%d types", len(types))
	}
	for _, kind := range types {
		if err := unix.IoctlSetInt(fd, unix.TUNSETLINK, kind); err != nil {
			t.Fatalf("type %d: %v", kind, err)
		}
		if unusualAddress(kind) {
			continue
		}
		sameAsTool(t, func() string { return textOf(t, c, dtc.StatusInterfaces) }, func() string { return ipLink(t) })
	}
}

// unusualAddress tells of the addresses that ip prints in the ways of amateur
// radio.
func unusualAddress(kind int) bool {
	return kind == unix.ARPHRD_AX25 || kind == unix.ARPHRD_NETROM || kind == unix.ARPHRD_ROSE
}

func TestInterfaceGroups(t *testing.T) {
	names := parseIDNames([]byte("# a comment\n\n0\tdefault\n0x11 seventeen # sixteen and one\n 5 five\n5 last\n-1 no\nno number\n6 six\n"))
	want := map[uint32]string{0: "default", 17: "seventeen", 5: "last"}
	if fmt.Sprint(names) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", names, want)
	}
	root := t.TempDir()
	dir := filepath.Join(root, "etc/iproute2")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "group"), []byte("17 seventeen\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	groups := New(Options{Root: root}).host.idNames("group")
	l := linkNames{groups: groups}
	if got := l.group(17) + " " + l.group(0) + " " + l.group(1<<32-1); got != "seventeen default -1" {
		t.Error(got)
	}
}

// TestHostileInterface uses names that a container's root can choose.
func TestHostileInterface(t *testing.T) {
	enterNewNetwork(t)
	toolOutput(t, "", "ip", "link", "add", "\x1b[31m\u202e", "type", "veth", "peer", "name", "v1")
	toolOutput(t, "", "ip", "link", "set", "v1", "alias", "one\nlo: \x1b]0;title\a")
	text := textOf(t, New(Options{}), dtc.StatusInterfaces)
	if strings.ContainsAny(text, "\x1b\a\u202e") || strings.Count(text, "\n") != 3*6+1 {
		t.Errorf("%d lines: %q", strings.Count(text, "\n"), text)
	}
	for _, want := range []string{`\x1b[31m\u202e@v1: <`, `alias one\nlo: \x1b]0;title\x07` + "\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing in %s", want, text)
		}
	}
}

// TestInterfacesThatChange lists interfaces while others come and go.
func TestInterfacesThatChange(t *testing.T) {
	enterNewNetwork(t)
	const stable = 150
	var batch strings.Builder
	for i := range stable {
		fmt.Fprintf(&batch, "link add s%d type ifb\n", i)
	}
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(batch.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	churn := exec.Command("sh", "-c", "while :; do ip link add c0 type ifb; ip link del c0; done")
	start(t, churn)
	for range 300 {
		links, err := proc.Default.Links()
		if err != nil && !errors.Is(err, proc.ErrChanged) {
			t.Fatal(err)
		}
		found := 0
		for i := range links {
			if strings.HasPrefix(links[i].Name, "s") {
				found++
			}
		}
		if err == nil && found != stable {
			t.Errorf("%d of %d interfaces", found, stable)
		}
	}
}

func TestNoInterfacesOfOtherRoot(t *testing.T) {
	_, _, err := New(Options{Root: t.TempDir()}).interfaces(t.Context())
	if err == nil || !strings.Contains(err.Error(), "not of this kernel") {
		t.Error(err)
	}
}
