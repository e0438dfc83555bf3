package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"dtc/internal/proc"
)

// searchEvery is how often all control groups are searched for a unit that does
// not run where it did.
const searchEvery = 5 * time.Second

// hasHelpers says whether processes that pass run in units.
const hasHelpers = true

// units finds the processes of units of systemd.
type units struct {
	groups   *proc.Units
	err      error               // why there are no groups
	found    map[string][]string // folders by the unit's whole name, as found last
	searched time.Time
}

func newUnits(*finder) *units { return &units{found: map[string][]string{}} }

// find asks for the units of the trials with these indices.
func (u *units) find(trials []trial, of []int, into []place) {
	if len(of) == 0 {
		return
	}
	if u.groups == nil && u.err == nil {
		u.groups, u.err = proc.Default.Units()
	}
	if u.err != nil {
		for _, at := range of {
			into[at].err = fmt.Errorf("look for unit %s: %w", quoted(trials[at].rule.Unit), u.err)
		}
		return
	}
	var absent []int
	for _, at := range of {
		if into[at].pids = u.pids(proc.UnitName(trials[at].rule.Unit)); into[at].pids == nil {
			absent = append(absent, at)
		}
	}
	if len(absent) == 0 || time.Since(u.searched) < searchEvery && !u.isNew(trials, absent) {
		u.explain(trials, absent, into)
		return
	}
	u.search(trials, absent)
	for _, at := range absent {
		into[at].pids = u.pids(proc.UnitName(trials[at].rule.Unit))
	}
	u.explain(trials, absent, into)
}

// isNew says whether one of the units was never searched for.
func (u *units) isNew(trials []trial, of []int) bool {
	return slices.ContainsFunc(of, func(at int) bool {
		_, known := u.found[proc.UnitName(trials[at].rule.Unit)]
		return !known
	})
}

// search searches for units in all control groups.
func (u *units) search(trials []trial, of []int) {
	u.searched = time.Now()
	names := make([]string, len(of))
	for i, at := range of {
		names[i] = proc.UnitName(trials[at].rule.Unit)
	}
	for i, dirs := range u.groups.Find(names) {
		if len(dirs) == 0 {
			dirs = u.found[names[i]] // it may come back to where it was
		}
		if len(dirs) == 0 {
			dirs = u.groups.Usual(names[i])
		}
		u.found[names[i]] = dirs
	}
}

// pids returns the processes of a unit, nil if it does not run where it did.
func (u *units) pids(name string) (pids []int) {
	for _, dir := range u.found[name] {
		if more, err := proc.GroupPIDs(pids, dir); err == nil {
			pids = more
		}
	}
	slices.Sort(pids)
	return slices.Compact(pids)
}

// explain says why units have no processes.
func (u *units) explain(trials []trial, of []int, into []place) {
	for _, at := range of {
		if len(into[at].pids) > 0 {
			continue
		}
		into[at].problem = fmt.Sprintf("no processes of unit %s", quoted(proc.UnitName(trials[at].rule.Unit)))
		if _, err := os.Stat("/run/systemd/system"); errors.Is(err, fs.ErrNotExist) {
			into[at].problem += ": systemd does not run here"
		}
	}
}
