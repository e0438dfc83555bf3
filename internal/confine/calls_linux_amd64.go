package confine

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// oldCalls are calls that only this architecture has, for base.
func oldCalls() []uint32 {
	return []uint32{
		unix.SYS_FORK, unix.SYS_VFORK, unix.SYS_USELIB, unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_MODIFY_LDT, unix.SYS__SYSCTL,
		unix.SYS_CHMOD, unix.SYS_CHOWN, unix.SYS_LCHOWN, unix.SYS_UTIME, unix.SYS_UTIMES, unix.SYS_FUTIMESAT,
	}
}

// oldChanges are calls that only this architecture has, for readers.
func oldChanges() []uint32 {
	return []uint32{
		unix.SYS_CREAT, unix.SYS_MKDIR, unix.SYS_MKNOD, unix.SYS_LINK, unix.SYS_SYMLINK, unix.SYS_UNLINK, unix.SYS_RMDIR,
		unix.SYS_RENAME, unix.SYS_RENAMEAT,
	}
}

// oldOpen adds the rule for open(2), which only this architecture has.
func (f *filter) oldOpen(flags uint32) { f.on(unix.SYS_OPEN, without(1, flags)...) }
