package notify

import (
	"context"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"dtc"
	"dtc/internal/render"
)

// alertmanager sends events as alerts to a Prometheus Alertmanager.
//
// https://prometheus.io/docs/alerting/latest/alerts_api: POST api/v2/alerts
// with a JSON array. The labels are who an alert is: those of a problem and of
// its recovery are the same. An alert fires until endsAt; a client sends what
// still fires again and again, so a reminder is one more of it.
//
//	alertname       of what stays wrong until it recovers DTCHost, DTCProcess or
//	                DTCLog; of what has happened once also the state:
//	                DTCProcessDead, DTCHostRebooted, DTCLogGap; of a test DTCTest
//	host, address   of the event
//	process         the name of the rule
//	pid             of the process that is watched; of what has happened once to
//	                one of a rule, too
//	name            of a process to which something has happened once
//	alias           of a log
//	receiver        of a test
//
// The annotations are summary, description and state. A problem fires for five
// minutes, unless it is sent again; a recovery ends it at the time of its event.
type alertmanager struct{ settings Settings }

var _ Sender = (*alertmanager)(nil)

func newAlertmanager(s Settings) (Sender, error) {
	return &alertmanager{settings: s}, checkURL(s)
}

// How long an alert fires that is not sent again.
const (
	firing   = 5 * time.Minute
	testFire = time.Minute
)

// maxLabel is how many characters of a label's value are sent.
const maxLabel = 200

type alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

// Send delivers a notice.
func (am *alertmanager) Send(ctx context.Context, n *Notice) error {
	v := am.settings.read()
	where, err := v.getURL()
	if err != nil {
		return err
	}
	user, err := v.get("user")
	if err != nil {
		return err
	}
	password, err := v.secret("password")
	if err != nil {
		return err
	}
	header := http.Header{}
	if user != "" || password != "" {
		basic := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
		v.hide(basic)
		header.Set("Authorization", "Basic "+basic)
	}
	where = where.JoinPath("api", "v2", "alerts")
	a, err := v.post(ctx, request{where: where, header: header, body: encodeJSON(alerts(n, v.settings.now()))})
	if err != nil {
		return err
	}
	return v.refusal(where, a)
}

// alerts returns the alerts of a notice, in the order of its events: those that
// have the same labels become one, of which the last one's annotations are shown.
func alerts(n *Notice, now time.Time) []alert {
	if len(n.Events) == 0 {
		return []alert{{
			Labels:      map[string]string{"alertname": "DTCTest", "receiver": label(n.Receiver)},
			Annotations: map[string]string{"summary": render.Escape(n.Title)},
			StartsAt:    now, EndsAt: now.Add(testFire),
		}}
	}
	all := make([]alert, 0, len(n.Events))
	for i := range n.Events {
		all = append(all, eventAlert(n, &n.Events[i], now))
	}
	return all
}

func eventAlert(n *Notice, e *dtc.Event, now time.Time) alert {
	_, opens, closes := Key(e)
	// An end is over when it is told, and of what a recovery does not end nobody
	// says that it is wrong.
	opens, closes = opens && e.State != dtc.StateDead, closes && n.Kind == Recovery
	who := once
	if opens || closes {
		who = lasting
	}
	a := alert{
		Labels: who(e),
		Annotations: map[string]string{
			"summary":     cut(render.Escape(e.Host+": "+render.EventWhat(e)), maxEventLine),
			"description": cut(strings.TrimSuffix(string(render.EventText(e)), "\n"), maxEventLine),
			"state":       string(e.State),
		},
		StartsAt: e.Time, EndsAt: now.Add(firing),
	}
	if len(n.Events) == 1 && !n.Since.IsZero() && n.Since.Before(a.StartsAt) { // of several it is the first one's
		a.StartsAt = n.Since
	}
	if closes {
		a.EndsAt = e.Time
	}
	// An end before the start is refused, and one that is still to come is none.
	if closes && a.EndsAt.After(now) {
		a.EndsAt = now
	}
	if a.StartsAt.After(a.EndsAt) {
		a.StartsAt = a.EndsAt
	}
	return a
}

// lasting returns the labels of what stays wrong until it recovers, the same for
// either event.
func lasting(e *dtc.Event) map[string]string {
	l := map[string]string{"alertname": "DTC" + capital(string(e.Kind)), "host": label(e.Host), "address": label(e.Address)}
	switch {
	case ofStore(e): // the same host may be unreachable
		l["alertname"] = "DTCStore"
	case e.Rule != "":
		l["process"] = label(e.Rule)
	case e.PID != 0: // without its name, which a missing process does not have
		l["pid"] = strconv.Itoa(e.PID)
	case e.Alias != "":
		l["alias"] = label(e.Alias)
	}
	return l
}

// once returns the labels of what has happened and is over.
func once(e *dtc.Event) map[string]string {
	l := lasting(e)
	l["alertname"] += capital(string(e.State))
	if e.PID != 0 {
		l["pid"] = strconv.Itoa(e.PID)
	}
	if e.Name != "" {
		l["name"] = label(e.Name)
	}
	return l
}

// label returns a value as a label may have it.
func label(value string) string { return cut(render.Escape(value), maxLabel) }

// capital returns a word with a capital.
func capital(word string) string {
	if word == "" || word[0] < 'a' || word[0] > 'z' {
		return word
	}
	return string(word[0]-'a'+'A') + word[1:]
}
