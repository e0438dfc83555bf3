package proc

import "bytes"

// Status is what is needed of /proc/PID/status: proc_pid_status(5). The sizes
// are 0 of a process without memory of its own: a kernel thread, a zombie.
type Status struct {
	UID         uint32 // effective
	VMSizeBytes int64
	VMLckBytes  int64 // locked
	VMRSSBytes  int64 // exact, unlike field 24 of stat
}

// Parse fills st from the file's content. Lines that it does not know or that
// are malformed count for nothing: every kernel has others.
func (st *Status) Parse(data []byte) {
	*st = Status{}
	for len(data) > 0 {
		line := data
		if end := bytes.IndexByte(data, '\n'); end >= 0 {
			line, data = data[:end], data[end+1:]
		} else {
			data = nil
		}
		switch {
		case len(line) < 8:
		case line[0] == 'U' && bytes.HasPrefix(line, []byte("Uid:")):
			_, rest := number(line[len("Uid:"):]) // the real one
			uid, _ := number(rest)
			st.UID = uint32(uid)
		case line[0] == 'V' && line[1] == 'm':
			st.parseMemory(line)
		case bytes.HasPrefix(line, []byte("Threads:")):
			return // what we want comes before, and what follows is long
		}
	}
}

func (st *Status) parseMemory(line []byte) {
	name, rest, _ := bytes.Cut(line, []byte(":"))
	kib, _ := number(rest)
	switch string(name) {
	case "VmSize":
		st.VMSizeBytes = kib << 10
	case "VmLck":
		st.VMLckBytes = kib << 10
	case "VmRSS":
		st.VMRSSBytes = kib << 10
	}
}
