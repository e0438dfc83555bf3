package status

import (
	"bytes"
	"strings"

	"dtc/internal/proc"
)

// cutName is how long a name is that the kernel may have cut: TASK_COMM_LEN
// without the zero. See proc_pid_comm(5).
const cutName = 15

// maxProgram is how much of a command line is read to find a program's name.
const maxProgram = 4096

// isCut tells whether the name of a process may be longer than the kernel keeps.
// What is wanted of those is decided by wantsNamed.
func isCut(name string) bool { return len(name) == cutName }

// fold makes alike what the system takes for the same name: nothing but itself.
func fold(name string) string { return name }

func foldPattern(pattern string) string { return pattern }

// plainName is what a program is called too.
func plainName(name string) string { return name }

func isUser(wanted map[string]bool, name string) bool { return wanted[name] }

// findUsers returns what the users that are wanted, by name or number, are
// called in an answer, and their numbers.
func (h *host) findUsers(wanted []string) (names map[string]bool, uids map[uint32]bool) {
	if len(wanted) == 0 {
		return nil, nil
	}
	names, uids = make(map[string]bool), make(map[uint32]bool)
	called := h.users.Load()
	for _, text := range wanted {
		names[text] = true
		for _, uid := range called.Numbers(nil, text) {
			uids[uid] = true
		}
	}
	for uid := range uids {
		names[called.Name(uid)] = true
	}
	return names, uids
}

// wantsProcess says from what costs little whether a process may be wanted, before
// anything else is read of it. uid is called at most once.
func (s *selector) wantsProcess(st *proc.Stat, uid func() (uint32, error)) bool {
	if !s.wantsPID(st.PID) {
		return false
	}
	if len(s.Names) > 0 && len(st.Comm) != cutName && !s.wantsName(string(st.Comm)) {
		return false
	}
	if len(s.Users) == 0 {
		return true
	}
	owner, err := uid()
	return err == nil && s.uids[owner]
}

// wantsNamed says whether a process is wanted for its name if the kernel has cut
// that: then the command line, whose reading may block, tells the whole.
func (s *selector) wantsNamed(t *target) bool {
	if len(s.Names) == 0 || len(t.stat.Comm) != cutName {
		return true
	}
	name := string(t.stat.Comm)
	if s.wantsName(name) {
		return true
	}
	if t.stat.KernelThread() {
		return false // the kernel cuts no names of its own
	}
	whole := ""
	if !t.careful {
		line, err := t.in.ReadHead("cmdline", maxProgram)
		t.stat.Comm = []byte(name) // what it was is overwritten
		if err == nil {
			whole = wholeName(name, line)
		}
	}
	if whole == "" {
		return s.isStartOfName(name)
	}
	return s.wantsName(whole)
}

// wholeName finds the name of a process that the kernel has cut in its arguments:
// that of the program, or of the script that it runs. "" if it is not there.
func wholeName(name string, arguments []byte) string {
	for argument := range bytes.SplitSeq(arguments, []byte{0}) {
		if base := argument[bytes.LastIndexByte(argument, '/')+1:]; strings.HasPrefix(string(base), name) {
			return string(base)
		}
	}
	return ""
}
