package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dtc/internal/bounds"
)

func TestStat(t *testing.T) {
	line := "812 (a) b) S 1 2 3 34816 5 4194304 7 8 9 10 11 12 13 14 20 -5 3 0 4711 123456 -1 " + strings.Repeat("0 ", 27) + "256\n"
	want := Stat{
		PID: 812, Comm: []byte("a) b"), State: 'S', PPID: 1, PGrp: 2, Session: 3, TTY: 34816, TPGID: 5, Flags: 4194304,
		UserTicks: 11, SysTicks: 12, Nice: -5, Threads: 3, StartTicks: 4711, VSizeBytes: 123456, RSSPages: -1, ExitCode: 256,
	}
	var st Stat
	if err := st.Parse([]byte(line)); err != nil || !reflect.DeepEqual(st, want) {
		t.Errorf("got %+v, %v", st, err)
	}
	for _, bad := range []string{
		"", "812", "812 (a", "812 a) S 1", "(a) S 1", "x (a) S 1", "812 (a) S", "812 (a) SS 1 2",
		"812 (a) S 1 2 3", "812 (a) S 1 x " + strings.Repeat("0 ", 60), "-1 " + line[4:], "99999999999 " + line[4:],
	} {
		if err := st.Parse([]byte(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	// Kernels before 3.5 have no field 52.
	short := "812 (a) S " + strings.Repeat("1 ", 40)
	if err := st.Parse([]byte(short)); err != nil || st.StartTicks != 1 || st.ExitCode != 0 {
		t.Errorf("short: %+v, %v", st, err)
	}
}

func TestStatus(t *testing.T) {
	var st Status
	st.Parse([]byte("Name:\tUid:\\n\nUid:\t1\t22\t3\t4\nVmPeak:\t 9 kB\nVmSize:\t 100 kB\nVmLck:\t 8 kB\nVmRSS:\t 50 kB\nThreads:\t1\nVmRSS:\t 7 kB\n"))
	if want := (Status{UID: 22, VMSizeBytes: 100 << 10, VMLckBytes: 8 << 10, VMRSSBytes: 50 << 10}); st != want {
		t.Errorf("got %+v, want %+v", st, want)
	}
	st.Parse([]byte("Name:\tx"))
	if st != (Status{}) {
		t.Errorf("got %+v", st)
	}
}

func TestMapping(t *testing.T) {
	for line, want := range map[string]string{
		"7f01-7f02 r-xp 00000000 fe:00 12345                      /usr/lib/x.so":           "{254 0 12345} /usr/lib/x.so false 7f01-7f02",
		"7f01-7f02 rw-s 00000000 00:01 1026                       /memfd:my mem (deleted)": "{0 1 1026} /memfd:my mem true 7f01-7f02",
		"7f01-7f02 r--p 00000000 103:0a 5                         /a:b c":                  "{259 10 5} /a:b c false 7f01-7f02",
		"7f01-7f02 rw-p 00000000 00:00 0                          [heap]":                  "",
		"7f01-7f02 rw-p 00000000 00:00 0 ":                                                 "",
		"7f01-7f02 rw-p 00000000 fe:00 77":                                                 "",
		"nonsense":                                                                         "",
		"7f01-7f02 rw-p 00000000 fe00 77 /x":                                               "",
		"7f01-7f02 rw-p 00000000 fe:zz 77 /x":                                              "",
		"7f01-7f02 rw-p 00000000 fe:00 99999999999999999999999 /x":                         "",
		"7f01-7f02 rw-p 00000000 fe:00 77                          (deleted)":              "{254 0 77} (deleted) false 7f01-7f02",
	} {
		got := ""
		if l, ok := splitMaps([]byte(line)); ok {
			if m, ok := l.Mapped(); ok {
				got = fmt.Sprintf("%v %s %v %s", m.ID, m.Path, m.Deleted, l.Addresses)
			}
		}
		if got != want {
			t.Errorf("%q:\n got %q\nwant %q", line, got, want)
		}
	}
}

func TestFDInfo(t *testing.T) {
	f := FDInfo{Targets: []int{9}}
	f.Parse([]byte("pos:\t100\nflags:\t02\ntfd:       12 events: 19 data: 0\ntfd:        5 events: 19\neventfd-id: 7\nPid:\t-1\nnonsense\n"))
	if f.Pos != 100 || f.EventFD != 7 || f.PID != -1 || !slices.Equal(f.Targets, []int{5, 12}) || f.MoreTargets() {
		t.Errorf("got %+v", f)
	}
	f.Parse(bytes.Repeat([]byte("tfd: 1\n"), 50))
	if f.Pos != -1 || len(f.Targets) != maxTargets || !f.MoreTargets() {
		t.Errorf("got %+v", f)
	}
}

func TestLocks(t *testing.T) {
	f := testTree(t, map[string]string{"locks": `1: POSIX  ADVISORY  WRITE 812 fe:00:101 0 9
2: FLOCK  ADVISORY  READ 812 fe:00:102 0 EOF
2: -> FLOCK  ADVISORY  WRITE 813 fe:00:102 0 EOF
3: OFDLCK ADVISORY  WRITE -1 fe:00:103 0 EOF
4: POSIX  ADVISORY  READ 814 103:0a:104 5 EOF
5: LEASE  ACTIVE    READ 815 fe:00:105 0 EOF
6: nonsense
7: POSIX  ADVISORY  WRITE 812 fe:00:106 0 2147483647
8: POSIX  ADVISORY  READ 816 fe:00:107 0 9
9: POSIX  ADVISORY  WRITE 816 fe:00:107 10 19
10: POSIX  ADVISORY  READ 816 fe:00:107 20 29
11: POSIX  ADVISORY  READ 816 fe:00:108 20 29`})
	locks, err := f.Locks()
	if err != nil || locks.Many {
		t.Error(locks.Many, err)
	}
	file := func(inode uint64) FileID { return FileID{Major: 254, Inode: inode} }
	want := []heldLock{
		{file(101), 812, 'w'},
		{file(102), 812, 'R'},
		{file(106), 812, 'W'},
		{FileID{259, 10, 104}, 814, 'r'},
		{file(105), 815, 'R'},
		{file(107), 816, 'w'},
		{file(108), 816, 'r'},
	}
	if !slices.Equal(locks.held, want) {
		t.Errorf("got %v\nwant %v", locks.held, want)
	}
	for _, lock := range want {
		if got := locks.Process(int(lock.pid)).On(lock.file); got != lock.char {
			t.Errorf("%v: got %q", lock, got)
		}
	}
	if locks.Process(812).On(file(105)) != 0 || len(locks.Process(813)) != 0 || len(locks.Process(1)) != 0 {
		t.Error("a lock that nobody has")
	}
	if _, err := testTree(t, nil).Locks(); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

const tcpFile = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:07E8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1667 1 00000000443906e3 100 0 0 10 0
   1: 0100007F:87C2 0200007F:8C71 06 00000000:00000000 03:00001713 00000000     0        0 0 3 00000000a7d43019
   2: 0100007F:87C2 0200007F:8C71 01 00000000:00000000 03:00001713 00000000     0        0 99 3 00000000a7d43019
   3: 0100007F:87C 0200007F 01
`

const tcp6File = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:B9FC 0000000000000000FFFF00000100007F:8C71 01 00000000:00000000 03:00001712 00000000     0        0 55 3 000000007dcb2d5f
`

const unixFile = `Num       RefCount Protocol Flags    Type St Inode Path
00000000ef730b7d: 00000003 00000000 00000000 0001 03  1663
00000000ef730b7e: 00000002 00000000 00010000 0001 01  1664 /run/a path: x
00000000ef730b7f: 00000002 00000000 00000000 0002 01  1665 @abs tract
nonsense
`

func TestSocketFiles(t *testing.T) {
	f := testTree(t, map[string]string{
		"net/tcp": tcpFile, "net/tcp6": tcp6File, "net/unix": unixFile,
		"net/udp": strings.ReplaceAll(tcpFile, " 1667 ", " 2667 "),
		"net/raw": "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n" +
			"   1: 00000000:0001 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 33056 2 0000000000000000 0\n",
		"net/netlink": "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n" +
			"00000000e1b63ccd 16   0          00000000 0        0        0     2        0        44\n" +
			"00000000e1b63ccd 77   0          00000000 0        0        0     2        0        45\n",
		"net/packet": "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n" +
			"00000000e1b63ccd 3      3    0003   0     1 0      0      46\n" +
			"00000000e1b63ccd 3      99   88cc   0     1 0      0      47\n",
	})
	table := f.IndexSockets()
	for inode, want := range map[uint64]string{
		1667: "TCP false 10 127.0.0.1:2024 0.0.0.0:0 LISTEN",
		2667: "UDP false 10 127.0.0.1:2024 0.0.0.0:0 ",
		99:   "TCP false 1 127.0.0.1:34754 127.0.0.2:35953 ESTABLISHED", // the first of two counts
		55:   "TCP true 1 [::1]:47612 [::ffff:127.0.0.1]:35953 ESTABLISHED",
		0:    "",
		1:    "",
	} {
		got := ""
		if s, ok := table.Inet(inode); ok {
			got = fmt.Sprintf("%v %v %v %v %v %v", s.Protocol, s.IPv6, s.State, s.Local, s.Remote, s.StateName())
		}
		if got != want {
			t.Errorf("socket %d: got %q, want %q", inode, got, want)
		}
	}
	for inode, want := range map[uint64]string{
		1663: "1 1 00000000ef730b7d ", 1664: "1 10 00000000ef730b7e /run/a path: x", 1665: "2 7 00000000ef730b7f @abs tract",
	} {
		s, ok := table.Unix(inode)
		if got := fmt.Sprintf("%d %d %s %s", s.Type, s.State, table.AppendUnixAddress(nil, inode), s.Path); !ok || got != want {
			t.Errorf("socket %d: got %q, want %q", inode, got, want)
		}
	}
	for inode, want := range map[uint64]OtherSocket{
		33056: {"raw", "", "00000000:0001->00000000:0000 st=07"},
		44:    {"netlink", "", "GENERIC"},
		45:    {"netlink", "", "unknown protocol: 77"},
		46:    {"pack", "ALL", "type=SOCK_RAW"},
		47:    {"pack", "35020", "type=unknown"},
	} {
		if got, ok := table.Other(inode); !ok || got != want {
			t.Errorf("socket %d: got %q, want %q", inode, got, want)
		}
	}
	if err := table.Err(); err != nil {
		t.Error(err)
	}
}

func TestScanner(t *testing.T) {
	in, err := Default.Scan()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	pids, err := in.PIDs([]int{-5})
	if err != nil || !slices.IsSorted(pids) || pids[0] != -5 || pids[1] != 1 || !slices.Contains(pids, os.Getpid()) {
		t.Errorf("%v, %v", pids, err)
	}
	if err := in.Enter(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cmdline", "environ", "maps", "limits"} {
		want, err := os.ReadFile("/proc/self/" + name)
		if err != nil {
			t.Fatal(err)
		}
		in.buf = in.buf[:7] // so that it must grow
		if got, err := in.ReadAll(name); err != nil || len(got) < len(want)/2 || name != "maps" && !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want %d, %v", name, len(got), len(want), err)
		}
	}
	want, err := os.ReadFile("/proc/self/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := in.ReadHead("cmdline", 5); err != nil || !bytes.Equal(got, want[:5]) {
		t.Errorf("the head is %q, %v", got, err)
	}
	if uid, err := in.Owner(); err != nil || int(uid) != os.Geteuid() {
		t.Errorf("owner %d, %v", uid, err)
	}
	fds, err := in.FDs(nil)
	if err != nil || !slices.Contains(fds, in.root) || !slices.IsSorted(fds) {
		t.Errorf("descriptors %v, %v", fds, err)
	}
	if err := in.Enter(math.MaxInt32); !os.IsNotExist(err) {
		t.Errorf("got %v", err)
	}
	if allocs := testing.AllocsPerRun(10, func() {
		pids, _ = in.PIDs(pids[:0])
		for _, pid := range pids[:min(len(pids), 50)] {
			if in.Enter(pid) == nil {
				_, _ = in.Read("stat")
				_, _ = in.Readlink("exe")
				_, _ = in.Owner()
				fds, _ = in.FDs(fds[:0])
			}
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
}

func FuzzStat(f *testing.F) {
	f.Add([]byte(statLine(7, "a) b", "S", 1, 0)))
	f.Add([]byte("1 () Z"))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounds.Alloc(t, len(data))()
		var st Stat
		if err := st.Parse(data); err == nil && (st.PID <= 0 || len(st.Comm) > len(data)) {
			t.Errorf("%q: %+v", data, st)
		}
	})
}

func FuzzStatus(f *testing.F) {
	f.Add([]byte("Uid:\t1\t2\t3\t4\nVmSize: 1 kB\nVmRSS:\nVm"))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounds.Alloc(t, len(data))()
		var st Status
		st.Parse(data)
	})
}

func FuzzMappings(f *testing.F) {
	f.Add([]byte("7f01-7f02 r-xp 00000000 fe:00 12345 /usr/lib/x.so (deleted)"))
	f.Add([]byte("7f01-7f02 - 0 0:0 0"))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounds.Alloc(t, len(data))()
		line, ok := splitMaps(data)
		if !ok {
			return
		}
		if m, ok := line.Mapped(); ok && (len(m.Path) == 0 || m.ID == FileID{}) {
			t.Errorf("%q: %+v", data, m)
		}
	})
}

func FuzzFDInfo(f *testing.F) {
	f.Add([]byte("pos:\t100\ntfd: 5\nPid: -1\neventfd-id: 3\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounds.Alloc(t, len(data))()
		var info FDInfo
		info.Parse(data)
		if len(info.Targets) > maxTargets {
			t.Errorf("%d targets", len(info.Targets))
		}
	})
}

func FuzzLocks(f *testing.F) {
	f.Add([]byte("1: POSIX ADVISORY WRITE 812 fe:00:101 0 EOF"))
	f.Add([]byte("1: -> POSIX ADVISORY READ 1 0:0:0 0 0"))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounds.Alloc(t, len(data))()
		lock, ok := parseLock(data)
		if ok && (!strings.ContainsRune("rwRW", rune(lock.char)) || lock.pid < 0) {
			t.Errorf("%q: %v", data, lock)
		}
	})
}

func FuzzSocketFiles(f *testing.F) {
	mixed := "0: 00000000:0016 " + strings.Repeat("1", 32) + ":0016 0A 0:0 0:0 0 0 0 7 1\n" // no kernel says so
	for _, text := range []string{tcpFile, tcp6File, unixFile, mixed} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounds.Alloc(t, len(data))()
		for line := range bytes.Lines(data) {
			var s NetSocket
			if s.parseLine(line) && (s.Local == (netip.AddrPort{}) || new(SocketIndex).addInet(&s) != nil) {
				t.Errorf("%v", s)
			}
		}
		parseUnixSockets(data, func(uint64, UnixSocket) {})
		parseRawSockets(data, "raw", func(uint64, OtherSocket) {})
		parseNetlinkSockets(data, func(uint64, OtherSocket) {})
		parsePacketSockets(data, func(uint64, OtherSocket) {})
	})
}

func FuzzDirents(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x18\x00\x04812\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounds.Alloc(t, len(data))()
		for _, n := range appendNumbers(nil, data) {
			if n < 0 {
				t.Errorf("number %d", n)
			}
		}
	})
}
