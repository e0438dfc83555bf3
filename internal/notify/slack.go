package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// slack posts to an incoming webhook of Slack, or of what takes the same
// messages (Mattermost, Rocket.Chat).
//
// https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
// and https://docs.slack.dev/messaging/formatting-message-text: what is in
// "text" has &, < and > escaped; it is cut at 40,000 characters, and may come
// apart from 4,000 on. The answer is the text "ok".
type slack struct{ settings Settings }

var _ Sender = (*slack)(nil)

func newSlack(s Settings) (Sender, error) { return &slack{settings: s}, checkURL(s) }

// slackMessage is the body. Links are not unfurled: nobody is to fetch a URL
// that stands in a command line.
type slackMessage struct {
	Text        string `json:"text"`
	UnfurlLinks bool   `json:"unfurl_links"`
	UnfurlMedia bool   `json:"unfurl_media"`
}

// maxSlack is how many characters of text are sent, the fence included.
const maxSlack = 3900

// slackMedium is the medium of the text: the events stand in a fence, where
// nothing is formatted and nobody mentioned.
func slackMedium() medium {
	return medium{limit: maxSlack - 2*len(slackFence), size: utf8.RuneCountInString, escape: slackEscape}
}

const slackFence = "```\n"

// slackEscape makes text of what is more outside the fence, which has the title,
// and keeps the fence closed. Mattermost knows links in Markdown, and mentions
// by name.
func slackEscape(s string) string {
	s = strings.NewReplacer("@", "@"+zeroWidth, "://", ":"+zeroWidth+"//", "](", "]"+zeroWidth+"(", "`", "'").Replace(s)
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

func newSlackMessage(n *Notice) slackMessage {
	lines := slackMedium().text(n)
	text := lines[0]
	if len(lines) > 1 {
		text += "\n" + slackFence + strings.Join(lines[1:], "\n") + "\n" + strings.TrimSpace(slackFence)
	}
	return slackMessage{Text: text}
}

// Send delivers a notice.
func (s *slack) Send(ctx context.Context, n *Notice) error {
	v := s.settings.read()
	where, err := v.getURL()
	if err != nil {
		return err
	}
	a, err := v.post(ctx, request{where: where, body: encodeJSON(newSlackMessage(n))})
	if err != nil {
		return err
	}
	return v.slackRefusal(where, a)
}

// slackRefusal reads the answer. Slack's 4xx are words on the webhook more
// often than on the message: a channel that was archived may come back.
func (v *values) slackRefusal(where *url.URL, a *answer) error {
	if a.status == http.StatusBadRequest && !bytes.Contains(a.body, []byte("invalid_payload")) &&
		!bytes.Contains(a.body, []byte("no_text")) {
		a.status = http.StatusForbidden
	}
	if err := v.refusal(where, a); err != nil {
		return err
	}
	if !slackTook(bytes.TrimSpace(a.body)) {
		return v.fault(where, errors.New("it did not answer ok: is the url an incoming webhook?"+v.snippet(a.body)))
	}
	return nil
}

// slackTook tells whether the body of an answer with status 200 is that of a
// webhook: "ok" of Slack and Mattermost, {"success":true} of Rocket.Chat.
func slackTook(body []byte) bool {
	if len(body) == 0 || string(body) == "ok" {
		return true
	}
	var took struct {
		OK      bool `json:"ok"`
		Success bool `json:"success"`
	}
	return json.Unmarshal(body, &took) == nil && (took.OK || took.Success)
}
