package status

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openAnything opens what openEverything does not: rare kinds of descriptors,
// odd names, what is gone. What this kernel does not have is left out.
func (o *opener) openAnything() {
	o.withoutReading()
	o.gone()
	o.named()
	o.devices()
	o.mapped()
	o.moreLocks()
	o.moreAnonymous()
	o.mountsInHand()
}

// openMore opens what the named helper has.
func openMore(kind string) *opener {
	o := new(opener)
	switch kind {
	case "any files":
		setComm("any (fi\nle\\s)")
		o.openAnything()
	case "sockets":
		o.openSockets()
	case "sockets cut off":
		loopbackUp()
		must(0, os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 0"), 0))
		o.openSockets()
		o.cutOff()
	case "files in a chroot":
		fillChroot()
		must(0, unix.Chroot("root"))
		must(0, unix.Chdir("/"))
		o.openAndMap("/etc/passwd", "/only here", "/usr/lib/x.so")
	case "files in new mounts":
		must(0, unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""))
		must(0, os.Mkdir("mine", 0o755))
		must(0, unix.Mount("tmpfs", "mine", "tmpfs", 0, ""))
		must(0, unix.Mount("tmpfs", "/mnt", "tmpfs", 0, ""))
		must(0, os.WriteFile("mine/file", []byte("text"), 0o600))
		must(0, os.WriteFile("/mnt/file", []byte("text"), 0o600))
		must(0, os.WriteFile("passwd", []byte("text"), 0o600))
		must(0, unix.Mount("passwd", "/etc/passwd", "", unix.MS_BIND, ""))
		o.openAndMap("mine/file", "/mnt/file", "/etc/passwd")
	case "files in no folder":
		must(0, os.Mkdir("no folder", 0o755))
		must(0, unix.Chdir("no folder"))
		must(0, os.Remove("../no folder"))
	case "unused sockets":
		for range 4 {
			o.keep(must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)))
		}
	case "as many as may be":
		o.openMany()
	case "many descriptors":
		must(0, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 20000, Max: 20000}))
		null := must(unix.Open("/dev/null", unix.O_RDWR, 0))
		for _, fd := range []int{99, 100, 999, 1000, 4095, 4096, 9999, 10000, 10007, 19999} {
			must(0, unix.Dup3(null, fd, 0))
		}
		o.keep(null)
	}
	return o
}

// openAndMap opens and maps files.
func (o *opener) openAndMap(names ...string) {
	for _, name := range names {
		fd := must(unix.Open(name, unix.O_RDONLY, 0))
		o.keep(fd)
		o.mmap(fd, 1)
	}
}

// fillChroot makes a folder with names that lead to other files outside of it.
func fillChroot() {
	for _, name := range []string{"root/etc/passwd", "root/only here", "root/usr/lib/x.so"} {
		must(0, os.MkdirAll(filepath.Dir(name), 0o755))
		must(0, os.WriteFile(name, []byte("text"), 0o644))
	}
}

// tryKeep keeps what this kernel gave.
func (o *opener) tryKeep(fd uintptr, errno unix.Errno) uintptr {
	if errno == 0 {
		o.keep(fd)
	}
	return fd
}

func (o *opener) withoutReading() {
	must(0, unix.Symlink("plain", "link"))
	must(0, unix.Mkfifo("named pipe", 0o600))
	bound := must(unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0))
	must(0, unix.Bind(bound, &unix.SockaddrUnix{Name: "by-path"}))
	o.keep(bound)
	for name, flags := range map[string]int{
		"link": unix.O_NOFOLLOW, "named pipe": 0, "by-path": 0, ".": 0, "/dev/null": 0, "/dev/zero": 0, "/proc/self/fd/1": 0, "/": 0,
	} {
		o.keep(must(unix.Open(name, unix.O_PATH|flags, 0)))
	}
	o.keep(must(unix.Open(fmt.Sprintf("/proc/self/fd/%d", bound), unix.O_PATH, 0)))
}

// gone are files that were deleted, renamed or replaced.
func (o *opener) gone() {
	for _, name := range []string{"deleted", "was (deleted)", "renamed", "replaced", "folder/in it"} {
		must(0, os.MkdirAll(filepath.Dir(name), 0o755))
		o.keep(must(unix.Open(name, unix.O_CREAT|unix.O_RDWR, 0o600)))
	}
	folder := must(unix.Open("folder", unix.O_RDONLY, 0))
	o.keep(folder)
	must(0, unix.Unlink("deleted"))
	must(0, unix.Unlink("was (deleted)"))
	must(0, unix.Rename("renamed", "renamed since"))
	must(0, os.WriteFile("replacement", []byte("x"), 0o600))
	must(0, unix.Rename("replacement", "replaced"))
	must(0, os.RemoveAll("folder"))
	unnamed := must(unix.Open(".", unix.O_TMPFILE|unix.O_RDWR, 0o600))
	must(unix.Write(unnamed, []byte("12345")))
	o.keep(unnamed)
}

// named are files with names that are hard to print.
func (o *opener) named() {
	for _, name := range []string{
		"tab\there", `back\slash`, `\012`, "bell\a\b\f\r\v", "\x7f\x80\xff", "spaces  at the end  ", "  at the start", "漢字 é", "\u202eevil", "e\u0301",
		"(x) (stat: no)", strings.Repeat("n", 255), "pipe:[1]", "a -> b", "\u00ad\u200b", "*", "anon_inode:[eventfd]",
	} {
		o.keep(must(unix.Open(name, unix.O_CREAT|unix.O_RDWR, 0o600)))
	}
	// A path as long as the kernel shows, and one that is longer.
	here := must(os.Getwd())
	deep := must(unix.Open(".", unix.O_PATH, 0))
	part := strings.Repeat("d", 200)
	for n := len(here); n < 5000; n += len(part) + 1 {
		must(0, unix.Mkdirat(deep, part, 0o755))
		deep = must(unix.Openat(deep, part, unix.O_PATH, 0))
		o.keep(deep)
	}
}

// devices are those of characters and blocks, with positions.
func (o *opener) devices() {
	huge := must(unix.Open("huge", unix.O_CREAT|unix.O_RDWR, 0o600))
	must(0, unix.Ftruncate(huge, 1<<40))
	must(unix.Seek(huge, 1<<39, unix.SEEK_SET))
	o.keep(huge)
	for _, name := range []string{"/dev/full", "/dev/random", "/dev/kmsg", "/dev/net/tun", "/dev/fuse", "/dev/loop-control", "/dev/kvm"} {
		if fd, err := unix.Open(name, unix.O_RDONLY, 0); err == nil {
			o.keep(fd)
			if name == "/dev/kvm" {
				const createVM = 0xAE01
				vm, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), createVM, 0)
				o.tryKeep(vm, errno)
			}
		}
	}
	if name := os.Getenv("DTC_STATUS_BLOCK"); name != "" {
		for _, position := range []int64{0, 12345, 99_999_999, 100_000_000, 1 << 34} {
			fd := must(unix.Open(name, unix.O_RDONLY, 0))
			must(unix.Seek(fd, position, unix.SEEK_SET))
			o.keep(fd)
		}
	}
	control := must(unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY, 0))
	must(0, unix.IoctlSetPointerInt(control, unix.TIOCSPTLCK, 0))
	number := must(unix.IoctlGetInt(control, unix.TIOCGPTN))
	o.keep(control, must(unix.Open(fmt.Sprintf("/dev/pts/%d", number), unix.O_RDWR|unix.O_NOCTTY, 0)))
	must(0, unix.Mknod("my null", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	o.keep(must(unix.Open("my null", unix.O_RDWR, 0)))
}

func (o *opener) mmap(fd, length int) {
	o.keep(must(unix.Mmap(fd, 0, length, unix.PROT_READ, unix.MAP_SHARED)))
}

// mapped are files that are in the memory, and most of them closed.
func (o *opener) mapped() {
	page := os.Getpagesize()
	for _, name := range []string{
		"map", "map twice", "map deleted", "map was (deleted)", "map replaced", "map moved", "map\nline", "map \xff", `map \012`,
	} {
		must(0, os.WriteFile(name, make([]byte, 3*page), 0o600))
		fd := must(unix.Open(name, unix.O_RDWR, 0))
		o.mmap(fd, page)
		if name == "map twice" {
			o.keep(must(unix.Mmap(fd, int64(page), page, unix.PROT_READ, unix.MAP_PRIVATE)))
			must(0, unix.Link(name, "map linked"))
			linked := must(unix.Open("map linked", unix.O_RDONLY, 0))
			o.mmap(linked, page)
		}
		must(0, unix.Close(fd))
	}
	must(0, unix.Unlink("map deleted"))
	must(0, unix.Unlink("map was (deleted)"))
	must(0, os.WriteFile("other", []byte("x"), 0o600))
	must(0, unix.Rename("other", "map replaced"))
	must(0, unix.Rename("map moved", "map moved since"))
	must(0, os.WriteFile("map deleted", []byte("a new one"), 0o600))

	o.keep(must(unix.Mmap(-1, 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)))
	zero := must(unix.Open("/dev/zero", unix.O_RDWR, 0))
	o.mmap(zero, page)
	if id, _, errno := unix.Syscall(unix.SYS_SHMGET, 0, uintptr(page), unix.IPC_CREAT|0o600); errno == 0 {
		address, _, errno := unix.Syscall(unix.SYS_SHMAT, id, 0, 0)
		o.tryKeep(address, errno)
		_, _, _ = unix.Syscall(unix.SYS_SHMCTL, id, unix.IPC_RMID, 0)
	}
}

func (o *opener) moreLocks() {
	lock := func(name string, locks ...unix.Flock_t) int {
		fd := must(unix.Open(name, unix.O_CREAT|unix.O_RDWR, 0o600))
		for i := range locks {
			must(0, unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &locks[i]))
		}
		o.keep(fd)
		return fd
	}
	lock("lock to 2 GiB", unix.Flock_t{Type: unix.F_WRLCK, Len: 1 << 31})
	lock("lock to 2 GiB and more", unix.Flock_t{Type: unix.F_RDLCK, Len: 1<<31 + 1})
	lock("lock from 1", unix.Flock_t{Type: unix.F_WRLCK, Start: 1})
	lock("locks", unix.Flock_t{Type: unix.F_RDLCK, Len: 5}, unix.Flock_t{Type: unix.F_WRLCK, Start: 10, Len: 5}, unix.Flock_t{Type: unix.F_RDLCK, Start: 20, Len: 5})
	lock("locks the other way", unix.Flock_t{Type: unix.F_WRLCK, Len: 5}, unix.Flock_t{Type: unix.F_RDLCK, Start: 10, Len: 5})
	ofd := lock("lock of the description")
	must(0, unix.FcntlFlock(uintptr(ofd), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}))
	both := lock("lock of both kinds", unix.Flock_t{Type: unix.F_RDLCK})
	must(0, unix.Flock(both, unix.LOCK_EX))
	must(0, unix.Flock(lock("flock alone"), unix.LOCK_EX))
	lease := must(unix.Open("lease", unix.O_CREAT|unix.O_RDONLY, 0o600))
	must(unix.FcntlInt(uintptr(lease), unix.F_SETLEASE, unix.F_RDLCK))
	o.keep(lease)
	leased := must(unix.Open("write lease", unix.O_CREAT|unix.O_RDWR, 0o600))
	must(unix.FcntlInt(uintptr(leased), unix.F_SETLEASE, unix.F_WRLCK))
	o.keep(leased)
	var pipe [2]int
	must(0, unix.Pipe(pipe[:]))
	must(0, unix.Flock(pipe[0], unix.LOCK_EX))
	o.keep(pipe)
	folder := must(unix.Open(".", unix.O_RDONLY, 0))
	must(0, unix.Flock(folder, unix.LOCK_SH))
	o.keep(folder)
}

func (o *opener) moreAnonymous() {
	if fd, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF, unix.O_RDONLY); err == nil {
		o.keep(fd)
	}
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0)
	o.tryKeep(fd, errno)
	var ring [120]byte // struct io_uring_params
	fd, _, errno = unix.Syscall(unix.SYS_IO_URING_SETUP, 4, uintptr(unsafe.Pointer(&ring)), 0)
	if o.tryKeep(fd, errno); errno == 0 {
		if mapping, err := unix.Mmap(int(fd), 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err == nil {
			o.keep(mapping)
		}
	}
	fd, _, errno = unix.Syscall(unix.SYS_MEMFD_SECRET, 0, 0, 0)
	o.tryKeep(fd, errno)
	array := [4]uint32{2, 4, 8, 1} // BPF_MAP_TYPE_ARRAY of one element
	fd, _, errno = unix.Syscall(unix.SYS_BPF, 0, uintptr(unsafe.Pointer(&array)), unsafe.Sizeof(array))
	o.tryKeep(fd, errno)
	event := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_DUMMY, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{}))}
	if fd, err := unix.PerfEventOpen(&event, 0, -1, -1, 0); err == nil {
		o.keep(fd)
		if mapping, err := unix.Mmap(fd, 0, 2*os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err == nil {
			o.keep(mapping)
		}
	}
	rules := uint64(1)
	fd, _, errno = unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&rules)), 8, 0)
	o.tryKeep(fd, errno)
	huge, err := unix.MemfdCreate("huge pages", unix.MFD_HUGETLB)
	if err == nil {
		o.keep(huge)
	}
	ended := exec.Command("/bin/true")
	must(0, ended.Start())
	o.keep(must(unix.PidfdOpen(ended.Process.Pid, 0)), must(unix.PidfdOpen(1, 0)))
	must(0, ended.Wait())
	for i := range 3 {
		o.keep(must(unix.Eventfd(uint(i), unix.EFD_SEMAPHORE)))
	}
	o.keep(must(unix.EpollCreate1(0)))
	watch := must(unix.InotifyInit1(0))
	must(unix.InotifyAddWatch(watch, ".", unix.IN_CREATE))
	o.keep(watch)
}

// mountsInHand are what the calls of mounting give.
func (o *opener) mountsInHand() {
	if fd, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC); err == nil {
		must(0, unix.FsconfigCreate(fd))
		mount := must(unix.Fsmount(fd, 0, 0))
		o.keep(fd, mount, must(unix.Openat(mount, "nowhere", unix.O_CREAT|unix.O_RDWR, 0o600)))
	}
	if fd, err := unix.OpenTree(unix.AT_FDCWD, ".", unix.OPEN_TREE_CLONE); err == nil {
		o.keep(fd)
	}
	for _, name := range []string{"mnt", "pid", "user", "uts", "cgroup", "ipc", "time"} {
		if fd, err := unix.Open("/proc/self/ns/"+name, unix.O_RDONLY, 0); err == nil {
			o.keep(fd)
		}
	}
	for _, name := range []string{"/proc/self/maps", "/proc/self/mountinfo", "/proc/1", "/sys/kernel", "/sys/fs/cgroup", "/proc/self/task"} {
		if fd, err := unix.Open(name, unix.O_RDONLY, 0); err == nil {
			o.keep(fd)
		}
	}
	name := fmt.Appendf(nil, "dtc-test-%d\x00", os.Getpid())
	queue, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(&name[0])), unix.O_CREAT|unix.O_RDWR, 0o600, 0, 0, 0)
	if o.tryKeep(queue, errno); errno == 0 {
		_, _, _ = unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(&name[0])), 0, 0)
	}
}

// openIn opens a file in a folder, maps it and goes there.
func (o *opener) openIn(dir string) {
	must(0, unix.Chdir(dir))
	o.keep(must(unix.Open("a file", unix.O_RDONLY, 0)))
	program := must(unix.Open("a file", unix.O_RDONLY, 0))
	o.mmap(program, 1)
	must(0, unix.Close(program))
}

// setComm names this process.
func setComm(name string) {
	text := append([]byte(name), 0)
	must(0, unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&text[0])), 0, 0, 0))
}

// networkOrder is a number as it stands in a packet.
func networkOrder(n uint16) int {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], n)
	return int(binary.NativeEndian.Uint16(b[:]))
}
