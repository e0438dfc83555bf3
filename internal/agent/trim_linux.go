package agent

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// unmapCode has the kernel forget which pages of the program's code this process
// has used: most only at its start, or for an answer now and then, and many only
// because they lie beside one that was. They stay in the page cache as long as
// there is room for them, and those that run are mapped again, in microseconds.
func unmapCode() {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range bytes.Lines(maps) {
		// Only what nobody can have written to, see proc_pid_maps(5): the pages
		// of anything else may differ from the file's.
		if from, to, ok := codeRange(line, program); ok {
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, from, to-from, syscall.MADV_DONTNEED)
		}
	}
}

// codeRange reads a line of /proc/PID/maps; ok if it is code of the program.
func codeRange(line []byte, program string) (from, to uintptr, ok bool) {
	const addresses, permissions, path = 0, 1, 5
	fields := bytes.SplitN(bytes.Join(bytes.Fields(line), []byte(" ")), []byte(" "), path+1)
	if len(fields) <= path || string(fields[permissions]) != "r-xp" || string(fields[path]) != program {
		return 0, 0, false
	}
	first, last, _ := bytes.Cut(fields[addresses], []byte("-"))
	a, errA := strconv.ParseUint(string(first), 16, 64)
	b, errB := strconv.ParseUint(string(last), 16, 64)
	return uintptr(a), uintptr(b), errA == nil && errB == nil && a < b
}
