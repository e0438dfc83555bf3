package status

import (
	"fmt"
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
	h := newHost(Options{})
	names := newTTYs(h, h.ttyDrivers())
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
		parseVariables(data)
		parsePasswd(data)
		parseMounts(data)
		parseTTYDrivers(data)
		parseUtmp(data)
		parseSession(data)
	})
}
