package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"
	"golang.org/x/sys/windows/svc/mgr"
)

// mayManage fails for who may not change services.
func (s Service) mayManage() error {
	m, err := mgr.Connect()
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) {
		return errors.New("only an administrator may do that: run it in a prompt that was opened as administrator")
	}
	if err != nil {
		return fmt.Errorf("ask the service manager: %w", err)
	}
	return m.Disconnect()
}

// with calls do with the service as the manager has it.
func (s Service) with(do func(*mgr.Service) error) error {
	m, err := mgr.Connect()
	if err != nil {
		return fmt.Errorf("ask the service manager: %w", err)
	}
	defer func() { _ = m.Disconnect() }()
	it, err := m.OpenService(s.Name)
	if err != nil {
		return fmt.Errorf("ask the service manager: %w", err)
	}
	defer func() { _ = it.Close() }()
	return do(it)
}

// keepUp has the service started again also where it ended with an error, and
// not by a crash only.
func (s Service) keepUp() error {
	err := s.with(func(it *mgr.Service) error { return it.SetRecoveryActionsOnNonCrashFailures(true) })
	if errors.Is(err, windows.ERROR_INVALID_LEVEL) { // Wine does not know it
		return nil
	}
	return err
}

// details adds the pid and since when it is there. Without rights they are
// missing.
func (s Service) details(st *Status) {
	_ = s.with(func(it *mgr.Service) error {
		is, err := it.Query()
		if err != nil {
			return err
		}
		st.PID = int(is.ProcessId)
		if c, err := configOf(it); err == nil {
			st.Boots = c.StartType == mgr.StartAutomatic
		}
		st.Since = startOf(is.ProcessId)
		return nil
	})
}

// startOf returns when a process was started; zero where that is not told.
func startOf(pid uint32) time.Time {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, pid)
	if err != nil {
		return time.Time{}
	}
	defer func() { _ = windows.CloseHandle(h) }()
	var created, exited, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(h, &created, &exited, &kernel, &user); err != nil {
		return time.Time{}
	}
	return time.Unix(0, created.Nanoseconds())
}

// installedHome returns the home that the service was installed with; empty
// where that cannot be read.
func (s Service) installedHome() string {
	var home string
	_ = s.with(func(it *mgr.Service) error {
		c, err := configOf(it)
		if err != nil {
			return err
		}
		words, err := windows.DecomposeCommandLine(windows.UTF16PtrToString(c.BinaryPathName))
		if err == nil {
			home = homeAmong(words)
		}
		return err
	})
	return home
}

// configOf asks how a service is configured, in a single question: mgr asks for
// more, which Wine does not know.
func configOf(it *mgr.Service) (*windows.QUERY_SERVICE_CONFIG, error) {
	b := make([]byte, 8<<10) // the most that the answer takes
	c := (*windows.QUERY_SERVICE_CONFIG)(unsafe.Pointer(&b[0]))
	var needed uint32
	err := windows.QueryServiceConfig(it.Handle, c, uint32(len(b)), &needed)
	return c, err
}

// RunAs runs the program: under the service manager if that has started it,
// which then ends it too, else in the foreground.
func RunAs(ctx context.Context, name string, run func(context.Context) error) error {
	if !underServices() {
		return run(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &underManager{run: func() error { return run(ctx) }, stop: cancel}
	if err := svc.Run(name, p); err != nil {
		return fmt.Errorf("run as the service %s: %w", name, err)
	}
	return p.err
}

// underServices tells whether the service manager has started this process:
// whether its parent is services.exe. [svc.IsWindowsService] wants that to be in
// session 0 besides, which under Wine it is not.
func underServices() bool {
	if is, err := svc.IsWindowsService(); err == nil && is {
		return true
	}
	processes, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	if err != nil {
		return false
	}
	defer func() { _ = windows.CloseHandle(processes) }()
	parent := uint32(windows.Getppid())
	p := windows.ProcessEntry32{Size: uint32(unsafe.Sizeof(windows.ProcessEntry32{}))}
	for err = windows.Process32First(processes, &p); err == nil; err = windows.Process32Next(processes, &p) {
		if p.ProcessID == parent {
			return strings.EqualFold(windows.UTF16ToString(p.ExeFile[:]), "services.exe")
		}
	}
	return false
}

// underManager is the program as the service manager sees it.
type underManager struct {
	run  func() error
	stop func() // ends run
	err  error  // of run; valid once svc.Run has returned
}

// Execute runs the program until it ends, or the manager wants it to.
func (p *underManager) Execute(_ []string, orders <-chan svc.ChangeRequest, tell chan<- svc.Status) (own bool, status uint32) {
	tell <- svc.Status{State: svc.StartPending}
	done := make(chan error, 1)
	var running sync.WaitGroup
	running.Go(func() { done <- p.run() })
	defer running.Wait()
	stopping := false
	tell <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	for {
		select {
		case p.err = <-done:
			if p.err != nil && !stopping {
				return true, 1 // so that it is started again
			}
			return false, 0
		case order := <-orders:
			if order.Cmd == svc.Interrogate {
				tell <- order.CurrentStatus
			}
			if order.Cmd == svc.Stop || order.Cmd == svc.Shutdown {
				stopping = true
				tell <- svc.Status{State: svc.StopPending, WaitHint: uint32(startTime / time.Millisecond)}
				p.stop()
			}
		}
	}
}

// Log returns where the program's own log goes: a service has no standard
// error, but the system's event log.
func Log(name string, stderr io.Writer) io.Writer {
	if !underServices() {
		return stderr
	}
	log, err := eventlog.Open(name)
	if err != nil {
		return stderr
	}
	return eventWriter{log} // open for as long as the program runs
}

// eventWriter makes an entry of the system's event log of each line.
type eventWriter struct{ log *eventlog.Log }

func (w eventWriter) Write(line []byte) (int, error) {
	const number = 1 // the message file that eventcreate brings knows 1 to 1000
	text := string(bytes.TrimSpace(bytes.ReplaceAll(line, []byte{0}, nil)))
	var err error
	switch {
	case bytes.Contains(line, []byte("level=ERROR")), bytes.Contains(line, []byte(`"level":"ERROR"`)):
		err = w.log.Error(number, text)
	case bytes.Contains(line, []byte("level=WARN")), bytes.Contains(line, []byte(`"level":"WARN"`)):
		err = w.log.Warning(number, text)
	default:
		err = w.log.Info(number, text)
	}
	return len(line), err
}

// LogHint says where to read what a service has logged.
func (s Service) LogHint() string {
	return "the event viewer has its log: Windows Logs, Application, " + s.Name
}
