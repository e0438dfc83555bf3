package proc

import (
	"unsafe"

	"github.com/shirou/gopsutil/v4/process"
	"golang.org/x/sys/windows"

	"dtc"
)

// parentOf is the pid of the process that made a process; it may have ended
// since, and its pid be another's.
func parentOf(pid int) int {
	handle, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return dtc.Absent
	}
	defer func() { _ = windows.CloseHandle(handle) }()
	var info windows.PROCESS_BASIC_INFORMATION
	err = windows.NtQueryInformationProcess(handle, windows.ProcessBasicInformation,
		unsafe.Pointer(&info), uint32(unsafe.Sizeof(info)), nil)
	if err != nil {
		return dtc.Absent
	}
	return int(info.InheritedFromUniqueProcessId)
}

// threadsOf is not known: only a list of all processes tells it.
func threadsOf(*process.Process) int { return dtc.Absent }
