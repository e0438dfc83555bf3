package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"dtc"
)

// realAlertmanager starts Debian's, and returns its URL.
func realAlertmanager(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	config := filepath.Join(dir, "alertmanager.yml")
	must(tb, os.WriteFile(config, []byte("route: {receiver: none}\nreceivers: [{name: none}]\n"), 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(tb, err)
	address := l.Addr().String()
	l.Close()
	var out bytes.Buffer
	cmd := exec.CommandContext(tb.Context(), "prometheus-alertmanager", "--config.file="+config, "--storage.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--cluster.listen-address=", "--log.level=debug")
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	must(tb, cmd.Start())
	tb.Cleanup(func() {
		_ = cmd.Wait() // the test's context is over: it has been told to end
		if tb.Failed() {
			tb.Logf("the Alertmanager said:\n%s", out.String())
		}
	})
	base := "http://" + address
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if body, err := fetch(tb, base+"/-/ready"); err == nil {
			tb.Logf("ready: %s", body)
			return base
		} else if time.Now().After(deadline) {
			tb.Fatalf("no Alertmanager: %v", err)
		}
	}
}

func fetch(tb testing.TB, where string) ([]byte, error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	must(tb, err)
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return body, err
}

// shownAlert is an alert as the Alertmanager shows it.
type shownAlert struct {
	Fingerprint         string
	Labels, Annotations map[string]string
	StartsAt, EndsAt    time.Time
	Status              struct{ State string }
}

// active returns the alerts that fire now, by fingerprint.
func active(tb testing.TB, base string) map[string]shownAlert {
	tb.Helper()
	body, err := fetch(tb, base+"/api/v2/alerts")
	must(tb, err)
	var list []shownAlert
	must(tb, json.Unmarshal(body, &list))
	all := make(map[string]shownAlert)
	for _, a := range list {
		all[a.Fingerprint] = a
	}
	return all
}

// A real Alertmanager: a problem fires, a reminder is the same alert, and the
// recovery ends it; what has happened once fires beside it.
func TestRealAlertmanager(t *testing.T) {
	base := realAlertmanager(t)
	s, err := NewSender("alertmanager", Settings{Values: map[string]string{"url": base}})
	must(t, err)
	began := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	for name, pair := range map[string][2]dtc.Event{
		"host":    {{Kind: dtc.EventHost, State: dtc.StateUnreachable}, {Kind: dtc.EventHost, State: dtc.StateReachable}},
		"stopped": {{Kind: dtc.EventHost, State: dtc.StateStopped}, {Kind: dtc.EventHost, State: dtc.StateReachable}},
		"rule": {
			{Kind: dtc.EventProcess, State: dtc.StateMissing, Rule: "web \"x\" 飞", Min: 1},
			{Kind: dtc.EventProcess, State: dtc.StateAlive, Rule: "web \"x\" 飞", PID: 900, Name: "nginx"},
		},
		"count": {
			{Kind: dtc.EventProcess, State: dtc.StateCount, Rule: "web", Count: 1, Min: 2},
			{Kind: dtc.EventProcess, State: dtc.StateNormal, Rule: "web", Count: 2, Min: 2},
		},
		"pid": {
			{Kind: dtc.EventProcess, State: dtc.StateMissing, PID: 812},
			{Kind: dtc.EventProcess, State: dtc.StateAlive, PID: 812, Name: "nginx"},
		},
		"log": {{Kind: dtc.EventLog, State: dtc.StatePaused, Alias: "app.log"}, {Kind: dtc.EventLog, State: dtc.StateResumed, Alias: "app.log"}},
	} {
		t.Run(name, func(t *testing.T) {
			problem, recovery := pair[0], pair[1]
			problem.ID, problem.Host, problem.Address, problem.Time = "1", "host-"+name, "10.0.0.7:7701", began
			recovery.ID, recovery.Host, recovery.Address = "2", problem.Host, problem.Address
			before := active(t, base)
			fired := func(kind NoticeKind, since time.Time) shownAlert {
				t.Helper()
				must(t, sendTo(t, s, &Notice{ID: "n", Kind: kind, Time: time.Now(), Since: since, Events: []dtc.Event{problem}}))
				all := active(t, base)
				for id := range before {
					delete(all, id)
				}
				if len(all) != 1 {
					t.Fatalf("%s: %d alerts: %+v", kind, len(all), all)
				}
				for _, a := range all {
					if !a.StartsAt.Equal(began) || time.Until(a.EndsAt) < 4*time.Minute || a.Status.State == "suppressed" || a.Labels["host"] != problem.Host {
						t.Errorf("%s: %+v", kind, a)
					}
					return a
				}
				return shownAlert{}
			}
			first := fired(Problem, time.Time{})
			if again := fired(Reminder, began); again.Fingerprint != first.Fingerprint || again.EndsAt.Before(first.EndsAt) {
				t.Errorf("the reminder is another alert: %+v, then %+v", first, again)
			}
			recovery.Time = time.Now()
			must(t, sendTo(t, s, &Notice{ID: "n2", Kind: Recovery, Time: time.Now(), Since: began, Events: []dtc.Event{recovery}}))
			if a, still := active(t, base)[first.Fingerprint]; still {
				t.Errorf("it fires on: %+v", a)
			}
			// The same again is an alert anew.
			problem.Time = time.Now()
			must(t, sendTo(t, s, &Notice{ID: "n3", Kind: Problem, Time: time.Now(), Events: []dtc.Event{problem}}))
			if _, fires := active(t, base)[first.Fingerprint]; !fires {
				t.Error("it does not fire again")
			}
		})
	}
}

// A real Alertmanager takes an alert of every state, hostile names included, and
// as many as a notice has; and it refuses what is none.
func TestRealAlertmanagerTakesAll(t *testing.T) {
	base := realAlertmanager(t)
	s, err := NewSender("alertmanager", Settings{Values: map[string]string{"url": base + "/"}})
	must(t, err)
	n := &Notice{ID: "n", Kind: Problem, Time: time.Now(), Events: eachState()}
	n.Events = append(n.Events, aNotice().Events...)
	for i := len(n.Events); i < MaxEvents; i++ {
		n.Events = append(n.Events, dtc.Event{ID: fmt.Sprint(i), Kind: dtc.EventHost, State: dtc.StateRebooted, Host: fmt.Sprint("h", i), Address: hostileName})
	}
	must(t, sendTo(t, s, n))
	want := make(map[string]bool)
	for _, a := range alerts(n, time.Now()) {
		want[string(encodeJSON(a.Labels))] = true
	}
	for _, a := range active(t, base) {
		delete(want, string(encodeJSON(a.Labels)))
	}
	if len(want) != 0 {
		t.Errorf("%d alerts are missing: %v", len(want), want)
	}
	must(t, sendTo(t, s, &Notice{ID: "t", Receiver: "ops", Kind: Test, Time: time.Now(), Title: "a test"}))
	found := false
	for _, a := range active(t, base) {
		found = found || a.Labels["alertname"] == "DTCTest" && a.Labels["receiver"] == "ops"
	}
	if !found {
		t.Error("the test does not fire")
	}
}
