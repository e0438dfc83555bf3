package watch

import "time"

// maxRecent is how many newcomers are remembered.
const maxRecent = 16 << 10

// recentSteps returns how long after it came a process is looked at, again and
// again: programs change their title, their user or themselves when they have
// begun to work. A mere fork is not looked at at once: it looks like its parent,
// and is mostly about to execute another program.
func recentSteps() []time.Duration {
	return []time.Duration{0, settled + 20*time.Millisecond, time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute}
}

// recent are the processes that came lately.
type recent struct {
	steps []time.Duration
	rows  [][]*newcomer // of each step: who waits for it, in the order in which they came
	known map[int]*newcomer
	full  bool // some were left out
}

// newcomer is a process that came, or became another one, lately.
type newcomer struct {
	pid  int
	came time.Time
	told []*selector // of these it has been said that it matches
}

func newRecent() recent {
	steps := recentSteps()
	return recent{steps: steps, rows: make([][]*newcomer, len(steps)), known: map[int]*newcomer{}}
}

// add adds a process that came, or that became another one: it is looked at at
// once.
func (r *recent) add(pid int, now time.Time) {
	who := &newcomer{pid: pid, came: now}
	if before := r.known[pid]; before != nil {
		who.told = before.told
	}
	r.insert(0, who)
}

// addForked adds a process that looks like its parent still.
func (r *recent) addForked(pid int, now time.Time) {
	r.insert(1, &newcomer{pid: pid, came: now})
}

func (r *recent) insert(step int, who *newcomer) {
	if len(r.known) >= maxRecent && r.known[who.pid] == nil {
		r.full = true
		return
	}
	r.known[who.pid] = who // whoever had the pid is not waited for any more
	r.rows[step] = append(r.rows[step], who)
}

// drop forgets a process.
func (r *recent) drop(who *newcomer) {
	if r.known[who.pid] == who {
		delete(r.known, who.pid)
	}
}

// due returns who is to be looked at now.
func (r *recent) due(now time.Time) (list []*newcomer) {
	for step := len(r.rows) - 1; step >= 0; step-- { // who is late is looked at once
		row := r.rows[step]
		for len(row) > 0 && !row[0].came.Add(r.steps[step]).After(now) {
			who := row[0]
			row = row[1:]
			if r.known[who.pid] != who {
				continue
			}
			list = append(list, who)
			if step+1 < len(r.rows) {
				r.rows[step+1] = append(r.rows[step+1], who)
			} else {
				delete(r.known, who.pid)
			}
		}
		if len(row) == 0 {
			row = nil // the memory of a burst goes
		}
		r.rows[step] = row
	}
	return list
}

// next is when somebody is to be looked at, zero if there is nobody. It is a
// little late, so that those who came together are looked at together.
func (r *recent) next() (due time.Time) {
	const late = 100 * time.Millisecond
	for step, row := range r.rows {
		if len(row) > 0 {
			due = sooner(due, row[0].came.Add(r.steps[step]+late))
		}
	}
	return due
}
