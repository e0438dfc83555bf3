package confine

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// oldCalls are calls that only another architecture has, for base.
func oldCalls() []uint32 { return nil }

// oldChanges are calls that only some architectures have, for readers.
func oldChanges() []uint32 { return []uint32{unix.SYS_RENAMEAT} }

// oldOpen has nothing to add: there is no open(2) here.
func (*filter) oldOpen(uint32) {}
