package notify

import (
	"context"
	"strconv"
	"time"
)

// feishu posts to a custom robot of a Feishu or Lark group.
//
// https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot: timestamp
// in seconds (at most an hour off), and sign = base64 of HMAC-SHA256 of nothing,
// with the timestamp, a newline and the secret as the key, both in the body; a
// body has at most 20 KB; 100 messages a minute and 5 a second. A robot with a
// keyword has to have "DTC" as one.
type feishu struct{ settings Settings }

var _ Sender = (*feishu)(nil)

func newFeishu(s Settings) (Sender, error) { return &feishu{settings: s}, checkURL(s) }

// maxFeishu is how many bytes of a body the paragraphs have at most, as they
// stand in the JSON.
const maxFeishu = 18_000

func feishuMedium() medium {
	return medium{limit: maxFeishu, escape: defuse, size: func(line string) int {
		return len(encodeJSON([]feishuPart{feishuText(line)}))
	}}
}

func feishuCodes() chatCodes {
	return chatCodes{
		busy: []int{11232, 230020, 99991400}, wait: time.Minute,
		refused: []int{230001, 230025, 230028}, // parameter, length, content that its censor does not let pass
	}
}

// feishuMessage is a "post": its texts are texts, where one of type "text" has
// tags.
type feishuMessage struct {
	Timestamp string        `json:"timestamp,omitempty"`
	Sign      string        `json:"sign,omitempty"`
	Type      string        `json:"msg_type"`
	Content   feishuContent `json:"content"`
}

type feishuContent struct {
	Post map[string]feishuPost `json:"post"` // by language; readers of others see the only one
}

type feishuPost struct {
	Title   string         `json:"title"`
	Content [][]feishuPart `json:"content"` // paragraphs
}

type feishuPart struct {
	Tag  string `json:"tag"`
	Text string `json:"text"`
}

// Send delivers a notice.
func (f *feishu) Send(ctx context.Context, n *Notice) error {
	v := f.settings.read()
	where, err := v.getURL()
	if err != nil {
		return err
	}
	secret, err := v.secret("secret")
	if err != nil {
		return err
	}
	message := newFeishuMessage(n)
	if secret != "" {
		message.Timestamp = strconv.FormatInt(v.settings.now().Unix(), 10)
		message.Sign = sign(message.Timestamp+"\n"+secret, "")
		v.hide(message.Sign)
	}
	return v.postChat(ctx, where, message, feishuCodes())
}

func newFeishuMessage(n *Notice) feishuMessage {
	lines := feishuMedium().text(n)
	post := feishuPost{Title: lines[0], Content: make([][]feishuPart, 0, len(lines))}
	for _, line := range lines[1:] {
		post.Content = append(post.Content, []feishuPart{feishuText(line)})
	}
	if len(post.Content) == 0 { // one without a paragraph is refused
		post.Content = append(post.Content, []feishuPart{feishuText(n.Time.Local().Format(clock))})
	}
	return feishuMessage{Type: "post", Content: feishuContent{Post: map[string]feishuPost{"zh_cn": post}}}
}

func feishuText(text string) feishuPart { return feishuPart{Tag: "text", Text: text} }
