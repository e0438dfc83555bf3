//go:build amd64 || arm64

package confine

import (
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// capSet is a set of capabilities, a bit each: capabilities(7).
type capSet uint64

// readerCapabilities are what reading needs.
const readerCapabilities capSet = 0 |
	1<<unix.CAP_DAC_READ_SEARCH | // files and folders of other users
	1<<unix.CAP_SYS_PTRACE | // exe, fd, maps, … of other users' processes
	1<<unix.CAP_CHECKPOINT_RESTORE | // /proc/PID/map_files, for mapped files on a file server
	1<<unix.CAP_SYSLOG | // /dev/kmsg where it is restricted: kills for want of memory
	1<<unix.CAP_LEASE // whether somebody writes to a file of another user

// keeperCapabilities are for what keepers do for others. A keeper makes no
// netlink sockets but for the process connector, and a socket that was made
// without CAP_NET_ADMIN never counts as of one who has it: so that is worth
// nothing for the configuration of the network.
const keeperCapabilities capSet = 0 |
	1<<unix.CAP_NET_ADMIN | // the process connector: before Linux 6.6 at all, then for its buffer
	1<<unix.CAP_NET_BIND_SERVICE | // a local_host below port 1024, also after a reload
	overrides

// overrides let root write to a home of another user. Only together with
// Landlock.
const overrides capSet = 1 << unix.CAP_DAC_OVERRIDE

// capabilities returns the permitted capabilities of the calling thread.
func capabilities() (capSet, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, fmt.Errorf("capget: %w", err)
	}
	return capSet(data[0].Permitted) | capSet(data[1].Permitted)<<32, nil
}

// sets are the arguments of capset(2) that leave a thread only what is in s, in
// effect, and nothing that a program it started would have.
func (s capSet) sets() (*unix.CapUserHeader, *[2]unix.CapUserData) {
	low, high := uint32(s), uint32(s>>32)
	return &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3},
		&[2]unix.CapUserData{{Effective: low, Permitted: low}, {Effective: high, Permitted: high}}
}

// limit leaves the calling thread only what is in s.
func limit(s capSet) error {
	header, data := s.sets()
	if err := unix.Capset(header, &data[0]); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	return nil
}

// limitAll leaves all threads but the keepers only what is in s.
func limitAll(s capSet) error {
	header, data := s.sets()
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(header)
	pin.Pin(data)
	if err := onAllThreads(unix.SYS_CAPSET, uintptr(unsafe.Pointer(header)), uintptr(unsafe.Pointer(data)), 0); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	return nil
}

// dropBounds takes from all threads the capabilities that a program with file
// capabilities could give them. Who may not do that has none of them either, and
// no program is started.
func dropBounds(now capSet) {
	_ = onAllThreads(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0)
	if now&(1<<unix.CAP_SETPCAP) == 0 {
		return
	}
	for c := range uintptr(64) {
		if (readerCapabilities|keeperCapabilities)&(1<<c) != 0 {
			continue
		}
		if onAllThreads(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0) != nil {
			return // the kernel has no more
		}
	}
}

// capabilityNames returns the names of those that an agent may have.
func capabilityNames(s capSet) []string {
	var names []string
	for _, c := range []struct {
		bit  int
		name string
	}{
		{unix.CAP_DAC_OVERRIDE, "dac_override"},
		{unix.CAP_DAC_READ_SEARCH, "dac_read_search"},
		{unix.CAP_NET_BIND_SERVICE, "net_bind_service"},
		{unix.CAP_NET_ADMIN, "net_admin"},
		{unix.CAP_SYS_PTRACE, "sys_ptrace"},
		{unix.CAP_LEASE, "lease"},
		{unix.CAP_SYSLOG, "syslog"},
		{unix.CAP_CHECKPOINT_RESTORE, "checkpoint_restore"},
	} {
		if s&(1<<c.bit) != 0 {
			names = append(names, strings.ToLower("cap_"+c.name))
		}
	}
	return names
}
