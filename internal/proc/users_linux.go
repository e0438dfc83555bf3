package proc

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Users are the names of the users of a system: those of /etc/passwd, read again
// when it changes, and those that systemd makes up for a service (DynamicUser= in
// systemd.exec(5)). Names that only a directory service knows are not asked for:
// it might not answer.
type Users struct {
	path string
	dyn  string // where systemd keeps the users that it makes up

	mu    sync.Mutex // guards what follows
	mtime time.Time
	size  int64
	names *passwd
}

// passwd is what passwd(5) says.
type passwd struct {
	names   map[uint32]string // the first of each number
	numbers map[string]uint32 // a number may have several names
}

// NewUsers returns the users of the system whose files lie under root.
func NewUsers(root string) *Users {
	return &Users{
		path: filepath.Join(root, "etc/passwd"),
		dyn:  filepath.Join(root, "run/systemd/dynamic-uid"),
	}
}

// Load returns the names of now. The result is for one goroutine.
func (u *Users) Load() *UserNames {
	u.mu.Lock()
	defer u.mu.Unlock()
	info, err := os.Stat(u.path)
	if err == nil && (u.names == nil || !info.ModTime().Equal(u.mtime) || info.Size() != u.size) {
		if data, err := os.ReadFile(u.path); err == nil {
			names := parsePasswd(data)
			u.names, u.mtime, u.size = &names, info.ModTime(), info.Size()
		}
	}
	n := &UserNames{users: u}
	if u.names != nil {
		n.known = *u.names
	}
	return n
}

// parsePasswd reads passwd(5). Of several names of one number the first counts.
func parsePasswd(data []byte) passwd {
	p := passwd{names: make(map[uint32]string), numbers: make(map[string]uint32)}
	for line := range bytes.Lines(data) {
		fields := bytes.SplitN(line, []byte(":"), 4)
		if len(fields) < 4 || len(fields[0]) == 0 || fields[0][0] == '#' {
			continue
		}
		uid, err := strconv.ParseUint(string(fields[2]), 10, 32)
		if err != nil {
			continue
		}
		name := string(fields[0])
		if _, have := p.names[uint32(uid)]; !have {
			p.names[uint32(uid)] = name
		}
		if _, have := p.numbers[name]; !have {
			p.numbers[name] = uint32(uid)
		}
	}
	return p
}

// UserNames gives numbers their names, and names their numbers.
type UserNames struct {
	users  *Users
	known  passwd            // shared, not to be changed
	others map[uint32]string // that stand in no file; nil until there is one
}

// Name is the name of a user, or the number if there is none.
func (n *UserNames) Name(uid uint32) string {
	if name, ok := n.known.names[uid]; ok {
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

// Numbers appends the numbers that a text may mean, which is a name or a number:
// none if there is no such user.
func (n *UserNames) Numbers(into []uint32, text string) []uint32 {
	if uid, ok := n.known.numbers[text]; ok {
		into = append(into, uid)
	}
	if uid, err := strconv.ParseUint(text, 10, 32); err == nil {
		into = append(into, uint32(uid))
	}
	if uid, ok := n.users.madeUp(text); ok {
		into = append(into, uid)
	}
	return into
}

// dynamic is the name of a user that systemd made up for a service, or else the
// number.
func (u *Users) dynamic(uid uint32) string {
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

// madeUp is the inverse of dynamic.
func (u *Users) madeUp(name string) (uid uint32, ok bool) {
	if strings.ContainsRune(name, '/') {
		return 0, false
	}
	text, err := os.Readlink(filepath.Join(u.dyn, "direct:"+name))
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err == nil
}
