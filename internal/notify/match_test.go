package notify

import (
	"strings"
	"testing"
	"time"

	"dtc"
)

func TestFilter(t *testing.T) {
	hosts := []Host{
		{Name: "web1", Address: "10.0.0.7:7701", Groups: []string{"web", "prod"}, Rules: []string{"nginx", "web"}},
		{Name: "db1", Address: "10.0.0.8:7701", Groups: []string{"prod"}, Rules: []string{"mysql"}},
		{Name: "six", Address: "[fd00::1]:7701"},
	}
	at := func(i int, e dtc.Event) dtc.Event {
		e.Host, e.Address = hosts[i].Name, hosts[i].Address
		return e
	}
	fall := dtc.Event{Kind: dtc.EventHost, State: dtc.StateUnreachable}
	end := func(rule string) dtc.Event {
		return dtc.Event{Kind: dtc.EventProcess, State: dtc.StateDead, Rule: rule, PID: 7, Name: "x"}
	}
	gap := dtc.Event{Kind: dtc.EventLog, State: dtc.StateGap, Alias: "a"}
	alive := dtc.Event{Kind: dtc.EventProcess, State: dtc.StateAlive, PID: 7}
	lost := dtc.Event{Kind: dtc.EventNotify, State: dtc.StateUndelivered, Host: "monitor"}
	for _, tt := range []struct {
		items string // separated by spaces
		e     dtc.Event
		want  bool
	}{
		{"", at(0, fall), true},
		{"", at(0, end("")), true},
		{"", at(0, alive), false},
		{"", lost, true},
		{"alive", at(0, alive), true},
		{"dead unreachable", at(0, fall), true},
		{"dead unreachable", at(0, gap), false},
		{"web1", at(0, gap), true},
		{"web1", at(1, gap), false},
		{"prod", at(1, fall), true},
		{"prod", at(2, fall), false},
		{"10.0.0.8", at(1, fall), true},
		{"10.0.0.8:7701", at(1, fall), true},
		{"fd00:0::1", at(2, fall), true},
		{"[fd00::0:1]:7701", at(2, fall), true},
		{"db* six", at(1, fall), true},
		{"db* six", at(0, fall), false},
		{"nginx", at(0, end("nginx")), true},
		{"nginx", at(0, end("")), false},
		{"nginx", at(0, fall), false},
		{"nginx unreachable", at(0, fall), true}, // asked for by its state
		{"nginx unreachable", at(0, end("nginx")), false},
		{"my* prod", at(1, end("mysql")), true},
		{"my* prod", at(1, end("other")), false},
		{"web", at(0, fall), true}, // the group
		{"web", at(0, end("")), true},
		{"web", at(1, end("web")), true}, // the rule
		{"web", at(1, fall), false},
		{"web db* dead unreachable", at(0, fall), true},
		{"web db* dead unreachable", at(1, end("")), true},
		{"later", at(0, fall), false}, // it names nothing yet
		{"later", at(0, end("later")), true},
		{"later web1", at(0, fall), true},
		{"web1", lost, false},
		{"web1 undelivered", lost, true},
		{"[", at(0, fall), false},
	} {
		f := newFilter(strings.Fields(tt.items), newRoster(hosts))
		if got := f.wants(&tt.e); got != tt.want {
			t.Errorf("for=%q: %s of %s %s: %t", tt.items, tt.e.State, tt.e.Host, tt.e.Rule, got)
		}
	}
	// A host that only ships logs stands in its events by its ip.
	f := newFilter([]string{"prod"}, newRoster(hosts))
	ship := gap
	ship.Host, ship.Address = "10.0.0.8", "10.0.0.8"
	if !f.wants(&ship) {
		t.Error("the log of a host is not its own")
	}
}

func TestMutesOfHostsHoldNoGivenUpNotices(t *testing.T) {
	r := newRoster(someHosts(2))
	lost := of(1) // the monitor's own host
	lost.Kind, lost.State = dtc.EventNotify, dtc.StateUndelivered
	fall := hostEvent(1, dtc.StateUnreachable)
	for name, m := range map[string]mute{
		"window":  (&Window{For: []string{"h1"}}).mute(r),
		"silence": (&Silence{Hosts: []string{"h1"}}).mute(r),
	} {
		if m.covers(&lost) || !m.covers(&fall) {
			t.Errorf("%s of a host: undelivered %t, unreachable %t", name, m.covers(&lost), m.covers(&fall))
		}
	}
	for name, m := range map[string]mute{
		"window":              (&Window{}).mute(r),
		"window of the state": (&Window{For: []string{"undelivered"}}).mute(r),
		"silence":             (&Silence{}).mute(r),
	} {
		if !m.covers(&lost) {
			t.Errorf("%s of everything does not hold it", name)
		}
	}
}

func TestKeysPair(t *testing.T) {
	for _, tt := range []struct{ opens, closes dtc.Event }{
		{hostEvent(1, dtc.StateUnreachable), hostEvent(1, dtc.StateReachable)},
		{hostEvent(1, dtc.StateStopped), hostEvent(1, dtc.StateReachable)},
		{ruleEvent(1, dtc.StateDead, 0), ruleEvent(1, dtc.StateNormal, 0)},
		{ruleEvent(1, dtc.StateMissing, 0), ruleEvent(1, dtc.StateAlive, 0)},
		{ruleEvent(1, dtc.StateCount, 0), ruleEvent(1, dtc.StateNormal, 0)},
		{dtc.Event{Kind: dtc.EventProcess, State: dtc.StateMissing, PID: 7}, dtc.Event{Kind: dtc.EventProcess, State: dtc.StateAlive, PID: 7}},
		{dtc.Event{Kind: dtc.EventLog, State: dtc.StatePaused, Alias: "a"}, dtc.Event{Kind: dtc.EventLog, State: dtc.StateResumed, Alias: "a"}},
	} {
		one, opens, _ := Key(&tt.opens)
		other, _, closes := Key(&tt.closes)
		if one != other || !opens || !closes {
			t.Errorf("%s and %s: %q and %q", tt.opens.State, tt.closes.State, one, other)
		}
		for _, e := range []dtc.Event{deadPID(1, 7), hostEvent(1, dtc.StateRebooted), ruleEvent(1, dtc.StateRestarted, 0), hostEvent(2, dtc.StateReachable)} {
			e.ID = "e-1"
			if key, _, _ := Key(&e); key == one {
				t.Errorf("%s is of %q", e.State, key)
			}
		}
	}
}

func TestWindows(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	must(t, err)
	at := func(text string) time.Time {
		when, err := time.ParseInLocation("2006-01-02 15:04", text, berlin)
		must(t, err)
		return when
	}
	night := Window{From: 22 * time.Hour, To: 6 * time.Hour, Days: []time.Weekday{time.Saturday, time.Sunday}}
	noon := Window{From: 12 * time.Hour, To: 13*time.Hour + 30*time.Minute}
	sunday := Window{Days: []time.Weekday{time.Sunday}}
	evening := Window{From: 18 * time.Hour, To: 24 * time.Hour}
	once := Window{Start: at("2026-11-22 22:00"), End: at("2026-11-23 02:00")}
	march := Window{From: 1 * time.Hour, To: 4 * time.Hour}
	for _, tt := range []struct {
		w         Window
		now, want string // want "" is none
	}{
		{night, "2026-11-20 23:00", ""}, // a Friday
		{night, "2026-11-21 21:59", ""},
		{night, "2026-11-21 22:00", "2026-11-22 06:00"},
		{night, "2026-11-22 05:59", "2026-11-22 06:00"},
		{night, "2026-11-22 06:00", ""},
		{night, "2026-11-23 05:00", "2026-11-23 06:00"}, // began on Sunday
		{night, "2026-11-23 22:30", ""},
		{noon, "2026-11-23 12:00", "2026-11-23 13:30"},
		{noon, "2026-11-23 13:30", ""},
		{sunday, "2026-11-22 00:00", "2026-11-23 00:00"},
		{sunday, "2026-11-21 23:59", ""},
		{evening, "2026-11-30 23:59", "2026-12-01 00:00"},
		{once, "2026-11-22 21:59", ""},
		{once, "2026-11-22 22:00", "2026-11-23 00:00"},
		{once, "2026-11-23 01:59", "2026-11-23 02:00"},
		{once, "2026-11-23 02:00", ""},
		{march, "2026-03-29 01:30", "2026-03-29 04:00"}, // the clock goes from 2 to 3
		{march, "2026-10-25 03:30", "2026-10-25 04:00"}, // and from 3 to 2
		{march, "2026-10-25 04:00", ""},
	} {
		got := tt.w.end(at(tt.now))
		switch {
		case tt.want == "" && !got.IsZero(), tt.want != "" && !got.Equal(at(tt.want)):
			t.Errorf("%+v at %s: until %s, want %q", tt.w, tt.now, got, tt.want)
		}
	}
}
