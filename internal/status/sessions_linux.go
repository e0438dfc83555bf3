package status

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
)

// Of struct utmp, see utmp(5): what is the same in both sizes that it has.
const (
	utmpSize32  = 384 // with times of 32 bits, as on amd64
	utmpSize64  = 400 // with times of 64 bits, as on arm64
	utmpUser    = 44  // 32 bytes
	utmpUserEnd = utmpUser + 32
	utmpMaxType = 9
	userProcess = 7
)

// sessions counts who is logged in as uptime does: by utmp(5), and where the
// system keeps none any more by the sessions of systemd-logind(8).
func (h *host) sessions() int {
	data, err := os.ReadFile(h.path("var/run/utmp"))
	if err == nil {
		return countUtmp(data)
	}
	files, _ := filepath.Glob(h.path("run/systemd/sessions/*"))
	count := 0
	for _, file := range files {
		if strings.HasSuffix(file, ".ref") {
			continue
		}
		if data, err := os.ReadFile(file); err == nil && isUserSession(data) {
			count++
		}
	}
	return count
}

// countUtmp counts the records of users. Which of the two sizes the records have
// shows in whether they make sense.
func countUtmp(data []byte) int {
	for _, size := range []int{utmpSize32, utmpSize64} {
		if n, ok := countRecords(data, size); ok {
			return n
		}
	}
	return 0
}

func countRecords(data []byte, size int) (users int, ok bool) {
	if len(data)%size != 0 {
		return 0, false
	}
	for ; len(data) > 0; data = data[size:] {
		kind := binary.NativeEndian.Uint16(data)
		if kind > utmpMaxType {
			return 0, false
		}
		name, _, _ := bytes.Cut(data[utmpUser:utmpUserEnd], []byte{0})
		if kind == userProcess && len(name) > 0 {
			users++
		}
	}
	return users, true
}

// isUserSession tells sessions of people from those of the login screen and of
// services. The file is of the form KEY=VALUE.
func isUserSession(data []byte) bool {
	for line := range bytes.Lines(data) {
		if class, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("CLASS=")); ok {
			return bytes.HasPrefix(class, []byte("user"))
		}
	}
	return false
}
