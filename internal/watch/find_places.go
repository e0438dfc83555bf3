package watch

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// places are what names processes: files, units and ports. They remember what
// makes it cheap to ask again, and are not safe for concurrent use.
type places struct {
	finder *finder
	files  map[string]*pidFile // by path
	units  *units
	ports  *ports
}

func newPlaces(f *finder) *places {
	return &places{finder: f, files: map[string]*pidFile{}, units: newUnits(f), ports: newPorts(f)}
}

func (p *places) close() { p.ports.close() }

// place is what is known of where the processes of a selector are.
type place struct {
	pids    []int     // ascending
	written time.Time // when a file was that names them; else zero
	problem string    // why there are none
	err     error     // why nothing can be said
}

// find asks for the places of trials: item i of the result is trial i's.
func (p *places) find(ctx context.Context, trials []trial) []place {
	p.finder.clock.observe() // now and then
	found := make([]place, len(trials))
	of := [3][]int{}
	for i := range trials {
		kind := trials[i].kind - byPIDFile
		of[kind] = append(of[kind], i)
	}
	p.findFiles(ctx, trials, of[0], found)
	p.units.find(trials, of[byUnit-byPIDFile], found)
	p.ports.find(trials, of[byPort-byPIDFile], found)
	return found
}

// answer fills in what selectors come to, and returns how long to wait for
// processes of which it is not clear yet whether they will stay.
func (p *places) answer(ctx context.Context, trials []trial, answers []answer) (wait time.Duration) {
	for i, at := range p.find(ctx, trials) {
		t := &trials[i]
		a := new(residents).judge(ctx, p.finder, t, &at)
		for n := range a.found {
			wait = max(wait, t.unsettled(&a.found[n]))
		}
		answers[t.index] = a
	}
	return wait
}

// unitSettled is how old a process of a unit is to be. Those that systemd runs
// there to check, to reload or to stop a service are not meant, and end soon; it
// is only by that that they differ.
const unitSettled = time.Second

// unsettled is how long it takes until it is clear that a process will stay.
func (t *trial) unsettled(who *found) time.Duration {
	if t.kind != byUnit || !hasHelpers {
		return 0
	}
	return unitSettled - sinceStart(who.seen.ID)
}

// residents are the processes at a place, as they were last seen.
type residents struct {
	pids    []int            // at the place
	written time.Time        // see place
	fit     map[int]resident // those that the trial fits, by pid
}

type resident struct {
	hit  hit
	mark uint64 // changes when the pid becomes another's
}

// unchanged says whether the same processes are there as before, as far as can be
// told at little cost, and some of them fit.
func (r *residents) unchanged(s *system, at *place) bool {
	if len(r.fit) == 0 && len(at.pids) > 0 || !slices.Equal(at.pids, r.pids) || !at.written.Equal(r.written) {
		return false
	}
	for pid, who := range r.fit {
		if r.leads(who) && s.mark(pid) != who.mark {
			return false
		}
	}
	return true
}

// leads says whether a process is one of those that are meant: no other one of
// them is its parent. The helpers that a service makes are not.
func (r *residents) leads(who resident) bool {
	_, helper := r.fit[who.hit.parent]
	return !helper
}

// see looks at the processes that are there now: at those that were not before,
// and at those that have another parent since.
func (r *residents) see(ctx context.Context, f *finder, t *trial, at *place) error {
	if r.fit == nil {
		r.fit = map[int]resident{}
	}
	for _, pid := range r.outdated(f.system, at.pids) {
		delete(r.fit, pid)
	}
	var visits []visit
	trials := []trial{*t}
	for _, pid := range at.pids {
		if _, known := r.fit[pid]; !known {
			visits = append(visits, visit{pid, trials})
		}
	}
	r.pids, r.written = at.pids, at.written
	var unseen error
	err := f.try(ctx, visits, func(h hit) {
		switch {
		case h.gone:
		case h.err != nil:
			unseen = h.err
		default:
			r.fit[h.pid] = resident{h, f.system.mark(h.pid)}
		}
	})
	if err == nil && len(r.fit) == 0 {
		err = unseen
	}
	return err
}

// outdated returns who is not at the place any more, or has another parent since.
func (r *residents) outdated(s *system, pids []int) (list []int) {
	there := func(pid int) bool {
		_, ok := slices.BinarySearch(pids, pid)
		return ok
	}
	for pid, who := range r.fit {
		leads := r.leads(who)
		if !there(pid) || !leads && !there(who.hit.parent) || leads && s.mark(pid) != who.mark {
			list = append(list, pid)
		}
	}
	return list
}

// judge says what a place comes to.
func (r *residents) judge(ctx context.Context, f *finder, t *trial, at *place) answer {
	a := answer{problem: at.problem, err: at.err}
	if at.err != nil {
		return a
	}
	if t.kind == byPIDFile && len(at.pids) == 1 && !isThere(at.pids[0]) {
		a.problem = fmt.Sprintf("there is no process %d, which %s names", at.pids[0], quoted(t.rule.PIDFile))
		r.fit = nil
		return a
	}
	if a.err = r.see(ctx, f, t, at); a.err != nil {
		return a
	}
	for _, who := range r.fit {
		if !r.leads(who) {
			continue
		}
		if problem := at.doubt(&f.clock, &who.hit.found); problem != "" {
			a.problem = problem
			continue
		}
		a.add(&who.hit)
	}
	if a.total > 0 {
		a.problem = ""
	}
	slices.SortFunc(a.found, func(x, y found) int { return cmp.Compare(x.seen.ID.PID, y.seen.ID.PID) })
	return a
}

// writeSlack is how much younger than a file a process may seem that it names: the
// clocks of file servers differ.
const writeSlack = time.Minute

// doubt says why a process is not the one that a file names: it started after the
// file was written, and has the pid of another that ended.
func (at *place) doubt(clock *wallClock, who *found) (problem string) {
	if at.written.IsZero() {
		return ""
	}
	if later := clock.earliest(startOf(who.seen.ID)).Sub(at.written); later > writeSlack {
		return fmt.Sprintf("process %d started %v after the file was written that names it: it is another one, or the clock was set",
			who.seen.ID.PID, later.Round(time.Second))
	}
	return ""
}
