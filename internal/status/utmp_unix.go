//go:build unix

package status

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
)

// maxUtmpBytes is how much of the file of logins is read: 20,000 records.
const maxUtmpBytes = 8 << 20

// utmpLayout says where in a record of logins what stands: struct utmp or
// utmpx. Its type is a number of 16 bits.
type utmpLayout struct {
	size, kind, pid           int
	line, user, host, seconds span
}

// span is a field of a record.
type span struct{ from, to int }

func (s span) of(record []byte) []byte { return record[s.from:s.to] }

// text is a text that ends at a NUL or with its field.
func (s span) text(record []byte) string {
	text, _, _ := bytes.Cut(s.of(record), []byte{0})
	return string(text)
}

// parse returns the logins of users.
func (l *utmpLayout) parse(data []byte) []dtc.User {
	const userProcess = 7
	var users []dtc.User
	for ; len(data) >= l.size; data = data[l.size:] {
		record := data[:l.size]
		u := dtc.User{
			Name: l.user.text(record), Line: l.line.text(record), From: l.host.text(record),
			PID: int(int32(binary.NativeEndian.Uint32(record[l.pid:]))), LoginAt: l.time(record),
		}
		if l.kindOf(record) != userProcess || u.Name == "" {
			continue
		}
		if u.PID <= 0 {
			u.PID = dtc.Absent
		}
		users = append(users, u)
	}
	return users
}

func (l *utmpLayout) kindOf(record []byte) uint16 { return binary.NativeEndian.Uint16(record[l.kind:]) }

// time is when the login was. Seconds of 32 bits last until 2106: none are
// before 1970.
func (l *utmpLayout) time(record []byte) time.Time {
	seconds := l.seconds.of(record)
	if len(seconds) == 4 {
		return time.Unix(int64(binary.NativeEndian.Uint32(seconds)), 0)
	}
	return time.Unix(int64(binary.NativeEndian.Uint64(seconds)), 0)
}

// readUpTo reads a file that others may write, up to a limit. What is no
// regular file is empty.
func readUpTo(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, limit))
}
