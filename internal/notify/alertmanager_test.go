package notify

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"dtc"
)

// The labels of a problem and of its recovery are the same; those of what is not
// one problem differ. That is what Key says, in labels.
func TestLabelsPair(t *testing.T) {
	seen := make(map[string]string) // by labels: the key
	for _, e := range eachState() {
		key, opens, closes := Key(&e)
		n := &Notice{Kind: Problem, Time: testNow()}
		if closes {
			n.Kind = Recovery
		}
		l := eventAlert(n, &e, testNow()).Labels
		text := string(encodeJSON(l))
		if e.Rule != "" && e.State == dtc.StateDead { // happened once
			key = e.ID
		}
		if before, ok := seen[text]; ok && before != key {
			t.Errorf("%s has the labels of another: %s", key, text)
		}
		seen[text] = key
		if l["alertname"] == "" || l["host"] != "web1" || l["address"] != e.Address {
			t.Errorf("%s %s: labels %s", e.Kind, e.State, text)
		}
		over := strings.HasSuffix(l["alertname"], capital(string(e.State)))
		if over == ((opens || closes) && e.State != dtc.StateDead) {
			t.Errorf("%s %s: %v, %v, but %s", e.Kind, e.State, opens, closes, text)
		}
	}
	keys := slices.Sorted(maps.Values(seen))
	if len(keys) != len(slices.Compact(slices.Clone(keys))) {
		t.Errorf("one key has several labels: %v", keys)
	}
}

func TestAlerts(t *testing.T) {
	now := testNow()
	for name, c := range map[string]struct {
		n          Notice
		state      dtc.State
		at         time.Time
		start, end time.Time
	}{
		"problem":                 {n: Notice{Kind: Problem}, state: dtc.StateUnreachable, at: now.Add(-time.Minute), start: now.Add(-time.Minute), end: now.Add(firing)},
		"problem of tomorrow":     {n: Notice{Kind: Problem}, state: dtc.StateUnreachable, at: now.Add(24 * time.Hour), start: now.Add(firing), end: now.Add(firing)},
		"reminder":                {n: Notice{Kind: Reminder, Since: now.Add(-time.Hour)}, state: dtc.StateUnreachable, at: now.Add(-time.Minute), start: now.Add(-time.Hour), end: now.Add(firing)},
		"happened once":           {n: Notice{Kind: Problem}, state: dtc.StateRebooted, at: now.Add(-time.Minute), start: now.Add(-time.Minute), end: now.Add(firing)},
		"recovery":                {n: Notice{Kind: Recovery, Since: now.Add(-time.Hour)}, state: dtc.StateReachable, at: now.Add(-time.Second), start: now.Add(-time.Hour), end: now.Add(-time.Second)},
		"recovery of tomorrow":    {n: Notice{Kind: Recovery}, state: dtc.StateReachable, at: now.Add(24 * time.Hour), start: now, end: now},
		"a recovery as a problem": {n: Notice{Kind: Problem}, state: dtc.StateReachable, at: now, start: now, end: now.Add(firing)},
	} {
		c.n.Events = []dtc.Event{{Kind: dtc.EventHost, State: c.state, Time: c.at, Host: "h", Address: "a"}}
		got := alerts(&c.n, now)
		if len(got) != 1 || !got[0].StartsAt.Equal(c.start) || !got[0].EndsAt.Equal(c.end) {
			t.Errorf("%s: %+v, want %v to %v", name, got, c.start, c.end)
		}
	}
	two := Notice{Kind: Reminder, Since: now.Add(-time.Hour), Events: []dtc.Event{{Time: now.Add(-time.Hour)}, {Time: now}}}
	if got := alerts(&two, now); !got[0].StartsAt.Equal(two.Since) || !got[1].StartsAt.Equal(now) {
		t.Errorf("of two problems: %+v", got)
	}
	test := alerts(&Notice{Kind: Test, Receiver: "ops", Title: "t"}, now)
	if len(test) != 1 || test[0].Labels["alertname"] != "DTCTest" || !test[0].EndsAt.Equal(now.Add(testFire)) {
		t.Errorf("test %+v", test)
	}
}

func TestAlertmanagerRequest(t *testing.T) {
	got := sendOne(t, "alertmanager", "", aNotice(), func(base string) map[string]string {
		return map[string]string{"url": base + "/am/", "user": "ops", "password": "p"}
	})
	user, password, ok := (&http.Request{Header: got.header}).BasicAuth()
	if got.url.Path != "/am/api/v2/alerts" || !ok || user != "ops" || password != "p" {
		t.Errorf("%s, %q %q", got.url, user, password)
	}
	var sent []struct {
		Labels, Annotations map[string]string
		StartsAt, EndsAt    time.Time
	}
	decode(t, got.body, &sent)
	if len(sent) != 2 || sent[0].Labels["alertname"] != "DTCProcessDead" || sent[0].Labels["pid"] != "812" || sent[0].Labels["name"] != "nginx" ||
		sent[0].Annotations["state"] != "dead" || !strings.Contains(sent[0].Annotations["summary"], "signal 9") {
		t.Errorf("sent %+v", sent)
	}
	if strings.ContainsAny(string(got.body), "\x1b\u202e") || !json.Valid(got.body) {
		t.Errorf("body %q", got.body)
	}
}
