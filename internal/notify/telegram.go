package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf16"
)

// telegram sends messages as a bot.
//
// https://core.telegram.org/bots/api#making-requests and #sendmessage: the
// token stands in the path; a text has at most 4,096 characters, which are
// UTF-16 code units; without a parse_mode nothing in it is markup. Of many
// messages parameters.retry_after says when to go on (#responseparameters).
type telegram struct{ settings Settings }

var _ Sender = (*telegram)(nil)

// telegramURL is where Telegram is, if no setting says otherwise.
const telegramURL = "https://api.telegram.org"

func newTelegram(s Settings) (Sender, error) {
	return &telegram{settings: s}, errors.Join(checkURL(s), checkToken(s.literal("token")))
}

// checkToken finds a mistake in a token, which is a part of a path.
func checkToken(token string) error {
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`/?#%\`, r) }) {
		return errors.New("the token is none: it is to be as @BotFather gave it, NUMBER:LETTERS, and no URL")
	}
	return nil
}

// maxTelegram is how many UTF-16 code units a text has at most.
const maxTelegram = 4096

type telegramMessage struct {
	Chat    string          `json:"chat_id"` // a number, or @channel
	Text    string          `json:"text"`
	Preview telegramPreview `json:"link_preview_options"`
}

// telegramPreview keeps Telegram from fetching what a command line names.
type telegramPreview struct {
	Disabled bool `json:"is_disabled"`
}

type telegramAnswer struct {
	OK          bool   `json:"ok"`
	Description string `json:"description"`
	Parameters  struct {
		RetryAfter int `json:"retry_after"` // seconds
	} `json:"parameters"`
}

// Send delivers a notice.
func (t *telegram) Send(ctx context.Context, n *Notice) error {
	v := t.settings.read()
	where, err := v.telegramMethod()
	if err != nil {
		return err
	}
	chat, err := v.get("chat")
	if err != nil {
		return err
	}
	a, err := v.post(ctx, request{where: where, body: encodeJSON(newTelegramMessage(n, chat))})
	if err != nil {
		return err
	}
	return v.telegramRefusal(where, a)
}

func telegramMedium() medium {
	return medium{limit: maxTelegram, size: utf16Len, escape: defuse}
}

func newTelegramMessage(n *Notice, chat string) telegramMessage {
	return telegramMessage{
		Chat: chat, Text: strings.Join(telegramMedium().text(n), "\n"), Preview: telegramPreview{Disabled: true},
	}
}

// telegramMethod returns the URL of sendMessage.
func (v *values) telegramMethod() (*url.URL, error) {
	token, err := v.secret("token")
	if err != nil {
		return nil, err
	}
	if err := checkToken(token); err != nil {
		return nil, err
	}
	_, key, _ := strings.Cut(token, ":")
	v.hide(key) // what stands before it is the bot's number, which everybody may know
	base, err := v.get("url")
	if err != nil {
		return nil, err
	}
	if base == "" {
		base = telegramURL
	}
	where, err := v.parseURL(base)
	if err != nil {
		return nil, err
	}
	return where.JoinPath("bot"+token, "sendMessage"), nil
}

// telegramRefusal reads the answer. Most faults have status 400; those that are
// of the chat may be mended, those of the text cannot.
func (v *values) telegramRefusal(where *url.URL, a *answer) error {
	var said telegramAnswer
	if !a.whole || json.Unmarshal(a.body, &said) != nil {
		if err := v.refusal(where, a); err != nil {
			return err
		}
		return v.fault(where, errors.New("it did not answer as Telegram does: check the url"+v.snippet(a.body)))
	}
	if said.OK {
		return v.refusal(where, a)
	}
	err := v.fault(where, fmt.Errorf("it answered %d%s", a.status, v.snippet([]byte(said.Description))))
	switch {
	case said.Parameters.RetryAfter > 0:
		return later(err, time.Duration(min(said.Parameters.RetryAfter, int(maxLater.Seconds())))*time.Second)
	case strings.Contains(said.Description, "message is too long"), strings.Contains(said.Description, "text is empty"),
		strings.Contains(said.Description, "text must be"):
		return &Refused{Err: err}
	}
	return err
}

// utf16Len returns how many UTF-16 code units a text has.
func utf16Len(s string) (n int) {
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}
