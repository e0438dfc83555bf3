package ca

import (
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	own := ips("10.0.0.7", "fd00::7")
	for _, name := range []string{
		"web1", "Web-1.example.com", "db_2", "büro", "東京", "a b", "10.0.0.7", "fd00::7", "fd00:0:0::7", "10.0.0.7:7701",
		"x", strings.Repeat("n", 253), "10.0.0", "host#2 (old)",
	} {
		if err := checkName(name, own); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{
		"", " ", " a", "a ", "-a", "--all", "a/b", `a\b`, "a\tb", "a\nb", "a\x00", "a\x1b[31m", "a\u202eb", "a\u00a0b", "a\u200bb", "\xff",
		"web*", "web?", "web[1]", "a,b", "a|b", `a"b`, "a<b", "a&b", "a=b", "a'b", "$(x)", "`x`",
		"10.0.0.8", "::1", "::ffff:10.0.0.8", "10.0.0.8:7701", "[fd00::7]:1", strings.Repeat("n", 254),
	} {
		err := checkName(name, own)
		if err == nil {
			t.Errorf("%q was accepted", name)
			continue
		}
		if msg := err.Error(); strings.ContainsAny(msg, "\n\x1b\x00") || strings.Contains(msg, "\u202e") {
			t.Errorf("%q: the error shows it raw: %q", name, msg)
		}
	}
}

func TestCheckIPs(t *testing.T) {
	got, err := checkIPs(ips("::ffff:10.0.0.7", "10.0.0.7", "fd00::7", "127.0.0.1"))
	must(t, err)
	if list(got) != "10.0.0.7, fd00::7, 127.0.0.1" {
		t.Errorf("got %s", list(got))
	}
	many := ips("10.0.0.0")
	for range maxIPs {
		many = append(many, many[len(many)-1].Next())
	}
	if _, err := checkIPs(many); err == nil {
		t.Errorf("%d addresses were accepted", len(many))
	}
}
