package notify

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dtc"
)

// scriptedMail is a mail server that answers what it is told to.
type scriptedMail struct {
	net.Listener
	wg sync.WaitGroup

	mu      sync.Mutex
	answers map[string]string // by the beginning of a command; "" is the greeting. "drop" closes, "hang" waits
	asked   []string          // commands
	mails   []string          // what was accepted
}

func newScriptedMail(tb testing.TB, answers map[string]string) *scriptedMail {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(tb, err)
	m := &scriptedMail{Listener: l, answers: answers}
	m.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			m.wg.Go(func() {
				defer c.Close()
				m.serve(c)
			})
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		m.wg.Wait()
	})
	return m
}

// usual are the answers of a server that takes everything.
func usual() []string {
	return []string{
		"220 hello", "EHLO=250-x\r\n250-8BITMIME\r\n250 SMTPUTF8", "MAIL=250 ok", "RCPT=250 ok", "DATA=354 go on", ".=250 taken",
		"QUIT=221 bye", "RSET=250 ok", "AUTH=235 ok",
	}
}

// answer is what is said to a command.
func (m *scriptedMail) answer(command string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	best := ""
	for begin := range m.answers {
		if strings.HasPrefix(command, begin) && len(begin) > len(best) {
			best = begin
		}
	}
	if best != "" || command == "" && m.answers[""] != "" {
		return m.answers[best]
	}
	for _, u := range usual() {
		begin, answer, ok := strings.Cut(u, "=")
		if !ok && command == "" {
			return u
		}
		if ok && strings.HasPrefix(command, begin) {
			return answer
		}
	}
	return "500 what?"
}

func (m *scriptedMail) say(c net.Conn, command string) bool {
	answer := m.answer(command)
	switch answer {
	case "drop":
		return false
	case "hang":
		_, _ = io.Copy(io.Discard, c)
		return false
	case "endless":
		line := "250-" + strings.Repeat("x", 500) + "\r\n"
		for {
			if _, err := io.WriteString(c, line); err != nil {
				return false
			}
		}
	}
	_, err := io.WriteString(c, answer+"\r\n")
	return err == nil
}

func (m *scriptedMail) serve(c net.Conn) {
	lines := bufio.NewScanner(c)
	if !m.say(c, "") {
		return
	}
	for lines.Scan() {
		command := lines.Text()
		m.mu.Lock()
		m.asked = append(m.asked, command)
		m.mu.Unlock()
		if !m.say(c, command) {
			return
		}
		if command == "DATA" && strings.HasPrefix(m.answer(command), "354") {
			var text strings.Builder
			for lines.Scan() && lines.Text() != "." {
				text.WriteString(lines.Text() + "\n")
			}
			if strings.HasPrefix(m.answer("."), "250") || m.answer(".") == "drop" {
				m.mu.Lock()
				m.mails = append(m.mails, text.String())
				m.mu.Unlock()
			}
			if !m.say(c, ".") {
				return
			}
		}
	}
}

func (m *scriptedMail) commands() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.asked)
}

func (m *scriptedMail) taken() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.mails)
}

func isRefused(err error) bool {
	_, ok := errors.AsType[*Refused](err)
	return ok
}

// plainMail are settings for a server without TLS.
func plainMail(server string) map[string]string {
	return map[string]string{"server": server, "from": "dtc@example.org", "to": "a@example.org,b@example.org", "tls": "none"}
}

func TestEmailAnswers(t *testing.T) {
	for _, c := range []struct {
		what    string
		answers map[string]string
		says    string // "": it is delivered
		refused bool
	}{
		{"all is well", nil, "", false},
		{"it does not say goodbye", map[string]string{"QUIT": "drop"}, "", false},
		{"it says goodbye badly", map[string]string{"QUIT": "500 no"}, "", false},
		{"it has no time", map[string]string{"": "421 too busy"}, "421 too busy", false},
		{"it does not want us", map[string]string{"": "554 go away"}, "554 go away", false},
		{"it drops us", map[string]string{"": "drop"}, "closed", false},
		{"it knows no EHLO", map[string]string{"EHLO": "502 what", "HELO": "250 ok"}, "", false},
		{"sender put off", map[string]string{"MAIL": "451 4.7.1 later"}, "451 4.7.1 later", false},
		{"sender refused", map[string]string{"MAIL": "550 5.7.1 not you"}, "550 5.7.1 not you", true},
		{"who are you", map[string]string{"MAIL": "530 5.7.0 authenticate first"}, "530", false},
		{"one recipient put off", map[string]string{"RCPT TO:<b@": "450 4.2.0 greylisted"}, "b@example.org: 450", false},
		{"one recipient refused", map[string]string{"RCPT TO:<b@": "550 5.1.1 nobody"}, "b@example.org: 550", true},
		{"all recipients refused", map[string]string{"RCPT": "550 5.1.1 nobody"}, "a@example.org: 550", true},
		{"all recipients put off", map[string]string{"RCPT": "452 4.5.3 too many"}, "452", false},
		{"dropped at a recipient", map[string]string{"RCPT TO:<b@": "drop"}, "closed", false},
		{"no data wanted", map[string]string{"DATA": "554 no valid recipients"}, "554", true},
		{"no data now", map[string]string{"DATA": "421 shutting down"}, "421", false},
		{"too big", map[string]string{".": "552 5.3.4 too big"}, "552 5.3.4 too big", true},
		{"full", map[string]string{".": "452 4.3.1 full"}, "452", false},
		{"dropped at the end", map[string]string{".": "drop"}, "closed", false},
		{"an answer without a code", map[string]string{"MAIL": "hello\x1b[2J\u202e"}, "", false},
		{"an answer without an end", map[string]string{"EHLO": "endless"}, "more than a mail server", false},
	} {
		t.Run(c.what, func(t *testing.T) {
			m := newScriptedMail(t, c.answers)
			s := testSender(t, "email", t.TempDir(), plainMail(m.Addr().String()))
			err := sendTo(t, s, aNotice())
			if c.says == "" && !strings.Contains(c.what, "without") {
				must(t, err)
				return
			}
			checkError(t, err)
			if !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), m.Addr().String()) || isRefused(err) != c.refused {
				t.Errorf("%v; want %q, refused: %v", err, c.says, c.refused)
			}
		})
	}
}

// TestEmailToTheRest has a recipient put off who is tried again without those
// that have the mail.
func TestEmailToTheRest(t *testing.T) {
	m := newScriptedMail(t, map[string]string{"RCPT TO:<b@": "450 4.2.0 greylisted"})
	s := testSender(t, "email", t.TempDir(), plainMail(m.Addr().String()))
	n := aNotice()
	checkError(t, sendTo(t, s, n))
	m.mu.Lock()
	delete(m.answers, "RCPT TO:<b@")
	m.mu.Unlock()
	before := len(m.commands())
	must(t, sendTo(t, s, n))
	must(t, sendTo(t, s, n)) // nobody is left
	again := m.commands()[before:]
	if slices.Contains(again, "RCPT TO:<a@example.org>") || !slices.Contains(again, "RCPT TO:<b@example.org>") || m.taken() != 2 {
		t.Errorf("asked again %q, %d mails", again, m.taken())
	}
	next := aNotice()
	next.ID = "n-2"
	must(t, sendTo(t, s, next))
	if !slices.Contains(m.commands()[before:], "RCPT TO:<a@example.org>") {
		t.Error("the next notice does not go to all")
	}
	if m.mails[0] != m.mails[1] {
		t.Errorf("the two mails differ: %q and %q", m.mails[0], m.mails[1])
	}
}

func TestEmailWithoutTLS(t *testing.T) {
	for _, c := range []struct {
		what, ehlo, tls string
		says            string
	}{
		{"STARTTLS is stripped", "250-x\r\n250 AUTH PLAIN", "", "does not offer it"},
		{"PLAIN only", "250-x\r\n250 AUTH PLAIN LOGIN", "none", "in clear text"},
		{"none at all", "250 x", "none", "offers none"},
		{"a strange one", "250-x\r\n250 AUTH GSSAPI", "none", "clear text"},
	} {
		t.Run(c.what, func(t *testing.T) {
			m := newScriptedMail(t, map[string]string{"EHLO": c.ehlo, "STARTTLS": "220 go on"})
			values := plainMail(m.Addr().String())
			values["user"], values["password"], values["tls"] = "ops", "s3cret-pass", c.tls
			err := sendTo(t, testSender(t, "email", t.TempDir(), values), aNotice())
			checkError(t, err, "s3cret-pass")
			if !strings.Contains(err.Error(), c.says) || isRefused(err) {
				t.Error(err)
			}
			for _, command := range m.commands() {
				if strings.HasPrefix(command, "AUTH") || strings.HasPrefix(command, "MAIL") {
					t.Errorf("it was sent %q", command)
				}
			}
		})
	}
	t.Run("CRAM-MD5", func(t *testing.T) {
		m := newScriptedMail(t, map[string]string{
			"EHLO": "250-x\r\n250 AUTH PLAIN CRAM-MD5", "AUTH CRAM-MD5": "334 PDE+",
			"b3Bz": "235 ok", // "ops", and a hash
		})
		values := plainMail(m.Addr().String())
		values["user"], values["password"] = "ops", "s3cret-pass"
		must(t, sendTo(t, testSender(t, "email", t.TempDir(), values), aNotice()))
	})
	t.Run("the server echoes the password", func(t *testing.T) {
		m := newScriptedMail(t, map[string]string{
			"EHLO": "250-x\r\n250 AUTH CRAM-MD5",
			"AUTH": "535 bad password s3cret-pass, czNjcmV0LXBhc3M=, AG9wcwBzM2NyZXQtcGFzcw==",
		})
		values := plainMail(m.Addr().String())
		values["user"], values["password"] = "ops", "s3cret-pass"
		err := sendTo(t, testSender(t, "email", t.TempDir(), values), aNotice())
		checkError(t, err, "s3cret-pass", "czNjcmV0LXBhc3M=", "AG9wcwBzM2NyZXQtcGFzcw==")
		if !strings.Contains(err.Error(), "535") || isRefused(err) {
			t.Error(err)
		}
	})
}

// TestEmailInTime has a server that never answers.
func TestEmailInTime(t *testing.T) {
	for _, at := range []string{"", "EHLO", "RCPT", "."} {
		m := newScriptedMail(t, map[string]string{at: "hang"})
		s := testSender(t, "email", t.TempDir(), plainMail(m.Addr().String()))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		began := time.Now()
		err := s.Send(ctx, aNotice())
		cancel()
		checkError(t, err)
		if took := time.Since(began); took > 5*time.Second || !strings.Contains(err.Error(), "no answer in time") {
			t.Errorf("hanging at %q: %v after %v", at, err, took)
		}
	}
}

func TestEmailSettings(t *testing.T) {
	for _, c := range []struct{ name, value string }{
		{"server", "mail.example.org"},
		{"server", ":25"},
		{"from", "nobody"},
		{"from", "a@b\r\nBcc: c@d"},
		{"to", "a@b;c@d"},
		{"tls", "yes"},
		{"user", "ops"}, // without a password
	} {
		values := plainMail("127.0.0.1:25")
		values[c.name] = c.value
		if _, err := NewSender("email", Settings{Values: values}); err == nil {
			t.Errorf("%s %q is taken", c.name, c.value)
		}
	}
	values := plainMail("127.0.0.1:25")
	values["to"] = "file=nowhere"
	s := testSender(t, "email", t.TempDir(), values)
	checkError(t, sendTo(t, s, aNotice()))
}

func TestEmailAddressesBeyondASCII(t *testing.T) {
	m := newScriptedMail(t, nil)
	values := plainMail(m.Addr().String())
	values["to"] = "jörg@example.org"
	must(t, sendTo(t, testSender(t, "email", t.TempDir(), values), aNotice()))
	if !slices.Contains(m.commands(), "MAIL FROM:<dtc@example.org> BODY=8BITMIME SMTPUTF8") {
		t.Errorf("asked %q", m.commands())
	}
}

// TestMailIsWellFormed is the property that no notice can make more of a mail
// than a subject and a text.
func TestMailIsWellFormed(t *testing.T) {
	from := &mail.Address{Name: "DTC", Address: "dtc@example.org"}
	rapid.Check(t, func(t *rapid.T) {
		n := &Notice{
			ID: rapid.String().Draw(t, "id"), Receiver: "ops", Kind: Problem, Time: testNow(),
			Title: rapid.String().Draw(t, "title"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "events") {
			n.Events = append(n.Events, dtc.Event{
				Time: testNow(), Host: rapid.String().Draw(t, "host"), Kind: dtc.EventProcess, State: dtc.StateDead,
				PID: 7, Name: rapid.String().Draw(t, "name"), Exit: &dtc.Exit{},
			})
		}
		var text strings.Builder
		if _, err := writeMail(n, from, []*mail.Address{from}).WriteTo(&text); err != nil {
			t.Fatal(err)
		}
		got, err := mail.ReadMessage(strings.NewReader(text.String()))
		if err != nil {
			t.Fatalf("%v: %q", err, text.String())
		}
		known := []string{
			"Date", "Mime-Version", "Message-Id", "Subject", "User-Agent", "X-Mailer", "From", "To", "Content-Type",
			"Content-Transfer-Encoding", "Auto-Submitted", "X-Auto-Response-Suppress",
		}
		for name := range got.Header {
			if !slices.Contains(known, name) {
				t.Fatalf("a header %q: %q", name, text.String())
			}
		}
		for line := range strings.SplitSeq(text.String(), "\r\n") {
			if len(line) > 998 || strings.ContainsAny(line, "\r\n\x00") {
				t.Fatalf("a line of %d bytes: %q", len(line), line)
			}
		}
	})
}

func TestLongMailIsCut(t *testing.T) {
	n := aNotice()
	for i := range MaxEvents {
		e := n.Events[0]
		e.ID, e.Name = fmt.Sprint(i), strings.Repeat("\x01", 1000)
		n.Events = append(n.Events, e)
	}
	from := &mail.Address{Address: "dtc@example.org"}
	var text strings.Builder
	_, err := writeMail(n, from, []*mail.Address{from}).WriteTo(&text)
	must(t, err)
	if text.Len() > 2*maxMail || !strings.Contains(text.String(), "more") {
		t.Errorf("%d bytes", text.Len())
	}
}

// TestEmailGoodbyeInTime has a server that takes the mail and then says
// nothing: nobody waits for it.
func TestEmailGoodbyeInTime(t *testing.T) {
	t.Parallel()
	m := newScriptedMail(t, map[string]string{"QUIT": "hang"})
	s := testSender(t, "email", t.TempDir(), plainMail(m.Addr().String()))
	began := time.Now()
	must(t, sendTo(t, s, aNotice()))
	if took := time.Since(began); took > goodbyeTime+5*time.Second {
		t.Errorf("it took %v", took)
	}
}
