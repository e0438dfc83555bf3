package notify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dtc"
)

// rsyslogd is Debian's rsyslog, that writes what it gets into a file.
type rsyslogd struct {
	udp, tcp, unix string // where it listens
	file           string
}

func newRsyslogd(t *testing.T) *rsyslogd {
	t.Helper()
	dir := t.TempDir()
	r := &rsyslogd{udp: freePort(t), tcp: freePort(t), unix: filepath.Join(dir, "log"), file: filepath.Join(dir, "out")}
	port := func(address string) string { return address[strings.LastIndex(address, ":")+1:] }
	conf := filepath.Join(dir, "conf")
	must(t, os.WriteFile(conf, fmt.Appendf(nil, `
global(workDirectory=%[1]q maxMessageSize="8k")
module(load="imudp")
module(load="imtcp")
module(load="imuxsock" SysSock.Use="off")
input(type="imudp" address="127.0.0.1" port="%[2]s")
input(type="imtcp" address="127.0.0.1" port="%[3]s")
input(type="imuxsock" socket=%[4]q)
template(name="all" type="list") { property(name="jsonmesg") constant(value="\n") }
action(type="omfile" file=%[5]q template="all")
`, dir, port(r.udp), port(r.tcp), r.unix, r.file), 0o600))
	c := exec.Command("rsyslogd", "-n", "-f", conf, "-i", filepath.Join(dir, "pid"))
	c.Stdout, c.Stderr = t.Output(), t.Output()
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, c.Start())
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	awaitPort(t, r.tcp)
	return r
}

// syslogRecord is a message as rsyslog has understood it.
type syslogRecord struct {
	Message string `json:"msg"`
	Host    string `json:"hostname"`
	Program string `json:"app-name"`
	ID      string `json:"msgid"`
	Data    string `json:"structured-data"`
	PRI     string `json:"pri"`
	Time    string `json:"timereported"`
	Version string `json:"protocol-version"`
}

// records returns what it has got, once there are so many.
func (r *rsyslogd) records(t *testing.T, n int) []syslogRecord {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		data, err := os.ReadFile(r.file)
		if lines := bytes.Split(bytes.TrimSpace(data), []byte("\n")); err == nil && len(lines) >= n {
			list := make([]syslogRecord, len(lines))
			for i, line := range lines {
				must(t, json.Unmarshal(line, &list[i]))
			}
			return list
		}
		if time.Now().After(deadline) {
			t.Fatalf("rsyslog wrote %q, %v; want %d lines", data, err, n)
		}
	}
}

func TestSyslogByRsyslog(t *testing.T) {
	for _, kind := range []string{"udp", "tcp"} {
		t.Run(kind, func(t *testing.T) {
			r := newRsyslogd(t)
			server := map[string]string{"udp": "udp://" + r.udp, "tcp": "tcp://" + r.tcp}[kind]
			sendSyslogs(t, map[string]string{"server": server, "facility": "local3"})
			got := r.records(t, 3)
			for i, want := range []syslogRecord{
				{
					Message: "nginx[812] dead: signal 9, lived 1h0m0s", Host: "web1", ID: "dead", PRI: "155",
					Data: `[dtc@32473 notice="n-1" kind="problem" event="7f3a-102" state="dead" host="web1" address="10.0.0.7:7701" pid="812"]`,
				},
				{
					Message: "<!channel> @all <@U1> [x](http://evil.example/) `*_& <at user_id=\"all\"></at> \\x1b[2J\\u202e\\xff\\n```[813] dead: exit unknown, lived 1h0m0s",
					Host:    "web1", ID: "dead", PRI: "155",
					Data: `[dtc@32473 notice="n-1" kind="problem" event="7f3a-103" state="dead" host="web1" address="10.0.0.7:7701" pid="813"]`,
				},
				{Message: "\ufeffsomebody tries größe", Host: "-", ID: "test", PRI: "158", Data: `[dtc@32473 notice="n-2" kind="test"]`},
			} {
				want.Program, want.Version, want.Time = "dtc", "1", "2026-11-22T07:15:01.123456Z"
				if got[i] != want {
					t.Errorf("message %d is %+v, want %+v", i, got[i], want)
				}
			}
		})
	}
	t.Run("unix", func(t *testing.T) {
		r := newRsyslogd(t)
		sendSyslogs(t, map[string]string{"server": "unix://" + r.unix})
		got := r.records(t, 3)
		for i, want := range []string{
			"web1 nginx[812] dead: signal 9, lived 1h0m0s event=7f3a-102",
			"[813] dead: exit unknown, lived 1h0m0s event=7f3a-103",
			"somebody tries größe",
		} {
			pri := []string{"27", "27", "30"}[i]
			if !strings.HasSuffix(got[i].Message, want) || got[i].Program != "dtc" || got[i].PRI != pri {
				t.Errorf("message %d is %+v, want %q", i, got[i], want)
			}
		}
	})
}

// sendSyslogs sends a notice with two events, and one without.
func sendSyslogs(t *testing.T, values map[string]string) {
	t.Helper()
	s := testSender(t, "syslog", t.TempDir(), values)
	must(t, sendTo(t, s, aNotice()))
	must(t, sendTo(t, s, &Notice{ID: "n-2", Kind: Test, Time: testNow(), Title: "somebody tries größe"}))
}

// TestSyslogFloodByUDP has the receiver's socket hold all that a notice may say.
func TestSyslogFloodByUDP(t *testing.T) {
	r, n := newRsyslogd(t), aNotice()
	e := n.Events[0]
	e.Reason = strings.Repeat("x", 1000)
	n.Events = slices.Repeat([]dtc.Event{e}, MaxEvents)
	must(t, sendTo(t, testSender(t, "syslog", t.TempDir(), map[string]string{"server": "udp://" + r.udp}), n))
	if got := r.records(t, MaxEvents); len(got) != MaxEvents {
		t.Errorf("%d of %d messages came", len(got), MaxEvents)
	}
}
