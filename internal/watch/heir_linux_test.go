package watch

import (
	"os/exec"
	"syscall"
	"testing"

	"dtc"
)

// TestReplacedOnlyByItsLike has somebody else run the same command line, and a
// sibling that is watched too: neither came in the place of who has ended.
func TestReplacedOnlyByItsLike(t *testing.T) {
	argument, _ := mark(t)
	a, sibling := nap(t, argument), nap(t, argument)
	w := newWatcher(t)
	f := watchFor(t, w, "m", pids(a.Process.Pid, sibling.Process.Pid)...)
	f.is(t, a.Process.Pid, dtc.StateAlive)
	f.is(t, sibling.Process.Pid, dtc.StateAlive)
	finish(a)
	f.is(t, a.Process.Pid, dtc.StateDead)
	eventually(t, "somebody is looked for", func() bool {
		w.finder.mu.Lock()
		defer w.finder.mu.Unlock()
		return len(w.finder.wanted) == 1
	})
	other := exec.Command("sleep", argument)
	other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer finish(other)
	f.quiet(t)
	b := nap(t, argument)
	if s := f.is(t, a.Process.Pid, dtc.StateReplaced); s.NewPID != b.Process.Pid {
		t.Errorf("replaced as %+v", s)
	}
	f.quiet(t)
}
