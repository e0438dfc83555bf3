package status

import (
	"context"
	"errors"
	"io/fs"

	"dtc"
)

// utmpx is struct utmpx32 of this system, the form of its file of logins.
func utmpx() *utmpLayout {
	return &utmpLayout{
		size: 628, user: span{0, 256}, line: span{260, 292}, pid: 292, kind: 296, seconds: span{300, 304}, host: span{308, 564},
	}
}

// logins answers what who prints.
func (*Collector) logins(context.Context) ([]dtc.User, []string, error) {
	users, err := readLogins()
	return users, nil, err
}

// readLogins reads utmpx(5).
func readLogins() ([]dtc.User, error) {
	data, err := readUpTo("/var/run/utmpx", maxUtmpBytes)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return utmpx().parse(data), nil
}

// sessions counts who is logged in as uptime does.
func (*host) sessions() int {
	users, err := readLogins()
	if err != nil {
		return dtc.Absent
	}
	return len(users)
}
