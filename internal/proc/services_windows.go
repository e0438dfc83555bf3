package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"unsafe"

	"golang.org/x/sys/windows"
)

// ServicePID returns the process of a service, by the name that the system has
// for it and not the one that it shows: 0 if the service does not run. The error
// wraps [os.ErrNotExist] if there is no such service.
func ServicePID(name string) (int, error) {
	pid, err := servicePID(name)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) || errors.Is(err, windows.ERROR_INVALID_NAME) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return 0, fmt.Errorf("look for service %q: %w", name, err)
	}
	return pid, nil
}

func servicePID(name string) (int, error) {
	text, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return 0, err
	}
	manager, err := windows.OpenSCManager(nil, nil, windows.SC_MANAGER_CONNECT)
	if err != nil {
		return 0, err
	}
	defer func() { _ = windows.CloseServiceHandle(manager) }()
	service, err := windows.OpenService(manager, text, windows.SERVICE_QUERY_STATUS)
	if err != nil {
		return 0, err
	}
	defer func() { _ = windows.CloseServiceHandle(service) }()
	var status windows.SERVICE_STATUS_PROCESS
	var needed uint32
	err = windows.QueryServiceStatusEx(service, windows.SC_STATUS_PROCESS_INFO, (*byte)(unsafe.Pointer(&status)), uint32(unsafe.Sizeof(status)), &needed)
	return int(status.ProcessId), err
}
