package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os/user"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// Accounts are the names of users. A directory service may be asked for one: each
// is asked for once.
type Accounts struct {
	mu    sync.Mutex
	names map[uint32]string // guarded by mu
}

// NewAccounts returns the users of this system.
func NewAccounts() *Accounts { return &Accounts{names: map[uint32]string{}} }

// Owner returns the effective user of a process and its number.
func (a *Accounts) Owner(pid int) (name, id string, err error) {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if errors.Is(err, unix.EIO) || err == nil && int(info.Proc.P_pid) != pid {
		err = fs.ErrNotExist // the kernel answers with nothing
	}
	if err != nil {
		return "", "", fmt.Errorf("look whose process %d is: %w", pid, err)
	}
	uid := info.Eproc.Ucred.Uid
	id = strconv.FormatUint(uint64(uid), 10)
	return a.name(uid, id), id, nil
}

func (a *Accounts) name(uid uint32, id string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if name, ok := a.names[uid]; ok {
		return name
	}
	name := id
	if u, err := user.LookupId(id); err == nil {
		name = u.Username
	}
	a.names[uid] = name
	return name
}
