package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"dtc"
)

// Dialer opens proven connections.
type Dialer struct {
	// TLS returns the configuration that proves the peer at ip to be the one
	// that is wanted. Its errors of verification should be a [*dtc.Error].
	TLS func(ip netip.Addr) *tls.Config

	// Connect is how long the connection may take without the proof; 0 stands
	// for as long as both may. Who tries again at once is there sooner: within
	// one try the system asks more and more seldom.
	Connect time.Duration
}

// Dial connects to a peer and proves it, within ctx and ten seconds. The
// connection is cut when the peer's certificate ends. Its errors,
// and those of the connection's Read and Write but io.EOF, are a [*dtc.Error].
//
// With TLS 1.3 the peer judges this side's certificate only after Dial has
// returned: its refusal is the error of the first Read, with KindCertificate.
func (d Dialer) Dial(ctx context.Context, to netip.AddrPort, proto string) (net.Conn, error) {
	c, err := d.dial(ctx, to, proto)
	if err != nil {
		e, _ := errors.AsType[*dtc.Error](failed(err))
		return nil, &dtc.Error{Kind: e.Kind, Err: fmt.Errorf("connect to %s: %w", to, e.Err)}
	}
	return c, nil
}

func (d Dialer) dial(ctx context.Context, to netip.AddrPort, proto string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()

	dialer := net.Dialer{Timeout: d.Connect, Control: func(_, _ string, rc syscall.RawConn) error {
		return rc.Control(func(fd uintptr) { _ = setRetransmit(fd, retransmit) })
	}}
	raw, err := dialer.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, dialError(ctx, err)
	}
	noticeDeath(raw)
	cfg := d.TLS(to.Addr()).Clone()
	cfg.NextProtos = []string{proto}
	cfg.DynamicRecordSizingDisabled = true // full records from the start
	below := raw
	if proto == ProtoLog {
		below = prompted(raw)
	}
	c, err := shakeHands(ctx, below, cfg)
	if err != nil {
		raw.Close()
		return nil, handshakeError(ctx, err)
	}
	if got := c.ConnectionState().NegotiatedProtocol; got != proto {
		raw.Close()
		return nil, fmt.Errorf("it does not speak %s", proto)
	}
	ends := proofEnds(c.ConnectionState())
	over := time.AfterFunc(time.Until(ends), func() { raw.Close() })
	return &conn{Conn: c, to: to, cfg: cfg, ends: ends, over: over}, nil
}

// dialError takes the words "dial tcp 10.0.0.7:7701: connect:" from an error: the
// caller says it better. A dial that ctx ended is that, whatever the system said.
func dialError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fromContext(ctx)
	}
	kind := classify(err)
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		err = call.Err
	}
	return &dtc.Error{Kind: kind, Err: err}
}

func handshakeError(ctx context.Context, err error) error {
	var plain tls.RecordHeaderError
	switch {
	case ctx.Err() != nil:
		return fromContext(ctx)
	case errors.As(err, &plain):
		return errors.New("what answers there does not speak TLS")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return lost(errors.New("it closed the connection"))
	default:
		return err
	}
}

// conn is a proven connection whose errors have their kinds.
type conn struct {
	*tls.Conn
	to   netip.AddrPort
	cfg  *tls.Config // that it was made with
	ends time.Time   // when the peer's certificate does
	over *time.Timer // cuts the connection then
}

func (c *conn) Close() error {
	c.over.Stop()
	return c.Conn.Close()
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, c.name(err)
}

func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return n, c.name(err)
}

func (c *conn) name(err error) error {
	if err == nil || err == io.EOF { //nolint:errorlint // readers compare with it, so it must stay what it is
		return err
	}
	if dates := datesRefused(err, c.cfg); dates != nil {
		err = dates
	}
	e, _ := errors.AsType[*dtc.Error](lost(err))
	if errors.Is(err, net.ErrClosed) && !time.Now().Before(c.ends) {
		e = &dtc.Error{Kind: dtc.KindCertificate, Err: errors.New("the peer's certificate has ended")}
	}
	return &dtc.Error{Kind: e.Kind, Err: fmt.Errorf("connection to %s: %w", c.to, e.Err)}
}

// noticeDeath has the kernel prove a silent connection alive, and end one whose
// peer has acknowledged nothing for deadTimeout. Without it a cut link is noticed
// after a quarter of an hour. Where the system cannot do it, pings notice it all
// the same. What is not acknowledged is sent again often enough for a connection
// to go on soon after a link that lost everything is well again.
func noticeDeath(raw net.Conn) {
	tcp, ok := raw.(*net.TCPConn)
	if !ok {
		return
	}
	_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: deadTimeout / 2, Interval: deadTimeout / 5, Count: 3})
	if rc, err := tcp.SyscallConn(); err == nil {
		_ = rc.Control(func(fd uintptr) {
			_ = setUserTimeout(fd, deadTimeout)
			_ = setRetransmit(fd, retransmit)
		})
	}
}
