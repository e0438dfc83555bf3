package status

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"

	"dtc"
)

// What WTSQuerySessionInformation is asked for: WTS_INFO_CLASS.
const (
	wtsUserName    = 5
	wtsClientName  = 10
	wtsSessionInfo = 24
)

// wtsInfo is WTSINFOW. Its times are in units of 100 ns since 1601.
type wtsInfo struct {
	_     [8]uint32  // state, id, traffic
	_     [70]uint16 // station, domain, user
	_     [3]int64   // connected, disconnected, last input
	logon int64
	_     int64 // now
}

// logins answers what who prints: the sessions that users have here, at the
// console and by Remote Desktop, those that they left open included.
func (*Collector) logins(context.Context) ([]dtc.User, []string, error) {
	users, err := readLogins()
	return users, nil, err
}

// sessions counts who is logged in.
func (*host) sessions() int {
	users, err := readLogins()
	if err != nil {
		return dtc.Absent
	}
	return len(users)
}

func readLogins() ([]dtc.User, error) {
	var first *windows.WTS_SESSION_INFO
	var n uint32
	_, err := try("sessions", func() (struct{}, error) {
		return struct{}{}, windows.WTSEnumerateSessions(0, 0, 1, &first, &n)
	})
	if err != nil {
		return nil, fmt.Errorf("list the sessions: %w", err)
	}
	defer windows.WTSFreeMemory(uintptr(unsafe.Pointer(first)))
	query := windows.NewLazySystemDLL("wtsapi32.dll").NewProc("WTSQuerySessionInformationW")
	if err := query.Find(); err != nil {
		return nil, fmt.Errorf("ask for the sessions: %w", err)
	}
	var users []dtc.User
	for _, s := range unsafe.Slice(first, n) {
		if u, ok := loginOf(sessionQuery{query, s.SessionID}, windows.UTF16PtrToString(s.WindowStationName)); ok {
			users = append(users, u)
		}
	}
	return users, nil
}

// loginOf is the login of a session; ok is false if it is none of a user.
func loginOf(q sessionQuery, station string) (u dtc.User, ok bool) {
	u = dtc.User{Name: q.text(wtsUserName), Line: strings.ToLower(station), From: q.text(wtsClientName), PID: dtc.Absent}
	if u.Name == "" {
		return u, false
	}
	if b := q.bytes(wtsSessionInfo); len(b) >= int(unsafe.Sizeof(wtsInfo{})) {
		if logon := (*wtsInfo)(unsafe.Pointer(&b[0])).logon; logon > 0 {
			ft := windows.Filetime{LowDateTime: uint32(logon), HighDateTime: uint32(logon >> 32)}
			u.LoginAt = time.Unix(0, ft.Nanoseconds())
		}
	}
	return u, true
}

// sessionQuery asks about one session.
type sessionQuery struct {
	call *windows.LazyProc
	id   uint32
}

// bytes is the answer, nil if there is none.
func (q sessionQuery) bytes(what uintptr) []byte {
	var buf *byte
	var n uint32
	ok, _, _ := q.call.Call(0, uintptr(q.id), what, uintptr(unsafe.Pointer(&buf)), uintptr(unsafe.Pointer(&n)))
	if ok == 0 || buf == nil {
		return nil
	}
	defer windows.WTSFreeMemory(uintptr(unsafe.Pointer(buf)))
	return slices.Clone(unsafe.Slice(buf, n))
}

func (q sessionQuery) text(what uintptr) string {
	b := q.bytes(what)
	if len(b) < 2 {
		return ""
	}
	return windows.UTF16ToString(unsafe.Slice((*uint16)(unsafe.Pointer(&b[0])), len(b)/2))
}
