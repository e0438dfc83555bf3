package status

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
)

// nobodyID is the user who may not look into the processes of others.
const nobodyID = 65534

// files are the lines of an answer by process, with a tab between the columns
// and without the command and the pid.
type files map[int][]string

// lsof returns what lsof says, started as change wants it.
func lsof(tb testing.TB, change func(*exec.Cmd)) files {
	tb.Helper()
	cmd := exec.Command("lsof", "-n", "-P", "-K", "i")
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	cmd.Dir = "/"
	if change != nil {
		change(cmd)
	}
	out, err := cmd.Output()
	if err != nil && len(out) == 0 {
		tb.Fatalf("lsof: %v", err)
	}
	lines := make(files)
	var ends []int
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSuffix(line, "\n")
		if ends == nil {
			ends = columnEnds(tb, line)
			continue
		}
		cells := cellsOf(line, ends)
		words := strings.Fields(cells[0]) // in the command a space is escaped
		pid, err := strconv.Atoi(words[1])
		if err != nil {
			tb.Fatalf("lsof: %q", line)
		}
		lines[pid] = append(lines[pid], strings.Join(append(words[2:], cells[1:]...), "\t"))
	}
	return lines
}

// columnEnds finds where the columns end: all but the first and the last are
// flush with the right end of their title; two characters for mode and lock
// follow that of FD.
func columnEnds(tb testing.TB, header string) (ends []int) {
	tb.Helper()
	for _, title := range []string{" USER", " FD", " TYPE", " DEVICE", " SIZE/OFF", " NODE"} {
		i := strings.Index(header, title)
		if i < 0 {
			tb.Fatalf("lsof: header %q", header)
		}
		ends = append(ends, i+len(title))
	}
	ends[1] += 2
	return ends
}

func cellsOf(line string, ends []int) (cells []string) {
	from := 0
	for _, end := range ends {
		cells = append(cells, strings.TrimSpace(line[from:end]))
		from = end
	}
	return append(cells, line[from+1:])
}

// lsofLine is f as lsof prints it, without the command and the pid.
func lsofLine(f *dtc.OpenFile) string {
	size := ""
	switch {
	case f.SizeBytes >= 0:
		size = strconv.FormatInt(f.SizeBytes, 10)
	case f.Offset > 99_999_999:
		size = "0x" + strconv.FormatInt(f.Offset, 16)
	case f.Offset >= 0:
		size = "0t" + strconv.FormatInt(f.Offset, 10)
	}
	mode := f.Mode
	if f.Lock != "" && mode == "" {
		mode = "-"
	}
	fd := f.FD
	if len(fd) > 4 {
		fd = "*" + fd[len(fd)-3:]
	}
	user := f.User
	if _, err := strconv.Atoi(user); err == nil {
		user = user[:min(len(user), 8)] // as much of a number as lsof prints
	}
	name := lsofEscape(f.Name)
	if strings.HasPrefix(f.Node, "UDP") && f.Name != "" {
		name += " " // where the state of others stands
	}
	return strings.Join([]string{user, fd + mode + f.Lock, f.Type, f.Device, size, f.Node, name}, "\t")
}

// lsofEscape is what lsof prints of a name in the C locale.
func lsofEscape(name string) string {
	var b strings.Builder
	short := map[byte]string{'\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\\': `\\`}
	for _, c := range []byte(name) {
		switch text, ok := short[c]; {
		case ok:
			b.WriteString(text)
		case c < ' ':
			b.Write([]byte{'^', c + '@'})
		case c > '~':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// ourFiles is our answer in the form of lsof's.
func ourFiles(c *Collector, fail func(format string, args ...any)) files {
	lines := make(files)
	last := 0
	err := c.Get(context.Background(), dtc.Query{Status: dtc.StatusOpenFiles}, func(r *dtc.Report) error {
		for i := range r.OpenFiles {
			f := &r.OpenFiles[i]
			if f.PID < last {
				fail("not in the order of the pids: %d after %d", f.PID, last)
			}
			last = f.PID
			lines[f.PID] = append(lines[f.PID], lsofLine(f))
		}
		if len(r.Notes) > 0 {
			fail("notes: %q", r.Notes)
		}
		return nil
	})
	if err != nil {
		fail("%v", err)
	}
	return lines
}

// tellFiles is the helper "tell files": our answer on standard output, a line a
// file.
func tellFiles() {
	if os.Getenv("DTC_STATUS_UID") != "" {
		must(0, syscall.Setgroups(nil))
		must(0, syscall.Setgid(nobodyID))
		must(0, syscall.Setuid(nobodyID))
	}
	fail := func(format string, args ...any) { fmt.Fprintf(os.Stderr, "helper: "+format+"\n", args...) }
	out := bufio.NewWriter(os.Stdout)
	for pid, lines := range ourFiles(New(Options{}), fail) {
		for _, line := range lines {
			fmt.Fprintf(out, "%d\t%s\n", pid, line)
		}
	}
	must(0, out.Flush())
}

// toldFiles is our answer as a helper gives it that was started as change wants
// it.
func toldFiles(tb testing.TB, change func(*exec.Cmd)) files {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), helperEnv+"=tell files")
	var problems bytes.Buffer
	cmd.Stderr = &problems
	change(cmd)
	out, err := cmd.Output()
	if err != nil || problems.Len() > 0 {
		tb.Fatalf("helper: %v %s", err, problems.Bytes())
	}
	lines := make(files)
	for line := range strings.Lines(string(out)) {
		number, line, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		pid, err := strconv.Atoi(number)
		if err != nil {
			tb.Fatal(err)
		}
		lines[pid] = append(lines[pid], line)
	}
	return lines
}

// agreeWithLsof compares what lsof says with our answer, for all processes that do not
// change meanwhile. The cast are processes that must be there.
func agreeWithLsof(t *testing.T, cast map[int]string, lsof, ours func() files) {
	t.Helper()
	var wrong map[int]string
	for try := range 10 { // what moves while we look is looked at again
		before, got, after := lsof(), ours(), lsof()
		now := make(map[int]string)
		for pid, want := range before {
			_, suspect := wrong[pid]
			if (try == 0 || suspect) && slices.Equal(want, after[pid]) && !slices.Equal(want, got[pid]) {
				now[pid] = diff(got[pid], want)
			}
		}
		for pid := range cast {
			if len(got[pid]) == 0 {
				now[pid] = "it is not there"
			}
		}
		if wrong = now; len(wrong) == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	for pid, text := range wrong {
		t.Errorf("process %d %s:\n%s", pid, cast[pid], text)
	}
}

// diff shows the lines that only one side has.
func diff(got, want []string) string {
	var b bytes.Buffer
	for _, line := range got {
		if !slices.Contains(want, line) {
			fmt.Fprintf(&b, " got %q\n", line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			fmt.Fprintf(&b, "want %q\n", line)
		}
	}
	if b.Len() == 0 {
		return "the same lines in another order"
	}
	return b.String()
}

// manyFiles starts processes of all sorts, with what they are.
func manyFiles(t *testing.T) map[int]string {
	t.Helper()
	in := func(dir string) func(*exec.Cmd) { return func(c *exec.Cmd) { c.Dir = dir } }
	in2 := func(flags uintptr) func(*exec.Cmd) {
		return func(c *exec.Cmd) {
			c.Dir = t.TempDir()
			c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
		}
	}
	cast := map[int]string{
		helper(t, "files", in(t.TempDir())):                                                   "everything",
		helper(t, "files in a new network", in2(syscall.CLONE_NEWNET|syscall.CLONE_NEWNS)):    "everything in namespaces of its own",
		helper(t, "any files", withBlockDevice(t, in(t.TempDir()))):                           "anything",
		helper(t, "sockets", in(t.TempDir())):                                                 "sockets",
		helper(t, "files in a chroot", in(t.TempDir())):                                       "a chroot",
		helper(t, "files in new mounts", in2(syscall.CLONE_NEWNS|syscall.CLONE_NEWPID)):       "mounts of its own",
		helper(t, "files in no folder", in(t.TempDir())):                                      "a folder that is gone",
		helper(t, "many descriptors", in(t.TempDir())):                                        "many descriptors",
		sleeper(t, as(nobodyID)):                                                              "another user",
		sleeper(t, as(12345)):                                                                 "a user without a name",
		sleeper(t, as(4000000000)):                                                            "a user with a long number",
		sleeper(t, func(c *exec.Cmd) { c.Path = copyOf(t, "/bin/sleep", "a b") }):             "a space in the name",
		sleeper(t, func(c *exec.Cmd) { c.Path = copyOf(t, "/bin/sleep", "sleep (deleted)") }): "a program named as if it were deleted",
		1: "the first",
		2: "a thread of the kernel",
	}
	gone := copyOf(t, "/bin/sleep", "gone")
	cast[sleeper(t, func(c *exec.Cmd) { c.Path = gone })] = "a deleted program"
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	for kind, dir := range fileSystemsWithFiles(t) {
		cast[helper(t, "files elsewhere", in(dir))] = "files on " + kind
		cast[sleeper(t, func(c *exec.Cmd) { c.Path = filepath.Join(dir, "sleep") })] = "a program on " + kind
	}
	return cast
}

// as has a program run as a user.
func as(uid uint32) func(*exec.Cmd) {
	return func(c *exec.Cmd) {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
}

func TestOpenFilesAgreeWithLsof(t *testing.T) {
	cast := manyFiles(t)
	c := New(Options{})
	agreeWithLsof(t, cast, func() files { return lsof(t, nil) }, func() files { return ourFiles(c, t.Errorf) })

	// As a user who may not look into the processes of others.
	t.Run("nobody", func(t *testing.T) {
		agreeWithLsof(t, cast, func() files { return lsof(t, as(nobodyID)) }, func() files {
			return toldFiles(t, func(c *exec.Cmd) { c.Env = append(c.Env, "DTC_STATUS_UID=nobody") })
		})
	})
}

// In another network namespace the sockets of a process there are known, and
// those of all others are not.
func TestOpenFilesOfANetwork(t *testing.T) {
	dir := t.TempDir()
	pid := helper(t, "sockets cut off", func(c *exec.Cmd) {
		c.Dir = dir
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	})
	there := func(c *exec.Cmd) {
		c.Args = append([]string{"nsenter", "--net=/proc/" + strconv.Itoa(pid) + "/ns/net", c.Path}, c.Args[1:]...)
		c.Path = must(exec.LookPath("nsenter"))
	}
	agreeWithLsof(t, map[int]string{pid: "cut off"}, func() files { return lsof(t, there) }, func() files { return toldFiles(t, there) })

	states := strings.Join(toldFiles(t, there)[pid], "\n")
	for _, state := range []string{"ESTABLISHED", "SYN_SENT", "FIN_WAIT1", "FIN_WAIT2", "CLOSE_WAIT", "LAST_ACK", "LISTEN"} {
		if !strings.Contains(states, "("+state+")") {
			t.Errorf("no socket in state %s", state)
		}
	}
}

// This kernel may have no SCTP: its files are made up, and put where lsof and we
// look for them.
func TestSocketsOfSCTPAgreeWithLsof(t *testing.T) {
	pid := helper(t, "unused sockets", nil)
	var inodes []any
	for line := range slices.Values(ourFiles(New(Options{}), t.Errorf)[pid]) {
		if cells := strings.Split(line, "\t"); cells[2] == "sock" {
			inodes = append(inodes, cells[5])
		}
	}
	if len(inodes) != 4 {
		t.Fatalf("sockets %v", inodes)
	}
	net := t.TempDir()
	for _, name := range []string{
		"tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "unix", "raw", "raw6", "icmp", "netlink", "packet", "sockstat", "sockstat6",
	} {
		data, err := os.ReadFile("/proc/net/" + name)
		if err == nil {
			err = os.WriteFile(filepath.Join(net, name), data, 0o644)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"assocs": fmt.Sprintf(` ASSOC     SOCK   STY SST ST HBKT ASSOC-ID TX_QUEUE RX_QUEUE UID INODE LPORT RPORT LADDRS <-> RADDRS HBINT INS OUTS MAXRT T1X T2X RTXC wmema wmemq sndbuf rcvbuf
0000000011111111 00000000aaaaaaaa 2   1   3  0       1        0        0       0 %[1]s 36412 36413  127.0.0.1 10.0.0.1 <-> *127.0.0.2 10.0.0.2 	   30000    10    10   10    0    0        0        1        0   212992   212992
0000000022222222 00000000aaaaaaaa 0   1   3  0       2        0        0       0 %[2]s 9 1000  ::1 <-> *::1 	   30000    10    10   10    0    0        0        1        0   212992   212992
0000000033333333 00000000aaaaaaaa 0   1   3  0       3        0        0       0 %[2]s 9 1001  ::1 <-> *::2 *::3 	   30000    10    10   10    0    0        0        1        0   212992   212992
0000000044444444 00000000aaaaaaaa 0   1   3  0       4        0        0       0 %[3]s 9 1001  ::1 <-> *::2 	   30000    10    10   10    0    0        0        1        0   212992   212992
`, inodes...),
		"eps": fmt.Sprintf(` ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS
0000000055555555 00000000bbbbbbbb 0   10  29   9     0 %[3]s ::1
0000000066666666 00000000bbbbbbbb 0   10  29   36422     0 %[4]s 0.0.0.0 10.0.0.1
`, inodes...),
	} {
		path := filepath.Join(net, "sctp", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	there := func(c *exec.Cmd) {
		c.Args = append([]string{"unshare", "--mount", "sh", "-c", `mount --bind "$0" /proc/$$/net && exec "$@"`, net, c.Path}, c.Args[1:]...)
		c.Path = must(exec.LookPath("unshare"))
	}
	only := func(all files) files { return files{pid: all[pid]} }
	agreeWithLsof(t, map[int]string{pid: "SCTP"}, func() files { return only(lsof(t, there)) }, func() files { return only(toldFiles(t, there)) })
	if got := strings.Join(toldFiles(t, there)[pid], "\n"); strings.Count(got, "\tSCTP\t") != len(inodes) {
		t.Errorf("no sockets of SCTP:\n%s", got)
	}
}

// withBlockDevice tells a helper of a block device that is large.
func withBlockDevice(tb testing.TB, change func(*exec.Cmd)) func(*exec.Cmd) {
	tb.Helper()
	device := loopDevice(tb, 1<<35)
	return func(c *exec.Cmd) {
		change(c)
		c.Env = append(c.Env, "DTC_STATUS_BLOCK="+device)
	}
}

// loopDevice is a block device of the given size on a sparse file.
func loopDevice(tb testing.TB, size int64) string {
	tb.Helper()
	image := filepath.Join(tb.TempDir(), "image")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, size)); err != nil {
		tb.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", image).CombinedOutput()
	if err != nil {
		tb.Fatalf("losetup: %v %s", err, out)
	}
	device := strings.TrimSpace(string(out))
	tb.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", device).CombinedOutput(); err != nil {
			tb.Errorf("losetup: %v %s", err, out)
		}
	})
	return device
}

// fileSystemsWithFiles mounts file systems of several kinds, each with a file and
// a program in the folder that is returned.
func fileSystemsWithFiles(tb testing.TB) map[string]string {
	tb.Helper()
	dirs := make(map[string]string)
	mount := func(kind, source, options string) string {
		dir := filepath.Join(tb.TempDir(), "on "+kind)
		if err := errors.Join(os.Mkdir(dir, 0o755), unix.Mount(source, dir, kind, 0, options)); err != nil {
			tb.Fatalf("mount %s: %v", kind, err)
		}
		tb.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
		dirs[kind] = dir
		return dir
	}
	for _, kind := range []string{"ext4", "xfs", "btrfs"} {
		device := loopDevice(tb, 320<<20)
		if out, err := exec.Command("mkfs."+kind, device).CombinedOutput(); err != nil {
			tb.Fatalf("mkfs.%s: %v %s", kind, err, out)
		}
		mount(kind, device, "")
	}
	mount("tmpfs", "tmpfs", "size=64m")
	mount("ramfs", "ramfs", "")
	layers := tb.TempDir()
	for _, dir := range []string{"lower", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(layers, dir), 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	fill(tb, filepath.Join(layers, "lower"))
	mount("overlay", "overlay", fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", layers))
	for kind, dir := range dirs {
		if kind != "overlay" {
			fill(tb, dir)
		}
	}
	// A subvolume of btrfs has a device of its own.
	subvolume := filepath.Join(dirs["btrfs"], "subvolume")
	if out, err := exec.Command("btrfs", "subvolume", "create", subvolume).CombinedOutput(); err != nil {
		tb.Fatalf("btrfs: %v %s", err, out)
	}
	fill(tb, subvolume)
	dirs["a subvolume"] = subvolume
	bind := filepath.Join(tb.TempDir(), "bind")
	if err := errors.Join(os.Mkdir(bind, 0o755), unix.Mount(dirs["tmpfs"], bind, "", unix.MS_BIND, "")); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = unix.Unmount(bind, unix.MNT_DETACH) })
	dirs["a bind mount"] = bind
	return dirs
}

// fill puts a file and a program into a folder.
func fill(tb testing.TB, dir string) {
	tb.Helper()
	program, err := os.ReadFile("/bin/sleep")
	if err == nil {
		err = errors.Join(os.WriteFile(filepath.Join(dir, "sleep"), program, 0o755), os.WriteFile(filepath.Join(dir, "a file"), []byte("text"), 0o644))
	}
	if err != nil {
		tb.Fatal(err)
	}
}
