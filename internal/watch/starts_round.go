package watch

import (
	"context"
	"slices"
	"time"

	"dtc"
)

// round does what is due.
func (s *search) round(ctx context.Context, now time.Time) {
	if !s.tick.IsZero() && !now.Before(s.tick) {
		s.tick = time.Time{}
		s.lookAround(ctx, now)
	}
	s.lookAtRecent(ctx, now)
	if s.recent.full {
		s.recent.full = false
		s.full = sooner(s.full, now.Add(lookInterval))
	}
	if !s.full.IsZero() && !now.Before(s.full) {
		s.lookAtEveryone(ctx, s.looked)
	}
	if len(s.placed) > 0 || len(s.looked) > 0 && (s.starts == nil || s.storm) {
		s.tick = sooner(s.tick, now.Add(lookInterval))
	}
}

// lookAround does what is due each second.
func (s *search) lookAround(ctx context.Context, now time.Time) {
	if len(s.placed) > 0 {
		s.lookAtPlaces(ctx)
	}
	if len(s.looked) == 0 {
		return
	}
	if s.storm {
		calm, err := s.starts.drain()
		if err != nil {
			s.log.Warn("the system tells no more of processes that start, looking once a second", "err", err)
			s.unsubscribe()
		}
		s.storm = err == nil && !calm
		s.listRecent(now)
		return
	}
	if s.starts == nil {
		s.listRecent(now)
	}
}

// listRecent finds newcomers in the system's list.
func (s *search) listRecent(now time.Time) {
	if s.census == nil {
		return
	}
	pids, err := s.census.Fresh(nil)
	if err != nil {
		s.log.Warn("cannot list the processes", "err", err)
		return
	}
	for _, pid := range pids {
		s.recent.add(pid, now)
	}
}

// lookAtPlaces asks files, units and ports, and tells who is there and was not.
func (s *search) lookAtPlaces(ctx context.Context) {
	_, trials := s.finder.trials(ctx, s.placed, func(int, string) {})
	for i, at := range s.places.find(ctx, trials) {
		t := &trials[i]
		who := s.residents[t.selector]
		if who == nil {
			who = new(tenants)
			s.residents[t.selector] = who
		}
		if at.err != nil || !who.waiting && who.unchanged(s.system, &at) {
			continue
		}
		a := who.judge(ctx, s.finder, t, &at)
		if a.err != nil {
			continue
		}
		s.tellTenants(t, who, a.found)
	}
}

func (s *search) tellTenants(t *trial, who *tenants, there []found) {
	before := who.told
	who.told, who.waiting = make(map[dtc.ProcessID]struct{}, len(there)), false
	for i := range there {
		id := there[i].seen.ID
		_, told := before[id]
		if !told && t.unsettled(&there[i]) > 0 {
			who.waiting = true
			continue
		}
		who.told[id] = struct{}{}
		if !told {
			s.came(t.selector, there[i])
		}
	}
}

// lookAtRecent looks at the newcomers whose time has come.
func (s *search) lookAtRecent(ctx context.Context, now time.Time) {
	list := s.recent.due(now)
	if len(list) == 0 {
		return
	}
	s.prepare(ctx, now)
	visits := make([]visit, 0, len(list))
	who := make(map[int]*newcomer, len(list))
	for _, n := range list {
		who[n.pid] = n
		visits = append(visits, visit{n.pid, s.untold(n)})
	}
	err := s.try(ctx, visits, func(h hit) {
		n := who[h.pid]
		switch {
		case h.gone:
			s.recent.drop(n)
		case h.err == nil && !h.young:
			n.told = append(n.told, h.trial.selector)
			s.came(h.trial.selector, h.found)
		}
	})
	s.complain(ctx, err)
}

// lookAtEveryone looks at all processes for some of the selectors.
func (s *search) lookAtEveryone(ctx context.Context, sels []*selector) {
	now := time.Now()
	if s.starts == nil && now.Sub(s.subscribed) >= subscribeInterval {
		s.trySubscribe()
	}
	if s.census == nil {
		s.startLooking()
	}
	switch looks := earlyLooks(); {
	case s.early > 0:
		s.full = now.Add(looks[len(looks)-s.early])
		s.early--
	case s.starts == nil:
		s.full = now.Add(fullIntervalPoor)
	default:
		s.full = now.Add(fullInterval)
	}
	pids, err := s.system.list()
	if err == nil {
		trials, _ := s.finder.trials(ctx, sels, func(int, string) {})
		err = s.try(ctx, everyone(pids, trials), func(h hit) {
			switch {
			case h.gone || h.err != nil:
			case h.young:
				s.recent.addForked(h.pid, now)
			default:
				s.came(h.trial.selector, h.found)
			}
		})
	}
	s.complain(ctx, err)
}

// complain says that a look failed, unless it was ended.
func (s *search) complain(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		s.log.Warn("cannot look at processes", "err", err)
	}
}

// untold are the trials of which a newcomer has not been told.
func (s *search) untold(n *newcomer) []trial {
	if len(n.told) == 0 {
		return s.trials
	}
	var list []trial
	for _, t := range s.trials {
		if !slices.Contains(n.told, t.selector) {
			list = append(list, t)
		}
	}
	return list
}

// prepare makes the trials ready.
func (s *search) prepare(ctx context.Context, now time.Time) {
	if !s.made.IsZero() && now.Sub(s.made) < trialsStayGood {
		return
	}
	s.trials, _ = s.finder.trials(ctx, s.looked, func(int, string) {})
	s.made = now
}
