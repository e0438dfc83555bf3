package status

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"

	"dtc"
)

// services answers which services the service control manager has, without
// drivers, in the words of systemd. No more rights are asked for than to list
// them.
func (c *Collector) services(ctx context.Context) ([]dtc.Service, []string, error) {
	manager, err := windows.OpenSCManager(nil, nil, windows.SC_MANAGER_CONNECT|windows.SC_MANAGER_ENUMERATE_SERVICE)
	if err != nil {
		return nil, nil, fmt.Errorf("open the service control manager: %w", err)
	}
	defer func() { _ = windows.CloseServiceHandle(manager) }()
	var found foundServices
	var notes []string
	var resume uint32
	more := true
	for more && len(found.list) < maxServices {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		if more, err = found.enumerate(manager, &resume); err != nil {
			return nil, nil, fmt.Errorf("list the services: %w", err)
		}
	}
	found.times()
	slices.SortFunc(found.list, func(x, y dtc.Service) int { return compareNames(x.Name, y.Name) })
	if more {
		notes = []string{fmt.Sprintf("only %d services are told, there are more", len(found.list))}
	}
	return found.list, notes, nil
}

// foundServices are services, and of each whether it is of the kind that has a
// process of its own.
type foundServices struct {
	list []dtc.Service
	own  []bool
}

// enumerate adds what one call lists, and tells whether there is more.
func (f *foundServices) enumerate(manager windows.Handle, resume *uint32) (more bool, err error) {
	const most = 256 << 10 // bytes, that a call may give
	buf := make([]byte, most)
	var needed, count uint32
	err = windows.EnumServicesStatusEx(manager, windows.SC_ENUM_PROCESS_INFO, windows.SERVICE_WIN32, windows.SERVICE_STATE_ALL,
		&buf[0], most, &needed, &count, resume, nil)
	more = errors.Is(err, windows.ERROR_MORE_DATA)
	switch {
	case err != nil && !more:
		return false, err
	case more && count == 0:
		return false, errors.New("one service does not fit into an answer")
	}
	for _, entry := range unsafe.Slice((*windows.ENUM_SERVICE_STATUS_PROCESS)(unsafe.Pointer(&buf[0])), count) {
		f.list = append(f.list, serviceOf(&entry))
		f.own = append(f.own, entry.ServiceStatusProcess.ServiceType&windows.SERVICE_WIN32_OWN_PROCESS != 0)
	}
	runtime.KeepAlive(buf) // holds the names
	return more, nil
}

// times sets since when services run: as long as the process that each has to
// itself. The system keeps no time of its own for it.
func (f *foundServices) times() {
	inProcess := make(map[int]int)
	for i := range f.list {
		inProcess[f.list[i].PID]++
	}
	for i := range f.list {
		s := &f.list[i]
		runs := s.State == serviceActive || s.State == serviceActivating
		if runs && s.PID > 0 && (f.own[i] || inProcess[s.PID] == 1) {
			s.Since = processStart(uint32(s.PID))
		}
	}
}

func serviceOf(entry *windows.ENUM_SERVICE_STATUS_PROCESS) dtc.Service {
	status := &entry.ServiceStatusProcess
	s := dtc.Service{
		Name: windows.UTF16PtrToString(entry.ServiceName), Description: windows.UTF16PtrToString(entry.DisplayName), PID: dtc.Absent,
	}
	s.State, s.SubState = serviceState(status.CurrentState, status.Win32ExitCode)
	if status.ProcessId != 0 {
		s.PID = int(status.ProcessId)
	}
	return s
}

// serviceState is the state of a service in systemd's words. The exit code is
// that with which it stopped, or that it has not been started since the boot.
func serviceState(state, exitCode uint32) (active, sub string) {
	switch state {
	case windows.SERVICE_STOPPED:
		if exitCode != uint32(windows.NO_ERROR) && exitCode != uint32(windows.ERROR_SERVICE_NEVER_STARTED) {
			return serviceFailed, serviceFailed
		}
		return serviceInactive, serviceDead
	case windows.SERVICE_START_PENDING:
		return serviceActivating, "start-pending"
	case windows.SERVICE_STOP_PENDING:
		return serviceDeactivating, "stop-pending"
	case windows.SERVICE_RUNNING:
		return serviceActive, serviceRunning
	case windows.SERVICE_CONTINUE_PENDING:
		return serviceActive, "continue-pending"
	case windows.SERVICE_PAUSE_PENDING:
		return serviceActive, "pause-pending"
	case windows.SERVICE_PAUSED:
		return serviceActive, "paused"
	default:
		return "", ""
	}
}

// processStart is when a process was created, zero if that may not be known.
func processStart(pid uint32) time.Time {
	handle, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, pid)
	if err != nil {
		return time.Time{}
	}
	defer func() { _ = windows.CloseHandle(handle) }()
	var created, ended, kernel, user windows.Filetime
	if windows.GetProcessTimes(handle, &created, &ended, &kernel, &user) != nil {
		return time.Time{}
	}
	return time.Unix(0, created.Nanoseconds())
}
