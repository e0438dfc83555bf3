package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"dtc/internal/render"
)

// email sends notices as mails over SMTP (RFC 5321), with STARTTLS (RFC 3207)
// unless the setting "tls" says "implicit" (RFC 8314) or "none", and with the
// authentication that the server offers.
//
// A notice is one mail to all of "to". Its Message-ID is made of the notice's
// id: who gets it twice, as a server may have taken it and the answer been lost,
// can tell by that. Recipients that have taken it are not tried again while the
// program runs.
type email struct {
	settings Settings
	notice   string          // the last one tried
	taken    map[string]bool // who has it
}

var _ Sender = (*email)(nil)

// The ways to speak TLS.
const (
	tlsStart    = "starttls"
	tlsImplicit = "implicit"
	tlsNone     = "none"
)

// maxMail is how many bytes the text of a mail has at most.
const maxMail = 128 << 10

func newEmail(s Settings) (Sender, error) {
	for _, setting := range []struct {
		name  string
		check func(string) error
	}{
		{"server", checkServer},
		{"from", func(value string) error { _, err := parseAddress(value); return err }},
		{"to", func(value string) error { _, err := parseAddresses(value); return err }},
		{"tls", checkTLS},
	} {
		if value := s.literal(setting.name); value != "" {
			if err := setting.check(value); err != nil {
				return nil, err
			}
		}
	}
	if (s.Values["user"] == "") != (s.Values["password"] == "") {
		return nil, errors.New("user and password belong together")
	}
	return &email{settings: s}, nil
}

func checkServer(value string) error {
	host, port, err := net.SplitHostPort(value)
	if err != nil || host == "" || port == "" {
		return errors.New("the server is to be HOST:PORT, as mail.example.org:587")
	}
	return nil
}

func checkTLS(value string) error {
	switch value {
	case "", tlsStart, tlsImplicit, tlsNone:
		return nil
	}
	return fmt.Errorf("tls is to be %s, %s or %s", tlsStart, tlsImplicit, tlsNone)
}

func parseAddress(text string) (*mail.Address, error) {
	addr, err := mail.ParseAddress(text)
	if err != nil {
		return nil, errors.New("from is no mail address")
	}
	return addr, nil
}

func parseAddresses(text string) ([]*mail.Address, error) {
	list, err := mail.ParseAddressList(text)
	if err != nil {
		return nil, errors.New("to is no list of mail addresses with commas between them")
	}
	return list, nil
}

// letter is one notice for one server.
type letter struct {
	server, host   string // HOST:PORT, and HOST
	tls            string
	user, password string
	from           *mail.Address
	to             []*mail.Address // who has not taken it yet
	msg            *gomail.Msg
}

// Send delivers a notice.
func (e *email) Send(ctx context.Context, n *Notice) error {
	v := e.settings.read()
	l, err := e.letter(v, n)
	if err != nil {
		return errors.New(v.oneLine(err.Error()))
	}
	if len(l.to) == 0 {
		return nil // all of them had it before
	}
	refused, err := v.transmit(ctx, l, func(to string) { e.taken[to] = true })
	switch {
	case err == nil && len(refused) == 0:
		return nil
	case err == nil: // the others have it
		return &Refused{Err: v.mailFault(l, "recipients were refused", errors.Join(refused...))}
	}
	return err
}

// letter reads the settings, and writes the mail.
func (e *email) letter(v *values, n *Notice) (*letter, error) {
	if e.notice != n.ID {
		e.notice, e.taken = n.ID, map[string]bool{}
	}
	l, err := v.letterhead()
	if err != nil {
		return nil, err
	}
	l.msg = writeMail(n, l.from, l.to)
	l.to = slices.DeleteFunc(slices.Clone(l.to), func(a *mail.Address) bool { return e.taken[a.Address] })
	return l, nil
}

// letterhead reads the settings.
func (v *values) letterhead() (*letter, error) {
	l := &letter{}
	var from, to string
	var errs [6]error
	l.server, errs[0] = v.get("server")
	l.tls, errs[1] = v.get("tls")
	l.user, errs[2] = v.get("user")
	l.password, errs[3] = v.secret("password")
	from, errs[4] = v.get("from")
	to, errs[5] = v.get("to")
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	if l.tls == "" {
		l.tls = tlsStart
	}
	if err := errors.Join(checkServer(l.server), checkTLS(l.tls)); err != nil {
		return nil, err
	}
	l.host, _, _ = net.SplitHostPort(l.server)
	var err error
	if l.from, err = parseAddress(from); err != nil {
		return nil, err
	}
	l.to, err = parseAddresses(to)
	return l, err
}

// writeMail writes a notice as a mail: plain text, a line an event.
func writeMail(n *Notice, from *mail.Address, to []*mail.Address) *gomail.Msg {
	m := gomail.NewMsg(gomail.WithCharset(gomail.CharsetUTF8), gomail.WithEncoding(gomail.EncodingQP))
	m.FromMailAddress(from)
	m.ToMailAddress(to...)
	m.Subject(cut("[DTC] "+render.Escape(n.Title), maxTitle))
	m.SetDateWithValue(n.Time)
	m.SetMessageIDWithValue(messageID(n, from))
	m.SetUserAgent("dtc")
	// So that no program answers it: RFC 3834.
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetGenHeader("X-Auto-Response-Suppress", "All")
	plain := medium{limit: maxMail, size: func(s string) int { return len(s) }}
	m.SetBodyString(gomail.TypeTextPlain, strings.Join(plain.text(n), "\r\n")+"\r\n")
	return m
}

// messageID is unique to a notice and its receiver, the same in each attempt.
func messageID(n *Notice, from *mail.Address) string {
	const length = 16
	sum := sha256.Sum256([]byte(n.Receiver + "\x00" + n.ID))
	domain := "dtc.invalid"
	if _, of, ok := strings.Cut(from.Address, "@"); ok && isASCII(of) {
		domain = of
	}
	return hex.EncodeToString(sum[:length]) + "@" + domain
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// mailFault returns an error of a delivery, as one line without any secret: what
// was being done, and what the server answered.
func (v *values) mailFault(l *letter, what string, err error) error {
	return errors.New(v.oneLine("mail by " + l.server + ": " + what + ": " + oneCause(inWords(said(err)))))
}

// oneCause is the text of an error, or of several, in one line.
func oneCause(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// said is an answer as the server gave it, other errors as they are.
func said(err error) error {
	if answer, ok := errors.AsType[*textproto.Error](err); ok {
		return fmt.Errorf("%d %s", answer.Code, answer.Msg)
	}
	return err
}

// answerCode is the code of a server's answer, 0 if the error is none.
func answerCode(err error) int {
	if answer, ok := errors.AsType[*textproto.Error](err); ok {
		return answer.Code
	}
	return 0
}

// forGood says whether a server's answer to MAIL, RCPT or DATA is that it will
// never take this mail: 5yz of RFC 5321, 4.2.1, but for those of RFC 4954 that
// speak of the authentication, which somebody may set right.
func forGood(err error) bool {
	code := answerCode(err)
	switch code {
	case 530, 534, 535, 538:
		return false
	}
	return code >= 500 && code < 600
}

// auth returns how to say who we are, by what the server offers; an error if
// only ways are offered that would show the password to who listens.
func (l *letter) auth(offer string, encrypted bool) (smtp.Auth, error) {
	ways := strings.Fields(strings.ToUpper(offer))
	offered := func(way string) bool { return slices.Contains(ways, way) }
	switch {
	case offered("SCRAM-SHA-256"):
		return smtp.ScramSHA256Auth(l.user, l.password), nil
	case offered("SCRAM-SHA-1"):
		return smtp.ScramSHA1Auth(l.user, l.password), nil
	case offered("PLAIN") && encrypted:
		return smtp.PlainAuth("", l.user, l.password, l.host, false), nil
	case offered("LOGIN") && encrypted:
		return smtp.LoginAuth(l.user, l.password, l.host, false), nil
	case offered("CRAM-MD5"):
		return smtp.CRAMMD5Auth(l.user, l.password), nil
	case len(ways) == 0:
		return nil, errors.New("the server offers none: leave out user and password, or ask on another port")
	case !encrypted:
		return nil, errors.New("the server would have the password sent in clear text: set tls to starttls or implicit")
	}
	return nil, fmt.Errorf("the server offers only what is not known here: %s", offer)
}
