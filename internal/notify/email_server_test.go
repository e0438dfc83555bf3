package notify

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// submission is a real mail server with TLS, that takes mails of who has the
// password.
type submission struct {
	starttls, implicit string // where it listens
	ca                 string // file with its authority

	mu    sync.Mutex
	mails []*mail.Message // one for each recipient
}

const (
	mailUser     = "ops"
	mailPassword = "pa ss\\w\u00f6rd%41"
)

func newSubmission(t *testing.T) *submission {
	t.Helper()
	leaf, ca := authority(t)
	m := &submission{ca: filepath.Join(t.TempDir(), "ca.crt")}
	must(t, os.WriteFile(m.ca, ca, 0o600))
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &mailClient{server: m}, nil }))
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*leaf}}
	s.Domain, s.MaxMessageBytes, s.MaxLineLength = "mail.example.org", 1<<20, 1000
	s.ReadTimeout, s.WriteTimeout = 2*time.Second, 2*time.Second // of who speaks no TLS
	s.ErrorLog = testLog{t}
	var wg sync.WaitGroup
	serve := func(l net.Listener) string {
		wg.Go(func() { _ = s.Serve(l) })
		return l.Addr().String()
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	encrypted, err := tls.Listen("tcp", "127.0.0.1:0", s.TLSConfig)
	must(t, err)
	m.starttls, m.implicit = serve(plain), serve(encrypted)
	t.Cleanup(func() {
		_ = s.Close()
		wg.Wait()
	})
	return m
}

// testLog is the server's log.
type testLog struct{ t *testing.T }

func (l testLog) Printf(format string, args ...any) { fmt.Fprintf(l.t.Output(), format+"\n", args...) }

func (l testLog) Println(args ...any) { fmt.Fprintln(l.t.Output(), args...) }

// mailClient is one connection, as the server sees it.
type mailClient struct {
	server *submission
	known  bool
	to     []string
}

func (*mailClient) AuthMechanisms() []string { return []string{sasl.Plain, "LOGIN"} }

func (c *mailClient) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != mailUser || password != mailPassword {
			return smtp.ErrAuthFailed
		}
		c.known = true
		return nil
	}), nil
}

func (c *mailClient) Mail(string, *smtp.MailOptions) error {
	if !c.known {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (c *mailClient) Rcpt(to string, _ *smtp.RcptOptions) error {
	switch name, domain, _ := strings.Cut(to, "@"); {
	case domain != "example.org":
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "no relay"}
	case name == "nobody":
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "nobody of that name"}
	}
	c.to = append(c.to, to)
	return nil
}

func (c *mailClient) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	for range c.to {
		got, err := mail.ReadMessage(bytes.NewReader(data))
		if err != nil {
			return err
		}
		c.server.mu.Lock()
		c.server.mails = append(c.server.mails, got)
		c.server.mu.Unlock()
	}
	return nil
}

func (c *mailClient) Reset() { c.to = nil }

func (*mailClient) Logout() error { return nil }

func (m *submission) settings(change ...string) map[string]string {
	values := map[string]string{
		"server": m.starttls, "from": "DTC <dtc@example.org>", "to": "ops@example.org, Boss <boss@example.org>",
		"user": mailUser, "password": mailPassword, "ca": m.ca,
	}
	for i := 0; i < len(change); i += 2 {
		values[change[i]] = change[i+1]
	}
	return values
}

// taken returns the mails, of which there are to be so many.
func (m *submission) taken(t *testing.T, n int) []*mail.Message {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.mails) != n {
		t.Fatalf("%d mails were taken, want %d", len(m.mails), n)
	}
	return slices.Clone(m.mails)
}

func TestEmailWithTLS(t *testing.T) {
	t.Parallel()
	m := newSubmission(t)
	home := t.TempDir()
	must(t, os.WriteFile(filepath.Join(home, "password"), []byte(mailPassword+"\n"), 0o600))
	n := aNotice()
	n.Title += hostileName
	must(t, sendTo(t, testSender(t, "email", home, m.settings("password", "file=password")), n))
	must(t, sendTo(t, testSender(t, "email", home, m.settings("server", m.implicit, "tls", "implicit", "to", "ops@example.org")), n))
	got := m.taken(t, 3)
	for _, one := range got[:2] {
		checkMail(t, one, n)
	}
	for _, one := range got {
		if id := one.Header.Get("Message-Id"); id != got[0].Header.Get("Message-Id") || !strings.HasSuffix(id, "@example.org>") {
			t.Errorf("Message-ID %q", id)
		}
	}

	for _, c := range []struct {
		what    string
		change  []string
		says    string
		refused bool
	}{
		{"a wrong password", []string{"password", "wr0ng-pass"}, "authentication: 535", false},
		{"nobody's name", []string{"user", "nobody"}, "authentication: 535", false},
		{"no name", []string{"user", "", "password", ""}, "MAIL FROM: 502", true},
		{"another authority", []string{"ca", otherAuthority(t)}, "certificate", false},
		{"no authority", []string{"ca", ""}, "as ca", false},
		{"TLS too early", []string{"tls", "implicit"}, "TLS", false},
		{"TLS too late", []string{"server", m.implicit}, "greeting", false},
		{"no TLS", []string{"tls", "none"}, "offers none", false},
		{"another name", []string{"server", strings.Replace(m.starttls, "127.0.0.1", "localhost", 1)}, "localhost", false},
		{"a relay", []string{"to", "ops@example.net"}, "550 5.7.1 no relay", true},
		{"one who is not there", []string{"to", "ops@example.org,nobody@example.org"}, "nobody@example.org: 550 5.1.1", true},
	} {
		t.Run(c.what, func(t *testing.T) {
			err := sendTo(t, testSender(t, "email", home, m.settings(c.change...)), n)
			checkError(t, err, mailPassword, "wr0ng-pass")
			if !strings.Contains(fmt.Sprint(err), c.says) || isRefused(err) != c.refused {
				t.Errorf("%v; want %q, refused: %v", err, c.says, c.refused)
			}
		})
	}
	m.taken(t, 4) // the last one's first recipient
}

// otherAuthority returns a file with an authority that signed nothing.
func otherAuthority(tb testing.TB) string {
	tb.Helper()
	_, ca := authority(tb)
	file := filepath.Join(tb.TempDir(), "other.crt")
	must(tb, os.WriteFile(file, ca, 0o600))
	return file
}

// checkMail looks at a mail of a notice as its reader sees it.
func checkMail(t *testing.T, got *mail.Message, n *Notice) {
	t.Helper()
	subject, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject"))
	must(t, err)
	if !strings.HasPrefix(subject, "[DTC] web1: nginx[812] dead: signal 9") || len([]rune(subject)) > maxTitle || strings.ContainsAny(subject, "\r\n\x1b") {
		t.Errorf("subject %q", subject)
	}
	date, err := got.Header.Date()
	if err != nil || !date.Equal(n.Time.Truncate(time.Second)) {
		t.Errorf("date %v, %v", date, err)
	}
	for header, want := range map[string]string{
		"From": `"DTC" <dtc@example.org>`, "To": `<ops@example.org>, "Boss" <boss@example.org>`,
		"Content-Type": "text/plain; charset=UTF-8", "Auto-Submitted": "auto-generated", "User-Agent": "dtc",
		"Bcc": "", "Evil": "", "Content-Transfer-Encoding": "quoted-printable",
	} {
		if value := got.Header.Get(header); value != want {
			t.Errorf("%s: %q, want %q", header, value, want)
		}
	}
	body, err := io.ReadAll(quotedprintable.NewReader(got.Body))
	must(t, err)
	text := strings.ReplaceAll(string(body), "\r\n", "\n") // as a mail folder of Unix has it
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) != 1+len(n.Events) {
		t.Errorf("%d lines: %q", len(lines), text)
	}
	for _, want := range []string{"nginx[812] dead: signal 9, lived 1h0m0s", "10.0.0.7:7701", `[813] dead: exit unknown`, `\x1b[2J`} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q: %q", want, text)
		}
	}
	if strings.ContainsAny(text, "\x1b\u202e") {
		t.Errorf("the text is not escaped: %q", text)
	}
}
