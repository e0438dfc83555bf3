package status

import (
	"context"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"dtc/internal/proc"
)

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
33 22 0:46 / /home/me/remote rw - fuse.sshfs me@there:/ rw
`))
	file := func(major, minor uint32) proc.FileID { return proc.FileID{Major: major, Minor: minor, Inode: 1} }
	for path, want := range map[string]string{
		"/mnt/a b/file": `/mnt/a b/file (server:/ex\port)`,
		"/other/file":   "/other/file",
	} {
		if got := string(m.appendServer(nil, []byte(path), file(0, 45))); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := string(m.appendServer([]byte("12"), []byte("/mnt/a b/file"), file(254, 0))); got != "12/mnt/a b/file" {
		t.Errorf("another device: got %q", got)
	}
	if !m.isQueue([2]uint32{0, 20}) || m.isQueue([2]uint32{0, 45}) {
		t.Errorf("queues %v", m.queues)
	}
	for path, want := range map[string]bool{"/mnt/a b/x": true, "/mnt/a b": true, "/mnt/a bc": false, "/home/me/remote/x": true, "/x": false} {
		if got := m.leadsToRemote([]byte(path)); got != want {
			t.Errorf("%s leads to a remote mount: got %v", path, got)
		}
	}
	if !m.isRemote([2]uint32{0, 46}) || m.isRemote([2]uint32{254, 0}) || m.isRemote([2]uint32{0, 20}) {
		t.Errorf("remote %v", m.remote)
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
