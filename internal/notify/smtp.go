package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

// The bounds of one delivery by SMTP. A server may look into a mail for long
// before it says that it has taken it: who hung up meanwhile would send it again
// and again.
const (
	dialogTime  = time.Minute     // from the greeting to the end of the mail
	verdictTime = 5 * time.Minute // from there to the server's answer
	goodbyeTime = 2 * time.Second
	mailTime    = connectTime + dialogTime + verdictTime + goodbyeTime // for all of it, where ctx gives more

	maxSMTPAnswer = 256 << 10 // bytes that a server may say
)

// transmit hands a letter to its server. took is called with each recipient that
// has it now. refused are the answers to those that the server will never take;
// err is why the others have nothing.
func (v *values) transmit(ctx context.Context, l *letter, took func(to string)) (refused []error, err error) {
	config, err := v.tlsConfig()
	if err != nil {
		return nil, err
	}
	config.ServerName = l.host
	ctx, cancel := context.WithTimeout(ctx, mailTime)
	defer cancel()
	line, err := (&net.Dialer{Timeout: connectTime}).DialContext(ctx, "tcp", l.server)
	if err != nil {
		return nil, v.mailFault(l, "connect", err)
	}
	defer line.Close()
	s := &mailSession{values: v, letter: l, within: func(d time.Duration) { deadline(ctx, line, d) }}
	stop := context.AfterFunc(ctx, func() { s.within(0) })
	defer stop()
	s.within(dialogTime)
	var conn net.Conn = &boundedConn{Conn: line, left: maxSMTPAnswer}
	if l.tls == tlsImplicit {
		conn = tls.Client(conn, config)
	}
	if s.client, err = smtp.NewClient(conn, l.host); err != nil {
		return nil, v.mailFault(l, "its greeting", err)
	}
	if err := s.open(line.LocalAddr(), config); err != nil {
		return nil, err
	}
	refused, err = s.deliver(took)
	s.within(goodbyeTime)
	_ = s.client.Quit() // whether it answers or not: the mail is its own, or is not
	return refused, err
}

// deadline has nothing on a connection wait for longer than a time, or than ctx.
func deadline(ctx context.Context, conn net.Conn, d time.Duration) {
	_ = conn.SetDeadline(time.Now().Add(d)) // it fails on a closed one only
	if ctx.Err() != nil {                   // its AfterFunc may have come before
		_ = conn.SetDeadline(time.Now())
	}
}

// boundedConn is a connection on which the peer may say so much and no more.
type boundedConn struct {
	net.Conn
	left int
}

var errTalkative = errors.New("the server says more than a mail server has to say")

func (c *boundedConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errTalkative
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// mailSession is one connection to a server.
type mailSession struct {
	*values
	letter *letter
	client *smtp.Client
	within func(time.Duration) // how long the rest may take
}

// open says hello, goes over to TLS and says who we are.
func (s *mailSession) open(local net.Addr, config *tls.Config) error {
	l := s.letter
	if err := s.client.Hello(helloName(local)); err != nil {
		return s.mailFault(l, "EHLO", err)
	}
	if l.tls == tlsStart {
		if ok, _ := s.client.Extension("STARTTLS"); !ok {
			return s.mailFault(l, "STARTTLS", errors.New("the server does not offer it: nothing was sent; if it speaks TLS from the first byte, set tls to implicit"))
		}
		if err := s.client.StartTLS(config); err != nil {
			return s.mailFault(l, "STARTTLS", err)
		}
	}
	if l.user == "" {
		return nil
	}
	s.hide("\x00" + l.user + "\x00" + l.password) // of which PLAIN sends the base64
	_, offer := s.client.Extension("AUTH")
	auth, err := l.auth(offer, l.tls != tlsNone)
	if err == nil {
		err = s.client.Auth(auth)
	}
	if err != nil {
		return s.mailFault(l, "authentication", err)
	}
	return nil
}

// helloName is how we call ourselves: by our address, as RFC 5321, 4.1.4 has it
// for who has no name that the server could look up.
func helloName(local net.Addr) string {
	host, _, err := net.SplitHostPort(local.String())
	if name, herr := os.Hostname(); herr == nil && strings.Contains(name, ".") && isASCII(name) {
		return name
	}
	switch ip := net.ParseIP(host); {
	case err != nil || ip == nil:
		return "localhost"
	case ip.To4() == nil:
		return "[IPv6:" + ip.String() + "]"
	default:
		return "[" + ip.String() + "]"
	}
}

// deliver sends the mail to all recipients that the server takes.
func (s *mailSession) deliver(took func(to string)) (refused []error, err error) {
	l := s.letter
	s.client.SkipSMTPUTF8(!l.needsUTF8())
	if err := s.client.Mail("<" + l.from.Address + ">"); err != nil {
		return nil, s.verdict("MAIL FROM", err)
	}
	var accepted []string
	var put error // off: somebody is to be tried again
	for _, to := range l.to {
		err := s.client.Rcpt("<" + to.Address + ">")
		switch {
		case err == nil:
			accepted = append(accepted, to.Address)
		case forGood(err):
			refused = append(refused, fmt.Errorf("%s: %w", to.Address, said(err)))
		default:
			put = fmt.Errorf("%s: %w", to.Address, said(err))
		}
		if err != nil && answerCode(err) == 0 {
			return nil, s.mailFault(l, "RCPT TO", err) // the connection is lost
		}
	}
	if len(accepted) > 0 {
		if err := s.data(); err != nil {
			return nil, err
		}
	}
	for _, to := range accepted {
		took(to)
	}
	if put != nil {
		return refused, s.mailFault(l, "RCPT TO", put)
	}
	return refused, nil
}

// data sends the mail itself.
func (s *mailSession) data() error {
	w, err := s.client.Data()
	if err != nil {
		return s.verdict("DATA", err)
	}
	if _, err := s.letter.msg.WriteTo(w); err != nil {
		return s.mailFault(s.letter, "DATA", err)
	}
	s.within(verdictTime)
	if err := w.Close(); err != nil {
		return s.verdict("DATA", err)
	}
	return nil
}

// verdict returns an error about the mail, which is a Refused if the server has
// spoken for good.
func (s *mailSession) verdict(what string, err error) error {
	fault := s.mailFault(s.letter, what, err)
	if forGood(err) {
		return &Refused{Err: fault}
	}
	return fault
}

// needsUTF8 says whether an address is not ASCII: RFC 6531.
func (l *letter) needsUTF8() bool {
	for _, to := range l.to {
		if !isASCII(to.Address) {
			return true
		}
	}
	return !isASCII(l.from.Address)
}
