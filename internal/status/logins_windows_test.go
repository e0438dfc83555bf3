package status

import (
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/windows"

	"dtc"
)

func TestLoginsOfWindows(t *testing.T) {
	for _, u := range answer(t, dtc.StatusUsers).Users {
		t.Logf("%+v", u)
		if u.Name == "" || u.PID != dtc.Absent || strings.ToLower(u.Line) != u.Line {
			t.Errorf("%+v", u)
		}
	}
}

func TestSessionQuery(t *testing.T) {
	// See WTSINFOW in wtsapi32.h.
	if size, at := unsafe.Sizeof(wtsInfo{}), unsafe.Offsetof(wtsInfo{}.logon); size != 216 || at != 200 {
		t.Errorf("%d bytes, the time of the login at %d", size, at)
	}
	const current = ^uint32(0)
	q := sessionQuery{windows.NewLazySystemDLL("wtsapi32.dll").NewProc("WTSQuerySessionInformationW"), current}
	if u, ok := loginOf(q, "Console"); !ok || u.Name == "" || u.Line != "console" {
		t.Errorf("our own session: %v %+v", ok, u)
	}
	if got := q.bytes(12345); got != nil {
		t.Errorf("a class that does not exist: %v", got)
	}
}
