package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"dtc/internal/render"
)

// webhook sends notices as JSON to a URL.
//
// A delivery is an HTTP POST. Any answer of the 200s takes the notice; 429 and
// 503 with a Retry-After have it come again after that time (an hour at most);
// 400, 413 and 422 refuse it for good; with anything else, and with a redirect,
// it is tried again later. The body of the answer is not used. The headers are:
//
//	Content-Type     application/json; charset=utf-8
//	X-DTC-Notice     the notice's id, the same in each attempt: who has taken it
//	                 before need not do so again
//	X-DTC-Timestamp  the time of the attempt, in seconds since 1970 (UTC)
//	X-DTC-Signature  if there is a secret: "sha256=" and the hexadecimal
//	                 HMAC-SHA256, with the secret as the key, of the timestamp, a
//	                 dot and the body. Compare in constant time, and refuse a
//	                 timestamp that is too old
//	Authorization    if it is set
//
// The body is what [NoticeJSON] returns.
type webhook struct{ settings Settings }

var _ Sender = (*webhook)(nil)

func newWebhook(s Settings) (Sender, error) { return &webhook{settings: s}, checkURL(s) }

// Send delivers a notice.
func (w *webhook) Send(ctx context.Context, n *Notice) error {
	v := w.settings.read()
	where, err := v.getURL()
	if err != nil {
		return err
	}
	secret, err := v.secret("secret")
	if err != nil {
		return err
	}
	authorization, err := v.secret("authorization")
	if err != nil {
		return err
	}
	_, credentials, _ := strings.Cut(authorization, " ") // a server may say back those alone
	v.hide(strings.TrimSpace(credentials))
	timestamp, body := strconv.FormatInt(v.settings.now().Unix(), 10), NoticeJSON(n)
	header := http.Header{}
	header.Set("X-DTC-Notice", n.ID)
	header.Set("X-DTC-Timestamp", timestamp)
	if secret != "" {
		header.Set("X-DTC-Signature", "sha256="+webhookSignature(secret, timestamp, body))
	}
	if authorization != "" {
		header.Set("Authorization", authorization)
	}
	a, err := v.post(ctx, request{where: where, header: header, body: body})
	if err != nil {
		return err
	}
	return v.refusal(where, a)
}

func webhookSignature(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// noticeVersion is the version of the JSON of notices. Fields may be added
// within one.
const noticeVersion = 1

// noticeRecord is a notice in JSON.
type noticeRecord struct {
	Version  int               `json:"version"`
	ID       string            `json:"id"`
	Receiver string            `json:"receiver"`
	Kind     NoticeKind        `json:"kind"`
	Time     string            `json:"time"`
	Title    string            `json:"title"`
	Since    string            `json:"since,omitempty"`
	Events   []json.RawMessage `json:"events"`
}

// NoticeJSON returns a notice as one JSON object, without a newline at its end:
//
//	version   1; fields may be added within a version
//	id        unique to the notice, the same in each attempt to deliver it
//	receiver  the name of the receiver in the configuration
//	kind      "problem", "recovery", "reminder" or "test"
//	time      when it was made (RFC 3339, UTC, microseconds)
//	title     one line that says it
//	since     of a recovery and a reminder: since when it was wrong; else absent
//	events    what it tells, in order: the very objects that "dtc events -o json"
//	          prints, at most 500; empty for a test
//
// Control characters in it stand as \u escapes.
func NoticeJSON(n *Notice) []byte {
	r := noticeRecord{
		Version: noticeVersion, ID: n.ID, Receiver: n.Receiver, Kind: n.Kind,
		Time: noticeTime(n.Time), Title: n.Title, Events: make([]json.RawMessage, len(n.Events)),
	}
	if !n.Since.IsZero() {
		r.Since = noticeTime(n.Since)
	}
	for i := range n.Events {
		r.Events[i] = render.EventJSON(&n.Events[i])
	}
	return render.EscapeJSON(encodeJSON(r))
}

func noticeTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z07:00") }
