package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var newHost = Host{
	Name: "web2", Address: addr("10.0.0.8:7701"), Groups: []string{"web", "prod"}, PIDs: []int{812, 1044},
	DetectInterval: time.Minute,
}

// oneLine is newHost in a file that has all in one line.
const oneLine = "<remote_host><ip_port>10.0.0.8:7701</ip_port><name>web2</name><group>web</group><group>prod</group>" +
	"<monitor_pid>812,1044</monitor_pid><detect_interval_time>60</detect_interval_time></remote_host>"

// block is newHost with indentations.
func block(outer, step, newline string) string {
	return strings.NewReplacer("><ip", ">"+newline+outer+step+"<ip", "><name", ">"+newline+outer+step+"<name",
		"><group", ">"+newline+outer+step+"<group", "><monitor", ">"+newline+outer+step+"<monitor",
		"><detect", ">"+newline+outer+step+"<detect", "></remote", ">"+newline+outer+"</remote").Replace(oneLine)
}

// In the files "@" marks where the host comes to stand.
func TestInsertHost(t *testing.T) {
	const ip = "<ip_port>10.0.0.7:7701</ip_port>"
	for name, c := range map[string]struct{ before, want string }{
		"sample": {
			"<monitor>\n  <remote_host>\n    " + ip + "\n  </remote_host>\n</monitor>\n",
			"<monitor>\n  <remote_host>\n    " + ip + "\n  </remote_host>\n  " + block("  ", "  ", "\n") + "\n</monitor>\n",
		},
		"tabs, CRLF, BOM": {
			"\xef\xbb\xbf<monitor>\r\n\t<remote_host>\r\n\t\t" + ip + "\r\n\t</remote_host>\r\n</monitor>\r\n",
			"\xef\xbb\xbf<monitor>\r\n\t<remote_host>\r\n\t\t" + ip + "\r\n\t</remote_host>\r\n\t" + block("\t", "\t", "\r\n") + "\r\n</monitor>\r\n",
		},
		"comment behind the host": {
			"<monitor>\n <remote_host>\n  " + ip + "\n </remote_host> <!-- the web --> \n</monitor>",
			"<monitor>\n <remote_host>\n  " + ip + "\n </remote_host> <!-- the web --> \n " + block(" ", " ", "\n") + "\n</monitor>",
		},
		"comment of several lines behind the host": {
			"<monitor>\n <remote_host>\n  " + ip + "\n </remote_host> <!-- the\n web --> \n</monitor>",
			"<monitor>\n <remote_host>\n  " + ip + "\n </remote_host>\n " + block(" ", " ", "\n") + " <!-- the\n web --> \n</monitor>",
		},
		"a host a line": {
			"<monitor>\n <remote_host>" + ip + "</remote_host>\n</monitor>",
			"<monitor>\n <remote_host>" + ip + "</remote_host>\n " + oneLine + "\n</monitor>",
		},
		"all in a line": {
			"<monitor><remote_host>" + ip + "</remote_host></monitor>",
			"<monitor><remote_host>" + ip + "</remote_host>" + oneLine + "</monitor>",
		},
		"behind the last of several": {
			"<m>\n<remote_host>\n" + ip + "\n</remote_host>\n<!-- x -->\n<remote_host>\n<ip_port>10.0.0.9:1</ip_port>\n</remote_host>\n<local_host>10.0.0.5:1</local_host>\n</m>",
			"<m>\n<remote_host>\n" + ip + "\n</remote_host>\n<!-- x -->\n<remote_host>\n<ip_port>10.0.0.9:1</ip_port>\n</remote_host>\n" +
				block("", "  ", "\n") + "\n<local_host>10.0.0.5:1</local_host>\n</m>",
		},
		"no host yet": {
			"<monitor>\n    <local_host>10.0.0.5:1</local_host>\n</monitor>\n",
			"<monitor>\n    <local_host>10.0.0.5:1</local_host>\n    " + block("    ", "    ", "\n") + "\n</monitor>\n",
		},
		"no host yet, a comment last": {
			"<monitor>\n\t<local_host>10.0.0.5:1</local_host>\n\n\t<!-- hosts -->\n</monitor>\n",
			"<monitor>\n\t<local_host>10.0.0.5:1</local_host>\n\n\t<!-- hosts -->\n\t" + block("\t", "\t", "\n") + "\n</monitor>\n",
		},
		"nothing in it": {
			"<monitor>\n</monitor>\n",
			"<monitor>\n  " + block("  ", "  ", "\n") + "\n</monitor>\n",
		},
		"nothing between the tags": {
			"  <monitor></monitor>",
			"  <monitor>\n    " + block("    ", "  ", "\n") + "\n  </monitor>",
		},
		"empty tag": {
			"<?xml version='1.0'?>\r\n<a:monitor />\r\n",
			"<?xml version='1.0'?>\r\n<a:monitor>\r\n  " + block("  ", "  ", "\r\n") + "\r\n</a:monitor>\r\n",
		},
		"empty host tag is no example": {
			"<monitor>\n  <remote_host\n  >" + ip + "</remote_host\n  ></monitor>",
			"<monitor>\n  <remote_host\n  >" + ip + "</remote_host\n  >\n  " + oneLine + "</monitor>",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := insertHost("monitor.xml", []byte(c.before), newHost)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			back, h, err := cutHost("monitor.xml", got, newHost.Name)
			if err != nil || h.Address != newHost.Address {
				t.Fatalf("removed %+v, %v", h, err)
			}
			if rest := strings.HasPrefix(name, "nothing between") || strings.HasPrefix(name, "empty") || strings.Contains(name, "several lines"); !rest && string(back) != c.before {
				t.Errorf("after removal\n%s\nwant\n%s", back, c.before)
			}
		})
	}
}

// What is not said of a host is not written, and what is special is escaped.
func TestHostText(t *testing.T) {
	got := hostText(Host{Name: `<a> & "b"`, Address: addr("[fd00::7]:1"), DetectInterval: time.Hour}, time.Hour, place{})
	want := "<remote_host><ip_port>[fd00::7]:1</ip_port><name>&lt;a&gt; &amp; &#34;b&#34;</name></remote_host>"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "monitor.xml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const small = "<monitor>\n  <remote_host>\n    <ip_port>10.0.0.7:7701</ip_port>\n    <name>web1</name>\n  </remote_host>\n</monitor>\n"

func TestAddAndRemoveHost(t *testing.T) {
	path := writeFile(t, small)
	if err := AddHost(path, Host{Address: addr("10.0.0.8:7701")}); err != nil {
		t.Fatal(err)
	}
	m, err := LoadMonitor(path)
	if err != nil || len(m.Hosts) != 2 || m.Hosts[1].Name != "10.0.0.8:7701" {
		t.Fatalf("%+v, %v", m, err)
	}
	h, err := RemoveHost(path, "web1")
	if err != nil || h.Address != addr("10.0.0.7:7701") {
		t.Fatalf("%+v, %v", h, err)
	}
	want := "<monitor>\n  <remote_host>\n    <ip_port>10.0.0.8:7701</ip_port>\n  </remote_host>\n</monitor>\n"
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("got\n%s\nwant\n%s(%v)", got, want, err)
	}
}

func TestEditRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		host Host
		want string
		is   error
	}{
		"same address":       {Host{Name: "x", Address: addr("10.0.0.7:7701")}, `"web1" (10.0.0.7:7701) in line 2`, ErrHostExists},
		"same name":          {Host{Name: "web1", Address: addr("10.0.0.8:7701")}, `in line 2`, ErrHostExists},
		"name is an address": {Host{Name: "10.0.0.7:7701", Address: addr("10.0.0.8:7701")}, "is the address of the host in line 3", nil},
		"no address":         {Host{Name: "x"}, "cannot stand in the file", nil},
		"port 0":             {Host{Name: "x", Address: addr("10.0.0.8:0")}, "its port is 0", nil},
		"a line break":       {Host{Name: "x\ny", Address: addr("10.0.0.8:1")}, "control character", nil},
		"space round it":     {Host{Name: " x", Address: addr("10.0.0.8:1")}, "would not say what it should", nil},
		"not UTF-8":          {Host{Name: "x\xff", Address: addr("10.0.0.8:1")}, "would not say what it should", nil},
		"no pid":             {Host{Name: "x", Address: addr("10.0.0.8:1"), PIDs: []int{0}}, "below 1", nil},
		"half a second":      {Host{Name: "x", Address: addr("10.0.0.8:1"), DetectInterval: time.Second / 2}, "below 1", nil},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, small)
			err := AddHost(path, c.host)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != small {
				t.Errorf("the file is now\n%s(%v)", got, err)
			}
		})
	}
	if _, err := RemoveHost(writeFile(t, small), "web2"); !errors.Is(err, ErrNoHost) {
		t.Errorf("error %v, want ErrNoHost", err)
	}
	if err := AddHost(filepath.Join(t.TempDir(), "monitor.xml"), newHost); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want fs.ErrNotExist", err)
	}
}

// A file with faults is not touched; its faults are told as when it is loaded.
func TestEditOfBrokenFile(t *testing.T) {
	const broken = "<monitor>\n<x/>\n<y/>\n</monitor>"
	path := writeFile(t, broken)
	_, load := LoadMonitor(path)
	add := AddHost(path, newHost)
	_, remove := RemoveHost(path, "x")
	if load == nil || add == nil || remove == nil || load.Error() != add.Error() || load.Error() != remove.Error() {
		t.Errorf("load: %v\nadd: %v\nremove: %v", load, add, remove)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != broken {
		t.Errorf("the file is now\n%s(%v)", got, err)
	}
}

// Hosts that are added at one time are all there in the end.
func TestAddHostsSideBySide(t *testing.T) {
	path := writeFile(t, small)
	const n = 20
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := AddHost(path, Host{Name: fmt.Sprint("h", i), Address: addr(fmt.Sprintf("10.0.1.%d:1", i))}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if m, err := LoadMonitor(path); err != nil || len(m.Hosts) != n+1 {
		t.Errorf("%d hosts, %v", len(m.Hosts), err)
	}
}

// drawFile makes a monitor.xml in one of many styles.
func drawFile(t *rapid.T) string {
	newline := rapid.SampledFrom([]string{"\n", "\r\n", "\n\n", ""}).Draw(t, "newline")
	step := rapid.SampledFrom([]string{"", " ", "  ", "    ", "\t"}).Draw(t, "step")
	filler := rapid.SampledFrom([]string{"", "<!-- <remote_host/> -->", "<!-- two\nlines -->", " \t", "<!----><!-- x -->"})
	var b strings.Builder
	b.WriteString(rapid.SampledFrom([]string{"", "\xef\xbb\xbf", "<?xml version=\"1.0\"?>\n", "<!-- x -->", "\n\n  "}).Draw(t, "head"))
	b.WriteString("<" + rapid.SampledFrom([]string{"monitor", "x:y", "monitor ", "m\n"}).Draw(t, "root") + ">")
	name, _, _ := strings.Cut(strings.TrimSpace(b.String()[strings.LastIndex(b.String(), "<")+1:]), ">")
	if rapid.Bool().Draw(t, "local") {
		b.WriteString(newline + step + "<local_host>10.0.0.5:7700</local_host>" + filler.Draw(t, "filler"))
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "hosts") {
		inner := rapid.SampledFrom([]string{newline + step + step, ""}).Draw(t, "inner")
		fmt.Fprintf(&b, "%s%s<remote_host>%s<ip_port>10.0.0.%d:7701</ip_port>%s", newline, step, inner, i, inner)
		if rapid.Bool().Draw(t, "named") {
			fmt.Fprintf(&b, "%s<name>h&amp;%d</name>", filler.Draw(t, "filler"), i)
		}
		b.WriteString(rapid.SampledFrom([]string{newline + step, ""}).Draw(t, "end") + "</remote_host>" + filler.Draw(t, "filler"))
	}
	b.WriteString(filler.Draw(t, "filler") + newline + "</" + strings.TrimSpace(name) + ">" + rapid.SampledFrom([]string{"", "\n", "\r\n<!-- end -->\r\n"}).Draw(t, "tail"))
	return b.String()
}

// loneNewline says whether a line ends without a carriage return.
func loneNewline(s string) bool { return strings.Contains(strings.ReplaceAll(s, "\r\n", ""), "\n") }

// A host that is added leaves all else as it is, byte for byte, and what is left
// after its removal says the same as before.
func TestEditProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := drawFile(t)
		config, err := ParseMonitor("x.xml", []byte(before))
		if err != nil {
			t.Fatalf("%v in\n%s", err, before)
		}
		h := Host{
			Name:           rapid.StringMatching(`[a-z<>&"'é日 ]{0,10}[a-z]`).Draw(t, "name"),
			Address:        addr("192.0.2.7:7701"),
			Groups:         rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z<&]{1,5}`), 0, 3, rapid.ID).Draw(t, "groups"),
			PIDs:           rapid.SliceOfNDistinct(rapid.IntRange(1, 1000), 0, 3, rapid.ID).Draw(t, "pids"),
			DetectInterval: time.Duration(rapid.IntRange(0, 2).Draw(t, "interval")) * time.Hour,
		}
		h.Name = strings.TrimSpace(h.Name)
		added, err := insertHost("x.xml", []byte(before), h)
		if err != nil {
			t.Fatalf("%v in\n%s", err, before)
		}
		start, end := bytes.LastIndex(added, []byte("<remote_host>")), bytes.LastIndex(added, []byte("</remote_host>"))+len("</remote_host>")
		rest := strings.Join(strings.Fields(string(added[:start])+string(added[end:])), "")
		if want := strings.Join(strings.Fields(before), ""); rest != want {
			t.Fatalf("besides the host the file is now\n%s\nbefore\n%s", rest, want)
		}
		if !strings.HasPrefix(before, string(bytes.TrimRight(added[:start], " \t\r\n"))) ||
			!strings.HasSuffix(before, string(bytes.TrimLeft(added[end:], " \t\r\n"))) {
			t.Fatalf("got\n%s\nof\n%s", added, before)
		}
		crlf := strings.Contains(before, "\r\n")
		if !crlf && bytes.Contains(added, []byte("\r\n")) || crlf && !loneNewline(before) && loneNewline(string(added)) {
			t.Fatalf("line ends are mixed up in\n%q\nof\n%q", added, before)
		}
		removed, got, err := cutHost("x.xml", added, h.Name)
		if err != nil || got.Address != h.Address {
			t.Fatalf("%+v, %v", got, err)
		}
		after, err := ParseMonitor("x.xml", removed)
		if err != nil || sameBut(config, after, config.Hosts) != nil {
			t.Fatalf("%v; removed again\n%s\nof\n%s", err, removed, before)
		}
	})
}
