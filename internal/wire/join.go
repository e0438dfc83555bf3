package wire

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"dtc"
)

// maxJoin is the most bytes that a message of joining may have.
const maxJoin = 16 << 10

// JoinRequest asks for a certificate.
type JoinRequest struct {
	Token  []byte         // the secret of an invitation
	CSR    []byte         // DER
	Listen netip.AddrPort // where the agent is going to listen; zero: nowhere
}

// JoinReply is what an agent gets.
type JoinReply struct {
	Certificate []byte // PEM
	CA          []byte // PEM
	Name        string // of the host
}

// Join asks the monitor at addr for a certificate, within ten seconds. cfg must
// prove the monitor: the secret is said to whoever answers. Its errors are a
// [*dtc.Error]; the monitor's own words, if it refuses.
func Join(ctx context.Context, addr netip.AddrPort, cfg *tls.Config, req JoinRequest) (JoinReply, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	c, err := Dialer{TLS: func(netip.Addr) *tls.Config { return cfg }}.Dial(ctx, addr, ProtoJoin)
	if err != nil {
		return JoinReply{}, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	m := &JoinMessage{Token: req.Token, Csr: req.CSR}
	if req.Listen.IsValid() {
		m.Listen = []byte(req.Listen.String())
	}
	reply := new(JoinedMessage)
	if err := errors.Join(writeJoin(c, m), readJoin(c, reply)); err != nil {
		if ctx.Err() != nil {
			err = fromContext(ctx)
		}
		e, _ := errors.AsType[*dtc.Error](lost(err))
		return JoinReply{}, &dtc.Error{Kind: e.Kind, Err: fmt.Errorf("join %s: %w", addr, e.Err)}
	}
	if reply.Error != "" {
		return JoinReply{}, &dtc.Error{Kind: kindOf(connect.Code(reply.ErrorKind)), Err: errors.New(clean(reply.Error))}
	}
	return JoinReply{Certificate: reply.Certificate, CA: reply.Ca, Name: cut(reply.Name, maxShort)}, nil
}

func writeJoin(w io.Writer, m proto.Message) error {
	b, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, 4), m)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	_, err = w.Write(b)
	return err
}

func readJoin(r io.Reader, m proto.Message) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxJoin {
		return fmt.Errorf("%w: %d bytes", errMalformed, n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	return proto.Unmarshal(b, m)
}

// serveJoin answers the one request of a connection that nothing has proven.
func (r *run) serveJoin(ctx context.Context, c net.Conn, deadline time.Time) {
	defer c.Close()
	defer r.recovered("join")
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	m := new(JoinMessage)
	if err := readJoin(c, m); err != nil {
		r.Logger.Debug("join request not understood", "remote", c.RemoteAddr().String(), "error", err)
		return
	}
	remote := remoteIP(c)
	reply, err := r.decide(ctx, remote, m)
	if err != nil {
		reply = joinError(err)
		if r.told.once("join " + sourceOf(remote).String() + err.Error()) {
			r.Logger.Warn("join refused", "remote", remote.String(), "error", err)
		}
	}
	_ = writeJoin(c, reply) // who does not wait for the answer may try again
}

func (r *run) decide(ctx context.Context, remote netip.Addr, m *JoinMessage) (*JoinedMessage, error) {
	if !r.joins.allow(sourceOf(remote), time.Now()) {
		return nil, &dtc.Error{Kind: dtc.KindUnavailable, Err: errors.New("too many joins at the moment: try again in a few seconds")}
	}
	req := JoinRequest{Token: m.Token, CSR: m.Csr}
	if len(m.Listen) > 0 {
		listen, err := netip.ParseAddrPort(cut(m.Listen, maxShort))
		if err != nil {
			return nil, invalid("the listen address is not ip:port")
		}
		req.Listen = listen
	}
	reply, err := r.Join(ctx, remote, req)
	if err != nil {
		return nil, err
	}
	return &JoinedMessage{Certificate: reply.Certificate, Ca: reply.CA, Name: []byte(reply.Name)}, nil
}

// joinError tells a stranger what an error says only if it was made for that.
func joinError(err error) *JoinedMessage {
	text := "the monitor cannot do it: its log says why"
	if e, ok := errors.AsType[*dtc.Error](err); ok {
		text = clean(e.Error())
	}
	return &JoinedMessage{Error: text, ErrorKind: uint32(codeOf(dtc.KindOf(err)))}
}

// The rates of joining: tokens cannot be guessed, but checking one costs.
const (
	joinBurst       = 100
	joinPerSecond   = 20
	sourceBurst     = 20
	sourcePerSecond = 2
	joinSources     = 1024 // sources that are remembered
)

// joinLimiter limits how often joining is tried, in all and from one source.
type joinLimiter struct {
	mu      sync.Mutex
	all     bucket
	sources map[netip.Addr]*bucket
}

// bucket holds what may still be done at once; it fills again with time.
type bucket struct {
	left float64
	at   time.Time
}

func newJoinLimiter() *joinLimiter { return &joinLimiter{sources: map[netip.Addr]*bucket{}} }

func (l *joinLimiter) allow(source netip.Addr, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.sources[source]
	if b == nil {
		l.forget(now)
		if len(l.sources) >= joinSources {
			return false
		}
		b = new(bucket)
		l.sources[source] = b
	}
	return b.take(now, sourceBurst, sourcePerSecond) && l.all.take(now, joinBurst, joinPerSecond)
}

// forget drops the sources whose buckets are full again.
func (l *joinLimiter) forget(now time.Time) {
	if len(l.sources) < joinSources/2 {
		return
	}
	for source, b := range l.sources {
		if now.Sub(b.at).Seconds()*sourcePerSecond >= sourceBurst {
			delete(l.sources, source)
		}
	}
}

func (b *bucket) take(now time.Time, burst, perSecond float64) bool {
	if b.at.IsZero() {
		b.left = burst
	} else {
		b.left = min(burst, b.left+max(now.Sub(b.at).Seconds(), 0)*perSecond)
	}
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
