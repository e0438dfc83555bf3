package watch

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"dtc/internal/proc"
)

// separators are what tells a path from a name.
const separators = "/"

// deleted is what the kernel puts behind the path of a program whose file was
// removed or replaced.
const deleted = " (deleted)"

// owners are the numbers of the users that a rule's user may mean.
type owners []uint32

// system is what all looks at processes share.
type system struct {
	users *proc.Users
}

func newSystem() *system { return &system{users: proc.NewUsers("/")} }

// list returns the pids of all processes.
func (*system) list() ([]int, error) {
	in, err := proc.Default.Scan()
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	return in.PIDs(nil)
}

// hidden says why there may be processes that are not listed, nil if there are
// none: the first one is always there. See hidepid in proc(5).
func (*system) hidden() error {
	if _, err := os.Stat("/proc/1"); errors.Is(err, fs.ErrNotExist) {
		return errors.New("the processes of other users are hidden from the agent: run it as root, or in the group that proc's option gid= names")
	}
	return nil
}

// mark returns a number that changes when a pid becomes another process', 0 if
// there is none.
func (*system) mark(pid int) uint64 {
	var st unix.Stat_t
	if unix.Stat("/proc/"+strconv.Itoa(pid), &st) != nil {
		return 0
	}
	return st.Ino
}

// names are the names of users at one time.
type names struct{ *proc.UserNames }

func (s *system) load() names { return names{s.users.Load()} }

// owners returns who is meant by a user's name or number. The problem is that
// there is nobody.
func (n names) owners(user string) (list owners, problem string) {
	if list = n.Numbers(nil, user); len(list) == 0 {
		problem = "there is no user " + quoted(user)
	}
	return list, problem
}

// subject is the process that is being looked at. What is asked of it is read
// when it is first asked for.
type subject struct {
	in       *proc.Scanner
	users    names
	careful  bool // what can block is not read
	long     *allowance
	pid      int
	owner    uint32
	hasOwner bool
	line     []byte // the command line, in memory that is used again
	hasLine  bool
	noLine   bool // it cannot be read
	exe      []byte
	exeErr   error
	hasExe   bool
}

// newSubject returns one that has entered no process.
func (s *system) newSubject(long *allowance) (*subject, error) {
	in, err := proc.Default.Scan()
	if err != nil {
		return nil, err
	}
	return &subject{in: in, users: s.load(), long: long}, nil
}

func (p *subject) close() { _ = p.in.Close() }

// enter begins with a process, and says whether there is one.
func (p *subject) enter(pid int, careful bool) bool {
	p.pid, p.careful = pid, careful
	p.hasOwner, p.hasLine, p.noLine, p.hasExe, p.exeErr = false, false, false, false, nil
	return p.in.Enter(pid) == nil
}

// ownedBy says whether its effective user is one of these.
func (p *subject) ownedBy(list owners) fit {
	if uid, ok := p.uid(); ok && slices.Contains(list, uid) {
		return fits
	}
	return fitsNot
}

func (p *subject) uid() (uint32, bool) {
	if !p.hasOwner {
		uid, err := p.in.Owner()
		if err != nil {
			return 0, false
		}
		p.owner, p.hasOwner = uid, true
	}
	return p.owner, true
}

// user is the name of its effective user, or the number.
func (p *subject) user() string {
	uid, ok := p.uid()
	if !ok {
		return ""
	}
	return p.users.Name(uid)
}

// commandLine returns its command line as ps shows it, valid until another
// process is entered; not ok if it cannot be read now.
func (p *subject) commandLine() (line []byte, ok bool) {
	if !p.hasLine {
		p.hasLine = true
		var err error
		if p.careful {
			err = errStuck
		} else {
			p.line, err = p.in.Command(p.line[:0], p.long.limit())
		}
		p.noLine = err != nil && !errors.Is(err, fs.ErrNotExist)
		if err != nil {
			p.line = p.line[:0]
		}
		p.long.spend(len(p.line))
	}
	return p.line, !p.noLine
}

// runs says whether its program is one of these: paths, or one base name.
func (p *subject) runs(exes []string) fit {
	if !p.hasExe {
		p.hasExe = true
		var link []byte
		link, p.exeErr = p.in.Readlink("exe")
		p.exe = append(p.exe[:0], link...)
		if rest, ok := bytes.CutSuffix(p.exe, []byte(deleted)); ok && p.exeErr == nil && !p.namedSo() {
			p.exe = rest
		}
	}
	if errors.Is(p.exeErr, fs.ErrPermission) {
		return p.calledLike(exes)
	}
	if p.exeErr != nil || len(p.exe) == 0 {
		return fitsNot // a thread of the kernel, or it has ended
	}
	for _, exe := range exes {
		if isPath(exe) && exe == string(p.exe) || !isPath(exe) && exe == path.Base(string(p.exe)) {
			return fits
		}
	}
	return fitsNot
}

// calledLike says of a process whose program may not be seen whether it could be
// one of these: the kernel calls a process like the file that it executed, unless
// it names itself otherwise.
func (p *subject) calledLike(exes []string) fit {
	const longest = 15 // bytes that the kernel keeps
	name, err := p.in.Read("comm")
	name = bytes.TrimSuffix(name, []byte("\n"))
	for _, exe := range exes {
		base := path.Base(exe)
		if err == nil && base[:min(len(base), longest)] == string(name) {
			return refused
		}
	}
	return fitsNot
}

// refusal says why it cannot be seen whether the process fits.
func (p *subject) refusal() error {
	if p.noLine {
		return fmt.Errorf("process %d does not let itself be read", p.pid)
	}
	return errors.New("the agent may not see which programs other users' processes run: run it as root")
}

// namedSo says whether a program's file is really called "… (deleted)": if it has
// no name any more, or another file has that, it is not.
func (p *subject) namedSo() bool {
	var file, named unix.Statx_t
	if p.in.Stat("exe", &file) != nil || file.Nlink == 0 {
		return false
	}
	err := unix.Statx(unix.AT_FDCWD, string(p.exe), unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &named)
	return err == nil && named.Ino == file.Ino && named.Dev_major == file.Dev_major && named.Dev_minor == file.Dev_minor
}

// look is what is known of the process. Not ok: it is not there, or has ended.
// A process that is young still runs its parent's program.
func (p *subject) look() (seen proc.Seen, young bool, parent int, ok bool) {
	data, err := p.in.Read("stat")
	if err != nil {
		return seen, false, 0, false
	}
	var st proc.Stat
	if st.Parse(data) != nil || st.Ended() {
		return seen, false, 0, false
	}
	seen = st.Seen()
	return seen, st.Forked() && seen.Lived < settled, st.PPID, true
}
