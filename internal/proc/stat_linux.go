package proc

import (
	"bytes"
	"errors"
	"math"
)

// Stat is /proc/PID/stat: proc_pid_stat(5), whose field numbers stand behind.
type Stat struct {
	PID        int    // 1
	Comm       []byte // 2; any bytes; valid as long as the parsed data
	State      byte   // 3
	PPID       int    // 4
	PGrp       int    // 5
	Session    int    // 6
	TTY        int    // 7: device number in the kernel's old encoding
	TPGID      int    // 8
	Flags      uint64 // 9: PF_ bits of the kernel
	UserTicks  uint64 // 14
	SysTicks   uint64 // 15
	Nice       int    // 19
	Threads    int    // 20
	StartTicks uint64 // 22, since boot
	VSizeBytes uint64 // 23
	RSSPages   int64  // 24: approximate, see VmRSS
	ExitCode   int    // 52: a wait status
}

var errStat = errors.New("malformed stat line")

// Parse fills st from the file's content.
func (st *Stat) Parse(data []byte) error {
	open := bytes.IndexByte(data, '(')
	// The name may hold any byte, ')' and newlines too: the last ')' ends it.
	end := bytes.LastIndexByte(data, ')')
	if open < 1 || end < open {
		return errStat
	}
	*st = Stat{Comm: data[open+1 : end]}
	pid, rest := number(data[:open])
	if len(bytes.TrimSpace(rest)) != 0 || pid <= 0 || pid > math.MaxInt32 {
		return errStat
	}
	st.PID = int(pid)
	return st.parseFields(data[end+1:])
}

func (st *Stat) parseFields(data []byte) error {
	data = skipSpaces(data)
	if len(data) < 2 || data[1] != ' ' {
		return errStat
	}
	st.State = data[0]
	f := statFields{data[2:], 4}
	st.PPID = int(f.read(4))
	st.PGrp = int(f.read(5))
	st.Session = int(f.read(6))
	st.TTY = int(f.read(7))
	st.TPGID = int(f.read(8))
	st.Flags = uint64(f.read(9))
	st.UserTicks = uint64(f.read(14))
	st.SysTicks = uint64(f.read(15))
	st.Nice = int(f.read(19))
	st.Threads = int(f.read(20))
	st.StartTicks = uint64(f.read(22))
	if f.rest == nil {
		return errStat
	}
	st.VSizeBytes = uint64(f.read(23))
	st.RSSPages = f.read(24)
	st.ExitCode = int(f.read(52)) // that kernels before 3.5 do not have
	return nil
}

// statFields are numbers with spaces between them.
type statFields struct {
	rest []byte // nil when one that was asked for was not there
	next int    // number of the field that rest begins with
}

// read returns field n, which is not before the last one read, or 0 if it is
// not there.
func (f *statFields) read(n int) int64 {
	rest := skipSpaces(f.rest)
	for ; f.next < n; f.next++ {
		i := 0
		for i < len(rest) && rest[i] > ' ' {
			i++
		}
		rest = skipSpaces(rest[i:])
	}
	v, after := number(rest)
	if len(after) == len(rest) {
		f.rest = nil
		return 0
	}
	f.rest, f.next = after, n+1
	return v
}

// Ended says whether the process has ended: its first thread is a zombie (or
// just being removed) and no other thread runs on.
func (st *Stat) Ended() bool {
	return (st.State == 'Z' || st.State == 'X') && st.Threads <= 1
}

// KernelThread says whether the process is a thread of the kernel (PF_KTHREAD).
func (st *Stat) KernelThread() bool { return st.Flags&0x00200000 != 0 }

// number reads a decimal number after spaces and returns what follows it; rest
// is as long as data without its spaces if there is no number. A number beyond 64
// bits wraps, as the kernel's own unsigned fields do in an int64.
func number(data []byte) (v int64, rest []byte) {
	data = skipSpaces(data)
	i, negative := 0, false
	if len(data) > 1 && data[0] == '-' {
		i, negative = 1, true
	}
	digits := i
	var u uint64
	for ; i < len(data) && data[i]-'0' <= 9; i++ {
		u = u*10 + uint64(data[i]-'0')
	}
	if i == digits {
		return 0, data
	}
	if negative {
		return -int64(u), data[i:]
	}
	return int64(u), data[i:]
}

func skipSpaces(data []byte) []byte {
	for len(data) > 0 && (data[0] == ' ' || data[0] == '\t' || data[0] == '\n') {
		data = data[1:]
	}
	return data
}
