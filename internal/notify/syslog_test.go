package notify

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"dtc"
)

// syslogStream is a receiver over TCP or TLS that reads messages by their
// lengths.
type syslogStream struct {
	net.Listener
	wg sync.WaitGroup

	mu  sync.Mutex
	got []string
}

func newSyslogStream(tb testing.TB, l net.Listener) *syslogStream {
	tb.Helper()
	s := &syslogStream{Listener: l}
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.serve(c)
			_ = c.Close()
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		s.wg.Wait()
	})
	return s
}

func (s *syslogStream) serve(c io.Reader) {
	r := bufio.NewReader(c)
	for {
		size, err := r.ReadString(' ')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSuffix(size, " "))
		if err != nil {
			return
		}
		message := make([]byte, n)
		if _, err := io.ReadFull(r, message); err != nil {
			return
		}
		s.mu.Lock()
		s.got = append(s.got, string(message))
		s.mu.Unlock()
	}
}

func (s *syslogStream) messages() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

func TestSyslogOverTLS(t *testing.T) {
	leaf, ca := authority(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*leaf}})
	must(t, err)
	r := newSyslogStream(t, l)
	file := filepath.Join(t.TempDir(), "ca.crt")
	must(t, os.WriteFile(file, ca, 0o600))
	values := map[string]string{"server": "tls://" + l.Addr().String(), "ca": file}
	must(t, sendTo(t, testSender(t, "syslog", t.TempDir(), values), aNotice()))
	if got := r.messages(); len(got) != 2 || !strings.HasPrefix(got[0], "<27>1 2026-11-22T07:15:01.123456Z web1 dtc - dead [dtc@32473 ") {
		t.Errorf("got %q", got)
	}

	values["ca"] = otherAuthority(t)
	err = sendTo(t, testSender(t, "syslog", t.TempDir(), values), aNotice())
	checkError(t, err)
	if !strings.Contains(err.Error(), "as ca") || len(r.messages()) != 2 {
		t.Errorf("another authority: %v", err)
	}
}

// TestSyslogManyEvents sends more than the buffers of a connection hold.
func TestSyslogManyEvents(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	r := newSyslogStream(t, l)
	n := aNotice()
	for len(n.Events) < MaxEvents {
		e := n.Events[0]
		e.ID, e.Name = fmt.Sprint("e-", len(n.Events)), strings.Repeat("ö", 3000)
		n.Events = append(n.Events, e)
	}
	must(t, sendTo(t, testSender(t, "syslog", t.TempDir(), map[string]string{"server": "tcp://" + l.Addr().String()}), n))
	got := r.messages()
	if len(got) != MaxEvents || !strings.Contains(got[MaxEvents-1], `event="e-499"`) || len(got[MaxEvents-1]) > maxSyslog {
		t.Errorf("%d messages", len(got))
	}
}

func TestSyslogIsNotThere(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := closed.Addr().String()
	must(t, closed.Close())
	servers := []string{"tcp://" + address, "tls://" + address, "unix://" + filepath.Join(t.TempDir(), "log")}
	if runtime.GOOS == "linux" {
		servers = append(servers, "udp://"+address)
	}
	for _, server := range servers {
		err := sendTo(t, testSender(t, "syslog", t.TempDir(), map[string]string{"server": server}), aNotice())
		checkError(t, err)
		if !strings.Contains(err.Error(), server) || isRefused(err) {
			t.Error(err)
		}
	}
}

// TestSyslogStreamGoodbye is about who does not close after us.
func TestSyslogStreamGoodbye(t *testing.T) {
	for _, c := range []struct {
		what string
		peer func(net.Conn)
		ok   bool
	}{
		{"it closes", func(c net.Conn) { readSome(c); _ = c.Close() }, true},
		{"it does not close", func(c net.Conn) { readSome(c) }, true},
		{"it talks", func(c net.Conn) { readSome(c); _, _ = c.Write([]byte("?")) }, false},
		{"it does not read", func(c net.Conn) { _ = c.Close() }, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			us, peer := net.Pipe()
			defer us.Close()
			defer peer.Close()
			go c.peer(peer)
			if err := sendStream(us, [][]byte{[]byte("a"), []byte("bc")}); (err == nil) != c.ok {
				t.Errorf("%s: %v", c.what, err)
			}
		})
	}
}

// readSome reads two messages of three bytes together.
func readSome(c net.Conn) { _, _ = io.ReadFull(c, make([]byte, len("1 a2 bc"))) }

// TestSyslogInTime has a receiver that accepts, and then nothing.
func TestSyslogInTime(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	for _, scheme := range []string{"tcp", "tls"} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		s := testSender(t, "syslog", t.TempDir(), map[string]string{"server": scheme + "://" + l.Addr().String()})
		err := s.Send(ctx, aNotice())
		cancel()
		checkError(t, err)
		if !strings.Contains(err.Error(), "no answer in time") {
			t.Errorf("%s: %v", scheme, err)
		}
	}
}

func TestSyslogSettings(t *testing.T) {
	for _, server := range []string{
		"log.example.org:514", "udp://log.example.org", "tcp://:514", "http://x:1", "tcp://u@x:1", "tcp://x:1/path", "unix://dev/log",
		"unix:dev/log", "udp://x:1?y", "",
	} {
		if _, err := NewSender("syslog", Settings{Values: map[string]string{"server": server}}); err == nil {
			t.Errorf("%q is taken", server)
		}
	}
	for server, facility := range map[string]string{
		"udp://[::1]:514": "", "tcp://x:1/": "local7", "tls://x:6514": "kern", "unix:///dev/log": "authpriv", "file=server": "file=x",
	} {
		s, err := NewSender("syslog", Settings{Home: t.TempDir(), Values: map[string]string{"server": server, "facility": facility}})
		must(t, err)
		if strings.HasPrefix(server, "file=") {
			checkError(t, sendTo(t, s, aNotice()))
		}
	}
	if _, err := NewSender("syslog", Settings{Values: map[string]string{"server": "udp://x:1", "facility": "local8"}}); err == nil {
		t.Error("local8 is taken")
	}
}

// syslogForm is a message of RFC 5424.
var syslogForm = regexp.MustCompile(`^<(\d{1,3})>1 (\S+) ([!-~]{1,255}) dtc - ([!-~]{1,32}) ` +
	`\[dtc@32473( [a-z]+="(?:[^"\\\]]|\\["\\\]])*")*\] (?s:(.*))$`)

// TestSyslogMessages is the property that every message is well-formed, whatever
// an event has.
func TestSyslogMessages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`["\\\] a\n]{0,300}`), rapid.Just(hostileName), rapid.StringN(500, 3000, -1))
		n := &Notice{ID: text.Draw(t, "id"), Kind: Problem, Time: testNow(), Title: text.Draw(t, "title")}
		for range rapid.IntRange(0, 2).Draw(t, "events") {
			n.Events = append(n.Events, dtc.Event{
				ID: text.Draw(t, "event"), Time: testNow(), Host: text.Draw(t, "host"), Address: text.Draw(t, "address"),
				Kind: dtc.EventProcess, State: dtc.State(text.Draw(t, "state")), PID: 7, Name: text.Draw(t, "name"), Rule: text.Draw(t, "rule"),
			})
		}
		for _, form := range []func(syslogEntry) []byte{syslogMessage, localMessage} {
			for _, m := range syslogMessages(3, n, form) {
				control := func(r rune) bool { return unicode.IsControl(r) }
				if len(m) > maxSyslog || !utf8.Valid(m) || strings.ContainsFunc(string(m), control) {
					t.Fatalf("%d bytes: %q", len(m), m)
				}
			}
		}
		for _, m := range syslogMessages(3, n, syslogMessage) {
			parts := syslogForm.FindSubmatch(m)
			if parts == nil {
				t.Fatalf("%q is no message", m)
			}
			said := parts[len(parts)-1]
			if mark := strings.HasPrefix(string(said), "\ufeff"); mark != !isASCII(strings.ReplaceAll(string(said), " ", "")) {
				t.Fatalf("%q: byte order mark %v", said, mark)
			}
		}
	})
}

func TestSeverities(t *testing.T) {
	for _, e := range eachState() {
		if s := severity(Problem, e.State); s < 3 || s > 5 || severity(Recovery, e.State) != 5 {
			t.Errorf("%s is %d", e.State, s)
		}
	}
	if severity(Problem, dtc.StateDead) != 3 || severity(Reminder, dtc.StateCount) != 4 || severity(Problem, dtc.StateReachable) != 5 || severity(Test, "") != 6 {
		t.Error("severities differ")
	}
}
