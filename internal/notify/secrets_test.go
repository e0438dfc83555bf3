package notify

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// A server that says back what it was sent, or a part of it, says no secret.
func TestPartsOfSecretsAreHidden(t *testing.T) {
	for what, c := range map[string]struct {
		url, authorization string // of the url, what stands before the host
		secret             string
	}{
		"a bearer token":       {"", "Bearer t0ken-0f-mine", "t0ken-0f-mine"},
		"a password's base64":  {"ops:pa55w0rd@", "", base64.StdEncoding.EncodeToString([]byte("ops:pa55w0rd"))},
		"a token as a user":    {"t0ken-0f-mine@", "", "t0ken-0f-mine"},
		"a user's base64":      {"t0ken-0f-mine@", "", base64.StdEncoding.EncodeToString([]byte("t0ken-0f-mine:"))},
		"what Basic stands of": {"", "Basic b3BzOnBhNTV3MHJk", "b3BzOnBhNTV3MHJk"},
	} {
		t.Run(what, func(t *testing.T) {
			peer := newHTTPPeer(t, nil, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusUnauthorized)
				fmt.Fprintf(w, "I do not know %q", c.secret)
			})
			values := map[string]string{"url": strings.Replace(peer.URL, "http://", "http://"+c.url, 1)}
			if c.authorization != "" {
				values["authorization"] = c.authorization
			}
			err := sendTo(t, testSender(t, "webhook", "", values), aNotice())
			checkError(t, err, c.secret)
			if !strings.Contains(fmt.Sprint(err), "I do not know") {
				t.Error(err)
			}
		})
	}
}

// What an Alertmanager shows of an event is one line, and nothing but text.
func TestAnnotationsAreText(t *testing.T) {
	n := aNotice()
	n.Events[0].Host = "web\x1b[2J1"
	for _, a := range alerts(n, testNow()) {
		for name, text := range a.Annotations {
			if strings.ContainsAny(text, "\n\x1b") {
				t.Errorf("%s: %q", name, text)
			}
		}
	}
}
