package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dtc"
)

// tag is a word that stands in no other command line of this machine.
func tag(tb testing.TB) string {
	tb.Helper()
	return fmt.Sprintf("dtc-%s-%d", regexp.MustCompile(`\W`).ReplaceAllString(tb.Name(), "-"), time.Now().UnixNano())
}

func newTestFinder(tb testing.TB) *finder {
	tb.Helper()
	f := newFinder(slog.New(slog.NewTextHandler(tb.Output(), nil)))
	tb.Cleanup(f.pids.all.Wait)
	tb.Cleanup(f.files.all.Wait)
	return f
}

func selectors(tb testing.TB, rules ...dtc.ProcessRule) []*selector {
	tb.Helper()
	for i := range rules {
		rules[i].Name = strconv.Itoa(i)
	}
	sels, err := newSelectors(rules)
	if err != nil {
		tb.Fatal(err)
	}
	return sels
}

// arrivalsOf are the processes that came, by selector and pid.
type arrivalsOf struct {
	mu   sync.Mutex
	came map[*selector]map[int]time.Time // the first time of each
	last map[int]found
}

func (a *arrivalsOf) add(s *selector, f found) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.came[s] == nil {
		a.came[s] = map[int]time.Time{}
	}
	pid := f.seen.ID.PID
	if _, again := a.came[s][pid]; !again {
		a.came[s][pid] = time.Now()
	}
	a.last[pid] = f
}

func (a *arrivalsOf) of(s *selector) (pids []int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for pid := range a.came[s] {
		pids = append(pids, pid)
	}
	return pids
}

// at waits until a process has come, and returns when.
func (a *arrivalsOf) at(tb testing.TB, s *selector, pid int) (at time.Time, f found) {
	tb.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		a.mu.Lock()
		at, ok := a.came[s][pid]
		f := a.last[pid]
		a.mu.Unlock()
		if ok {
			return at, f
		}
		if time.Now().After(deadline) {
			tb.Fatalf("process %d has not come; %v have", pid, a.of(s))
		}
	}
}

// runFinder runs a finder until the test ends.
func runFinder(tb testing.TB, f *finder) *arrivalsOf {
	tb.Helper()
	a := &arrivalsOf{came: map[*selector]map[int]time.Time{}, last: map[int]found{}}
	ctx, cancel := context.WithCancel(tb.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := f.run(ctx, a.add); err != nil {
			tb.Errorf("run: %v", err)
		}
	})
	tb.Cleanup(wg.Wait)
	tb.Cleanup(cancel)
	return a
}

func pidsOf(list []found) (pids []int) {
	for i := range list {
		pids = append(pids, list[i].seen.ID.PID)
	}
	return pids
}

// one returns the only answer of a scan.
func one(tb testing.TB, f *finder, r dtc.ProcessRule) ([]found, error) {
	tb.Helper()
	lists, errs := f.scan(tb.Context(), selectors(tb, r))
	return lists[0], errs[0]
}

func wantPIDs(tb testing.TB, f *finder, r dtc.ProcessRule, want ...int) {
	tb.Helper()
	list, err := one(tb, f, r)
	if got := pidsOf(list); err != nil || !slices.Equal(got, want) {
		tb.Errorf("%+v: %v, %v, want %v", r, got, err, want)
	}
}

// wantNothing wants no process, and why there can be none.
func wantNothing(tb testing.TB, f *finder, r dtc.ProcessRule, why string) {
	tb.Helper()
	list, err := one(tb, f, r)
	if len(list) > 0 || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "\n") {
		tb.Errorf("%+v: %v, %v, want none: %s", r, pidsOf(list), err, why)
	}
}

// TestFind finds this program and a child that runs it too, on every system.
func TestFind(t *testing.T) {
	f, c := newTestFinder(t), start(t, "exit 0")
	self, err := filepath.EvalSymlinks(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	port := l.Addr().(*net.TCPAddr).Port
	if list, err := one(t, f, dtc.ProcessRule{Port: port}); err != nil && strings.Contains(err.Error(), "does not tell") {
		t.Log(err) // as Wine does
	} else if err != nil || !slices.Equal(pidsOf(list), []int{os.Getpid()}) {
		t.Errorf("port: %v, %v", pidsOf(list), err)
	}
	for _, r := range []dtc.ProcessRule{
		{Exe: self},
		{Exe: strings.TrimSuffix(filepath.Base(self), ".exe")},
		{Match: regexp.QuoteMeta(filepath.Base(os.Args[0]))},
	} {
		list, err := one(t, f, r)
		got := pidsOf(list)
		if err != nil || !slices.Contains(got, c.pid) || !slices.Contains(got, os.Getpid()) {
			t.Errorf("%+v: %v, %v, want %d and %d", r, got, err, c.pid, os.Getpid())
			continue
		}
		who := list[slices.Index(got, c.pid)]
		if who.seen.ID != identify(t, c.pid) || !strings.Contains(who.command, filepath.Base(os.Args[0])) {
			t.Errorf("found %+v", who)
		}
		if who.user == "" {
			t.Errorf("found %+v, whose user is not known", who)
			continue
		}
		r.User = who.user
		if list, err := one(t, f, r); err != nil || !slices.Contains(pidsOf(list), c.pid) {
			t.Errorf("%+v: %v, %v", r, pidsOf(list), err)
		}
	}
	wantPIDs(t, f, dtc.ProcessRule{Exe: "surely-nothing-is-called-so"})
	if _, err := one(t, f, dtc.ProcessRule{Unit: "surely-nothing-is-called-so"}); err == nil {
		t.Error("no reason why there is no such unit")
	}
}

// TestFindNewcomer has a process come while somebody looks, on every system.
func TestFindNewcomer(t *testing.T) {
	f := newTestFinder(t)
	a := runFinder(t, f)
	sels := selectors(t, dtc.ProcessRule{Exe: filepath.Base(os.Args[0])})
	f.want(sels)
	a.at(t, sels[0], os.Getpid())
	c := start(t, "exit 0")
	if _, who := a.at(t, sels[0], c.pid); who.seen.ID != identify(t, c.pid) {
		t.Errorf("found %+v", who)
	}
}
