package proc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"dtc"
)

// List returns all processes: kern.proc.all of sysctl(3).
func List() ([]Listed, error) {
	all, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	if err != nil {
		return nil, fmt.Errorf("list the processes: %w", err)
	}
	list := make([]Listed, 0, len(all))
	for i := range all {
		info := &all[i]
		start := info.Proc.P_starttime
		list = append(list, Listed{
			ID:     dtc.ProcessID{PID: int(info.Proc.P_pid), Start: uint64(start.Sec)*1e6 + uint64(start.Usec)},
			PPID:   int(info.Eproc.Ppid),
			Name:   unix.ByteSliceToString(info.Proc.P_comm[:]),
			Zombie: info.Proc.P_stat == zombie,
		})
	}
	return list, nil
}

// Image returns the path of the program that a process executed, as it was given
// then: what kern.procargs2 of sysctl(3) tells behind the number of arguments. The
// error is [os.ErrPermission] if the system does not let us see it.
func Image(pid int) (string, error) {
	const count = 4 // bytes
	data, err := unix.SysctlRaw("kern.procargs2", pid)
	if errors.Is(err, unix.EINVAL) { // another user's, or one that has ended
		err = unix.EPERM
	}
	if err != nil {
		return "", fmt.Errorf("look which program process %d runs: %w", pid, err)
	}
	if len(data) < count || binary.NativeEndian.Uint32(data) == 0 {
		return "", nil
	}
	path, _, _ := bytes.Cut(data[count:], []byte{0})
	return string(path), nil
}
