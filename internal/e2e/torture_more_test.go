//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// compress makes an archive of a rotated sibling, as rotations do.
func (a *actor) compress() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.sibs) == 0 {
		return
	}
	s := a.sibs[a.rnd.IntN(len(a.sibs))]
	tools := [][]string{{"gzip", ".gz"}, {"xz", ".xz", "-0"}, {"zstd", ".zst", "-q", "--rm"}, {"bzip2", ".bz2"}}
	tool := tools[a.rnd.IntN(len(tools))]
	if s.archive || s.file != nil && s.file.writers > 0 { // as a rotation waits for the writers
		return
	}
	args := append(append([]string{"-f"}, tool[2:]...), s.path)
	if out, err := exec.Command(tool[0], args...).CombinedOutput(); err != nil {
		panic(fmt.Sprintf("%s: %v: %s", tool[0], err, out))
	}
	if s.file != nil {
		s.of = s.file.content
		s.of.copies[s] = int64(len(s.of.data))
		a.name(s.file, -1)
	}
	s.path += tool[1]
	s.file, s.archive = nil, true
	a.w.count.add(func(t *tally) { t.archives++ })
}

// logrotate has the real one rotate the file by its numbers.
func (a *actor) logrotate() {
	if a.names != numbered || !a.logrotated() {
		a.rotate(a.drop)
	}
}

// logrotated reports whether the siblings are such as logrotate keeps to, and
// rotated by it.
func (a *actor) logrotated() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.sibs) >= a.keep { // what it would remove
		a.prune()
	}
	for _, s := range a.sibs {
		if s.archive { // it keeps to one extension
			return false
		}
	}
	conf := filepath.Join(a.w.aside(), a.alias+".conf")
	text := fmt.Sprintf("%q {\n rotate %d\n create 0644 root root\n nocompress\n missingok\n allowhardlink\n}\n", a.real, a.keep+1)
	must(os.WriteFile(conf, []byte(text), 0o644))
	if out, err := exec.Command("logrotate", "-v", "-f", "-s", conf+".state", conf).CombinedOutput(); err != nil || !strings.Contains(string(out), "renaming "+a.real+" to") {
		panic(fmt.Sprintf("logrotate: %v: %s", err, out))
	}
	for i, s := range a.sibs {
		s.path = fmt.Sprintf("%s.%d", a.real, i+2)
	}
	a.out.in.content.rotated = true
	a.sibs = append([]*sibling{{path: a.real + ".1", file: a.out.in}}, a.sibs...)
	a.keepOpen(a.out) // its writer is told later
	a.out = a.open(nil, os.O_APPEND)
	a.w.count.add(func(t *tally) { t.rotations++ })
	return true
}

// target returns the path of a new file that the followed link is to lead to.
func (a *actor) target() string {
	a.serie++
	return filepath.Join(a.w.targets, fmt.Sprintf("t%d-%s", a.serie, a.alias))
}

// turnLink has the followed link lead to another file. Who held the file before
// reads it to its end; who comes later cannot find it.
func (a *actor) turnLink() {
	if a.file == a.real {
		a.rotate(a.drop)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sibs = nil // the family is that of the new name
	for _, c := range a.contents {
		clear(c.copies)
		if c.orphaned.IsZero() {
			c.file.names = 0
			c.orphaned, c.uncopied = a.now(), a.now()
		}
	}
	a.release(a.out.in, 0)
	a.keepOpen(a.out)
	a.real = a.target()
	a.out = a.open(nil, os.O_CREATE|os.O_EXCL|os.O_APPEND)
	a.link()
	a.w.count.add(func(t *tally) { t.rotations++ })
}

// link has the followed path be a link to the file.
func (a *actor) link() {
	temporary := filepath.Join(a.w.aside(), a.alias+".new")
	must(os.Symlink(a.real, temporary))
	must(os.Rename(temporary, a.file))
}

// reload takes the last stream out of the configuration for a while. The agent
// runs, or the next one reads the whole configuration.
func (s *side) reload() {
	s.configure(s.lines[:len(s.lines)-1])
	s.askReload()
	away := s.streams[len(s.lines)-1].lives
	away.end()
	s.over(1500)
	s.configure(s.lines)
	s.askReload()
	away.begin()
	s.count.add(func(t *tally) { t.reloads++ })
}

// askReload has the agent read its configuration.
func (w *world) askReload() {
	var out []byte
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) { // it may just begin to listen
		if out, err = exec.Command(filepath.Join(w.bin, "dtc-agent"), "reload", "--home", w.agentHome).CombinedOutput(); err == nil {
			return
		}
	}
	w.tb.Errorf("dtc-agent reload: %v: %s", err, out)
}

// onClock is what happens to the machine's clock.
func onClock() grammar[*side] {
	return grammar[*side]{
		{"step", 1, (*side).stepClock},
		{"nothing", 1, func(s *side) { s.over(3000) }},
	}
}

// stepClock sets the machine's clock back or forward for a while.
func (s *side) stepClock() {
	by := time.Duration(s.rnd.Int64N(int64(2**tortureClock))) - *tortureClock
	began := time.Now() // with the reading of the clock that nobody sets
	defer func() { setClock(s, began.Round(0).Add(time.Since(began))) }()
	setClock(s, began.Round(0).Add(by))
	s.over(2000)
	s.count.add(func(t *tally) { t.steps++ })
}

func setClock(s *side, to time.Time) {
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, new(unix.NsecToTimespec(to.UnixNano()))); err != nil {
		s.tb.Errorf("set the clock: %v", err)
	}
}
