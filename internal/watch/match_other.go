//go:build !linux

package watch

import (
	"errors"
	"fmt"
	"io/fs"

	"dtc/internal/proc"
)

// owners are who is meant by a rule's user.
type owners string

// system is what all looks at processes share.
type system struct {
	accounts *proc.Accounts
}

func newSystem() *system { return &system{accounts: proc.NewAccounts()} }

// list returns the pids of all processes.
func (*system) list() ([]int, error) {
	all, err := proc.List()
	pids := make([]int, len(all))
	for i := range all {
		pids[i] = all[i].ID.PID
	}
	return pids, err
}

// hidden is nil: this system lists every process.
func (*system) hidden() error { return nil }

// mark returns a number that changes when a pid becomes another process', 0 if
// there is none.
func (*system) mark(pid int) uint64 {
	seen, err := proc.Look(pid)
	if err != nil || seen.Zombie {
		return 0
	}
	return seen.ID.Start
}

// userOf is "": a directory service may take its time to say it, which nobody
// waits for here.
func (*system) userOf(int) string { return "" }

// names are the names of users. Who does not exist has no processes: a directory
// service is not asked whether he does.
type names struct{}

func (*system) load() names { return names{} }

func (names) owners(user string) (who owners, problem string) { return owners(fold(user)), "" }

// subject is the process that is being looked at. What is asked of it is read
// when it is first asked for.
type subject struct {
	system   *system
	careful  bool // what can block is not read
	long     *allowance
	pid      int
	seen     proc.Seen
	hasOwner bool
	owner    string // name
	ownerID  string
	hasLine  bool
	line     []byte
	noLine   bool // it cannot be read
	hasExe   bool
	exe      string
	exeErr   error
}

func (s *system) newSubject(long *allowance) (*subject, error) {
	return &subject{system: s, long: long}, nil
}

func (*subject) close() {}

// enter begins with a process, and says whether there is one.
func (p *subject) enter(pid int) bool {
	*p = subject{system: p.system, long: p.long, careful: p.careful, pid: pid}
	var err error
	p.seen, err = proc.Look(pid)
	if errors.Is(err, fs.ErrPermission) {
		p.seen.ID.PID, err = pid, nil // it is there
	}
	return err == nil
}

// ownedBy says whether its user is the one.
func (p *subject) ownedBy(who owners) fit {
	p.readOwner()
	if who == owners(fold(p.owner)) || who == owners(fold(p.ownerID)) || who == owners(plainUser(p.owner)) {
		return fits
	}
	return fitsNot
}

func (p *subject) readOwner() {
	if !p.hasOwner {
		p.hasOwner = true
		p.owner, p.ownerID, _ = p.system.accounts.Owner(p.pid)
	}
}

// user is the name of its user, "" if the system does not tell.
func (p *subject) user() string {
	p.readOwner()
	return p.owner
}

// commandLine returns its command line; not ok if it cannot be read now.
func (p *subject) commandLine() (line []byte, ok bool) {
	if !p.hasLine {
		p.hasLine = true
		err := errStuck
		if !p.careful {
			var text string
			text, err = proc.Command(p.pid, p.long.limit())
			p.line = []byte(text)
		}
		p.noLine = err != nil && !errors.Is(err, fs.ErrNotExist)
		p.long.spend(len(p.line))
	}
	return p.line, !p.noLine
}

// runs says whether its program is one of these: what the rule says, a path or a
// base name, and the paths where that leads.
func (p *subject) runs(exes []string) fit {
	if !p.hasExe {
		p.hasExe = true
		p.exe, p.exeErr = proc.Image(p.pid)
	}
	for _, exe := range exes {
		switch {
		case !isPath(exe) && samePath(plainProgram(exe), plainProgram(p.program())):
			return fits
		case isPath(exe) && p.exeErr == nil && samePath(exe, p.exe):
			return fits
		}
	}
	if errors.Is(p.exeErr, fs.ErrPermission) && p.program() == "" {
		return refused
	}
	return fitsNot
}

// program is the base name of the program's file.
func (p *subject) program() string {
	if p.exeErr != nil || p.exe == "" {
		return p.seen.Name
	}
	return baseName(p.exe)
}

// refusal says why it cannot be seen whether the process fits.
func (p *subject) refusal() error {
	if p.noLine {
		return fmt.Errorf("process %d does not let itself be read", p.pid)
	}
	return errors.New("the agent may not see which programs other users' processes run: run it as an administrator")
}

// look is what is known of the process. Not ok: it is not there, or has ended.
// A process that is young still runs its parent's program.
func (p *subject) look() (seen proc.Seen, young bool, parent int, ok bool) {
	seen, err := proc.Measure(p.pid)
	if err != nil || seen.Zombie {
		return seen, false, 0, false
	}
	return seen, canFork && seen.Lived < settled, seen.Usage.PPID, true
}
