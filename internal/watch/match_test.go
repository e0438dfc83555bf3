package watch

import (
	"strings"
	"testing"

	"dtc"
)

func TestNewSelectors(t *testing.T) {
	for _, tt := range []struct {
		want  string // of the error; "" for none
		rules []dtc.ProcessRule
	}{
		{"", nil},
		{"", []dtc.ProcessRule{{Match: "nginx: master"}, {Exe: "nginx"}, {PIDFile: "relative"}, {Unit: "web"}, {Port: 80}, {Port: 65535, User: "nobody here"}}},
		{`rule "x": expected exactly one of match, exe`, []dtc.ProcessRule{{Name: "x"}}},
		{`rule "x": expected exactly one of match, exe`, []dtc.ProcessRule{{Name: "x", Match: "a", Port: 1}}},
		{`rule "x": expected exactly one of match, exe`, []dtc.ProcessRule{{Name: "x", User: "root"}}},
		{`rule "x": match: error parsing regexp`, []dtc.ProcessRule{{Name: "x", Match: "("}}},
		{`rule "x": match: the regular expression is too large`, []dtc.ProcessRule{{Name: "x", Match: "(" + strings.Repeat("x", 900) + "){1000}"}}},
		{`rule "x": port 65536:`, []dtc.ProcessRule{{Name: "x", Port: 65536}}},
		{`rule "x": port -1:`, []dtc.ProcessRule{{Name: "x", Port: -1}}},
		{`rule "x": the regular expressions of all rules are too large`, many(dtc.ProcessRule{Name: "x", Match: "[a-z]{900}"}, 300)},
		{"", many(dtc.ProcessRule{Match: "^/usr/bin/java .*-Dapp=[a-z]+( |$)"}, 1000)},
	} {
		sels, err := newSelectors(tt.rules)
		switch {
		case tt.want == "" && (err != nil || len(sels) != len(tt.rules)):
			t.Errorf("%.200v: %v", tt.rules, err)
		case tt.want != "" && (dtc.KindOf(err) != dtc.KindInvalid || !strings.HasPrefix(err.Error(), tt.want)):
			t.Errorf("%.200v: %v, want %q", tt.rules, err, tt.want)
		}
	}
}

func many(r dtc.ProcessRule, n int) []dtc.ProcessRule {
	rules := make([]dtc.ProcessRule, n)
	for i := range rules {
		rules[i] = r
	}
	return rules
}

func TestShorten(t *testing.T) {
	for text, want := range map[string]string{"": "", "abcd": "abcd", "abcde": "abcd", "abcé": "abc", "日日": "日", "\xff\xff\xff\xff\xff": "\xff\xff\xff\xff", "\x80\x80\x80\x80\x80": ""} {
		if got := string(shorten([]byte(text), 4)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestAllowance(t *testing.T) {
	a := newAllowance()
	for range 1000 {
		a.spend(freeCommand)
	}
	if got := a.limit(); got != maxMatched {
		t.Errorf("short ones count: %d", got)
	}
	a.spend(allowanceMost + 1<<40)
	if got := a.limit(); got != freeCommand {
		t.Errorf("limit %d", got)
	}
	a.left, a.at = 0, a.at.Add(-1<<40)
	if got := a.limit(); got != maxMatched || a.left > allowanceMost {
		t.Errorf("after a while: limit %d, %d left", got, a.left)
	}
}
