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
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"dtc/internal/proc"
)

// separators are what tells a path from a name.
const separators = "/"

// deleted is what the kernel puts behind the path of a program whose file was
// removed or replaced.
const deleted = " (deleted)"

// programFolders are the folders in which a program without a path is looked for.
func programFolders() []string {
	return []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}
}

// owners are the numbers of the users that a rule's user may mean.
type owners []uint32

// system is what all looks at processes share.
type system struct {
	users *proc.Users
	spare sync.Pool // of *subject, which have memory and nothing open
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

// userOf is the effective user of a process, as a rule may name it; "" if it
// cannot be said.
func (s *system) userOf(pid int) string {
	var st unix.Stat_t
	if unix.Stat("/proc/"+strconv.Itoa(pid), &st) != nil {
		return ""
	}
	return s.load().Name(st.Uid)
}

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
	system   *system
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
	p, ok := s.spare.Get().(*subject)
	if !ok {
		p = &subject{in: proc.NewScanner(proc.Default)}
	}
	if err := p.in.Open(); err != nil {
		return nil, err
	}
	p.system, p.users, p.long = s, s.load(), long
	return p, nil
}

func (p *subject) close() {
	_ = p.in.Close()
	p.system.spare.Put(p)
}

// enter begins with a process, and says whether there is one.
func (p *subject) enter(pid int) bool {
	p.pid = pid
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

// runs says whether its program is one of these: what the rule says, a path or a
// base name, and the paths where that leads.
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
	base := path.Base(string(p.exe))
	for _, exe := range exes {
		if isPath(exe) && exe == string(p.exe) || !isPath(exe) && exe == base {
			if wanted := path.Base(exes[0]); wanted != base && isMany(base) && !p.isCalled(wanted) {
				return fitsNot
			}
			return fits
		}
	}
	return fitsNot
}

// isMany says whether a file is many programs in one, of which that runs by whose
// link it was called.
func isMany(base string) bool {
	for _, many := range []string{"busybox", "toybox", "coreutils"} {
		if strings.HasPrefix(base, many) {
			return true
		}
	}
	return false
}

// isCalled says whether the kernel calls the process so: like the file, or the
// link, that it executed, unless it names itself otherwise.
func (p *subject) isCalled(base string) bool {
	const longest = 15 // bytes that the kernel keeps
	name, err := p.in.Read("comm")
	return err == nil && base[:min(len(base), longest)] == string(bytes.TrimSuffix(name, []byte("\n")))
}

// calledLike says of a process whose program may not be seen whether it could be
// one of these.
func (p *subject) calledLike(exes []string) fit {
	for _, exe := range exes {
		if p.isCalled(path.Base(exe)) {
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
