package notify

import (
	"context"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// dingtalk posts to a custom robot of a DingTalk group.
//
// https://open.dingtalk.com/document/orgapp/custom-robot-access (messages, 20 a
// minute, else none for ten) and
// https://open.dingtalk.com/document/orgapp/customize-robot-security-settings
// (the signature): timestamp in milliseconds, and sign = base64 of HMAC-SHA256
// with the secret as the key of the timestamp, a newline and the secret, both in
// the query. A robot with a keyword has to have "DTC" as one.
type dingtalk struct{ settings Settings }

var _ Sender = (*dingtalk)(nil)

func newDingTalk(s Settings) (Sender, error) { return &dingtalk{settings: s}, checkURL(s) }

// How many characters a text has at most, and who is mentioned at its end: with
// four bytes in each it all stays under the 20,000 bytes of a body.
const (
	maxDingTalk = 4096
	maxAt       = 500
)

func dingtalkMedium() medium {
	return medium{limit: maxDingTalk, size: utf8.RuneCountInString, escape: defuse}
}

// dingtalkCodes are from the list of the robot's errors.
func dingtalkCodes() chatCodes {
	return chatCodes{
		busy: []int{130101, 302033, 410100, 90030}, wait: 10 * time.Minute,
		// Parameters and lengths, then contents that its censor does not let pass.
		refused: []int{40035, 34014, 34016, 400105, 460101, 430101, 430102, 430103, 430104},
	}
}

type dingtalkMessage struct {
	Type string       `json:"msgtype"`
	Text dingtalkText `json:"text"`
	At   dingtalkAt   `json:"at,omitzero"`
}

type dingtalkText struct {
	Content string `json:"content"`
}

type dingtalkAt struct {
	Mobiles []string `json:"atMobiles,omitempty"`
	All     bool     `json:"isAtAll,omitempty"`
}

// Send delivers a notice.
func (d *dingtalk) Send(ctx context.Context, n *Notice) error {
	v := d.settings.read()
	where, err := v.getURL()
	if err != nil {
		return err
	}
	secret, err := v.secret("secret")
	if err != nil {
		return err
	}
	at, err := v.get("at")
	if err != nil {
		return err
	}
	if secret != "" {
		timestamp := strconv.FormatInt(v.settings.now().UnixMilli(), 10)
		signature := sign(secret, timestamp+"\n"+secret)
		v.hide(signature)
		query := where.Query()
		query.Set("timestamp", timestamp)
		query.Set("sign", signature)
		where.RawQuery = query.Encode()
	}
	return v.postChat(ctx, where, newDingTalkMessage(n, at), dingtalkCodes())
}

// newDingTalkMessage returns a plain text: in Markdown a name could do more than
// be read. Who is to be mentioned stands at its end, as the text has to name
// them.
func newDingTalkMessage(n *Notice, at string) dingtalkMessage {
	var mention dingtalkAt
	var names strings.Builder
	for name := range strings.SplitSeq(at, ",") {
		name = strings.TrimSpace(name)
		switch name {
		case "":
		case "all":
			mention.All = true
		default:
			mention.Mobiles = append(mention.Mobiles, name)
			names.WriteString(" @" + name)
		}
	}
	content := strings.Join(dingtalkMedium().text(n), "\n") + cut(names.String(), maxAt)
	return dingtalkMessage{Type: "text", Text: dingtalkText{Content: content}, At: mention}
}
