package notify

import (
	"strings"
	"testing"
	"time"

	"dtc"
)

// That the monitor cannot record pairs with that it can again, and not with what
// the host is on which the monitor runs.
func TestStoreIsNoHost(t *testing.T) {
	roster := newRoster(someHosts(1))
	b := &board{roster: roster, problems: map[string]*problem{}}
	event := func(s dtc.State) *dtc.Event {
		e := hostEvent(1, s)
		e.Time = benchStart().Add(time.Minute)
		return &e
	}
	for _, step := range []struct {
		state dtc.State
		want  turn
		open  int
	}{
		{dtc.StatePaused, opened, 1},
		{dtc.StateReachable, passing, 1},
		{dtc.StatePaused, repeated, 1},
		{dtc.StateUnreachable, opened, 2},
		{dtc.StateResumed, closed, 1},
		{dtc.StateResumed, passing, 1},
		{dtc.StateReachable, closed, 0},
	} {
		if _, got, _ := b.observe(event(step.state)); got != step.want || len(b.problems) != step.open {
			t.Errorf("%s: turn %d, %d are open; want %d and %d", step.state, got, len(b.problems), step.want, step.open)
		}
	}
	b.observe(&dtc.Event{Kind: dtc.EventHost, State: dtc.StatePaused, Host: "monitor", Address: "127.0.0.1"})
	b.setRoster(newRoster(nil)) // it is no host of the configuration
	if len(b.problems) != 1 {
		t.Errorf("open are %v", b.problems)
	}
	for items, want := range map[string]bool{"": true, "paused": true, "h1": false, "dead": false, "other,paused": true} {
		if got := newFilter(strings.FieldsFunc(items, func(r rune) bool { return r == ',' }), roster).wants(event(dtc.StatePaused)); got != want {
			t.Errorf("for=%q: %t", items, got)
		}
	}
	store, host := lasting(event(dtc.StatePaused)), lasting(event(dtc.StateUnreachable))
	if store["alertname"] == host["alertname"] || store["alertname"] != lasting(event(dtc.StateResumed))["alertname"] {
		t.Errorf("alerts %v and %v", store, host)
	}
}
