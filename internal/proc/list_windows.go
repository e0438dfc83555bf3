package proc

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"

	"dtc"
)

// maxProcessList bounds the system's list of processes and their threads.
const maxProcessList = 256 << 20

// List returns all processes: what NtQuerySystemInformation calls
// SystemProcessInformation.
func List() ([]Listed, error) {
	data, err := processList()
	if err != nil {
		return nil, fmt.Errorf("list the processes: %w", err)
	}
	var list []Listed
	for {
		info := (*windows.SYSTEM_PROCESS_INFORMATION)(unsafe.Pointer(&data[0]))
		if pid := int(info.UniqueProcessID); pid != 0 { // the idle process is none
			list = append(list, Listed{
				ID:   dtc.ProcessID{PID: pid, Start: uint64(info.CreateTime)},
				PPID: int(info.InheritedFromUniqueProcessID),
				Name: info.ImageName.String(),
			})
		}
		next := int(info.NextEntryOffset)
		if next < int(unsafe.Sizeof(*info)) || next > len(data)-int(unsafe.Sizeof(*info)) {
			return list, nil
		}
		data = data[next:]
	}
}

// processList asks with more and more room, until the list fits.
func processList() ([]byte, error) {
	for size := uint32(256 << 10); size <= maxProcessList; size *= 2 {
		// Of words, so that its beginning is where a structure may be.
		buf := make([]uint64, size/8)
		err := windows.NtQuerySystemInformation(windows.SystemProcessInformation, unsafe.Pointer(&buf[0]), size, nil)
		if errors.Is(err, windows.STATUS_INFO_LENGTH_MISMATCH) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return unsafe.Slice((*byte)(unsafe.Pointer(&buf[0])), size), nil
	}
	return nil, errors.New("there are too many")
}

// Image returns the path of the program that a process runs. The error is
// [os.ErrPermission] if the system does not let us see it.
func Image(pid int) (string, error) {
	handle, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return "", fmt.Errorf("look which program process %d runs: %w", pid, err)
	}
	defer func() { _ = windows.CloseHandle(handle) }()
	buf := make([]uint16, windows.MAX_LONG_PATH)
	size := uint32(len(buf))
	if err := windows.QueryFullProcessImageName(handle, 0, &buf[0], &size); err != nil {
		return "", fmt.Errorf("look which program process %d runs: %w", pid, err)
	}
	return windows.UTF16ToString(buf[:size]), nil
}
