//go:build amd64 || arm64

package confine

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// build builds the program that tries from inside. It has to be without cgo, as
// the agent is and as a test with the race detector cannot be.
func build(tb testing.TB) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "inside")
	cmd := exec.CommandContext(tb.Context(), "go", "build", "-o", path, "./testdata/inside")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("build the program: %v\n%s", err, out)
	}
	return path
}

// surroundings are what the program is given.
type surroundings struct {
	folder, outside, abstract string
	victim                    *exec.Cmd
}

func newSurroundings(tb testing.TB) *surroundings {
	tb.Helper()
	s := &surroundings{folder: tb.TempDir(), outside: tb.TempDir(), abstract: fmt.Sprintf("dtc-confine-%d", os.Getpid())}
	if err := os.WriteFile(filepath.Join(s.outside, "kept"), []byte("kept"), 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.outside, "folder"), 0o700); err != nil {
		tb.Fatal(err)
	}
	ln, err := (&net.ListenConfig{}).Listen(tb.Context(), "unix", "@"+s.abstract)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { ln.Close() })
	s.victim = exec.CommandContext(tb.Context(), "sleep", "1000")
	if err := s.victim.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = s.victim.Process.Kill()
		_ = s.victim.Wait()
	})
	return s
}

// run runs the program and returns how each of its attempts ended; how those of
// one name did that ended differently, with a bar between them.
func (s *surroundings) run(tb testing.TB, program string, as *syscall.SysProcAttr, without ...uintptr) map[string]string {
	tb.Helper()
	args := []string{s.folder, s.outside, strconv.Itoa(s.victim.Process.Pid), s.abstract}
	for _, call := range without {
		args = append(args, strconv.Itoa(int(call)))
	}
	cmd := exec.CommandContext(tb.Context(), program, args...)
	cmd.SysProcAttr = as
	var out, told bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &told
	if err := cmd.Run(); err != nil {
		tb.Fatalf("%v\n%s\n%s", err, &out, &told)
	}
	ended := map[string]string{}
	for line := range strings.Lines(out.String()) {
		what, how, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if was, again := ended[what]; again && !slices.Contains(strings.Split(was, " | "), how) {
			how = was + " | " + how
		} else if again {
			how = was
		}
		ended[what] = how
	}
	return ended
}

// untouched fails if anything outside the folder has changed.
func (s *surroundings) untouched(tb testing.TB) {
	tb.Helper()
	names, err := filepath.Glob(filepath.Join(s.outside, "*"))
	if err != nil {
		tb.Fatal(err)
	}
	if want := []string{filepath.Join(s.outside, "folder"), filepath.Join(s.outside, "kept")}; !slices.Equal(names, want) {
		tb.Errorf("outside there are %q, want %q", names, want)
	}
	info, err := os.Stat(filepath.Join(s.outside, "kept"))
	if err != nil {
		tb.Fatal(err)
	}
	if info.Size() != 4 || info.Mode().Perm() != 0o600 || info.ModTime().Unix() < 2 {
		tb.Errorf("the file outside is %d bytes, %v, of %v", info.Size(), info.Mode(), info.ModTime())
	}
	if err := s.victim.Process.Signal(unix.Signal(0)); err != nil {
		tb.Errorf("the other process: %v", err)
	}
}

// What attempts end with, where it is not a refusal.
var (
	onlyKeepers = []string{
		"mkdir in the folder", "create in the folder", "truncate in the folder", "rename in the folder",
		"socket in the folder", "remove in the folder", "remove a folder in the folder", "listen",
	}
	onlyReaders = []string{"connect to an abstract socket"} // see the package's comment
)

// check fails for attempts that ended otherwise than they have to. Those of
// keepers are left out where they are not confined.
func check(tb testing.TB, ended map[string]string, who ...string) {
	tb.Helper()
	tried := 0
	for what, how := range ended {
		by, name, _ := strings.Cut(what, " ")
		may := slices.Contains(onlyKeepers, name) && by == "keeper" || slices.Contains(onlyReaders, name) && by == "reader"
		switch {
		case !slices.Contains(who, by):
			continue
		case may && how != "<nil>":
			tb.Errorf("%s: %s, want success", what, how)
		case !may && !isRefusal(how):
			tb.Errorf("%s: %s, want a refusal", what, how)
		}
		tried++
	}
	if tried < 60*(len(who)-1) {
		tb.Errorf("%d attempts", tried)
	}
}

// isRefusal tells whether a call was refused by a filter or by Landlock, and not
// for want of something.
func isRefusal(how string) bool {
	for _, errno := range []unix.Errno{unix.EPERM, unix.EACCES, unix.ENOSYS} {
		if strings.HasSuffix(how, errno.Error()) {
			return true
		}
	}
	return false
}

// inKernel fails if a line of /proc/PID/status is not want in every thread; "A | B"
// is one of some kind and one of another, in any order.
func inKernel(tb testing.TB, ended map[string]string, line, want string) {
	tb.Helper()
	got, wanted := strings.Split(ended["held "+line], " | "), strings.Split(want, " | ")
	slices.Sort(got)
	slices.Sort(wanted)
	if !slices.Equal(got, wanted) {
		tb.Errorf("%s of its threads: %q, want %q", line, got, wanted)
	}
}

func hex(s capSet) string { return fmt.Sprintf("%016x", uint64(s)) }

func TestTryFromInside(t *testing.T) {
	s := newSurroundings(t)
	ended := s.run(t, build(t), nil)
	if ended["held seccomp"] != "true" || ended["held landlock"] == "0" || ended["held lacks"] != "" {
		t.Errorf("it holds: %v", ended)
	}
	check(t, ended, "reader", "keeper", "thread")
	s.untouched(t)
	inKernel(t, ended, "NoNewPrivs", "1")
	inKernel(t, ended, "Seccomp", "2")
	inKernel(t, ended, "CapEff", hex(readerCapabilities)+" | "+hex(keeperCapabilities))
	inKernel(t, ended, "CapPrm", hex(readerCapabilities)+" | "+hex(keeperCapabilities))
	inKernel(t, ended, "CapBnd", hex(readerCapabilities|keeperCapabilities))
	inKernel(t, ended, "CapInh", hex(0))
	inKernel(t, ended, "CapAmb", hex(0))
}

// A user with some capabilities keeps those of them that are needed.
func TestUserWithCapabilities(t *testing.T) {
	const nobody = 65534
	s := newSurroundings(t)
	for _, dir := range []string{s.folder, s.outside, filepath.Join(s.outside, "kept"), filepath.Join(s.outside, "folder")} {
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	ended := s.run(t, open(t, build(t)), &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Uid: nobody, Gid: nobody},
		AmbientCaps: []uintptr{unix.CAP_DAC_READ_SEARCH, unix.CAP_SYS_PTRACE, unix.CAP_KILL, unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN},
	})
	check(t, ended, "reader", "keeper", "thread")
	s.untouched(t)
	if got, want := ended["held capabilities"], "cap_dac_read_search cap_net_admin cap_sys_ptrace"; got != want {
		t.Errorf("it says that it keeps %q, want %q", got, want)
	}
	inKernel(t, ended, "NoNewPrivs", "1")
	inKernel(t, ended, "CapEff", hex(1<<unix.CAP_DAC_READ_SEARCH|1<<unix.CAP_SYS_PTRACE)+" | "+hex(1<<unix.CAP_NET_ADMIN))
	inKernel(t, ended, "CapAmb", hex(0))
}

// open lets everybody run a program.
func open(tb testing.TB, program string) string {
	tb.Helper()
	for dir := filepath.Dir(program); dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	return program
}

// Without Landlock only the keepers may do more.
func TestWithoutLandlock(t *testing.T) {
	s := newSurroundings(t)
	ended := s.run(t, build(t), nil, unix.SYS_LANDLOCK_CREATE_RULESET)
	if ended["held landlock"] != "0" || ended["held seccomp"] != "true" {
		t.Errorf("it holds: %v", ended)
	}
	if told := ended["held lacks"]; !strings.HasPrefix(told, "no Landlock: ") || strings.Contains(told, " | ") {
		t.Errorf("it lacks %q", told)
	}
	check(t, ended, "reader", "thread")
	for _, name := range []string{"execve", "kill", "mount", "chmod", "ptrace"} {
		if how := ended["keeper "+name]; !isRefusal(how) {
			t.Errorf("keeper %s: %s, want a refusal", name, how)
		}
	}
	inKernel(t, ended, "CapEff", hex(readerCapabilities)+" | "+hex(keeperCapabilities&^overrides))
}

// Without seccomp there are only the capabilities, and it works all the same.
func TestWithoutSeccomp(t *testing.T) {
	s := newSurroundings(t)
	ended := s.run(t, build(t), nil, unix.SYS_SECCOMP)
	if ended["held landlock"] != "0" || ended["held seccomp"] != "false" || !strings.HasPrefix(ended["held lacks"], "no seccomp filter: ") {
		t.Errorf("it holds: %v", ended)
	}
	if how := ended["free write"]; how != "<nil>" {
		t.Errorf("write in the folder: %s", how)
	}
	inKernel(t, ended, "NoNewPrivs", "1")
	inKernel(t, ended, "CapEff", hex((readerCapabilities|keeperCapabilities)&^overrides))
}

// Before Confine a keeper's work is done where it is asked for, and after Close
// too.
func TestDoWithoutKeepers(t *testing.T) {
	var k Keepers
	did := 0
	k.Do(func() { did++ })
	k.Close()
	k.Do(func() { did++ })
	if did != 2 {
		t.Errorf("%d of 2 were done", did)
	}
}

// Each rule of a filter leads to a verdict, whatever the call.
func TestFilters(t *testing.T) {
	for name, f := range map[string]filter{"base": base(4711), "readers": readers(), "keepers": keepers()} {
		for _, c := range []struct {
			call uint32
			args []uint32
			want map[string]verdict
		}{
			{unix.SYS_READ, nil, nil},
			{unix.SYS_EXECVE, nil, map[string]verdict{"base": refuse}},
			{unix.SYS_OPENAT, []uint32{0, 0, unix.O_RDONLY | unix.O_CLOEXEC | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_PATH}, nil},
			{unix.SYS_OPENAT, []uint32{0, 0, unix.O_WRONLY}, map[string]verdict{"readers": refuse}},
			{unix.SYS_OPENAT, []uint32{0, 0, unix.O_CREAT}, map[string]verdict{"readers": refuse}},
			{unix.SYS_OPENAT, []uint32{0, 0, unix.O_ACCMODE}, map[string]verdict{"readers": refuse}},
			{unix.SYS_OPENAT2, nil, map[string]verdict{"readers": unknown}},
			{unix.SYS_BIND, nil, map[string]verdict{"readers": refuse}},
			{unix.SYS_TGKILL, []uint32{4711, 4712, 23}, nil},
			{unix.SYS_TGKILL, []uint32{1, 1, 23}, map[string]verdict{"base": refuse}},
			{unix.SYS_KILL, []uint32{1<<32 - 1, 9}, map[string]verdict{"base": refuse}},
			{unix.SYS_CLONE, []uint32{unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_THREAD}, nil},
			{unix.SYS_CLONE, []uint32{uint32(unix.SIGCHLD)}, map[string]verdict{"base": refuse}},
			{unix.SYS_MMAP, []uint32{0, 4096, unix.PROT_READ | unix.PROT_WRITE}, nil},
			{unix.SYS_MMAP, []uint32{0, 4096, unix.PROT_EXEC}, map[string]verdict{"base": refuse}},
			{unix.SYS_SOCKET, []uint32{unix.AF_INET6, unix.SOCK_STREAM, 0}, nil},
			{unix.SYS_SOCKET, []uint32{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_CONNECTOR}, nil},
			{unix.SYS_SOCKET, []uint32{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, map[string]verdict{"keepers": refuse}},
			{unix.SYS_SOCKET, []uint32{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER}, map[string]verdict{"base": refuse, "keepers": refuse}},
			{unix.SYS_SOCKET, []uint32{unix.AF_PACKET, unix.SOCK_RAW, 0}, map[string]verdict{"base": refuse, "keepers": refuse}},
			{unix.SYS_SETSOCKOPT, []uint32{3, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE}, nil},
			{unix.SYS_SETSOCKOPT, []uint32{3, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY}, nil},
			{unix.SYS_SETSOCKOPT, []uint32{3, unix.IPPROTO_IPV6, 64}, map[string]verdict{"keepers": refuse}},
			{unix.SYS_SETSOCKOPT, []uint32{3, unix.IPPROTO_IP, 64}, map[string]verdict{"keepers": refuse}},
			{unix.SYS_SECCOMP, nil, map[string]verdict{"keepers": pretend}},
			{newestCall + 1, nil, map[string]verdict{"base": unknown, "readers": unknown, "keepers": unknown}},
			{0x40000000 | unix.SYS_OPENAT, nil, map[string]verdict{"base": unknown, "readers": unknown, "keepers": unknown}}, // x32
		} {
			want, ok := c.want[name]
			if !ok {
				want = allow
			}
			if got := judge(t, f, auditArch, c.call, c.args); got != want {
				t.Errorf("%s: call %d with %x: %#x, want %#x", name, c.call, c.args, got, want)
			}
		}
		if got := judge(t, f, unix.AUDIT_ARCH_I386, unix.SYS_READ, nil); got != refuse {
			t.Errorf("%s: a call of another architecture: %#x", name, got)
		}
	}
}

// judge runs a filter as the kernel would.
func judge(tb testing.TB, f filter, arch, call uint32, args []uint32) verdict {
	tb.Helper()
	data := map[uint32]uint32{dataNumber: call, dataArch: arch}
	for i, a := range args {
		data[dataArguments+8*uint32(i)] = a
	}
	program := append(slices.Clone(f), end(allow))
	var a uint32
	for at := 0; at < len(program); at++ {
		s, jump := program[at], false
		switch s.Code {
		case load:
			a = data[s.K]
			continue
		case finish:
			return verdict(s.K)
		case ifEqual:
			jump = a == s.K
		case ifAbove:
			jump = a > s.K
		case ifAnyBitOf:
			jump = a&s.K != 0
		}
		if jump {
			at += int(s.Jt)
		} else {
			at += int(s.Jf)
		}
	}
	tb.Fatal("it ends without a verdict")
	return 0
}
