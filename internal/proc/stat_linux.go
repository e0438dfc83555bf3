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
	st.State, data = data[0], data[2:]
	const first, start, last = 4, 22, 52
	field := first
	for ; field <= last && len(skipSpaces(data)) > 0; field++ {
		var v int64
		before := len(skipSpaces(data))
		if v, data = number(data); len(data) == before {
			return errStat
		}
		st.set(field, v)
	}
	if field <= start {
		return errStat
	}
	return nil
}

func (st *Stat) set(field int, v int64) {
	switch field {
	case 4:
		st.PPID = int(v)
	case 5:
		st.PGrp = int(v)
	case 6:
		st.Session = int(v)
	case 7:
		st.TTY = int(v)
	case 8:
		st.TPGID = int(v)
	case 9:
		st.Flags = uint64(v)
	case 14:
		st.UserTicks = uint64(v)
	case 15:
		st.SysTicks = uint64(v)
	case 19:
		st.Nice = int(v)
	case 20:
		st.Threads = int(v)
	case 22:
		st.StartTicks = uint64(v)
	case 23:
		st.VSizeBytes = uint64(v)
	case 24:
		st.RSSPages = v
	case 52:
		st.ExitCode = int(v)
	}
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
