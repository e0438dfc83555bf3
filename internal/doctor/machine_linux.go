package doctor

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine returns the checks of what an agent needs of its machine.
func Machine() []Check {
	return []Check{
		{"rights", func(context.Context) []Finding { return rights() }},
		{"kernel", func(context.Context) []Finding { return kernel() }},
	}
}

// watches compares the limits of inotify(7) with what is to be watched.
func watches(files int) Finding {
	const dir = "/proc/sys/fs/inotify/"
	most, err := number(dir + "max_user_watches")
	instances, err2 := number(dir + "max_user_instances")
	if err := errors.Join(err, err2); err != nil {
		return Finding{Warn, "inotify", err.Error(), ""}
	}
	const fewest = 16 // instances: other programs of the user have some
	want := 2 * files // each file, and at most as many folders
	f := Finding{OK, "inotify", fmt.Sprintf("max_user_watches %d and max_user_instances %d, about %d watches are needed", most, instances, want), ""}
	switch {
	case most < want:
		f.Level, f.Advice = Warn, fmt.Sprintf("what does not fit is looked at again and again: sysctl fs.inotify.max_user_watches=%d", 4*want)
	case instances < fewest:
		f.Level, f.Advice = Warn, "programs that find none left look again and again: sysctl fs.inotify.max_user_instances=128"
	}
	return f
}

// number reads a file that holds one.
func number(path string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}

// capability is a right of capabilities(7), and what cannot be seen without it.
type capability struct {
	bit     uint
	name    string
	missing string
}

func capabilities() []capability {
	return []capability{
		{unix.CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", "files that this user may not read are not followed"},
		{unix.CAP_SYS_PTRACE, "CAP_SYS_PTRACE", "open files, programs and listening ports of other users' processes are not told"},
		{unix.CAP_CHECKPOINT_RESTORE, "CAP_CHECKPOINT_RESTORE", "mapped files that were removed are told without their sizes"},
		{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN", "starts of processes are looked for once a second: what lives shorter is missed"},
		{unix.CAP_SYSLOG, "CAP_SYSLOG", "where the kernel's log is restricted, who was killed for want of memory is told by counters alone"},
		{unix.CAP_LEASE, "CAP_LEASE", "whether somebody still writes to another user's rotated file is not known: it is held for longer"},
	}
}

// rights looks at the capabilities of this process: an agent that is started as
// this user has them too, one of a service those of its unit.
func rights() []Finding {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return []Finding{warnf("", "%v", err)}
	}
	has, err := effective(data)
	if err != nil {
		return []Finding{warnf("", "%v", err)}
	}
	var found []Finding
	for _, c := range capabilities() {
		if has&(1<<c.bit) == 0 {
			found = append(found, warnf("run the agent as root, or as a service", "without %s %s", c.name, c.missing))
		}
	}
	if len(found) == 0 {
		return []Finding{okf("started as this user, an agent sees everything")}
	}
	return found
}

// effective takes the effective capabilities out of proc_pid_status(5).
func effective(status []byte) (uint64, error) {
	lines := bufio.NewScanner(bytes.NewReader(status))
	for lines.Scan() {
		if mask, ok := strings.CutPrefix(lines.Text(), "CapEff:"); ok {
			return strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
		}
	}
	return 0, fmt.Errorf("read the capabilities of this process: %w", os.ErrNotExist)
}

// kernel looks at what this kernel can tell.
func kernel() []Finding {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return []Finding{warnf("", "%v", err)}
	}
	release := unix.ByteSliceToString(name.Release[:])
	major, minor := version(release)
	var lacks []Finding
	switch {
	case major < 5 || major == 5 && minor < 3:
		lacks = append(lacks, warnf("use Linux 5.3 or later", "%s has no pidfds: ends of processes are looked for once a second", release))
	case major < 6 || major == 6 && minor < 15:
		lacks = append(lacks, warnf("Linux 6.15 or later tells them", "%s does not tell how processes of others ended: exit=unknown, but for zombies", release))
	}
	if landlock() < 1 {
		lacks = append(lacks, warnf("have it enabled: lsm=landlock,… on the kernel's command line", "%s has no Landlock: the agent is confined by system calls alone", release))
	}
	if len(lacks) == 0 {
		return []Finding{okf("%s tells how processes end, and has Landlock", release)}
	}
	return lacks
}

// version takes the first two numbers out of a kernel's release.
func version(release string) (major, minor int) {
	_, _ = fmt.Sscanf(release, "%d.%d", &major, &minor) // what is not there is 0
	return major, minor
}

// landlock returns the version of Landlock's interface, see
// landlock_create_ruleset(2); 0 or less if the kernel has none.
func landlock() int {
	const versionFlag = 1
	n, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, versionFlag)
	if errno != 0 {
		return 0
	}
	return int(n)
}
