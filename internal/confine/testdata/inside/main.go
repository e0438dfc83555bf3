// Command inside confines itself and tries what it may not do any more. It prints
// a line for each attempt: who tried, what, and how it ended.
//
//	inside FOLDER OUTSIDE PID ABSTRACT [NUMBER]
//
// FOLDER is the one it may change, OUTSIDE another one with a file "kept", PID a
// process that it would like to end, ABSTRACT a Unix socket without a file, NUMBER a
// system call that the kernel shall not have.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"dtc/internal/confine"
)

// attempt is something that the program tries, by the name that the test knows.
type attempt struct {
	name string
	try  func() error
}

func main() {
	folder, outside, abstract := os.Args[1], os.Args[2], os.Args[4]
	pid, err := strconv.Atoi(os.Args[3])
	if err != nil {
		panic(err)
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()

	if len(os.Args) > 5 {
		lose(os.Args[5])
	}
	var k confine.Keepers
	held := k.Confine(folder, filepath.Join(folder, "none"))
	defer k.Close()
	fmt.Fprintf(out, "held landlock: %d\nheld seccomp: %t\n", held.Landlock, held.Seccomp)
	for _, lack := range held.Lacks {
		fmt.Fprintf(out, "held lacks: %s\n", lack)
	}
	fmt.Fprintf(out, "held capabilities: %s\n", strings.Join(held.Capabilities, " "))

	if !held.Seccomp {
		k.Do(func() { fmt.Fprintf(out, "free write: %v\n", closed(os.Create(filepath.Join(folder, "a")))) })
		tellThreads(out)
		return // it might do what it tries
	}
	tries := append(attempts(outside, pid), inFolder(folder)...)
	tries = append(tries, attempt{"connect to an abstract socket", func() error { return connect("\x00" + abstract) }})
	for _, a := range tries {
		fmt.Fprintf(out, "reader %s: %v\n", a.name, a.try())
	}
	for _, a := range tries {
		k.Do(func() { err = a.try() })
		fmt.Fprintf(out, "keeper %s: %v\n", a.name, err)
	}
	for _, err := range onNewThreads(outside) {
		fmt.Fprintf(out, "thread write: %v\n", err)
	}
	tellThreads(out)
}

// lose has the kernel say that it has no system call of this number.
func lose(number string) {
	call, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		panic(err)
	}
	steps := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(call), Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(steps)), Filter: &steps[0]}
	runtime.LockOSThread() // of the two calls; the second is for all threads
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	err = raw(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)), 0, 0)
	if err != nil {
		panic(err)
	}
}

// tellThreads prints what the kernel says of each thread.
func tellThreads(out io.Writer) {
	files, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil {
		panic(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(line, ":")
			switch name {
			case "NoNewPrivs", "Seccomp", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb":
				fmt.Fprintf(out, "held %s: %s\n", name, strings.TrimSpace(value))
			}
		}
	}
}

// attempts are what nobody may, wherever.
func attempts(outside string, pid int) []attempt {
	kept, other := filepath.Join(outside, "kept"), filepath.Join(outside, "new")
	open := func(flag int) func() error {
		return func() error { return closed(os.OpenFile(kept, flag, 0o600)) }
	}
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return []attempt{
		{"create", func() error { return closed(os.Create(other)) }},
		{"write", open(os.O_WRONLY)},
		{"append", open(os.O_WRONLY | os.O_APPEND)},
		{"read and write", open(os.O_RDWR)},
		{"truncate by open", open(os.O_RDONLY | os.O_TRUNC)},
		{"create by reading", func() error { return closed(os.OpenFile(other, os.O_RDONLY|os.O_CREATE, 0o600)) }},
		{"file without a name", func() error { return closed(os.OpenFile(outside, unix.O_TMPFILE|os.O_RDWR, 0o600)) }},
		{"openat2", func() error {
			return fd(unix.Openat2(unix.AT_FDCWD, kept, &unix.OpenHow{Flags: unix.O_WRONLY}))
		}},
		{"truncate", func() error { return unix.Truncate(kept, 0) }},
		{"rename", func() error { return os.Rename(kept, other) }},
		{"remove", func() error { return unix.Unlink(kept) }},
		{"remove a folder", func() error { return unix.Rmdir(filepath.Join(outside, "folder")) }},
		{"mkdir", func() error { return os.Mkdir(other, 0o700) }},
		{"symlink", func() error { return os.Symlink(kept, other) }},
		{"link", func() error { return os.Link(kept, other) }},
		{"mkfifo", func() error { return unix.Mkfifo(other, 0o600) }},
		{"mknod", func() error { return unix.Mknod(other, unix.S_IFCHR|0o600, 0x103) }},
		{"make a socket", func() error { return bind(other) }},
		{"chmod", func() error { return os.Chmod(kept, 0o777) }},
		{"fchmod", func() error {
			return with(kept, func(f int) error { return unix.Fchmod(f, 0o777) })
		}},
		{"chown", func() error { return os.Chown(kept, 1, 1) }},
		{"chtimes", func() error { return os.Chtimes(kept, time.Unix(1, 0), time.Unix(1, 0)) }},
		{"setxattr", func() error { return unix.Setxattr(kept, "user.x", []byte("x"), 0) }},
		{"set flags", func() error {
			const setFlags, append = 0x40086602, 0x20 // FS_IOC_SETFLAGS, FS_APPEND_FL
			return with(kept, func(f int) error { return unix.IoctlSetPointerInt(f, setFlags, append) })
		}},
		{"execve", func() error { return unix.Exec("/bin/true", []string{"true"}, nil) }},
		{"execve of itself", func() error { return unix.Exec(self, []string{self}, nil) }},
		{"start a program", func() error { return exec.Command("/bin/true").Run() }}, //nolint:noctx // it does not come to that
		{"execveat", func() error {
			return with("/bin/true", func(f int) error {
				empty, argv := [1]byte{}, [1]*byte{}
				return raw(unix.SYS_EXECVEAT, uintptr(f), uintptr(unsafe.Pointer(&empty)), uintptr(unsafe.Pointer(&argv)), 0, unix.AT_EMPTY_PATH)
			})
		}},
		{"fork", func() error { return raw(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0) }},
		{"clone3", func() error { return raw(unix.SYS_CLONE3, 0, 0, 0, 0, 0) }},
		{"executable memory", func() error {
			_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)
			return err
		}},
		{"make memory executable", func() error {
			b, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ, unix.MAP_ANON|unix.MAP_PRIVATE)
			if err != nil {
				return err
			}
			return unix.Mprotect(b, unix.PROT_READ|unix.PROT_EXEC)
		}},
		{"ptrace", func() error { return unix.PtraceSeize(pid) }},
		{"read memory", func() error {
			local := []unix.Iovec{{Base: &make([]byte, 1)[0], Len: 1}}
			_, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: 4096, Len: 1}}, 0)
			return err
		}},
		{"write memory", func() error { return closed(os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)) }},
		{"kill", func() error { return unix.Kill(pid, unix.SIGKILL) }},
		{"probe", func() error { return unix.Kill(pid, 0) }},
		{"tkill", func() error { return raw(unix.SYS_TKILL, uintptr(pid), uintptr(unix.SIGKILL), 0, 0, 0) }},
		{"tgkill", func() error { return unix.Tgkill(pid, pid, unix.SIGKILL) }},
		{"signal by pidfd", func() error {
			f, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				return nil //nolint:nilerr // opening must go well: the test sees that it did not
			}
			defer func() { _ = unix.Close(f) }()
			return unix.PidfdSendSignal(f, unix.SIGKILL, nil, 0)
		}},
		{"signal by fcntl", func() error {
			return with(kept, func(f int) error { _, err := unix.FcntlInt(uintptr(f), unix.F_SETOWN, pid); return err })
		}},
		{"limit", func() error { return unix.Prlimit(pid, unix.RLIMIT_CPU, &unix.Rlimit{}, nil) }},
		{"renice", func() error { return unix.Setpriority(unix.PRIO_PROCESS, pid, 19) }},
		{"mount", func() error { return unix.Mount("none", outside, "tmpfs", 0, "") }},
		{"new mount", func() error { return fd(unix.Fsopen("tmpfs", 0)) }},
		{"unshare", func() error { return unix.Unshare(unix.CLONE_NEWUSER) }},
		{"chroot", func() error { return unix.Chroot(outside) }},
		{"bpf", func() error { return raw(unix.SYS_BPF, 0, 0, 0, 0, 0) }},
		{"io_uring", func() error { return raw(unix.SYS_IO_URING_SETUP, 1, 0, 0, 0, 0) }},
		{"perf", func() error { return raw(unix.SYS_PERF_EVENT_OPEN, 0, 0, 0, 0, 0) }},
		{"userfaultfd", func() error { return raw(unix.SYS_USERFAULTFD, 0, 0, 0, 0, 0) }},
		{"keys", func() error { _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true); return err }},
		{"shared memory", func() error { _, err := unix.SysvShmGet(1, 4096, unix.IPC_CREAT|0o600); return err }},
		{"packet socket", func() error { return fd(unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)) }},
		{"netfilter", func() error { return fd(unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER)) }},
		{"set a link down", setLinkDown},
		{"clear the kernel's log", func() error { _, err := unix.Klogctl(5, nil); return err }},
		{"a call of the future", func() error { return raw(600, 0, 0, 0, 0, 0) }},
		{"more capabilities", moreCapabilities},
	}
}

// inFolder are what keepers may.
func inFolder(folder string) []attempt {
	a, b := filepath.Join(folder, "a"), filepath.Join(folder, "below", "b")
	return []attempt{
		{"mkdir in the folder", func() error { return os.Mkdir(filepath.Dir(b), 0o700) }},
		{"create in the folder", func() error { return os.WriteFile(a, []byte("x"), 0o600) }},
		{"truncate in the folder", func() error { return os.Truncate(a, 0) }},
		{"rename in the folder", func() error { return os.Rename(a, b) }},
		{"socket in the folder", func() error { return bind(a) }},
		{"remove in the folder", func() error { return os.Remove(a) }},
		{"remove a folder in the folder", func() error { return removeAll(filepath.Dir(b)) }},
		{"listen", func() error {
			ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
			if err == nil {
				err = ln.Close()
			}
			return err
		}},
	}
}

// onNewThreads tries to write from many threads at a time, most of which the
// runtime has to make for it.
func onNewThreads(outside string) []error {
	const threads = 40
	errs := make([]error, threads)
	var wg, all sync.WaitGroup
	all.Add(threads)
	for i := range errs {
		wg.Go(func() {
			runtime.LockOSThread()
			all.Done()
			all.Wait()
			errs[i] = closed(os.Create(filepath.Join(outside, "new")))
		})
	}
	wg.Wait()
	return errs
}

// removeAll removes a folder with all that is in it, which must be there.
func removeAll(path string) error {
	if _, err := os.Stat(path); err != nil {
		path = filepath.Dir(path) // who could not make it may try another
	}
	return os.RemoveAll(path)
}

func closed(f *os.File, err error) error {
	if err == nil {
		err = f.Close()
		if err == nil {
			return nil
		}
	}
	return errno(err)
}

func fd(n int, err error) error {
	if err == nil {
		_ = unix.Close(n)
	}
	return err
}

func with(path string, do func(fd int) error) error {
	f, err := os.Open(path)
	if err != nil {
		return nil //nolint:nilerr // reading must go well: the test sees that it did not
	}
	defer f.Close()
	return do(int(f.Fd()))
}

func errno(err error) error {
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e
	}
	return err
}

func raw(call, a, b, c, d, e uintptr) error {
	_, _, err := unix.Syscall6(call, a, b, c, d, e, 0)
	if err != 0 {
		return err
	}
	return nil
}

func bind(path string) error {
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(s) }()
	return unix.Bind(s, &unix.SockaddrUnix{Name: path})
}

func connect(name string) error {
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(s) }()
	return unix.Connect(s, &unix.SockaddrUnix{Name: name})
}

// setLinkDown would take the loopback down, as who has CAP_NET_ADMIN may.
func setLinkDown() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(s) }()
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo)
}

// moreCapabilities asks for all of them, and says whether it has more than an
// agent needs.
func moreCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	all := [2]unix.CapUserData{{Effective: ^uint32(0), Permitted: ^uint32(0)}, {Effective: 0x1ff, Permitted: 0x1ff}}
	failed := unix.Capset(&header, &all[0])
	var now [2]unix.CapUserData
	if err := unix.Capget(&header, &now[0]); err != nil {
		return err
	}
	if now[0].Permitted&(1<<unix.CAP_SYS_ADMIN|1<<unix.CAP_SYS_MODULE|1<<unix.CAP_SYS_RAWIO|1<<unix.CAP_KILL|1<<unix.CAP_SETUID) != 0 {
		return nil
	}
	if failed == nil {
		return unix.EPERM // a keeper is told that it has them
	}
	return failed
}
