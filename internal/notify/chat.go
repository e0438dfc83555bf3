package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// chatAnswer is what DingTalk, Feishu and WeCom answer, with status 200 also
// when they have not taken a message.
type chatAnswer struct {
	ErrCode *int   `json:"errcode"` // DingTalk, WeCom
	ErrMsg  string `json:"errmsg"`
	Code    *int   `json:"code"` // Feishu
	Msg     string `json:"msg"`
}

// chatCodes says what the codes of such an answer mean. Those that are not
// named are faults that may pass.
type chatCodes struct {
	busy    []int         // too many messages
	wait    time.Duration // then
	refused []int         // this message will never be taken
}

// postChat sends a message, and reads the answer's code.
func (v *values) postChat(ctx context.Context, where *url.URL, message any, codes chatCodes) error {
	a, err := v.post(ctx, request{where: where, body: encodeJSON(message)})
	if err != nil {
		return err
	}
	return v.codeRefusal(where, a, codes)
}

// codeRefusal returns what an answer's code says, and without one its status.
func (v *values) codeRefusal(where *url.URL, a *answer, codes chatCodes) error {
	code, text, told := a.code()
	if !told {
		if err := v.refusal(where, a); err != nil {
			return err
		}
		return v.fault(where, errors.New("it answered without an error code: is the url that of a robot?"+v.snippet(a.body)))
	}
	if code == 0 {
		return v.refusal(where, a)
	}
	fault := v.fault(where, fmt.Errorf("it answered with error code %d%s", code, v.snippet([]byte(text))))
	switch {
	case slices.Contains(codes.busy, code), strings.Contains(strings.ToLower(text), "too many"): // Feishu's 9499 is this and more
		return later(fault, codes.wait)
	case slices.Contains(codes.refused, code):
		return &Refused{Err: fault}
	}
	return fault
}

// code returns the error code of an answer with its text, and whether it has
// one.
func (a *answer) code() (code int, text string, told bool) {
	var c chatAnswer
	if !a.whole || json.Unmarshal(a.body, &c) != nil {
		return 0, "", false
	}
	switch {
	case c.ErrCode != nil:
		return *c.ErrCode, c.ErrMsg, true
	case c.Code != nil:
		return *c.Code, c.Msg, true
	default:
		return 0, "", false
	}
}

// sign returns the base64 of an HMAC-SHA256.
func sign(key, text string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
