package status

import (
	"fmt"
	"testing"

	"dtc/internal/bounds"
	"dtc/internal/proc"
)

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

func FuzzFiles(f *testing.F) {
	f.Add([]byte("MemTotal: 1 kB\ncpu0 1 2 3 4 5\nprocessor : 1\nA=\"b\\\"\nroot:x:0:0:::\n1 2 3:4 / /a\\040 - nfs b\nserial /dev/ttyS 4 64-95 serial\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounds.Alloc(t, len(data))()
		_, _ = parseMeminfo(data)
		parseCPUTimes(data)
		parseCPUInfo(data)
		parseVariables(data)
		parseMounts(data)
		parseTTYDrivers(data)
		parseUtmp(data)
		parseSession(data)
	})
}
