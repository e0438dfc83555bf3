package status

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strconv"

	"dtc"
)

// logins answers what who prints: by utmp(5), and where the system keeps none
// any more by the sessions of systemd-logind(8). That nobody is logged in is an
// answer too.
func (c *Collector) logins(context.Context) ([]dtc.User, []string, error) {
	data, err := c.host.readUtmp()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c.host.logindSessions(), nil, nil
	case err != nil:
		return nil, nil, err
	}
	return slices.DeleteFunc(parseUtmp(data), c.host.isGone), nil, nil
}

// isGone tells whether the process of a login has ended: nobody took the
// record away then.
func (h *host) isGone(u dtc.User) bool {
	// Where /proc hides the processes of others, it tells nothing about them.
	return u.PID > 0 && !h.has("proc/"+strconv.Itoa(u.PID)) && h.has("proc/1")
}
