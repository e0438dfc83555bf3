package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// syslog sends each event of a notice as a message of syslog (RFC 5424), over
// udp (RFC 5426), tcp (RFC 6587, with the length before each message) or tls (RFC
// 5425). A notice without events is one message, its title.
//
// The header has the event's time, the host that it is of, the program dtc and
// the state as MSGID. The structured data "dtc@32473" has what a program needs:
// event (its id, by which who gets it twice can tell), notice, kind, state, host,
// address, process, pid. 32473 is the number of nobody (RFC 5612): this program
// has none of its own. A text that is not ASCII alone stands after a byte order
// mark, as the format asks for UTF-8.
//
// Over tcp and tls the connection is closed when all is sent, and the notice
// counts as delivered when the receiver has closed it too: it has read all by
// then. Over udp nobody can know; that nobody listens is noticed mostly.
//
// To the socket of this machine's own syslog (unix) a message goes in the form of
// syslog(3), the only one that all of them understand there: the priority, the
// local time, "dtc:", the host, the text, and the event's id as "event=".
type syslog struct{ settings Settings }

var _ Sender = (*syslog)(nil)

const (
	maxSyslog     = 2048                   // bytes of one message, that every receiver takes: RFC 5424, 6.1
	syslogTime    = 20 * time.Second       // for all of a delivery, where ctx gives more
	syslogGoodbye = 5 * time.Second        // that the receiver has to close after us
	udpRefusal    = 100 * time.Millisecond // in which it is heard that nobody listens

	// A datagram for which the receiver's socket has no room is lost, and nobody
	// says so: 500 at once do not fit into what Linux gives a socket.
	udpBurst = 8 // datagrams
	udpPause = 5 * time.Millisecond
)

func newSyslog(s Settings) (Sender, error) {
	if text := s.literal("server"); text != "" {
		if _, err := parseSyslogServer(text); err != nil {
			return nil, err
		}
	}
	if text := s.literal("facility"); text != "" {
		if _, err := parseFacility(text); err != nil {
			return nil, err
		}
	}
	return &syslog{settings: s}, nil
}

// parseSyslogServer reads udp://HOST:PORT, tcp://…, tls://… or unix:///PATH.
func parseSyslogServer(text string) (*url.URL, error) {
	where, err := url.Parse(text)
	if err == nil && where.User == nil && where.RawQuery == "" && where.Fragment == "" {
		switch where.Scheme {
		case "udp", "tcp", "tls":
			if where.Hostname() != "" && where.Port() != "" && strings.Trim(where.Path, "/") == "" {
				return where, nil
			}
		case "unix":
			if where.Host == "" && path.IsAbs(where.Path) {
				return where, nil
			}
		}
	}
	return nil, errors.New("the server is to be udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT or unix:///dev/log")
}

// facilities are the names of RFC 5424's facilities, in the order of their
// numbers, as syslog(3) and logger(1) have them.
func facilities() []string {
	return []string{
		"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
		"", "", "", "", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
	}
}

// parseFacility returns the number of a facility; "" is daemon.
func parseFacility(name string) (int, error) {
	if name == "" {
		name = "daemon"
	}
	var names []string
	for number, known := range facilities() {
		if known == name {
			return number, nil
		}
		if known != "" {
			names = append(names, known)
		}
	}
	return 0, errors.New("the facility is to be one of " + strings.Join(names, " "))
}

// Send delivers a notice.
func (s *syslog) Send(ctx context.Context, n *Notice) error {
	v := s.settings.read()
	server, err := v.get("server")
	if err != nil {
		return errors.New(v.oneLine(err.Error()))
	}
	where, err := parseSyslogServer(server)
	if err != nil {
		return errors.New(v.oneLine(err.Error()))
	}
	if err := v.sendSyslog(ctx, where, n); err != nil {
		return errors.New(v.oneLine("syslog to " + server + ": " + oneCause(inWords(err))))
	}
	return nil
}

func (v *values) sendSyslog(ctx context.Context, where *url.URL, n *Notice) error {
	name, err := v.get("facility")
	if err != nil {
		return err
	}
	facility, err := parseFacility(name)
	if err != nil {
		return err
	}
	config, err := v.tlsConfig()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, syslogTime)
	defer cancel()
	conn, err := dialSyslog(ctx, where, config)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	switch where.Scheme {
	case "unix":
		return sendDatagrams(conn, syslogMessages(facility, n, localMessage))
	case "udp":
		return sendUDP(ctx, conn, syslogMessages(facility, n, syslogMessage))
	}
	if err := sendStream(conn, syslogMessages(facility, n, syslogMessage)); err != nil {
		return err
	}
	return ctx.Err() // the wait for the receiver may have been cut short
}

// closeWriter is a connection of which one direction can be closed: TCP, TLS.
type closeWriter interface{ CloseWrite() error }

func dialSyslog(ctx context.Context, where *url.URL, config *tls.Config) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: connectTime}
	switch where.Scheme {
	case "unix":
		return dialer.DialContext(ctx, "unixgram", where.Path)
	case "tls":
		config.ServerName = where.Hostname()
		return (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext(ctx, "tcp", where.Host)
	default:
		return dialer.DialContext(ctx, where.Scheme, where.Host)
	}
}

// sendStream sends messages with their lengths before them, and waits until the
// receiver has read them all.
func sendStream(conn net.Conn, messages [][]byte) error {
	var all bytes.Buffer
	for _, m := range messages {
		fmt.Fprintf(&all, "%d ", len(m))
		all.Write(m)
	}
	if _, err := conn.Write(all.Bytes()); err != nil {
		return err
	}
	if c, ok := conn.(closeWriter); ok {
		if err := c.CloseWrite(); err != nil {
			return err
		}
	}
	_ = conn.SetReadDeadline(time.Now().Add(syslogGoodbye)) // where this fails the reading says why
	// It closes, or takes its time, which is no fault; who breaks off has not read
	// all, and a syslog has nothing to say.
	_, err := io.CopyN(io.Discard, conn, 1)
	switch {
	case err == nil:
		return errors.New("it answers, which no syslog does: does it speak TLS, or another protocol?")
	case errors.Is(err, io.EOF), errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	}
	return err
}

// sendDatagrams sends each message as a datagram.
func sendDatagrams(conn net.Conn, messages [][]byte) error {
	for _, m := range messages {
		if _, err := conn.Write(m); err != nil {
			return err
		}
	}
	return nil
}

// sendUDP sends each message as a datagram, a few at a time, and waits a moment
// for the other machine to say that nobody listens there: ICMP port unreachable.
func sendUDP(ctx context.Context, conn net.Conn, messages [][]byte) error {
	pause := time.NewTicker(udpPause)
	defer pause.Stop()
	for some := range slices.Chunk(messages, udpBurst) {
		if err := sendDatagrams(conn, some); err != nil {
			return err
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := conn.SetReadDeadline(time.Now().Add(udpRefusal)); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 1))
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}
