//go:build amd64 || arm64

package confine

import "golang.org/x/sys/unix"

// newestCall is the last system call that was looked at for these filters. What
// comes after it may be a new way to change something. Calls of both
// architectures have the same numbers there.
const newestCall = unix.SYS_RSEQ_SLICE_YIELD

// base is the filter of all threads of the process with this pid.
func base(pid int) filter {
	f := newFilter()
	f.all(allow, unix.SYS_OPENAT) // readers look at it
	f.all(allow, frequent()...)
	f.on(unix.SYS_IOCTL, only(1, harmlessIoctls()...)...)
	f.on(unix.SYS_FCNTL, not(1, unix.F_SETOWN, fSetOwnEx)...) // has the kernel send signals to others
	f.on(unix.SYS_MMAP, without(2, unix.PROT_EXEC)...)
	f.on(unix.SYS_SOCKET, sockets(unix.NETLINK_ROUTE, unix.NETLINK_SOCK_DIAG, unix.NETLINK_CONNECTOR)...)
	f.on(unix.SYS_MPROTECT, without(2, unix.PROT_EXEC)...)
	f.on(unix.SYS_PKEY_MPROTECT, without(2, unix.PROT_EXEC)...)
	f.on(unix.SYS_CLONE, with(0, unix.CLONE_THREAD)...)
	f.on(unix.SYS_PRLIMIT64, only(0, 0, uint32(pid))...)
	// The runtime interrupts its own threads by signals.
	f.on(unix.SYS_TGKILL, only(0, uint32(pid))...)
	f.on(unix.SYS_KILL, only(0, uint32(pid))...)
	f.all(unknown, unix.SYS_CLONE3) // its flags are in memory, where a filter cannot look
	f.all(refuse, startsAndMeddles()...)
	f.all(refuse, changesSystem()...)
	f.all(refuse, changesAttributes()...)
	f.all(refuse, oldCalls()...)
	return f
}

// frequent are calls that are made most, which stand first: kernels before 5.11
// run a filter for each call, later ones only where the arguments matter.
func frequent() []uint32 {
	return []uint32{
		unix.SYS_READ, unix.SYS_CLOSE, unix.SYS_READLINKAT, unix.SYS_STATX, unix.SYS_GETDENTS64, unix.SYS_FUTEX,
		unix.SYS_EPOLL_PWAIT, unix.SYS_PREAD64, unix.SYS_WRITE, unix.SYS_NANOSLEEP,
	}
}

// fSetOwnEx is F_SETOWN_EX of asm-generic/fcntl.h.
const fSetOwnEx = 15

// harmlessIoctls are those that the agent, or the runtime for it, uses. Others can
// do anything, also with a file that is open for reading.
func harmlessIoctls() []uint32 {
	const fsIocGetVersion = 0x80087601 // FS_IOC_GETVERSION of linux/fs.h
	return []uint32{unix.PIDFD_GET_INFO, fsIocGetVersion, unix.TCGETS, unix.TIOCGWINSZ}
}

// sockets allows the families that the agent has, and of netlink some protocols:
// the others are doors to code of the kernel that nobody needs here.
func sockets(netlink ...uint32) []unix.SockFilter {
	netlinks := only(2, netlink...)
	rules := []unix.SockFilter{argument(0), {Code: ifEqual, K: unix.AF_NETLINK, Jf: uint8(len(netlinks))}}
	rules = append(rules, netlinks...)
	return append(rules, only(0, unix.AF_UNIX, unix.AF_INET, unix.AF_INET6)...)
}

// startsAndMeddles are the calls that start a program, or reach into a process
// other than by reading /proc.
func startsAndMeddles() []uint32 {
	return []uint32{
		unix.SYS_EXECVE, unix.SYS_EXECVEAT,
		unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE, unix.SYS_PROCESS_MRELEASE,
		unix.SYS_PIDFD_GETFD, unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_TKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO,
		unix.SYS_SETPRIORITY, unix.SYS_IOPRIO_SET, unix.SYS_SCHED_SETAFFINITY, unix.SYS_SCHED_SETATTR, unix.SYS_SCHED_SETPARAM,
		unix.SYS_SCHED_SETSCHEDULER, unix.SYS_MOVE_PAGES, unix.SYS_MIGRATE_PAGES,
		// Objects that processes share by number or name.
		unix.SYS_SHMGET, unix.SYS_SHMAT, unix.SYS_SHMCTL, unix.SYS_SEMGET, unix.SYS_SEMOP, unix.SYS_SEMTIMEDOP, unix.SYS_SEMCTL,
		unix.SYS_MSGGET, unix.SYS_MSGSND, unix.SYS_MSGRCV, unix.SYS_MSGCTL, unix.SYS_MQ_OPEN, unix.SYS_MQ_UNLINK,
	}
}

// changesSystem are the calls that change the system as a whole, or open large
// parts of the kernel. Most need a capability that is gone.
func changesSystem() []uint32 {
	return []uint32{
		unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE,
		unix.SYS_OPEN_TREE_ATTR, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR,
		unix.SYS_SETNS, unix.SYS_UNSHARE,
		unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_REBOOT,
		unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER,
		unix.SYS_IO_URING_REGISTER, unix.SYS_IO_SETUP, unix.SYS_IO_SUBMIT, unix.SYS_FANOTIFY_INIT,
		unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
		unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_SYSLOG, unix.SYS_VHANGUP,
		unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_PERSONALITY,
		unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_LSM_SET_SELF_ATTR, unix.SYS_NFSSERVCTL, unix.SYS_LOOKUP_DCOOKIE,
	}
}

// changesAttributes are the calls that change what a file is but for its content,
// which Landlock does not look at: only a file's owner could, but that may be
// root. They have no arguments by which a folder could be told from another.
func changesAttributes() []uint32 {
	return []uint32{
		unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_FCHMODAT2, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT, unix.SYS_UTIMENSAT,
		unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_FSETXATTR, unix.SYS_SETXATTRAT,
		unix.SYS_REMOVEXATTR, unix.SYS_LREMOVEXATTR, unix.SYS_FREMOVEXATTR, unix.SYS_REMOVEXATTRAT, unix.SYS_FILE_SETATTR,
	}
}

// readers is the second filter of all threads but the keepers.
func readers() filter {
	f := newFilter()
	// The flags of an open that changes something, if only its intention.
	const forChange = unix.O_ACCMODE | unix.O_CREAT | unix.O_TRUNC | unix.O_TMPFILE&^unix.O_DIRECTORY
	f.on(unix.SYS_OPENAT, without(2, forChange)...)
	f.all(allow, frequent()...)
	f.oldOpen(forChange)
	f.all(unknown, unix.SYS_OPENAT2) // its flags are in memory
	f.all(refuse, unix.SYS_BIND)     // makes a file of a Unix socket
	f.all(refuse,
		unix.SYS_MKDIRAT, unix.SYS_MKNODAT, unix.SYS_LINKAT, unix.SYS_SYMLINKAT, unix.SYS_UNLINKAT,
		unix.SYS_RENAMEAT2, unix.SYS_TRUNCATE)
	f.all(refuse, oldChanges()...)
	return f
}

// keepers is the second filter of the keepers. Their CAP_NET_ADMIN is for the
// process connector and the buffer of its socket. So they have no other netlink,
// send no messages with an address (such a one counts as of who sends it, one by
// write(2) as of who made the socket too, see netlink_capable of the kernel), and
// set no options by which packets are filtered.
func keepers() filter {
	f := newFilter()
	f.on(unix.SYS_SOCKET, sockets(unix.NETLINK_CONNECTOR)...)
	f.all(refuse, unix.SYS_SENDTO, unix.SYS_SENDMSG, unix.SYS_SENDMMSG)
	f.on(unix.SYS_SETSOCKOPT, ownOptions()...)
	// What is made for all threads but the keepers, see Keepers.confine.
	f.all(pretend, unix.SYS_SECCOMP, unix.SYS_CAPSET, unix.SYS_LANDLOCK_RESTRICT_SELF)
	return f
}

// ownOptions allows a setsockopt(2) that is about nothing but the socket.
func ownOptions() []unix.SockFilter {
	rules := []unix.SockFilter{argument(1), {Code: ifEqual, K: unix.IPPROTO_IPV6, Jf: 4}}
	rules = append(rules, only(2, unix.IPV6_V6ONLY)...)
	return append(rules, only(1, unix.SOL_SOCKET, unix.IPPROTO_TCP)...)
}
