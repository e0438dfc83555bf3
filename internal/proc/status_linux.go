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

// Parse fills st from the file's content. Lines that are missing or malformed
// count for nothing: every kernel has others. They come in the order of the
// fields, and what a process may write into the file, its name in the first
// line, has no newline.
func (st *Status) Parse(data []byte) {
	data = after(data, "\nUid:")
	_, rest := number(data) // the real one
	uid, _ := number(rest)
	st.UID = uint32(uid)
	st.VMSizeBytes, data = kibibytes(data, "\nVmSize:")
	st.VMLckBytes, data = kibibytes(data, "\nVmLck:")
	st.VMRSSBytes, _ = kibibytes(data, "\nVmRSS:")
}

// kibibytes reads the figure of a line, in bytes, and returns what follows; 0
// and data if there is no such line.
func kibibytes(data []byte, label string) (size int64, rest []byte) {
	found := after(data, label)
	if found == nil {
		return 0, data
	}
	kib, rest := number(found)
	return kib << 10, rest
}

// after returns what follows label, nil if it is not there.
func after(data []byte, label string) []byte {
	i := bytes.Index(data, []byte(label))
	if i < 0 {
		return nil
	}
	return data[i+len(label):]
}
