package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/config"
	"dtc/internal/service"
)

// check makes one check look.
func check(tb testing.TB, c Check) []Finding {
	tb.Helper()
	return Run(tb.Context(), 30*time.Second, []Check{c})
}

// text is what is printed of findings.
func text(tb testing.TB, found []Finding) string {
	tb.Helper()
	var b strings.Builder
	if err := Print(&b, found, false); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

func TestPrint(t *testing.T) {
	t.Parallel()
	found := []Finding{
		{OK, "config", "all is well", ""},
		{Warn, "clock", "that of \x1b[2Jweb1\u202e is wrong\nby far", "set it"},
		{Bad, "certificate", strings.Repeat("x", 2000), "renew"},
	}
	want := "ok    config:      all is well\n" +
		"warn  clock:       that of ?[2Jweb1? is wrong; by far; set it\n" +
		"bad   certificate: " + strings.Repeat("x", longest) + "…; renew\n"
	if got := text(t, found); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	var b strings.Builder
	if err := Print(&b, found[1:2], true); err != nil || !strings.HasPrefix(b.String(), "\x1b[33mwarn\x1b[0m  clock: ") {
		t.Errorf("in color: %q, %v", b.String(), err)
	}
	b.Reset()
	if err := PrintJSON(&b, found); err != nil {
		t.Fatal(err)
	}
	var back []Finding
	if err := json.Unmarshal([]byte(b.String()), &back); err != nil || len(back) != len(found) || back[1] != found[1] {
		t.Errorf("json: %v\n%s", err, b.String())
	}
	for level, n := range map[Level]int{OK: 1, Warn: 2, Bad: 3} {
		if got := Worst(found[:n]); got != level {
			t.Errorf("the worst of %d is %s", n, got)
		}
	}
}

// What hangs is told and not waited for, and the others are told all the same.
func TestRunHangs(t *testing.T) {
	t.Parallel()
	never := make(chan struct{})
	defer close(never)
	found := Run(t.Context(), 50*time.Millisecond, []Check{
		{"hangs", func(context.Context) []Finding { <-never; return nil }},
		{"waits", func(ctx context.Context) []Finding { <-ctx.Done(); return []Finding{okf("was told")} }},
		{"works", func(context.Context) []Finding { return []Finding{okf("is well"), {Warn, "other", "is not", ""}} }},
	})
	want := "warn  hangs: no answer within 50ms; see whether a disk or a file server hangs\n" +
		"ok    waits: was told\nok    works: is well\nwarn  other: is not\n"
	if got := text(t, found); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	asked := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	answered := asked.Add(10 * time.Millisecond)
	for _, test := range []struct {
		off   time.Duration
		level Level
		want  string
	}{
		{5 * time.Millisecond, OK, "that of web1 is right to 10ms"},
		{3 * time.Second, OK, "that of web1 is right to 2.99s"},
		{-6 * time.Second, Warn, "the clock of web1 is 6s behind"},
		{6 * time.Second, Warn, "the clock of web1 is 5.99s ahead"},
		{-time.Hour, Bad, "the clock of web1 is 1h0m0s behind"},
		{25 * time.Hour, Bad, "the clock of web1 is 24h59m59.99s ahead"},
	} {
		f := Clock("web1", asked.Add(test.off), asked, answered)
		if f.Level != test.level || f.Finding != test.want || f.Check != "clock" || (f.Advice == "") != (test.level == OK) {
			t.Errorf("%s: %+v", test.off, f)
		}
	}
}

func TestReach(t *testing.T) {
	t.Parallel()
	at := netip.MustParseAddrPort("10.0.0.7:7701")
	advice := map[string]bool{}
	for kind := dtc.KindOther; kind <= dtc.KindUnavailable; kind++ {
		f := Reach("web1", at, "dtc-agent", &dtc.Error{Kind: kind, Err: errors.New("why")})
		if f.Level != Bad || f.Finding != "web1 at 10.0.0.7:7701: why" || f.Advice == "" {
			t.Errorf("%s: %+v", kind, f)
		}
		advice[f.Advice] = true
	}
	if len(advice) != 6 {
		t.Errorf("%d kinds of advice", len(advice))
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	if got := text(t, check(t, Config("a.xml", nil))); got != "ok    config: a.xml has no mistake\n" {
		t.Error(got)
	}
	if got := text(t, check(t, Config("a.xml", errors.New("a.xml:1: one\na.xml:2: two")))); got != "bad   config: a.xml:1: one\nbad   config: a.xml:2: two\n" {
		t.Error(got)
	}
}

// TestCertificates has a home without any, one with all, and one whose key
// anybody may read; and one whose dates are near.
func TestCertificates(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "tls")
	if found := check(t, Certificates(dir, dtc.RoleMonitor)); Worst(found) != Bad {
		t.Error(found)
	}
	if found := check(t, Register(dir)); Worst(found) != Bad {
		t.Error(found)
	}
	then := ca.Options{Now: func() time.Time { return time.Now().Add(-350 * 24 * time.Hour) }}
	if err := then.Init(dir, []netip.Addr{netip.MustParseAddr("127.0.0.1")}); err != nil {
		t.Fatal(err)
	}
	authority, err := then.Open(dir)
	if err == nil {
		_, _, _, _, err = authority.Issue("old", []netip.Addr{netip.MustParseAddr("127.0.0.2")})
	}
	if err == nil {
		authority, err = ca.Open(dir)
	}
	if err == nil {
		_, _, _, _, err = authority.Issue("new", []netip.Addr{netip.MustParseAddr("127.0.0.3")})
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := text(t, check(t, Certificates(dir, dtc.RoleMonitor))); !strings.HasPrefix(got, "ok    certificate: the monitor's is good until 20") {
		t.Error(got)
	}
	if got := text(t, check(t, Register(dir))); !strings.Contains(got, "ok    fleet: certificates that are good for 30 days and more: 1\n") || !strings.Contains(got, "\nwarn  fleet: the certificate of old ends on 20") {
		t.Error(got)
	}
}

// TestPort has a port that is free, one that is taken, and addresses that cannot
// be listened on.
func TestPort(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "none.sock")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(ln.Addr().String())
	if got := text(t, check(t, Port(at, socket))); !strings.HasPrefix(got, "bad   port: "+at.String()+" is taken by doctor.test, pid ") {
		t.Error(got)
	}
	_ = ln.Close()
	if got := text(t, check(t, Port(at, socket))); got != "ok    port: "+at.String()+" is free\n" {
		t.Error(got)
	}
	if got := text(t, check(t, Port(netip.MustParseAddrPort("192.0.2.1:7701"), socket))); !strings.HasPrefix(got, "bad   port: nobody can listen on 192.0.2.1:7701 here") {
		t.Error(got)
	}
	if found := check(t, Port(netip.AddrPort{}, socket)); Worst(found) != OK {
		t.Error(found)
	}
}

func TestFolders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	found := check(t, Folders(0, dir, filepath.Join(dir, "none"), file))
	if len(found) != 3 || found[0].Level != OK || found[1].Level != OK || found[2].Level != Bad || found[2].Finding != file+" is no folder" {
		t.Error(found)
	}
	if found := check(t, Folders(101, dir)); found[0].Level != Bad { // no disk has as much
		t.Error(found)
	}
	if found := check(t, Folders(50.5, dir)); found[0].Level == OK { // twice of it is more than any has
		t.Error(found)
	}
}

// Nothing runs, and systemd is not there or knows nothing of it.
func TestRunning(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	found := check(t, Running(filepath.Join(home, "state", "agent.sock"), service.Service{Name: "dtc-agent", Home: home}, "start it"))
	if len(found) != 1 || found[0].Level != Bad || !strings.HasPrefix(found[0].Finding, "nothing runs in the home "+home) || found[0].Advice != "start it" {
		t.Error(found)
	}
}

// TestFiles has every kind of file that can be named in monitor_files.
func TestFiles(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	for _, name := range []string{"logs/a.log", "logs/b.log", "more/a.log", "many/A.log", "many/a.log"} {
		path := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		files []config.File
		want  string
	}{
		{nil, "ok    files: no monitor_files are set"},
		{[]config.File{{Path: filepath.Join(home, "logs/a.log"), Alias: "a"}}, "ok    files:       1 can be followed\n"},
		{[]config.File{{Path: "logs/a.log", Alias: "a"}}, "ok    files:       1 can be followed\n"}, // of the home
		{[]config.File{{Path: "logs/none", Alias: "a"}}, "none is not there; is the path right?"},
		{[]config.File{{Path: "logs", Alias: "a"}}, "logs is a folder; only regular files are followed"},
		{[]config.File{{Path: "logs/*.log", Alias: "{name}", Line: 4}}, "ok    files:       2 can be followed\n"},
		{[]config.File{{Path: "logs/*.txt", Alias: "{name}", Line: 4}}, "warn  files:       line 4: logs/*.txt matches nothing"},
		{[]config.File{{Path: "*/a.log", Alias: "{dir}-{name}", Line: 4}}, "ok    files:       3 can be followed\n"},
		{[]config.File{{Path: "*/b.log", Alias: "con", Line: 4}}, "bad   files:       " + home + "/logs/b.log: alias con: "},
		{[]config.File{{Path: "many/*.log", Alias: "{name}", Line: 4}}, "bad   files:       " + home + "/many/A.log and " + home + "/many/a.log both come to the alias a.log; give them"},
	} {
		if got := text(t, check(t, Files(home, test.files))); !strings.Contains(got, test.want) {
			t.Errorf("%v: got\n%swant\n%s", test.files, got, test.want)
		}
	}
}
