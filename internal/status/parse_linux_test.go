package status

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"dtc/internal/proc"
)

func TestArguments(t *testing.T) {
	for cmdline, want := range map[string]string{
		"a\x00b c\x00":             "a b c",
		"a\x00\x00b\x00\x00\x00":   "a  b",
		"title ":                   "title",
		"title\n":                  "title",
		"title \x00":               "title ",
		"a\nb\x00":                 "a b",
		"\x00":                     "",
		"":                         "",
		"é\x01\x7f\u0085\u202e":    "é???\u202e",
		"\xff\x01é":                "?.??",
		"é \xe2\x82":               "é ??",
		"\xf4\x90\x80\x80 é":       "? é",
		"\u0378 \ue000 \u2028":     "? \ue000 ?",
		"\xed\xa0\x80 日":           "??? 日",
		strings.Repeat("x", 10000): strings.Repeat("x", 10000),
	} {
		if got := string(appendArguments(nil, []byte(cmdline))); got != want {
			t.Errorf("%q: got %q, want %q", cmdline, got, want)
		}
	}
}

func TestState(t *testing.T) {
	st := proc.Stat{PID: 5, State: 'S', Session: 5, PGrp: 5, TPGID: 5, Threads: 2, Nice: -1}
	if got := string(appendState(nil, &st, &proc.Status{VMLckBytes: 1})); got != "S<Lsl+" {
		t.Errorf("got %s", got)
	}
	st = proc.Stat{PID: 5, State: 'Z', TPGID: -1, Threads: 1, Nice: 3}
	if got := string(appendState(nil, &st, &proc.Status{})); got != "ZN" {
		t.Errorf("got %s", got)
	}
}

func TestUsers(t *testing.T) {
	h := tree(t, map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n# comment:x:1:1\nbroken\n:x:2:2:::\ntoor:x:0:0:::\nbig:x:4294967296:0:::\nme:x:1000:1000::/home/me:\n",
	})
	if err := unix.Mkdir(h.path("run"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"run/systemd", "run/systemd/dynamic-uid"} {
		if err := unix.Mkdir(h.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Symlink("made-up", h.path("run/systemd/dynamic-uid/direct:61234")); err != nil {
		t.Fatal(err)
	}
	names := h.users.load()
	for uid, want := range map[uint32]string{
		0: "root", 1: "1", 2: "2", 1000: "me", 61234: "made-up", 61235: "61235", 4294967295: "4294967295",
	} {
		for range 2 {
			if got := names.name(uid); got != want {
				t.Errorf("%d: got %q, want %q", uid, got, want)
			}
		}
	}
}

func TestTTYs(t *testing.T) {
	drivers := parseTTYDrivers([]byte(`/dev/tty             /dev/tty        5       0 system:/dev/tty
pty_slave            /dev/pts      136 0-1048575 pty:slave
serial               /dev/ttyS       4 64-95 serial
unknown              /dev/vc/%d      4 1-63 console
nonsense             /dev/x
bad                  /dev/y        no 1-2
`))
	want := "[{vc/ true 4 1 63} {ttyS false 4 64 95} {pts false 136 0 1048575} {tty false 5 0 0}]"
	if got := fmt.Sprint(drivers); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	names := newTTYs(newHost(Options{}))
	if got := names.name(0, 1); got != "?" {
		t.Errorf("none: got %q", got)
	}
	// The device behind /dev/console may be another one, but it is there.
	if got := names.name(5<<8|1, 1); got != "console" && got != "?" {
		t.Errorf("console: got %q", got)
	}
	if got := names.name(0xfff<<8, 1); got != "?" {
		t.Errorf("unknown: got %q", got)
	}
}

func TestSocketNames(t *testing.T) {
	for want, s := range map[string]proc.InetSocket{
		"*:22 (LISTEN)":                          {State: 10, Local: netip.MustParseAddrPort("0.0.0.0:22"), Remote: netip.MustParseAddrPort("0.0.0.0:0")},
		"10.0.0.1:22->10.0.0.2:9 (ESTABLISHED)":  {State: 1, Local: netip.MustParseAddrPort("10.0.0.1:22"), Remote: netip.MustParseAddrPort("10.0.0.2:9")},
		"[::1]:22->[fe80::1]:9 (CLOSE_WAIT)":     {State: 8, IPv6: true, Local: netip.MustParseAddrPort("[::1]:22"), Remote: netip.MustParseAddrPort("[fe80::1]:9")},
		"*:53":                                   {Protocol: proc.UDP, State: 7, IPv6: true, Local: netip.MustParseAddrPort("[::]:53"), Remote: netip.MustParseAddrPort("[::]:0")},
		"10.0.0.1:53->10.0.0.2:5":                {Protocol: proc.UDP, State: 1, IPv6: true, Local: netip.MustParseAddrPort("[::ffff:10.0.0.1]:53"), Remote: netip.MustParseAddrPort("[::ffff:10.0.0.2]:5")},
		"10.0.0.1:*":                             {Protocol: proc.UDP, State: 7, Local: netip.MustParseAddrPort("10.0.0.1:0"), Remote: netip.MustParseAddrPort("0.0.0.0:0")},
		"*:7->10.0.0.2:5 (UNKNOWN_TCP_STATE_99)": {State: 99, IPv6: true, Local: netip.MustParseAddrPort("[::]:7"), Remote: netip.MustParseAddrPort("[::ffff:10.0.0.2]:5")},
	} {
		if got := string(appendInetName(nil, &s)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	unix := proc.UnixSocket{Type: 5, State: 10, Path: []byte("/run/a b")}
	if got := string(appendUnixName(nil, &unix)); got != "/run/a b type=SEQPACKET (LISTEN)" {
		t.Errorf("got %q", got)
	}
}

func TestMounts(t *testing.T) {
	m := parseMounts([]byte(`22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:45 / /mnt/a\040b rw,relatime shared:1 - nfs4 server:/ex\134port rw,vers=4.2
31 22 0:20 / /dev/mqueue rw shared:3 - mqueue mqueue rw
nonsense
32 22 x:y / /z rw - nfs a b
`))
	file := func(major, minor uint32) proc.FileID { return proc.FileID{Major: major, Minor: minor, Inode: 1} }
	for path, want := range map[string]string{
		"/mnt/a b/file": `/mnt/a b/file (server:/ex\port)`,
		"/other/file":   "/other/file",
	} {
		if got := string(m.appendServer([]byte(path), file(0, 45))); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := string(m.appendServer([]byte("/mnt/a b/file"), file(254, 0))); got != "/mnt/a b/file" {
		t.Errorf("another device: got %q", got)
	}
	if !m.isQueue(0, 20) || m.isQueue(0, 45) {
		t.Errorf("queues %v", m.queues)
	}
}

func TestOtherFile(t *testing.T) {
	mapped := proc.FileID{Major: 1, Minor: 2, Inode: 3}
	for want, found := range map[string]proc.FileID{
		" (path inode=4)":              {Major: 1, Minor: 2, Inode: 4},
		" (path dev=9,2)":              {Major: 9, Minor: 2, Inode: 3},
		" (path dev=9,9, inode=10000)": {Major: 9, Minor: 9, Inode: 10000},
	} {
		if got := string(appendOtherFile(nil, mapped, found)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for want, err := range map[string]error{
		" (stat: Permission denied)": unix.EACCES, " (stat: Stale file handle)": unix.ESTALE,
		" (stat: Input/output error)": unix.EIO, " (stat: context canceled)": context.Canceled,
	} {
		if got := string(appendReason(nil, "stat", err)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func FuzzArguments(f *testing.F) {
	f.Add([]byte("a\x00b\n\xff\x01é\u202e"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got := appendArguments(nil, slices.Clone(data))
		if !utf8.Valid(got) || len(got) > len(data) {
			t.Errorf("%q: got %q", data, got)
		}
		for _, r := range string(got) {
			if r < ' ' || r >= 0x7f && r < 0xa0 {
				t.Errorf("%q: got %q", data, got)
			}
		}
	})
}

func FuzzFiles(f *testing.F) {
	f.Add([]byte("MemTotal: 1 kB\ncpu0 1 2 3 4 5\nprocessor : 1\nA=\"b\\\"\nroot:x:0:0:::\n1 2 3:4 / /a\\040 - nfs b\nserial /dev/ttyS 4 64-95 serial\n"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = parseMeminfo(data)
		parseCPUTimes(data)
		parseCPUInfo(data)
		parseOSRelease(data)
		parsePasswd(data)
		parseMounts(data)
		parseTTYDrivers(data)
		countUtmp(data)
		isUserSession(data)
	})
}
