package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func TestGoodAgent(t *testing.T) {
	for file, want := range map[string]Agent{
		"testdata/good/python_agent.xml": {
			LocalHost: addr("10.0.0.7:7701"), MonitorHost: addr("10.0.0.5:7700"), ScanFileTime: 3 * time.Second,
			Files: []File{
				{Path: "/var/log/a,b.log", Alias: "ab.log", Line: 10},
				{Path: `C:\Program Files\x\app.log`, Alias: "app.log", Line: 11},
			},
		},
		"testdata/good/every_agent.xml": {
			LocalHost: addr("[::]:65535"), ScanFileTime: 7 * time.Second,
			Files: []File{
				{Path: "/srv/*/*.log", Alias: "{dir}-{name}", FromEnd: true, Line: 1},
				{Path: "/var/log/a&b.log", Alias: "a&b.log", Line: 2},
				{Path: "/srv/**/access.log", Alias: "{name}", Line: 2},
				{Path: `C:\logs\app?.log`, Alias: "win-{name}", Line: 4},
				{Path: `D:\web\site1\app.log`, Alias: "site1-app.log", Line: 5},
				{Path: "rel/<x>.log", Alias: "x.log", Line: 6},
				{Path: "/var/log/b.log", Alias: "b.log", Line: 7},
				{Path: "/opt/*/*.log", Alias: "{dir}-{name}", Line: 8},
				{Path: "/var/log/日誌.log", Alias: "日誌.log", Line: 9},
				{Path: "/a/[x]{y}.log", Alias: "[x]{y}.log", Line: 10},
			},
		},
	} {
		got, err := LoadAgent(file)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", file, got, want)
		}
	}
}

func TestGoodMonitor(t *testing.T) {
	for file, want := range map[string]Monitor{
		"testdata/good/python_monitor.xml": {
			LocalHost: addr("10.0.0.5:7700"), DetectInterval: 7 * time.Second,
			Hosts: []Host{
				{Name: "10.0.0.7:7701", Address: addr("10.0.0.7:7701"), DetectInterval: 7 * time.Second, Line: 4},
				{Name: "10.0.0.8:7701", Address: addr("10.0.0.8:7701"), DetectInterval: 7 * time.Second, Line: 11},
				{Name: "web1", Address: addr("10.0.0.9:7701"), Groups: []string{"web", "prod"}, PIDs: []int{812, 1044}, PIDLine: 22, DetectInterval: time.Minute, Line: 20},
			},
		},
		"testdata/good/every_monitor.xml": {
			LocalHost: addr("0.0.0.0:1"), DetectInterval: time.Hour,
			Hosts: []Host{
				{Name: `日本 <1> "x"`, Address: addr("[fd00::7]:7701"), DetectInterval: time.Hour, Line: 2},
				{Name: "10.0.0.7", Address: addr("10.0.0.7:1"), DetectInterval: time.Hour, Line: 3},
				{Name: "10.0.0.7:2", Address: addr("10.0.0.7:2"), DetectInterval: time.Hour, Line: 4},
				{Name: "WEB", Address: addr("10.0.0.7:3"), PIDs: []int{1, 2147483647}, PIDLine: 5, DetectInterval: time.Hour, Line: 5},
				{Name: "web", Address: addr("10.0.0.7:4"), Groups: []string{"10.0.0.7"}, DetectInterval: time.Hour, Line: 9},
			},
		},
	} {
		got, err := LoadMonitor(file)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", file, got, want)
		}
	}
}

// The samples in the repository's conf/ load, and say what they say.
func TestSamples(t *testing.T) {
	agent, err := LoadAgent("../../conf/agent.xml")
	if err != nil {
		t.Error(err)
	}
	if len(agent.Files) != 2 || !agent.LocalHost.IsValid() || !agent.MonitorHost.IsValid() {
		t.Errorf("conf/agent.xml: %+v", agent)
	}
	monitor, err := LoadMonitor("../../conf/monitor.xml")
	if err != nil {
		t.Error(err)
	}
	if len(monitor.Hosts) != 1 || monitor.Hosts[0].DetectInterval != time.Minute || monitor.Hosts[0].Address != agent.LocalHost {
		t.Errorf("conf/monitor.xml: %+v", monitor)
	}
}

func TestStartingFiles(t *testing.T) {
	local, other := addr("10.0.0.7:7701"), addr("[fd00::5]:7700")
	for _, want := range []Agent{
		{},
		{LocalHost: local},
		{MonitorHost: other},
		{LocalHost: local, MonitorHost: other},
	} {
		want.ScanFileTime = DefaultScanFileTime
		got, err := ParseAgent("agent.xml", NewAgentFile(want.LocalHost, want.MonitorHost))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
	for _, want := range []Monitor{{}, {LocalHost: other}} {
		want.DetectInterval = DefaultDetectInterval
		got, err := ParseMonitor("monitor.xml", NewMonitorFile(want.LocalHost))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
}

func TestLoadWithoutFile(t *testing.T) {
	_, err := LoadAgent(filepath.Join(t.TempDir(), "agent.xml"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want fs.ErrNotExist", err)
	}
	if _, err := LoadMonitor(t.TempDir()); err == nil {
		t.Error("a folder loads")
	}
}

// allocated returns the bytes that f allocates in all, freed or not.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Files that try to take all memory or time are refused with few of either.
func TestBounds(t *testing.T) {
	many := func(s string, n int) string { return strings.Repeat(s, n/len(s)) }
	const size = 1 << 18
	for name, data := range map[string]string{
		"ten megabytes":     "<agent>" + many(" ", 10<<20) + "</agent>",
		"a byte too much":   "<agent/>" + strings.Repeat("\n", MaxSize-7),
		"deep":              many("<a>", size),
		"deep, known":       "<monitor>" + many("<remote_host>", size),
		"elements":          "<monitor>" + many("<group/>", size) + "</monitor>",
		"hosts":             "<monitor>" + many("<remote_host/>", size) + "</monitor>",
		"groups":            "<monitor><remote_host>" + many("<group/>", size) + "</remote_host></monitor>",
		"unknown":           "<agent>" + many("<x/>", 4*(maxElements+1)) + "</agent>",
		"attributes":        "<agent " + many("a='' ", size) + "/>",
		"long name":         "<agent><" + many("a", size) + "/></agent>",
		"long attribute":    "<agent a='" + many("a", size) + "'/>",
		"long value":        "<agent><local_host>" + many("1", size) + "</local_host></agent>",
		"long list":         "<monitor><remote_host><monitor_pid>" + many("x,", size) + "</monitor_pid></remote_host></monitor>",
		"list of nothing":   "<monitor><remote_host><monitor_pid>" + many(",\n", size) + "</monitor_pid></remote_host></monitor>",
		"not XML":           many("<", size),
		"entities":          "<agent>" + many("&x;", size) + "</agent>",
		"entities, lines":   "<agent>" + many("&x;<a/>\n", size) + "</agent>",
		"comments":          many("<!--", size),
		"end tags":          many("</a>", size),
		"end tags in lines": "<agent>" + many("</a>\n", size),
		"stray text":        "<agent>" + many("x<!---->\n", size) + "</agent>",
		"not UTF-8":         many("\xff\n", size),
		"controls":          many("\x01", size),
		"unclosed values":   "<agent>" + many("<local_host>\n", size),
		"instructions":      many("<?x?>\n", size),
		"nested subset":     "<!DOCTYPE a [" + many("<", size),
		"aliases":           "<agent><monitor_files>" + many("<file_alias>a,a</file_alias>\n", size) + "</monitor_files></agent>",
		"bad aliases":       "<agent><monitor_files>" + many("<file_alias>a</file_alias>\n", size) + "</monitor_files></agent>",
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			for kind, parse := range map[string]func(string, []byte) error{
				"agent":   func(f string, d []byte) error { _, err := ParseAgent(f, d); return err },
				"monitor": func(f string, d []byte) error { _, err := ParseMonitor(f, d); return err },
			} {
				var err error
				bytes := allocated(func() { err = parse("x.xml", []byte(data)) })
				faults, ok := errors.AsType[Errors](err)
				if !ok {
					t.Fatalf("as %s: error %v", kind, err)
				}
				checkFaults(t, kind, faults, []byte(data))
				if most := uint64(256 * len(data)); bytes > most {
					t.Errorf("as %s: %d MiB allocated, want at most %d", kind, bytes>>20, most>>20)
				}
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// Of very many faults the first hundred of the lines are told, in order, and
// how many more there are.
func TestManyFaults(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("<agent>\n<monitor_files>\n")
	const n = 1000
	for i := range n {
		fmt.Fprintf(&b, "<file_alias>%d</file_alias>\n<x/>\n", i)
	}
	b.WriteString("</monitor_files></agent>")
	_, err := ParseAgent("agent.xml", b.Bytes())
	faults, _ := errors.AsType[Errors](err)
	if len(faults) != maxFaults+1 {
		t.Fatalf("%d faults", len(faults))
	}
	for i, f := range faults[:maxFaults] {
		if f.Line != i+3 {
			t.Fatalf("fault %d is %v", i, f)
		}
	}
	last := faults[maxFaults]
	if want := fmt.Sprintf("agent.xml:%d: and %d more from this line on", maxFaults+3, 2*n-maxFaults); last.String() != want {
		t.Errorf("got %q, want %q", last, want)
	}
}

// Ten thousand hosts are an ordinary file.
func TestLargeFleet(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("<monitor>\n")
	const n = 10_000
	for i := range n {
		fmt.Fprintf(&b, "  <remote_host>\n    <ip_port>10.%d.%d.7:7701</ip_port>\n    <name>host-%d</name>\n    <group>web</group>\n    <group>prod</group>\n"+
			"    <monitor_pid>812,1044</monitor_pid>\n    <detect_interval_time>60</detect_interval_time>\n  </remote_host>\n", i/250, i%250, i)
	}
	b.WriteString("</monitor>\n")
	m, err := ParseMonitor("monitor.xml", b.Bytes())
	if err != nil || len(m.Hosts) != n {
		t.Errorf("%d hosts, %v", len(m.Hosts), err)
	}
}

func TestResolve(t *testing.T) {
	home := t.TempDir()
	if got, want := Resolve(home, "logs/x.log"), filepath.Join(home, "logs", "x.log"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := Resolve("elsewhere", home); got != home {
		t.Errorf("got %s, want %s", got, home)
	}
}

func BenchmarkParseMonitor(b *testing.B) {
	data, err := os.ReadFile("../../conf/monitor.xml")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseMonitor("monitor.xml", data); err != nil {
			b.Fatal(err)
		}
	}
}
