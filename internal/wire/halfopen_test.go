package wire

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dtc"
)

// icy is a connection that can freeze: from then on everything that is written
// vanishes and nothing comes, but nobody closes it.
type icy struct {
	net.Conn
	frozen chan struct{}
}

func (c icy) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	select {
	case <-c.frozen:
		if err == nil {
			return c.Read(b)
		}
	default:
	}
	return n, err
}

func (c icy) Write(b []byte) (int, error) {
	select {
	case <-c.frozen:
		return len(b), nil
	default:
		return c.Conn.Write(b)
	}
}

// The loss of a connection without a word is noticed by both sides within ten
// seconds, also when nothing is said on it.
func TestHalfOpenConnection(t *testing.T) {
	a := newAuthority(t)
	monitor, agent := a.issue(t, dtc.RoleMonitor, "m1", time.Hour), a.issue(t, dtc.RoleAgent, "a1", time.Hour)
	for _, freeze := range []string{"in a watch", "idle"} {
		t.Run(freeze, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				watched := make(chan time.Time, 1)
				s := &Server{
					Identify: identify, Logger: slog.New(slog.DiscardHandler),
					Agent: &fakeAgent{watch: func(ctx context.Context, _ string, _ dtc.Watching, _ func(dtc.Sighting) error) error {
						<-ctx.Done()
						watched <- time.Now()
						return ctx.Err()
					}},
				}
				near, far := net.Pipe()
				frozen := make(chan struct{})
				clock := func() time.Time { return a.cert.NotAfter.Add(-time.Minute) }
				serverTLS, clientTLS := a.serverTLS(agent), a.clientTLS(monitor)
				serverTLS.Time, clientTLS.Time = clock, clock
				serverTLS.GetConfigForClient = nil
				clientTLS.NextProtos = []string{ProtoRPC}
				var both sync.WaitGroup
				defer both.Wait()
				both.Go(func() {
					c := tls.Server(icy{far, frozen}, serverTLS)
					if err := c.Handshake(); err != nil {
						t.Error(err)
						return
					}
					began := time.Now()
					if err := s.ServeConn(t.Context(), c); err != nil {
						t.Error(err)
					}
					if took := time.Since(began); took > 11*time.Second {
						t.Errorf("the server noticed after %s", took)
					}
				})
				c := NewClient(func(context.Context) (net.Conn, error) { return tls.Client(icy{near, frozen}, clientTLS), nil })
				defer c.Close()
				if _, err := c.Info(t.Context()); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				time.AfterFunc(500*time.Millisecond, func() { close(frozen) })
				if freeze == "idle" {
					time.Sleep(10 * time.Second)
					if s, _ := c.open(); s != nil {
						t.Error("the client has not noticed")
					}
					return
				}
				err := c.Watch(t.Context(), dtc.Watching{}, nil)
				if took := time.Since(began); dtc.KindOf(err) != dtc.KindUnavailable || took > 10500*time.Millisecond {
					t.Errorf("Watch = %v (%s) after %s", err, dtc.KindOf(err), took)
				}
				if took := (<-watched).Sub(began); took > 10500*time.Millisecond {
					t.Errorf("the agent's watch ended after %s", took)
				}
			})
		})
	}
}
