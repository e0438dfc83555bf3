package status

import (
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"

	"dtc"
)

// TestServices compares with what each service says when asked alone.
func TestServices(t *testing.T) {
	list, notes, err := New(Options{}).services(t.Context())
	if err != nil || len(notes) > 0 {
		t.Fatal(notes, err)
	}
	manager, err := mgr.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = manager.Disconnect() }()
	names, err := manager.ListServices()
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(names, compareNames)
	if len(list) == 0 || len(names) != len(list) {
		t.Fatalf("%d services, want %d", len(list), len(names))
	}
	running := 0
	for i, s := range list {
		t.Logf("%+v", s)
		if s.Name != names[i] {
			t.Errorf("%q, want %q", s.Name, names[i])
			continue
		}
		service, err := manager.OpenService(s.Name)
		if err != nil {
			t.Fatal(err)
		}
		status, err := service.Query()
		if err != nil {
			t.Fatal(err)
		}
		displayName, serviceType := configOf(t, service)
		_ = service.Close()
		if s.Description != displayName {
			t.Errorf("%s: %q, want %q", s.Name, s.Description, displayName)
		}
		if is := status.State == svc.Running; is != (s.State == "active") || s.PID > 0 && s.PID != int(status.ProcessId) {
			t.Errorf("%+v, asked alone %+v", s, status)
		}
		if s.State == "active" {
			running++
			alone := !slices.ContainsFunc(list, func(other dtc.Service) bool { return other.PID == s.PID && other.Name != s.Name })
			if own := serviceType == windows.SERVICE_WIN32_OWN_PROCESS; (own || alone) == s.Since.IsZero() || s.Since.After(time.Now()) {
				t.Errorf("%+v, of type %d", s, serviceType)
			}
		} else if !s.Since.IsZero() && s.State != "activating" {
			t.Errorf("%+v", s)
		}
	}
	if running == 0 {
		t.Error("no service runs")
	}
}

// configOf asks for no more than Wine knows.
func configOf(tb testing.TB, service *mgr.Service) (displayName string, serviceType uint32) {
	tb.Helper()
	buf := make([]byte, 8<<10) // the most that it takes
	config := (*windows.QUERY_SERVICE_CONFIG)(unsafe.Pointer(&buf[0]))
	var needed uint32
	if err := windows.QueryServiceConfig(service.Handle, config, uint32(len(buf)), &needed); err != nil {
		tb.Fatal(err)
	}
	return windows.UTF16PtrToString(config.DisplayName), config.ServiceType
}

func TestServiceState(t *testing.T) {
	for _, test := range []struct {
		state, code uint32
		active, sub string
	}{
		{1, 0, "inactive", "dead"},
		{1, 1077, "inactive", "dead"},
		{1, 3, "failed", "failed"},
		{1, 1066, "failed", "failed"},
		{2, 0, "activating", "start-pending"},
		{3, 0, "deactivating", "stop-pending"},
		{4, 3, "active", "running"},
		{5, 0, "active", "continue-pending"},
		{6, 0, "active", "pause-pending"},
		{7, 0, "active", "paused"},
		{8, 0, "", ""},
	} {
		if active, sub := serviceState(test.state, test.code); active != test.active || sub != test.sub {
			t.Errorf("%d, %d: %s/%s", test.state, test.code, active, sub)
		}
	}
}
