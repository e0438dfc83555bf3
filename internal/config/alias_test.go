package config

import (
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"dtc/internal/bounds"
)

func TestCheckAlias(t *testing.T) {
	for _, good := range []string{
		"a", "app.log", "app", "a b.log", " a", "日誌.log", "a,b", "a..b", "{name}", "~", "-", "a*b?", "console.log", "con-1.log",
		"com.log", "com10.log", "com1x", "lpt.log", "lpt10", "nullable", "auxiliary.log", "prn2.log", "conin", "xcon", "a.con", "CONIN",
		strings.Repeat("a", 200),
		"10.0.0.7_7701_process.log", "10.0.0.7_7701_process_2026-11-22.log.gz", "10.0.0.7_7701_2026-11-22.log",
		"web_7701_process_2026-11-22.log", "10.0.0.7_http_process_2026-11-22.log", "10.0.0.7_7701_process_26-11-22.log",
		"10.0.0.7_7701_process_2026-11-22", "_7701_process_2026-11-22.log", "10.0.0.7__process_2026-11-22.log",
	} {
		if err := CheckAlias(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", ".", "..", "...", ".a", "a.", "/", `\`, ":", "a/b", `a\b`, "a:b", "a\x00b", "a\tb", "a\nb", "a\x7f", "a\u0085b", "a\u202eb", "\u2066a", "a\u200f", "a\u061c", "a ",
		"a\xffb", strings.Repeat("a", 201), strings.Repeat("日", 67),
		"con", "CON", "Con.txt", "nul", "NUL.tar.gz", "aux", "prn.log", "com0", "com1", "COM9.log", "lpt1", "LPT9", "com¹", "LPT².x",
		"COM³", "conin$", "CONOUT$", "con .log", "nul  .x", "com1 .x",
		"10.0.0.7_7701_process_2026-11-22.log", "10.0.0.7_7701_PROCESS_2026-11-22.LOG", "999.0.0.1_0_process_0000-99-99.log",
		"0--1_7701_process_2026-11-22.log", "fd00--7_7701_process_2026-11-22.log", "FD00--7_7701_process_2026-11-22.log",
	} {
		if CheckAlias(bad) == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// Whatever the monitor may call a process log of a host is no alias.
func TestCheckAliasOfProcessLogs(t *testing.T) {
	for _, ip := range []string{"10.0.0.7", "0.0.0.0", "255.255.255.255", "::", "::1", "fd00::7", "1:2:3:4:5:6:7:8", "2001:db8::", "::ffff:10.0.0.7"} {
		name := FolderName(netip.MustParseAddr(ip)) + "_7701_process_2026-11-22.log"
		if CheckAlias(name) == nil {
			t.Errorf("%q is accepted", name)
		}
	}
}

func TestFolderName(t *testing.T) {
	for ip, want := range map[string]string{
		"10.0.0.7":        "10.0.0.7",
		"fd00::7":         "fd00--7",
		"FD00:0:0::7":     "fd00--7",
		"::1":             "0--1",
		"::":              "0--",
		"2001:db8::":      "2001-db8--",
		"::ffff:10.0.0.7": "10.0.0.7",
		"fe80::1%eth0":    "fe80--1",
		"1:2:3:4:5:6:7:8": "1-2-3-4-5-6-7-8",
	} {
		if got := FolderName(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: got %q, want %q", ip, got, want)
		}
	}
}

func TestAliasKey(t *testing.T) {
	for _, same := range [][2]string{{"app.log", "APP.LOG"}, {"É.log", "é.LOG"}, {"K", "\u212a"}, {"σ", "ς"}, {"", ""}, {"日", "日"}} {
		if AliasKey(same[0]) != AliasKey(same[1]) {
			t.Errorf("%q and %q differ", same[0], same[1])
		}
	}
	if AliasKey("a") == AliasKey("b") {
		t.Error("a is b")
	}
}

// FuzzCheckAlias checks what has to hold of every legal alias, however it came
// to be legal: it names one file in one folder, everywhere.
func FuzzCheckAlias(f *testing.F) {
	for _, s := range []string{"app.log", "..", "a/b", "con.x", "10.0.0.7_1_process_2026-11-22.log", "\xff", "a\u202eb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, alias string) {
		defer bounds.Alloc(t, len(alias))()
		if CheckAlias(alias) != nil {
			return
		}
		if len(alias) < 1 || len(alias) > 200 || !utf8.ValidString(alias) || strings.ContainsAny(alias, "/\\:\x00\n\u202e") ||
			alias[0] == '.' || strings.HasSuffix(alias, ".") {
			t.Errorf("%q is accepted", alias)
		}
		if folded := AliasKey(alias); AliasKey(folded) != folded {
			t.Errorf("the key of %q is not its own", alias)
		}
	})
}
