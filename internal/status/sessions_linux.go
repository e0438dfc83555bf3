package status

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"dtc"
)

const (
	maxSessionBytes = 64 << 10 // that is read of the file of a session
	maxSessions     = 10_000
)

// Of struct utmp there are two sizes, see utmp(5): with times of 32 bits, as on
// amd64, and of 64 bits, as on arm64.
var (
	utmp32 = utmpLayout{size: 384, pid: 4, line: span{8, 40}, user: span{44, 76}, host: span{76, 332}, seconds: span{340, 344}}
	utmp64 = utmpLayout{size: 400, pid: 4, line: span{8, 40}, user: span{44, 76}, host: span{76, 332}, seconds: span{344, 352}}
)

// sessions counts who is logged in as uptime does: by utmp(5), and where the
// system keeps none any more by the sessions of systemd-logind(8).
func (h *host) sessions() int {
	if data, err := h.readUtmp(); err == nil {
		return len(parseUtmp(data))
	}
	return len(h.logindSessions())
}

func (h *host) readUtmp() ([]byte, error) {
	return readUpTo(h.path("var/run/utmp"), maxUtmpBytes)
}

// parseUtmp returns the logins of users. Which size the records have shows in
// whether they make sense.
func parseUtmp(data []byte) []dtc.User {
	for _, layout := range []utmpLayout{utmp32, utmp64} {
		if layout.fits(data) {
			return layout.parse(data)
		}
	}
	return utmp32.parse(data)
}

// fits tells whether data are whole records of types that there are.
func (l *utmpLayout) fits(data []byte) bool {
	const lastType = 9
	for ; len(data) >= l.size; data = data[l.size:] {
		if l.kindOf(data) > lastType {
			return false
		}
	}
	return len(data) == 0
}

// logindSessions are the sessions of users that systemd-logind(8) has, the
// oldest first.
func (h *host) logindSessions() []dtc.User {
	dir := h.path("run/systemd/sessions")
	entries, _ := os.ReadDir(dir)
	var users []dtc.User
	for _, entry := range entries[:min(len(entries), maxSessions)] {
		if !entry.Type().IsRegular() {
			continue
		}
		data, err := readUpTo(filepath.Join(dir, entry.Name()), maxSessionBytes)
		if err != nil {
			continue
		}
		if u, ok := parseSession(data); ok {
			users = append(users, u)
		}
	}
	slices.SortStableFunc(users, func(x, y dtc.User) int { return x.LoginAt.Compare(y.LoginAt) })
	return users
}

// parseSession reads the file of a session, of the form KEY=VALUE. ok is false
// for those of the login screen and of services.
func parseSession(data []byte) (u dtc.User, ok bool) {
	values := make(map[string]string)
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		values[key] = value
	}
	if !strings.HasPrefix(values["CLASS"], "user") {
		return u, false
	}
	u = dtc.User{Name: values["USER"], Line: values["TTY"], From: values["REMOTE_HOST"], PID: dtc.Absent}
	if u.Name == "" {
		u.Name = values["UID"]
	}
	if pid, err := strconv.ParseInt(values["LEADER"], 10, 32); err == nil && pid > 0 {
		u.PID = int(pid)
	}
	if since, err := strconv.ParseInt(values["REALTIME"], 10, 64); err == nil && since > 0 {
		u.LoginAt = time.UnixMicro(since)
	}
	return u, true
}
