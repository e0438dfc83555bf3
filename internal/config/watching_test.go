package config

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dtc"
)

const watchingFile = "testdata/good/watching_monitor.xml"

func loadWatching(tb testing.TB) Monitor {
	tb.Helper()
	m, err := LoadMonitor(watchingFile)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// The rules of a host are its own, and behind them those of the file that it
// has no own of the same name of.
func TestGoodRules(t *testing.T) {
	m := loadWatching(t)
	ssh := dtc.ProcessRule{Name: "ssh", Exe: "sshd", User: "root", Min: 1}
	web := dtc.ProcessRule{Name: "web", Port: 80, Min: 1, Max: 2}
	if want := []dtc.ProcessRule{ssh, web}; !reflect.DeepEqual(m.Rules, want) {
		t.Errorf("of all hosts: got %+v, want %+v", m.Rules, want)
	}
	for i, want := range []struct {
		rules []dtc.ProcessRule
		lines []int
		pids  int
	}{
		{[]dtc.ProcessRule{
			{Name: "web", Match: "nginx: <master>", User: "root", Min: 1, Max: 4, RestartWithin: 10 * time.Second},
			{Name: "db", PIDFile: `C:\db\db.pid`, Min: 1},
			{Name: `win "x"`, Exe: `C:\Program Files\x\x.exe`, Min: 1},
			ssh,
		}, []int{9, 10, 11, 3}, 8},
		{[]dtc.ProcessRule{ssh, web}, []int{3, 4}, 0},
		{[]dtc.ProcessRule{{Name: "unit", Unit: "nginx.service", Min: 2, Max: 2}, ssh, web}, []int{20, 3, 4}, 0},
	} {
		h := m.Hosts[i]
		if !reflect.DeepEqual(h.Rules, want.rules) || !slices.Equal(h.RuleLines, want.lines) || h.PIDLine != want.pids {
			t.Errorf("%s: got %+v, lines %v and %d; want %+v", h.Name, h.Rules, h.RuleLines, h.PIDLine, want)
		}
	}
}

func TestGoodReceivers(t *testing.T) {
	m := loadWatching(t)
	var names []string
	for _, r := range m.Receivers {
		names = append(names, r.Name)
	}
	want := []string{
		"ops", "webhook", "webhook-2", "webhook-3", "email", "telegram", "syslog", "exec",
		"alertmanager", "dingtalk", "feishu", "wecom", "telegram-2", "email-2", "syslog-2",
	}
	if !slices.Equal(names, want) {
		t.Errorf("names: got %v, want %v", names, want)
	}
	ops := Receiver{
		Name: "ops", Kind: "webhook", For: []string{"web", "db*", "dead", "unreachable"},
		Settings: map[string]string{"url": "http://10.0.0.9/dtc", "secret": "file=conf/hook.key"},
		Wait:     3 * time.Second, Remind: time.Hour, GiveUp: 24 * time.Hour, Line: 22,
	}
	if !reflect.DeepEqual(m.Receivers[0], ops) {
		t.Errorf("got %+v, want %+v", m.Receivers[0], ops)
	}
	second := m.Receivers[1]
	if second.Wait != DefaultWait || second.Remind != 0 || second.GiveUp != DefaultGiveUp || second.For != nil {
		t.Errorf("got %+v, want the defaults", second)
	}
	for _, r := range m.Receivers {
		if r.Kind == "" || len(r.Settings) == 0 || r.Line == 0 {
			t.Errorf("incomplete: %+v", r)
		}
	}
}

func TestGoodMaintenance(t *testing.T) {
	local := func(s string) time.Time {
		at, err := time.ParseInLocation("2006-01-02 15:04:05", s, time.Local)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	m := loadWatching(t)
	want := []Maintenance{
		{For: []string{"web"}, Days: []time.Weekday{time.Sunday, time.Saturday}, From: 22 * time.Hour, To: 6 * time.Hour, Line: 41},
		{To: 24 * time.Hour, Line: 42},
		{Start: local("2026-11-22 22:00:00"), End: local("2026-11-23 02:00:30"), Line: 43},
	}
	if !reflect.DeepEqual(m.Maintenance, want) {
		t.Errorf("got %+v, want %+v", m.Maintenance, want)
	}
}

// A host that is added or taken out leaves the rest of such a file as it is,
// byte for byte, and gets the rules of all hosts.
func TestEditWatching(t *testing.T) {
	before, err := os.ReadFile(watchingFile)
	if err != nil {
		t.Fatal(err)
	}
	added, err := insertHost("x.xml", before, newHost)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseMonitor("x.xml", added)
	if err != nil || len(m.Hosts) != 4 || !reflect.DeepEqual(m.Hosts[3].Rules, m.Rules) {
		t.Errorf("%+v, %v", m.Hosts, err)
	}
	removed, _, err := cutHost("x.xml", added, newHost.Name)
	if err != nil || !bytes.Equal(removed, before) {
		t.Errorf("%v; after removal\n%s\nwant\n%s", err, removed, before)
	}
	for _, h := range loadWatching(t).Hosts {
		without, _, err := cutHost("x.xml", before, h.Name)
		if err != nil {
			t.Errorf("remove %s: %v", h.Name, err)
		}
		at := bytes.Index(before, []byte("    <ip_port>"+h.Address.String()))
		from := bytes.LastIndex(before[:at], []byte("  <remote_host>"))
		to := at + bytes.Index(before[at:], []byte("</remote_host>\n")) + len("</remote_host>\n")
		if want := slices.Concat(before[:from], before[to:]); !bytes.Equal(without, want) {
			t.Errorf("without %s:\n%s\nwant\n%s", h.Name, without, want)
		}
	}
}

// Whatever a secret is, and however badly it is quoted, no fault shows it.
func TestSecretsAreNotTold(t *testing.T) {
	const mark = "S3cr"
	rapid.Check(t, func(t *rapid.T) {
		kinds := notifyKinds()
		kind := kinds[rapid.IntRange(0, len(kinds)-1).Draw(t, "kind")]
		var tag strings.Builder
		tag.WriteString("<" + kind.name)
		for _, a := range kind.attrs {
			value := "x"
			if a.secret {
				pieces := rapid.SliceOfN(rapid.SampledFrom([]string{
					mark, "http://", "&", ";", "<", ">", "/", "</", "/>", " ", "\n", "'", "\x01", "\xff", "<!", "<!--", "<?", "?>", "=", "file=", ":",
					"</notify>", "<a", "&lt;",
				}), 0, 8).Draw(t, a.name)
				value = mark + strings.Join(pieces, "") + mark
			}
			if !a.secret && !a.required && rapid.Bool().Draw(t, "leave out") {
				continue
			}
			fmt.Fprintf(&tag, ` %s="%s"`, a.name, value)
		}
		tag.WriteString("/>")
		data := "<monitor>\n<notify>" + tag.String() + "</notify>\n</monitor>"
		_, err := ParseMonitor("x.xml", []byte(data))
		if err != nil && strings.Contains(err.Error(), mark) {
			t.Fatalf("a secret is told:\n%v\nof\n%s", err, data)
		}
	})
}

// Of attributes that take memory out of proportion few are enough for a fault.
func TestWatchingBounds(t *testing.T) {
	many := func(s string, n int) string { return strings.Repeat(s, n/len(s)) }
	const size = 1 << 18
	for name, data := range map[string]string{
		"rules":      "<m>" + many("<monitor_process name='a' exe='a'/>\n", size) + "</m>",
		"bare rules": "<m>" + many("<monitor_process/>", size) + "</m>",
		"long":       "<m><monitor_process name='a' match='" + many("a", size) + "'/></m>",
		"regexp":     "<m><monitor_process name='a' match='" + many("(", size) + "'/></m>",
		"receivers":  "<m>" + many("<notify><exec/></notify>", size) + "</m>",
		"ways":       "<m><notify>" + many("<exec/>", size) + "</notify></m>",
		"for":        "<m><notify for='" + many(",", size) + "'><exec program='x'/></notify></m>",
		"to":         "<m><notify><email server='x:1' from='a@b' to='" + many("a,", size) + "'/></notify></m>",
		"days":       "<m><maintenance days='" + many("x,", size) + "' from='00:00' to='01:00'/></m>",
		"unclosed":   "<m>" + many("<monitor_process name='a'>", size),
		"attributes": "<m><monitor_process " + many("name='' ", size) + "/></m>",
	} {
		t.Run(name, func(t *testing.T) {
			checkAny(t, []byte(data), func() error {
				_, err := ParseMonitor("x.xml", []byte(data))
				if err == nil {
					t.Error("no fault")
				}
				return err
			})
		})
	}
	var b strings.Builder
	b.WriteString("<m>")
	for i := range maxRules {
		fmt.Fprintf(&b, "<monitor_process name='r%d' exe='a'/>", i)
	}
	b.WriteString("\n<remote_host><ip_port>10.0.0.7:1</ip_port>%s</remote_host></m>")
	if _, err := ParseMonitor("x.xml", fmt.Appendf(nil, b.String(), "")); err != nil {
		t.Error(err)
	}
	_, err := ParseMonitor("x.xml", fmt.Appendf(nil, b.String(), "<monitor_process name='x' exe='a'/>"))
	if want := "x.xml:2: <remote_host> has 1001 <monitor_process> with those of all hosts, expected at most 1000"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
