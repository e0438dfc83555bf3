package agent

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"strconv"
	"syscall"
)

// unmapProgram has the kernel forget which pages of the program's file this
// process has used, its code and its constants, which are most of what an agent
// has: most only at its start, or for an answer now and then, and many only
// because they lie beside one that was. They stay in the page cache as long as
// there is room for them, and those that are used are mapped again, in
// microseconds.
func unmapProgram() {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer smaps.Close()
	for _, p := range pristine(smaps, program) {
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, p.from, p.to-p.from, syscall.MADV_DONTNEED)
	}
}

// span is a range of addresses.
type span struct{ from, to uintptr }

// pristine returns the parts of the program's file in /proc/PID/smaps, see
// proc_pid_smaps(5), that nobody may write and that have no page that differs
// from the file's: that one would be lost. A loader writes before it forbids it,
// a debugger in spite of that; the kernel counts such a page as anonymous or as
// swapped.
func pristine(smaps io.Reader, program string) []span {
	var all []span
	var part span
	zeros := 0 // of the two counts
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		key, value, _ := bytes.Cut(lines.Bytes(), []byte(" "))
		switch {
		case !bytes.HasSuffix(key, []byte(":")):
			part, zeros = programPart(lines.Bytes(), program), 0
		case string(key) == "Anonymous:" || string(key) == "Swap:":
			if string(bytes.TrimSpace(value)) == "0 kB" {
				zeros++
			}
			if zeros == 2 && part != (span{}) {
				all = append(all, part)
			}
		}
	}
	return all
}

// programPart reads the first line of a part in /proc/PID/smaps; it is empty if
// that may be written or is not of the program's file.
func programPart(line []byte, program string) span {
	const addresses, permissions, path = 0, 1, 5
	fields := bytes.SplitN(bytes.Join(bytes.Fields(line), []byte(" ")), []byte(" "), path+1)
	if len(fields) <= path || string(fields[path]) != program {
		return span{}
	}
	if mode := string(fields[permissions]); mode != "r-xp" && mode != "r--p" {
		return span{}
	}
	first, last, _ := bytes.Cut(fields[addresses], []byte("-"))
	a, errA := strconv.ParseUint(string(first), 16, 64)
	b, errB := strconv.ParseUint(string(last), 16, 64)
	if errA != nil || errB != nil || a >= b {
		return span{}
	}
	return span{uintptr(a), uintptr(b)}
}
