package notify

import (
	"context"
	"strings"
	"time"
)

// wecom posts to a robot of a WeCom group.
//
// https://developer.work.weixin.qq.com/document/path/91770: a text has at most
// 2,048 bytes (Markdown 4,096, but there a name could do more than be read); 20
// messages a minute. https://developer.work.weixin.qq.com/document/path/90313
// lists the error codes.
type wecom struct{ settings Settings }

var _ Sender = (*wecom)(nil)

func newWeCom(s Settings) (Sender, error) { return &wecom{settings: s}, checkURL(s) }

// maxWeCom is how many bytes a text has at most.
const maxWeCom = 2048

func wecomMedium() medium {
	return medium{limit: maxWeCom, size: func(s string) int { return len(s) }, escape: wecomEscape}
}

func wecomCodes() chatCodes {
	return chatCodes{
		busy: []int{45009, 45033}, wait: time.Minute,
		refused: []int{40008, 40033, 40035, 40058, 44004, 45002}, // type, characters, parameters, empty, too long
	}
}

type wecomMessage struct {
	Type string    `json:"msgtype"`
	Text wecomText `json:"text"`
}

type wecomText struct {
	Content string `json:"content"`
}

// Send delivers a notice.
func (w *wecom) Send(ctx context.Context, n *Notice) error {
	v := w.settings.read()
	where, err := v.getURL()
	if err != nil {
		return err
	}
	return v.postChat(ctx, where, newWeComMessage(n), wecomCodes())
}

func newWeComMessage(n *Notice) wecomMessage {
	return wecomMessage{Type: "text", Text: wecomText{Content: strings.Join(wecomMedium().text(n), "\n")}}
}

// wecomEscape breaks tags, mentions (<@userid> is one in a text, too) and what
// looks like an escape of JSON, which is refused (error 40033).
func wecomEscape(s string) string {
	return strings.ReplaceAll(defuse(s), `\u`, `\`+zeroWidth+"u")
}
