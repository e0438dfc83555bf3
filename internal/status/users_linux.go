package status

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// users are the names of /etc/passwd, read again when it changes.
type users struct {
	path string
	dyn  string // where systemd keeps the users that it makes up for a service

	mu    sync.Mutex // guards what follows
	mtime time.Time
	size  int64
	names map[uint32]string
}

func newUsers(root string) *users {
	return &users{
		path: filepath.Join(root, "etc/passwd"),
		dyn:  filepath.Join(root, "run/systemd/dynamic-uid"),
	}
}

// load returns the names of now. The result is for one goroutine.
func (u *users) load() *userNames {
	u.mu.Lock()
	defer u.mu.Unlock()
	info, err := os.Stat(u.path)
	if err == nil && (u.names == nil || !info.ModTime().Equal(u.mtime) || info.Size() != u.size) {
		if data, err := os.ReadFile(u.path); err == nil {
			u.names, u.mtime, u.size = parsePasswd(data), info.ModTime(), info.Size()
		}
	}
	return &userNames{users: u, known: u.names}
}

// parsePasswd reads passwd(5). Of several names of one number the first counts.
func parsePasswd(data []byte) map[uint32]string {
	names := make(map[uint32]string)
	for line := range bytes.Lines(data) {
		fields := bytes.SplitN(line, []byte(":"), 4)
		if len(fields) < 4 || len(fields[0]) == 0 || fields[0][0] == '#' {
			continue
		}
		uid, err := strconv.ParseUint(string(fields[2]), 10, 32)
		if _, have := names[uint32(uid)]; err == nil && !have {
			names[uint32(uid)] = string(fields[0])
		}
	}
	return names
}

// userNames gives numbers their names.
type userNames struct {
	users  *users
	known  map[uint32]string // shared, not to be changed
	others map[uint32]string // that stand in no file; nil until there is one
}

// name is the name of a user, or the number if there is none. Names that only a
// directory service knows are not asked for: it might not answer.
func (n *userNames) name(uid uint32) string {
	if name, ok := n.known[uid]; ok {
		return name
	}
	if name, ok := n.others[uid]; ok {
		return name
	}
	name := n.users.dynamic(uid)
	if n.others == nil {
		n.others = make(map[uint32]string)
	}
	n.others[uid] = name
	return name
}

// dynamic is the name of a user that systemd made up for a service
// (DynamicUser= in systemd.exec(5)), or else the number.
func (u *users) dynamic(uid uint32) string {
	number := strconv.FormatUint(uint64(uid), 10)
	const first, last = 61184, 65519
	if uid < first || uid > last {
		return number
	}
	name, err := os.Readlink(filepath.Join(u.dyn, "direct:"+number))
	if err != nil || name == "" {
		return number
	}
	return name
}
