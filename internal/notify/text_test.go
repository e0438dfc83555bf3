package notify

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"pgregory.net/rapid"

	"dtc"
	"dtc/internal/bounds"
)

// hostileText draws what a name may be of: what chats read, wide and combined
// characters, control characters, bytes that are no text.
func hostileText() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		parts := rapid.SliceOfN(rapid.OneOf(
			rapid.SampledFrom([]string{
				"@all", "<", ">", "&", "&lt;", "`", "```", "\n", "\r", "\x1b[31m", "\u202e", "\xff", "飞", "😀", "](http://x)", "://", "www.x",
				"<!here>", "<@U1>", `\u0041`, `"`, `\`, "e\u0301", " ", "_", "*", "</at>", "\u2028",
			}),
			rapid.String(),
		), 0, 60).Draw(t, "parts")
		return strings.Join(parts, "")
	})
}

func drawNotice(t *rapid.T) *Notice {
	n := &Notice{ID: "n", Kind: Reminder, Time: testNow(), Title: hostileText().Draw(t, "title")}
	if rapid.Bool().Draw(t, "since") {
		n.Since = n.Time.Add(-time.Hour)
	}
	names := rapid.SliceOfN(hostileText(), 1, 5).Draw(t, "names")
	for i := range rapid.IntRange(0, MaxEvents).Draw(t, "events") {
		n.Events = append(n.Events, dtc.Event{
			ID: fmt.Sprint(i), Time: n.Time, Host: names[i%len(names)], Address: "10.0.0.7:7701", Kind: dtc.EventProcess,
			State: dtc.StateDead, PID: i + 1, Name: names[i/2%len(names)], Reason: names[i/3%len(names)],
		})
	}
	return n
}

// Every text fits into its medium.
func TestTextsFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := drawNotice(t)
		at := rapid.SampledFrom([]string{"", "all", "13800001111, 13900002222", strings.Repeat("13800001111,", 500)}).Draw(t, "at")
		for kind, over := range map[string]int{
			"slack":    utf8.RuneCountInString(newSlackMessage(n).Text) - 4000,
			"dingtalk": len(encodeJSON(dingtalkText{newDingTalkMessage(n, at).Text.Content})) - 20_000,
			"feishu":   len(encodeJSON(newFeishuMessage(n))) - 20_000,
			"wecom":    len(newWeComMessage(n).Text.Content) - 2048,
			"telegram": len(utf16.Encode([]rune(newTelegramMessage(n, "1").Text))) - 4096,
		} {
			if over > 0 {
				t.Fatalf("%s: too long by %d", kind, over)
			}
		}
	})
}

// In every medium: what is not shown of a notice is counted, nothing in a line is
// more than text, and no line is cut inside of an escape.
func TestLines(t *testing.T) {
	media := map[string]medium{
		"slack": slackMedium(), "dingtalk": dingtalkMedium(), "feishu": feishuMedium(), "wecom": wecomMedium(), "telegram": telegramMedium(),
	}
	rapid.Check(t, func(t *rapid.T) {
		n := drawNotice(t)
		for kind, m := range media {
			lines, total := m.text(n), 0
			for _, line := range lines {
				total += m.cost(line)
				checkLine(t, kind, line)
			}
			if total > m.limit {
				t.Fatalf("%s: %d of %d", kind, total, m.limit)
			}
			if !strings.HasPrefix(lines[0], "[DTC] ") {
				t.Fatalf("%s: the title is %q", kind, lines[0])
			}
			shown := lines[1:]
			if !n.Since.IsZero() {
				if !strings.HasSuffix(lines[1], "for 1h0m0s") {
					t.Fatalf("%s: since %q", kind, lines[1])
				}
				shown = lines[2:]
			}
			if len(shown) > 0 && strings.HasPrefix(shown[len(shown)-1], "and ") {
				var left int
				if _, err := fmt.Sscanf(shown[len(shown)-1], "and %d more", &left); err != nil || left < 1 || len(shown)-1+left != len(n.Events) {
					t.Fatalf("%s: %d lines and %q of %d", kind, len(shown)-1, shown[len(shown)-1], len(n.Events))
				}
			} else if len(shown) != len(n.Events) {
				t.Fatalf("%s: %d lines of %d", kind, len(shown), len(n.Events))
			}
		}
	})
}

func checkLine(t *rapid.T, kind, line string) {
	bad := []string{"@a", "@U", "](", "://"}
	switch kind {
	case "slack":
		bad = append(bad, "<", ">", "`")
		if strings.Contains(strings.NewReplacer("&amp;", "", "&lt;", "", "&gt;", "").Replace(line), "&") {
			t.Fatalf("slack: an & in %q", line)
		}
	case "wecom":
		bad = append(bad, "<!", "<@", "</at", "www.x", `\u`)
	default:
		bad = append(bad, "<!", "<@", "</at", "www.x")
	}
	for _, b := range bad {
		if strings.Contains(line, b) {
			t.Fatalf("%s: %q in %q", kind, b, line)
		}
	}
	for _, r := range line {
		if r < ' ' || r == 0x7f || r == 0x202e || r == 0x2028 {
			t.Fatalf("%s: %U in %q", kind, r, line)
		}
	}
}

// A notice of one event that is as long as it may be is shown all the same.
func TestLongLine(t *testing.T) {
	n := &Notice{Title: strings.Repeat("😀", 10_000), Time: testNow(), Events: []dtc.Event{{
		Kind: dtc.EventHost, State: dtc.StateRefused, Host: strings.Repeat("&", 10_000), Time: testNow(), Reason: strings.Repeat("飞", 10_000),
	}}}
	for kind, m := range map[string]medium{
		"slack": slackMedium(), "dingtalk": dingtalkMedium(), "feishu": feishuMedium(), "wecom": wecomMedium(), "telegram": telegramMedium(),
	} {
		lines := m.text(n)
		if len(lines) != 2 || !strings.HasSuffix(lines[0], "…") || !strings.HasSuffix(lines[1], "…") || len(lines[1]) < 100 {
			t.Errorf("%s: %q", kind, lines)
		}
	}
}

func TestSince(t *testing.T) {
	n := &Notice{Kind: Recovery, Time: testNow(), Since: testNow().Add(-90 * time.Second)}
	if got := sinceLine(n); !strings.HasPrefix(got, "it was wrong since ") || !strings.HasSuffix(got, ", for 1m30s") {
		t.Error(got)
	}
	n.Kind = Reminder
	if got := sinceLine(n); !strings.HasPrefix(got, "it is wrong since ") {
		t.Error(got)
	}
	n.Events = make([]dtc.Event, 2)
	if got := sinceLine(n); !strings.HasPrefix(got, "the first since ") {
		t.Error(got)
	}
}

// Whatever an answer is, it is read to an end: nil, or an error as it should be.
func FuzzAnswer(f *testing.F) {
	for _, body := range []string{"ok", `{"errcode":0}`, `{"code":19021,"msg":"\u0007"}`, `{"ok":false,"parameters":{"retry_after":-1}}`, "\x00\xff", `{"success":true}`} {
		f.Add(200, body, "7")
		f.Add(429, body, "Sun, 22 Nov 2026 07:15:01 GMT")
		f.Add(302, body, "http://[")
	}
	f.Fuzz(func(t *testing.T, status int, body, header string) {
		defer bounds.Alloc(t, len(body)+len(header))()
		v := Settings{Values: map[string]string{"secret": testToken}, Now: testNow}.read()
		where, err := v.parseURL("http://10.0.0.9/" + testToken)
		must(t, err)
		if _, err = v.secret("secret"); err != nil {
			t.Fatal(err)
		}
		a := answer{status: status, header: map[string][]string{"Retry-After": {header}, "Location": {header}}, body: []byte(body), whole: true}
		slack := a
		for _, err := range []error{v.refusal(where, &a), v.slackRefusal(where, &slack), v.telegramRefusal(where, &a), v.codeRefusal(where, &a, dingtalkCodes())} {
			if err != nil {
				checkError(t, err, testToken)
			}
		}
	})
}
