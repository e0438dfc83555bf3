package notify

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dtc"
	"dtc/internal/render"
)

// hmacSHA256 is RFC 2104 by its definition, for keys and texts as receivers
// have them.
func hmacSHA256(key, text string) []byte {
	k := []byte(key)
	if len(k) > sha256.BlockSize {
		sum := sha256.Sum256(k)
		k = sum[:]
	}
	inner, outer := make([]byte, sha256.BlockSize), make([]byte, sha256.BlockSize)
	copy(inner, k)
	copy(outer, k)
	for i := range inner {
		inner[i] ^= 0x36
		outer[i] ^= 0x5c
	}
	first := sha256.Sum256(append(inner, text...))
	second := sha256.Sum256(append(outer, first[:]...))
	return second[:]
}

// The test vector of RFC 4231, 4.3: this test's own implementation is right.
func TestHMACOfTheTest(t *testing.T) {
	const want = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
	if got := hex.EncodeToString(hmacSHA256("Jefe", "what do ya want for nothing?")); got != want {
		t.Errorf("got %s", got)
	}
}

// sendOne sends a notice to a server that answers so, and returns what the server
// got.
func sendOne(t *testing.T, kind, answer string, n *Notice, values func(base string) map[string]string) gotRequest {
	t.Helper()
	p := newHTTPPeer(t, nil, says(http.StatusOK, answer))
	must(t, sendTo(t, testSender(t, kind, t.TempDir(), values(p.URL)), n))
	got := p.requests()
	if len(got) != 1 {
		t.Fatalf("%d requests", len(got))
	}
	return got[0]
}

// decode reads a body, strictly.
func decode(t *testing.T, body []byte, into any) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.DisallowUnknownFields()
	must(t, dec.Decode(into))
}

func TestWebhook(t *testing.T) {
	n := aNotice()
	n.Kind, n.Since, n.Title = Recovery, n.Time.Add(-time.Hour), "title\u202e\n<&>"
	const key = "a long secret, longer than a block of the hash: 0123456789012345678901234567890123456789"
	got := sendOne(t, "webhook", "anything", n, func(base string) map[string]string {
		return map[string]string{"url": base + "/dtc?a=b", "secret": key, "authorization": "Bearer x"}
	})
	timestamp := strconv.FormatInt(testNow().Unix(), 10)
	for name, want := range map[string]string{
		"X-DTC-Notice": "n-1", "X-DTC-Timestamp": timestamp, "Authorization": "Bearer x", "User-Agent": "dtc",
		"X-DTC-Signature": "sha256=" + hex.EncodeToString(hmacSHA256(key, timestamp+"."+string(got.body))),
	} {
		if got.header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.header.Get(name), want)
		}
	}
	if got.url.String() != "/dtc?a=b" {
		t.Errorf("asked for %s", got.url)
	}
	var body struct {
		Version                                int
		ID, Receiver, Kind, Time, Title, Since string
		Events                                 []json.RawMessage
	}
	decode(t, got.body, &body)
	if body.Version != 1 || body.ID != "n-1" || body.Receiver != "ops" || body.Kind != "recovery" || body.Title != n.Title ||
		body.Time != "2026-11-22T07:15:01.123456Z" || body.Since != "2026-11-22T06:15:01.123456Z" || len(body.Events) != 2 {
		t.Errorf("body %+v", body)
	}
	for i, e := range body.Events {
		if want := strings.TrimSpace(string(render.EventJSON(&n.Events[i]))); string(e) != want {
			t.Errorf("event %d is\n%s, as dtc events prints it\n%s", i, e, want)
		}
	}
	if strings.ContainsAny(string(got.body), "\x1b\u202e\n") {
		t.Errorf("a control character stands raw in %q", got.body)
	}
}

// Without a secret nothing is signed; a test has no events, and no since.
func TestWebhookTest(t *testing.T) {
	n := &Notice{ID: "n-2", Receiver: "ops", Kind: Test, Time: testNow(), Title: "a test"}
	got := sendOne(t, "webhook", "", n, func(base string) map[string]string {
		return map[string]string{"url": strings.Replace(base, "//", "//user:p%40ss@", 1)}
	})
	if _, ok := got.header["X-Dtc-Signature"]; ok {
		t.Error("it is signed")
	}
	if want := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:p@ss")); got.header.Get("Authorization") != want {
		t.Errorf("authorization %q", got.header.Get("Authorization"))
	}
	const want = `{"version":1,"id":"n-2","receiver":"ops","kind":"test","time":"2026-11-22T07:15:01.123456Z","title":"a test","events":[]}`
	if string(got.body) != want {
		t.Errorf("got  %s\nwant %s", got.body, want)
	}
}

// harmless finds what a text for a chat may not have from a process' name.
func harmless(t *testing.T, text string, forbidden ...string) {
	t.Helper()
	for _, f := range append(forbidden, "\x1b", "\u202e", "\xff", "@all", "@U1", "](http", "http://evil", "<at", "<!", "<@") {
		if strings.Contains(text, f) {
			t.Errorf("the text has %q: %q", f, text)
		}
	}
	for _, f := range []string{"web1: nginx[812] dead: signal 9", "[812] dead", "[813] dead", "10.0.0.7:7701"} {
		if !strings.Contains(text, f) {
			t.Errorf("the text lacks %q: %q", f, text)
		}
	}
}

func TestSlack(t *testing.T) {
	got := sendOne(t, "slack", "ok", aNotice(), func(base string) map[string]string { return map[string]string{"url": base + "/services/T/B/x"} })
	var body struct {
		Text  string
		Links *bool `json:"unfurl_links"`
		Media *bool `json:"unfurl_media"`
	}
	decode(t, got.body, &body)
	if body.Links == nil || *body.Links || body.Media == nil || *body.Media {
		t.Errorf("links are unfurled: %s", got.body)
	}
	harmless(t, body.Text)
	title, rest, _ := strings.Cut(body.Text, "\n")
	if title != "[DTC] web1: nginx[812] dead: signal 9" || !strings.HasPrefix(rest, "```\n") || !strings.HasSuffix(rest, "\n```") ||
		strings.Count(body.Text, "`") != 6 {
		t.Errorf("text %q", body.Text)
	}
	if strings.ContainsAny(body.Text, "<>") || strings.Count(body.Text, "&") != strings.Count(body.Text, "&lt;")+strings.Count(body.Text, "&gt;")+strings.Count(body.Text, "&amp;") {
		t.Errorf("&, < or > stand as they are: %q", body.Text)
	}
	p := newHTTPPeer(t, nil, says(http.StatusOK, "<html>log in"))
	err := sendTo(t, testSender(t, "slack", "", map[string]string{"url": p.URL}), aNotice())
	checkError(t, err)
	for _, answer := range []string{"ok", " ok\n", `{"success":true}`, `{"ok":true}`} {
		sendOne(t, "slack", answer, aNotice(), func(base string) map[string]string { return map[string]string{"url": base} })
	}
}

func TestDingTalk(t *testing.T) {
	const secret = "SEC000&+%=/\u00e9"
	got := sendOne(t, "dingtalk", `{"errcode":0,"errmsg":"ok"}`, aNotice(), func(base string) map[string]string {
		return map[string]string{"url": base + "/robot/send?access_token=abc%2B", "secret": secret, "at": " 13800001111,all, 13900002222 "}
	})
	timestamp := strconv.FormatInt(testNow().UnixMilli(), 10)
	want := "access_token=abc%2B&sign=" + url.QueryEscape(base64.StdEncoding.EncodeToString(hmacSHA256(secret, timestamp+"\n"+secret))) + "&timestamp=" + timestamp
	if got.url.Path != "/robot/send" || got.url.RawQuery != want {
		t.Errorf("asked for %s, want the query %s", got.url, want)
	}
	var body struct {
		MsgType string
		Text    struct{ Content string }
		At      struct {
			AtMobiles []string
			IsAtAll   bool
		}
	}
	decode(t, got.body, &body)
	if body.MsgType != "text" || !body.At.IsAtAll || !slices.Equal(body.At.AtMobiles, []string{"13800001111", "13900002222"}) ||
		!strings.HasSuffix(body.Text.Content, " @13800001111 @13900002222") {
		t.Errorf("body %+v", body)
	}
	harmless(t, body.Text.Content)

	got = sendOne(t, "dingtalk", `{"errcode":0}`, aNotice(), func(base string) map[string]string {
		return map[string]string{"url": base + "/robot/send?access_token=abc"}
	})
	if got.url.RawQuery != "access_token=abc" || strings.Contains(string(got.body), `"at"`) {
		t.Errorf("unsigned: %s %s", got.url, got.body)
	}
}

func TestFeishu(t *testing.T) {
	const secret = "fs-secret-\u98de"
	got := sendOne(t, "feishu", `{"code":0,"msg":"success"}`, aNotice(), func(base string) map[string]string {
		return map[string]string{"url": base + "/open-apis/bot/v2/hook/x", "secret": secret}
	})
	var body struct {
		Timestamp, Sign string
		MsgType         string `json:"msg_type"`
		Content         struct {
			Post map[string]struct {
				Title   string
				Content [][]struct{ Tag, Text string }
			}
		}
	}
	decode(t, got.body, &body)
	timestamp := strconv.FormatInt(testNow().Unix(), 10)
	if body.Timestamp != timestamp || body.Sign != base64.StdEncoding.EncodeToString(hmacSHA256(timestamp+"\n"+secret, "")) {
		t.Errorf("timestamp %s, sign %s", body.Timestamp, body.Sign)
	}
	post := body.Content.Post["zh_cn"]
	if body.MsgType != "post" || len(post.Content) != 2 {
		t.Fatalf("body %+v", body)
	}
	text := []string{post.Title}
	for _, paragraph := range post.Content {
		if len(paragraph) != 1 || paragraph[0].Tag != "text" {
			t.Errorf("paragraph %+v", paragraph)
		}
		text = append(text, paragraph[0].Text)
	}
	harmless(t, strings.Join(text, "\n"))
	got = sendOne(t, "feishu", `{"code":0}`, &Notice{Kind: Test, Time: testNow(), Title: "t"}, func(base string) map[string]string {
		return map[string]string{"url": base}
	})
	if strings.Contains(string(got.body), "sign") || strings.Contains(string(got.body), `"content":[]`) {
		t.Errorf("unsigned: %s", got.body)
	}
}

func TestWeCom(t *testing.T) {
	n := aNotice()
	n.Events[1].Name += `\u0041`
	got := sendOne(t, "wecom", `{"errcode":0,"errmsg":"ok"}`, n, func(base string) map[string]string {
		return map[string]string{"url": base + "/cgi-bin/webhook/send?key=k"}
	})
	var body struct {
		MsgType string
		Text    struct{ Content string }
	}
	decode(t, got.body, &body)
	harmless(t, body.Text.Content)
	if body.MsgType != "text" || strings.Contains(string(got.body), `\u`) {
		t.Errorf("body %s", got.body)
	}
}

func TestTelegram(t *testing.T) {
	got := sendOne(t, "telegram", `{"ok":true}`, aNotice(), func(base string) map[string]string {
		return map[string]string{"url": base + "/proxy/", "token": "1:a-b_c", "chat": "@ops"}
	})
	var body struct {
		Chat    string `json:"chat_id"`
		Text    string
		Preview struct {
			Disabled bool `json:"is_disabled"`
		} `json:"link_preview_options"`
	}
	decode(t, got.body, &body)
	if got.url.Path != "/proxy/bot1:a-b_c/sendMessage" || body.Chat != "@ops" || !body.Preview.Disabled {
		t.Errorf("%s %s", got.url, got.body)
	}
	harmless(t, body.Text)
}

// What the error codes mean.
func TestCodes(t *testing.T) {
	const dingtalk, feishu, telegram = `{"errcode":%d,"errmsg":"x"}`, `{"code":%d,"msg":"x"}`, `{"ok":false,"error_code":%d,"description":"x"}`
	for _, c := range []struct {
		kind, answer string
		later        time.Duration
		refused      bool
	}{
		{kind: "dingtalk", answer: fmt.Sprintf(dingtalk, 130101), later: 10 * time.Minute},
		{kind: "dingtalk", answer: fmt.Sprintf(dingtalk, 410100), later: 10 * time.Minute},
		{kind: "dingtalk", answer: fmt.Sprintf(dingtalk, 310000)},
		{kind: "dingtalk", answer: fmt.Sprintf(dingtalk, -1)},
		{kind: "dingtalk", answer: fmt.Sprintf(dingtalk, 430102), refused: true},
		{kind: "dingtalk", answer: "{}"},
		{kind: "dingtalk", answer: "ok"},
		{kind: "dingtalk", answer: ""},
		{kind: "feishu", answer: fmt.Sprintf(feishu, 11232), later: time.Minute},
		{kind: "feishu", answer: `{"code":9499,"msg":"too many request"}`, later: time.Minute},
		{kind: "feishu", answer: `{"code":9499,"msg":"Bad Request"}`},
		{kind: "feishu", answer: fmt.Sprintf(feishu, 19021)},
		{kind: "feishu", answer: fmt.Sprintf(feishu, 230028), refused: true},
		{kind: "wecom", answer: fmt.Sprintf(dingtalk, 45009), later: time.Minute},
		{kind: "wecom", answer: fmt.Sprintf(dingtalk, 93000)},
		{kind: "wecom", answer: fmt.Sprintf(dingtalk, 40058), refused: true},
		{kind: "telegram", answer: `{"ok":false,"error_code":429,"description":"Too Many Requests","parameters":{"retry_after":34}}`, later: 34 * time.Second},
		{kind: "telegram", answer: `{"ok":false,"error_code":429,"description":"x","parameters":{"retry_after":9000000000000}}`, later: maxLater},
		{kind: "telegram", answer: fmt.Sprintf(telegram, 400)},
		{kind: "telegram", answer: `{"ok":false,"error_code":400,"description":"Bad Request: message is too long"}`, refused: true},
		{kind: "telegram", answer: "{}"},
	} {
		for _, status := range []int{200, 400} {
			p := newHTTPPeer(t, nil, says(status, c.answer))
			values := map[string]string{"url": p.URL}
			if c.kind == "telegram" {
				values["token"], values["chat"] = "1:x", "2"
			}
			err := sendTo(t, testSender(t, c.kind, "", values), aNotice())
			checkError(t, err)
			if status == 400 && !strings.Contains(c.answer, ":") {
				continue // without a code the status counts
			}
			var refused *Refused
			var later *Later
			if errors.As(err, &refused) != c.refused || errors.As(err, &later) != (c.later > 0) || later != nil && later.After != c.later {
				t.Errorf("%s, %s: %T %v", c.kind, c.answer, err, err)
			}
		}
	}
}

// An event for each state, as a chat and an Alertmanager get them.
func eachState() []dtc.Event {
	zero := int64(0)
	base := dtc.Event{Time: testNow(), Host: "web1", Address: "10.0.0.7:7701"}
	var all []dtc.Event
	add := func(kind dtc.EventKind, change func(*dtc.Event), states ...dtc.State) {
		for _, s := range states {
			e := base
			e.ID, e.Kind, e.State = fmt.Sprintf("e-%d", len(all)), kind, s
			change(&e)
			all = append(all, e)
		}
	}
	process := []dtc.State{dtc.StateAlive, dtc.StateDead, dtc.StateMissing, dtc.StateRestarted}
	add(dtc.EventProcess, func(e *dtc.Event) {
		e.PID = 812
		if e.State != dtc.StateMissing {
			e.Name = "nginx"
		}
	}, append(process, dtc.StateReplaced)...)
	add(dtc.EventProcess, func(e *dtc.Event) { e.Rule, e.PID, e.Name, e.NewPID = "web", 812, "nginx", 813 }, dtc.StateAlive, dtc.StateDead, dtc.StateRestarted)
	add(dtc.EventProcess, func(e *dtc.Event) { e.Rule, e.Min = "web", 1 }, dtc.StateMissing, dtc.StateCount, dtc.StateNormal)
	add(dtc.EventHost, func(*dtc.Event) {}, dtc.StateStopped, dtc.StateReachable, dtc.StateUnreachable, dtc.StateRebooted, dtc.StateRefused, dtc.StateRejoined)
	add(dtc.EventLog, func(e *dtc.Event) { e.Alias, e.From = "app.log", &zero },
		dtc.StateGap, dtc.StateChanged, dtc.StateRewound, dtc.StateHole, dtc.StatePaused, dtc.StateResumed, dtc.StateCorrupt)
	add(dtc.EventNotify, func(e *dtc.Event) { e.Reason = "ops" }, dtc.StateUndelivered)
	return all
}
