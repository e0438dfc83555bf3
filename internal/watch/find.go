package watch

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// finder finds the processes that selectors match: those that are there, and
// those that come to be. Its methods may be called by any number of goroutines.
type finder struct {
	log    *slog.Logger
	system *system
	long   *allowance
	pids   *turns[int]    // looks at processes
	files  *turns[string] // looks at files, which may be a file server's
	clock  wallClock

	// subscribe has the system tell of processes that start. The error says why it
	// does not.
	subscribe func() (starts, error)

	wake chan struct{} // of capacity 1: what is wanted has changed

	mu     sync.Mutex
	wanted []*selector // guarded by mu
}

func newFinder(log *slog.Logger) *finder {
	return &finder{
		log: log, system: newSystem(), long: newAllowance(), pids: newTurns[int](), files: newTurns[string](),
		subscribe: openStarts, wake: make(chan struct{}, 1),
	}
}

// answer is what one selector comes to now.
type answer struct {
	found   []found // at most maxFound
	total   int
	problem string // why there can be none, in words; "" if there merely is none
	err     error  // why nothing can be said
}

// maxFound is how many processes of one selector are told.
const maxFound = MaxTargets

// scan looks at all processes, once for all selectors: item i of both results
// is selector i's. An error is why nothing can be said of that selector now, or,
// if it is an [fs.ErrNotExist], why nothing can match it: there is no such user,
// unit or file.
func (f *finder) scan(ctx context.Context, sels []*selector) ([][]found, []error) {
	lists, errs := make([][]found, len(sels)), make([]error, len(sels))
	for i, a := range f.answers(ctx, sels) {
		lists[i], errs[i] = a.found, a.err
		if a.err == nil && a.problem != "" {
			errs[i] = nothing(a.problem)
		}
	}
	return lists, errs
}

// nothing says why nothing matches a selector.
type nothing string

func (n nothing) Error() string { return string(n) }

func (nothing) Is(target error) bool { return target == fs.ErrNotExist }

// want says which selectors run looks for; those of before are dropped.
func (f *finder) want(sels []*selector) {
	f.mu.Lock()
	f.wanted = slices.Clone(sels)
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// answers is scan with the reasons.
func (f *finder) answers(ctx context.Context, sels []*selector) []answer {
	answers := make([]answer, len(sels))
	looked, placed := f.trials(ctx, sels, func(i int, problem string) { answers[i].problem = problem })
	if err := f.lookAtAll(ctx, looked, answers); err != nil {
		for _, t := range looked {
			answers[t.index].err = err
		}
	}
	if len(placed) > 0 {
		p := newPlaces(f)
		defer p.close()
		if wait := p.answer(ctx, placed, answers); wait > 0 && pause(ctx, wait) == nil {
			p.answer(ctx, placed, answers)
		}
	}
	if err := ctx.Err(); err != nil {
		for i := range answers {
			answers[i].err = err
		}
	}
	return answers
}

// trials makes selectors ready for one pass: those for which every process is
// looked at, and those of which the system says which processes they mean.
// Nothing can match the rest, for which none is called.
func (f *finder) trials(ctx context.Context, sels []*selector, none func(i int, problem string)) (looked, placed []trial) {
	users := f.system.load()
	for i, s := range sels {
		t := trial{selector: s, index: i, exes: []string{s.rule.Exe}}
		problem := s.problem
		if s.rule.User != "" && problem == "" {
			t.owners, problem = users.owners(s.rule.User)
		}
		switch {
		case problem != "":
			none(i, problem)
		case s.kind.placed():
			placed = append(placed, t)
		default:
			looked = append(looked, t)
		}
	}
	f.resolve(ctx, looked)
	return looked, placed
}

// resolve finds where the paths of programs lead: the system tells of a process
// only the path at the end of all links. A base name may be that of a link, too,
// in the folders in which programs are looked for: python3 is one mostly.
func (f *finder) resolve(ctx context.Context, trials []trial) {
	var paths []string
	var of []int
	for i := range trials {
		t := &trials[i]
		if t.kind != byExe {
			continue
		}
		names := []string{t.rule.Exe}
		if !isPath(t.rule.Exe) {
			names = inFolders(t.rule.Exe)
		}
		for _, path := range names {
			paths, of = append(paths, path), append(of, i)
		}
	}
	open := func() looker[resolved] { return resolver(paths) }
	_ = inTurn(ctx, f.files, paths, open, func(r resolved) { // what cannot be told is as the rule says
		t := &trials[of[r.at]]
		if !slices.Contains(t.exes, r.path) {
			t.exes = append(t.exes, r.path)
		}
	})
}

// inFolders returns where a program may be that is called so.
func inFolders(name string) []string {
	folders := programFolders()
	paths := make([]string, len(folders))
	for i, folder := range folders {
		paths[i] = folder + separators[:1] + name
	}
	return paths
}

// resolver are paths that may lead elsewhere.
type resolver []string

type resolved struct {
	at   int
	path string
}

func (resolver) glance(int, func(resolved)) {}

func (r resolver) look(at int, put func(resolved)) {
	if path, err := filepath.EvalSymlinks(r[at]); err == nil && path != r[at] {
		put(resolved{at, path})
	}
}

func (resolver) done() {}

// lookAtAll looks at all processes for trials, and adds to the answers of their
// selectors. Who matches and may be about to become another program is looked at
// again when that is clear.
func (f *finder) lookAtAll(ctx context.Context, trials []trial, answers []answer) error {
	if len(trials) == 0 {
		return nil
	}
	pids, err := f.system.list()
	if err != nil {
		return err
	}
	young := map[int]struct{}{}
	take := func(h hit) {
		switch {
		case h.gone:
		case h.young:
			young[h.pid] = struct{}{}
		default:
			answers[h.trial.index].add(&h)
		}
	}
	if err := f.try(ctx, everyone(pids, trials), take); err != nil {
		return err
	}
	if len(young) > 0 {
		if err := pause(ctx, settled); err != nil {
			return err
		}
		if err := f.try(ctx, everyone(slices.Sorted(maps.Keys(young)), trials), take); err != nil {
			return err
		}
	}
	hidden := f.system.hidden()
	for _, t := range trials {
		answers[t.index].finish(hidden)
	}
	return nil
}

// finish sorts what was found. Nothing can be said where nobody matches of those
// that are not hidden.
func (a *answer) finish(hidden error) {
	slices.SortFunc(a.found, func(x, y found) int { return cmp.Compare(x.seen.ID.PID, y.seen.ID.PID) })
	if a.total == 0 && a.err == nil {
		a.err = hidden
	}
}

// add adds a process that matches, or one that cannot be seen.
func (a *answer) add(h *hit) {
	switch {
	case h.err != nil && a.total == 0:
		a.err = h.err // unless others do match
	case h.err != nil:
	default:
		a.err = nil
		a.total++
		if len(a.found) < maxFound {
			a.found = append(a.found, h.found)
		}
	}
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errStuck says that the command line of a process cannot be read now.
var errStuck = errors.New("it does not let itself be read")
