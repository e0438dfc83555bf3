package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"

	"dtc"
)

// Look returns what is known of the process with this pid: see [Seen]. The
// error wraps [os.ErrNotExist] if there is none. Start is the time of creation
// in units of 100 ns since 1601. A process that ended counts as a zombie as long
// as somebody holds a handle to it.
func Look(pid int) (Seen, error) {
	seen, err := look(pid)
	if err != nil {
		return Seen{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	return seen, nil
}

func look(pid int) (Seen, error) {
	if pid <= 0 || int64(pid) > 1<<32-1 || pid%4 != 0 {
		// OpenProcess rounds a pid down to a multiple of four, and would open
		// another process than the one asked for.
		return Seen{}, fs.ErrNotExist
	}
	handle, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION|windows.SYNCHRONIZE, false, uint32(pid))
	if errors.Is(err, windows.ERROR_INVALID_PARAMETER) {
		return Seen{}, fs.ErrNotExist
	}
	if err != nil {
		return Seen{}, err
	}
	defer func() { _ = windows.CloseHandle(handle) }()

	var created, ended, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(handle, &created, &ended, &kernel, &user); err != nil {
		return Seen{}, err
	}
	seen := Seen{ID: dtc.ProcessID{PID: pid, Start: ticks(created)}, Name: imageName(handle)}
	until := now()
	if state, err := windows.WaitForSingleObject(handle, 0); err == nil && state == windows.WAIT_OBJECT_0 {
		seen.Zombie = true
		seen.Exit = exitOf(handle)
		until = ticks(ended)
	}
	seen.Lived = time.Duration(max(0, int64(until-seen.ID.Start))) * 100
	return seen, nil
}

func exitOf(handle windows.Handle) dtc.Exit {
	var code uint32
	if err := windows.GetExitCodeProcess(handle, &code); err != nil {
		return dtc.Exit{}
	}
	return dtc.Exit{Kind: dtc.ExitCode, Number: int(code)}
}

// imageName is the base name of the executable, "" if the system does not tell.
func imageName(handle windows.Handle) string {
	buf := make([]uint16, windows.MAX_LONG_PATH)
	size := uint32(len(buf))
	if err := windows.QueryFullProcessImageName(handle, 0, &buf[0], &size); err != nil {
		return ""
	}
	path := windows.UTF16ToString(buf[:size])
	return path[strings.LastIndexAny(path, `\/`)+1:]
}

func now() uint64 {
	var ft windows.Filetime
	windows.GetSystemTimePreciseAsFileTime(&ft)
	return ticks(ft)
}

// ticks is a time in units of 100 ns since 1601.
func ticks(ft windows.Filetime) uint64 {
	return uint64(ft.HighDateTime)<<32 | uint64(ft.LowDateTime)
}

// systemTimeOfDay is SYSTEM_TIMEOFDAY_INFORMATION, in units of 100 ns.
type systemTimeOfDay struct {
	BootTime      int64
	CurrentTime   int64
	TimeZoneBias  int64
	TimeZoneID    uint32
	Reserved      uint32
	BootTimeBias  uint64
	SleepTimeBias uint64
}

// BootID names this boot of the machine: another value means that it rebooted
// since, and that no identity of before is valid. It is the time of the boot as
// the clock showed it then: the kernel moves BootTime when the clock is set, and
// keeps the sum of these moves in BootTimeBias.
func BootID() (string, error) {
	var info systemTimeOfDay
	err := windows.NtQuerySystemInformation(windows.SystemTimeOfDayInformation, unsafe.Pointer(&info), uint32(unsafe.Sizeof(info)), nil)
	if err != nil {
		return "", fmt.Errorf("read the time of the boot: %w", err)
	}
	return strconv.FormatUint(uint64(info.BootTime)-info.BootTimeBias, 16), nil
}

// SinceBoot is the time since the machine started, with the time that it slept
// (GetTickCount64). Nobody can set this clock.
func SinceBoot() time.Duration { return windows.DurationSinceBoot() }
