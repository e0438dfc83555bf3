package proc

import (
	"bytes"
	"strconv"
)

// OOMVictim reads one record of /dev/kmsg (the kernel's
// Documentation/ABI/testing/dev-kmsg) and returns the pid, in the first pid
// namespace, of the process that it says the kernel has killed because it was
// out of memory. ok is false of every other record.
//
// The line is written by mm/oom_kill.c: "Killed process 12 (name) total-vm:…"
// before Linux 5.1, from then on with the reason before it; one line a victim,
// also where a whole group is killed (memory.oom.group). Before 5.1 there is also
// "Out of memory: Kill process 12 (name) score 9 or sacrifice child", which
// names a process that may live on. The name may hold anything, and others may
// write into the log: a record counts only if it is the kernel's own, and its
// text begins as that line does.
func OOMVictim(record []byte) (pid int, ok bool) {
	head, text, found := bytes.Cut(record, []byte(";"))
	if !found || !ofKernel(head) {
		return 0, false
	}
	for _, reason := range []string{
		"Memory cgroup out of memory: ",
		"Out of memory: ",
		"Out of memory (oom_kill_allocating_task): ",
	} {
		if rest, ok := bytes.CutPrefix(text, []byte(reason)); ok {
			text = rest
			break
		}
	}
	if text, ok = bytes.CutPrefix(text, []byte("Killed process ")); !ok {
		return 0, false
	}
	digits, _, whole := bytes.Cut(text, []byte(" ("))
	if pid, ok = decimal(digits); !ok || !whole || pid < 1 || pid > maxPID {
		return 0, false
	}
	return pid, true
}

// maxPID is PID_MAX_LIMIT of the kernel.
const maxPID = 4 << 20

// ofKernel says by the head of a record, "priority,number,time,flags", whether
// the kernel wrote it. The priority is that of syslog(3), whose facility 0 the
// kernel lets nobody else use.
func ofKernel(head []byte) bool {
	const perFacility = 8
	priority, _, found := bytes.Cut(head, []byte(","))
	n, ok := decimal(priority)
	return found && ok && n < perFacility
}

// decimal reads a number of digits alone.
func decimal(digits []byte) (n int, ok bool) {
	if len(digits) == 0 || digits[0]-'0' > 9 { // no sign
		return 0, false
	}
	n, err := strconv.Atoi(string(digits))
	return n, err == nil
}
