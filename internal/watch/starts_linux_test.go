package watch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
)

// findHelper looks for processes with a word in their command line, starts one
// for each line of its input, and prints who came.
func findHelper(word string) {
	f := newFinder(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	sels, err := newSelectors([]dtc.ProcessRule{{Name: "x", Match: "^/usr/bin/perl -e sleep 1000 " + word}})
	if err != nil {
		panic(err)
	}
	_, err = f.subscribe()
	fmt.Println(err != nil, err)
	f.want(sels)
	go func() {
		panic(f.run(context.Background(), func(_ *selector, who found) { fmt.Println("came", who.seen.ID.PID) }))
	}()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		cmd := exec.Command("/usr/bin/perl", "-e", "sleep 1000", word)
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		fmt.Println("start", cmd.Process.Pid)
	}
}

// tellers are the ways to find newcomers.
func tellers() map[string]func(*finder) {
	return map[string]func(*finder){
		"told":   func(*finder) {},
		"listed": func(f *finder) { f.subscribe = func() (starts, error) { return nil, errors.ErrUnsupported } },
	}
}

func TestNewcomers(t *testing.T) {
	for way, prepare := range tellers() {
		t.Run(way, func(t *testing.T) {
			f, word := newTestFinder(t), tag(t)
			prepare(f)
			a := runFinder(t, f)
			all := selectors(t, dtc.ProcessRule{Match: "perl .*" + word, User: "root"}, dtc.ProcessRule{Exe: "/usr/bin/perl"}, dtc.ProcessRule{Match: word, User: "nobody"})
			before := sleeper(t, word)
			f.want(all[:1])
			a.at(t, all[0], before.Process.Pid)
			after := sleeper(t, word)
			_, who := a.at(t, all[0], after.Process.Pid)
			if who.seen.ID != identify(t, after.Process.Pid) || who.user != "root" || !strings.HasSuffix(who.command, word) {
				t.Errorf("found %+v", who)
			}
			f.want(all)
			a.at(t, all[1], before.Process.Pid)
			last := sleeper(t, word)
			a.at(t, all[1], last.Process.Pid)
			a.at(t, all[0], last.Process.Pid)
			if got := a.of(all[2]); got != nil {
				t.Errorf("%v came", got)
			}
			f.want(nil)
			eventually(t, "nothing is looked for", func() bool { return len(f.wake) == 0 })
			time.Sleep(20 * time.Millisecond)
			unwanted := sleeper(t, word)
			time.Sleep(1500 * time.Millisecond)
			if slices.Contains(a.of(all[0]), unwanted.Process.Pid) {
				t.Error("one came that nobody looked for")
			}
		})
	}
}

// TestNewcomerRenamesItself starts what nginx does: a fork that executes nothing
// and names itself when it is ready.
func TestNewcomerRenamesItself(t *testing.T) {
	t.Parallel() // it mostly waits
	for way, prepare := range tellers() {
		t.Run(way, func(t *testing.T) {
			f, word := newTestFinder(t), tag(t)
			prepare(f)
			a := runFinder(t, f)
			sels := selectors(t, dtc.ProcessRule{Match: "^nginx: master " + word})
			f.want(sels)
			for _, wait := range []string{"0", "0.05", "0.4"} {
				_, said := perl(t, `my $p = fork; if (!$p) { select(undef, undef, undef, `+wait+`); $0 = "nginx: master `+word+`"; sleep 1000 } print "$p\n"; <STDIN>; kill 9, $p`)
				pid, _ := strconv.Atoi(said)
				t.Cleanup(func() { _ = unix.Kill(pid, unix.SIGKILL) })
				if _, who := a.at(t, sels[0], pid); !strings.HasPrefix(who.command, "nginx: master") {
					t.Errorf("found %+v", who)
				}
			}
		})
	}
}

// TestForksAreNoNewcomers has a process that matches make children all the time,
// which execute another program.
func TestForksAreNoNewcomers(t *testing.T) {
	t.Parallel() // it mostly waits
	for way, prepare := range tellers() {
		t.Run(way, func(t *testing.T) {
			f, word := newTestFinder(t), tag(t)
			prepare(f)
			a := runFinder(t, f)
			sels := selectors(t, dtc.ProcessRule{Match: word})
			f.want(sels)
			cmd, said := perl(t, `my $p = fork; if (!$p) { while (1) { select(undef,undef,undef,0.02); my $c = fork; if (!$c) { exec "/bin/true" } wait } } print "$p\n"; <STDIN>; kill 9, $p; wait`, word)
			pid, _ := strconv.Atoi(said)
			a.at(t, sels[0], cmd.Process.Pid)
			a.at(t, sels[0], pid) // a fork too, but one that stays
			time.Sleep(2 * time.Second)
			if got := a.of(sels[0]); len(got) != 2 {
				t.Errorf("%v came, want %d and %d", got, cmd.Process.Pid, pid)
			}
		})
	}
}

// TestUserIsChangedLater has a process become another user's after its start.
func TestUserIsChangedLater(t *testing.T) {
	t.Parallel() // it mostly waits
	for way, prepare := range tellers() {
		t.Run(way, func(t *testing.T) {
			f, word := newTestFinder(t), tag(t)
			prepare(f)
			a := runFinder(t, f)
			sels := selectors(t, dtc.ProcessRule{Match: word, User: "nobody"})
			f.want(sels)
			cmd, _ := perl(t, `print "ok\n"; select(undef, undef, undef, 0.3); $> = 65534`, word)
			if _, who := a.at(t, sels[0], cmd.Process.Pid); who.user != "nobody" {
				t.Errorf("found %+v", who)
			}
		})
	}
}

// TestNewcomersWithoutPrivilege has the finder run without CAP_NET_ADMIN, and in
// a namespace of pids of its own, where the connector would tell other pids.
func TestNewcomersWithoutPrivilege(t *testing.T) {
	for what, with := range map[string][]string{
		"without CAP_NET_ADMIN": {"setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"},
		"pids of its own":       {"unshare", "--pid", "--fork", "--mount-proc", "--kill-child"},
		"network of its own":    {"unshare", "--net"},
	} {
		t.Run(what, func(t *testing.T) {
			self, err := filepath.Abs(os.Args[0])
			if err != nil {
				t.Fatal(err)
			}
			word := tag(t)
			cmd := exec.Command(with[0], append(with[1:], self)...)
			cmd.Env = append(os.Environ(), helperEnv+"=find "+word)
			cmd.Stderr = t.Output()
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with all that it starts
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = in.Close()
				_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
				_ = cmd.Wait()
			}()
			lines := bufio.NewScanner(out)
			next := func() string {
				if !lines.Scan() {
					t.Fatalf("it ended: %v", lines.Err())
				}
				return lines.Text()
			}
			// From 6.6 on the kernel tells everybody who is not in a container.
			if why := next(); !strings.HasPrefix(why, "true have the kernel tell of processes that start: ") && !strings.HasPrefix(what, "without") {
				t.Errorf("the system tells of starts: %s", why)
			}
			for range 3 {
				fmt.Fprintln(in)
				pid, came := "", map[string]bool{}
				for !came[pid] { // it may be told before, and more than once
					verb, who, _ := strings.Cut(next(), " ")
					if verb == "start" {
						pid = who
					} else {
						came[who] = true
					}
				}
			}
		})
	}
}

// failing is a subscription that can be made to fail.
type failing struct {
	starts

	failed chan error
}

func (s *failing) take(put func(startEvent)) error {
	select {
	case err := <-s.failed:
		return err
	default:
		return s.starts.take(put)
	}
}

// TestStormOfStarts starts more processes than are looked at one by one, and one
// in between that matches.
func TestStormOfStarts(t *testing.T) {
	f, word := newTestFinder(t), tag(t)
	events, err := openStarts()
	if err != nil {
		t.Fatal(err)
	}
	q := events.(*startQueue)
	f.subscribe = func() (starts, error) { return q, nil }
	a := runFinder(t, f)
	sels := selectors(t, dtc.ProcessRule{Match: word})
	f.want(sels)
	a.at(t, sels[0], sleeper(t, word).Process.Pid)

	// A storm that lasts, of threads of our own doing: no process for each.
	q.mu.Lock()
	q.second, q.count = time.Now().Add(time.Hour), stormRate
	q.mu.Unlock()
	if err := exec.Command("/bin/true").Run(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a storm", func() bool { q.mu.Lock(); defer q.mu.Unlock(); return errors.Is(q.err, errStorm) })
	first := sleeper(t, word)
	a.at(t, sels[0], first.Process.Pid)
	eventually(t, "calm", func() bool { q.mu.Lock(); defer q.mu.Unlock(); q.second = time.Time{}; return q.err == nil })
	began := time.Now()
	second := sleeper(t, word)
	at, _ := a.at(t, sels[0], second.Process.Pid)
	t.Logf("the first after the storm came after %v", at.Sub(began))
}

// TestRealStormOfStarts forks as fast as it can for a while.
func TestRealStormOfStarts(t *testing.T) {
	f, word := newTestFinder(t), tag(t)
	a := runFinder(t, f)
	sels := selectors(t, dtc.ProcessRule{Match: word})
	f.want(sels)
	a.at(t, sels[0], sleeper(t, word).Process.Pid)
	_, said := perl(t, `print "ok\n"; my $end = time + 2; my $n = 0; while (time < $end) { my $p = fork; if (!$p) { exit 0 } wait; $n++ } print "$n\n"`)
	t.Log(said)
	for range 5 {
		a.at(t, sels[0], sleeper(t, word).Process.Pid)
		time.Sleep(300 * time.Millisecond)
	}
}

// TestSubscriptionFails has the system tell of no more starts: they are found all
// the same.
func TestSubscriptionFails(t *testing.T) {
	f, word := newTestFinder(t), tag(t)
	s := &failing{failed: make(chan error, 1)}
	f.subscribe = func() (starts, error) {
		var err error
		s.starts, err = openStarts()
		return s, err
	}
	a := runFinder(t, f)
	sels := selectors(t, dtc.ProcessRule{Match: word})
	f.want(sels)
	a.at(t, sels[0], sleeper(t, word).Process.Pid)
	s.failed <- errors.New("it is over")
	a.at(t, sels[0], sleeper(t, word).Process.Pid)
	a.at(t, sels[0], sleeper(t, word).Process.Pid)
}
