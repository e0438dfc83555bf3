package proc

import (
	"fmt"
	"sync"

	"golang.org/x/sys/windows"
)

// Accounts are the names of users. A domain controller may be asked for one:
// each is asked for once.
type Accounts struct {
	mu    sync.Mutex
	bySID map[string]string // guarded by mu
}

// NewAccounts returns the users of this system.
func NewAccounts() *Accounts { return &Accounts{bySID: map[string]string{}} }

// Owner returns the user of a process, without the domain, and the security
// identifier.
func (a *Accounts) Owner(pid int) (name, id string, err error) {
	handle, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return "", "", fmt.Errorf("look whose process %d is: %w", pid, err)
	}
	defer func() { _ = windows.CloseHandle(handle) }()
	var token windows.Token
	if err := windows.OpenProcessToken(handle, windows.TOKEN_QUERY, &token); err != nil {
		return "", "", fmt.Errorf("look whose process %d is: %w", pid, err)
	}
	defer func() { _ = token.Close() }()
	user, err := token.GetTokenUser()
	if err != nil {
		return "", "", fmt.Errorf("look whose process %d is: %w", pid, err)
	}
	id = user.User.Sid.String()
	return a.name(user.User.Sid, id), id, nil
}

func (a *Accounts) name(sid *windows.SID, id string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if name, ok := a.bySID[id]; ok {
		return name
	}
	name, _, _, err := sid.LookupAccount("")
	if err != nil || name == "" {
		name = id
	}
	a.bySID[id] = name
	return name
}
