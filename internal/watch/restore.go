package watch

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"dtc"
	"dtc/internal/proc"
)

// noBound stands for a time ago of which nothing is known but that it is not
// longer.
const noBound = 100 * 365 * 24 * time.Hour

// reasonRebooted says why a process is not there any more.
const reasonRebooted = "the host rebooted"

// remember takes up what the former run left, and has this one remembered from
// now on. It returns what is to be called when all else has ended.
func (w *Watcher) remember(ctx context.Context) (end func()) {
	if w.journal == nil {
		return func() {}
	}
	head := newHead(w.boot)
	if f := w.journal.load(); f != nil {
		w.alive = w.journal.readAlive().orHead(&f.head)
		w.restore(f)
	}
	w.journal.begin(head)

	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { w.journal.run(working) })
	wg.Go(func() { w.beats(working) })
	return func() {
		cancel()
		wg.Wait()
	}
}

// restore makes the sessions of the former run those of this one.
func (w *Watcher) restore(f *former) {
	clock := readClock()
	for _, from := range f.sessions {
		s := newSession(from.asker)
		if s.left = clock.now; from.left != 0 {
			s.left = min(clock.now, clock.at(time.Unix(0, from.left)))
		}
		if clock.now-s.left > forgetAfter {
			continue
		}
		w.mu.Lock()
		w.sessions[s.asker] = s
		for _, r := range from.kept {
			w.restoreKept(s, r.entry(&f.head, w.boot, clock))
		}
		told := s.told()
		w.mu.Unlock()
		for _, pid := range slices.Sorted(maps.Keys(from.targets)) {
			w.restoreTarget(s, from.targets[pid], string(f.head.Boot), told[""])
		}
		for _, name := range slices.Sorted(maps.Keys(from.rules)) {
			r := from.rules[name]
			w.restoreRule(s, r.spec(), r.Memory)
		}
	}
}

// restoreKept queues what was queued. w.mu is held.
func (w *Watcher) restoreKept(s *session, e entry) {
	w.place++
	e.place = w.place
	s.kept = append(s.kept, e)
	if e.sighting.Run == w.run {
		w.number = max(w.number, e.sighting.Number) // no id is given twice
	}
}

// restoreTarget goes on with a target, without a word if its process is there.
func (w *Watcher) restoreTarget(s *session, r targetRecord, boot string, told map[identity]uint64) {
	who := identity{r.Boot.or(text(boot)), dtc.ProcessID{PID: r.PID, Start: r.Start}}
	t := &target{session: s, pid: r.PID}
	w.mu.Lock()
	s.targets[r.PID] = t
	if r.Ended {
		t.endedAs(w, who, told[who])
	}
	w.mu.Unlock()
	if r.Ended {
		return
	}
	var seen proc.Seen
	var found bool
	var err error
	if who.boot == w.boot {
		seen, found, err = w.attach(s, t, r.PID, func(seen proc.Seen) bool { return seen.ID == who.id && !seen.Zombie })
	}
	if err != nil {
		w.assume(s, t, who.id)
		return
	}
	if found {
		return
	}
	end := w.unseenEnding(who.id, who.boot)
	end.name = string(r.Name)
	if seen.ID == who.id && seen.Zombie {
		end.exit = seen.Exit
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	place := w.keepEnding(s, w.sighting(dtc.StateDead, who.id, ""), &end)
	t.endedAs(w, who, place)
}

// unseenEnding is how a process ended that the former run of the agent watched
// in a boot, and that is not there now: after the last sign of life of that run.
func (w *Watcher) unseenEnding(id dtc.ProcessID, boot string) ending {
	end := w.knownEnding(id, boot)
	if string(w.alive.Boot) != boot {
		return end
	}
	clock := readClock()
	since := w.alive.since(w.boot, clock)
	if boot == w.boot {
		end.since = max(end.since, since)
		return end
	}
	end.since = since
	end.lived = livedOver(id, w.alive, -since)
	return end
}

// knownEnding is how a process ended that an asker knows from a boot, and that
// is not there now.
func (w *Watcher) knownEnding(id dtc.ProcessID, boot string) ending {
	end := ending{at: now(), boot: boot}
	if boot == w.boot {
		end.lived = sinceStart(id)
		end.since = notZero(end.at - end.lived)
		return end
	}
	end.at, end.since = 0, -noBound // before this boot
	end.lived = dtc.Absent
	end.reason = reasonRebooted
	return end
}
