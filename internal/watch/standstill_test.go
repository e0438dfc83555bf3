package watch

import (
	"testing"
	"time"

	"dtc"
)

func TestStandstill(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		works [][2]time.Duration // at, due
		rests bool
		at    time.Duration
		want  time.Duration
	}{
		"nothing said":         {nil, false, 100 * s, 0},
		"in time":              {[][2]time.Duration{{10 * s, 12 * s}}, false, 12 * s, 0},
		"a little late":        {[][2]time.Duration{{10 * s, 12 * s}}, false, 15 * s, 0},
		"too late":             {[][2]time.Duration{{10 * s, 12 * s}}, false, 20 * s, 10 * s},
		"just back":            {[][2]time.Duration{{10 * s, 12 * s}, {20 * s, 22 * s}}, false, 21 * s, 10 * s},
		"back for some time":   {[][2]time.Duration{{10 * s, 12 * s}, {20 * s, 22 * s}}, false, 24 * s, 0},
		"back, and away again": {[][2]time.Duration{{10 * s, 12 * s}, {20 * s, 22 * s}}, false, 30 * s, 20 * s},
		"nothing is watched":   {[][2]time.Duration{{10 * s, 12 * s}}, true, 100 * s, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var p standstill
			for _, w := range c.works {
				p.works(w[0], w[1])
			}
			if c.rests {
				p.rests()
			}
			if got := p.before(c.at); got != c.want {
				t.Errorf("before(%s) = %s, want %s", c.at, got, c.want)
			}
		})
	}
}

// TestEndInAStandstill has an end heard of after a standstill: it has the bounds of that,
// and what is known of it.
func TestEndInAStandstill(t *testing.T) {
	c := start(t, "exit 3")
	w := newWatcher(t)
	f := watchFor(t, w, "m", pids(c.pid)...)
	f.is(t, c.pid, dtc.StateAlive)
	looked := now()
	w.mu.Lock()
	w.stood = standstill{last: looked, due: looked - 2*standstillAfter}
	w.mu.Unlock()
	time.Sleep(50 * time.Millisecond)
	c.end()
	dead := f.is(t, c.pid, dtc.StateDead)
	if width := dead.AgeMost - dead.Age; width < 50*time.Millisecond || width > 5*time.Second || dead.Exit.Number != 3 {
		t.Errorf("it ended between %s and %s ago with %+v", dead.AgeMost, dead.Age, dead.Exit)
	}
}
