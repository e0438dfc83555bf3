package wire

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"dtc"
)

// A call that the agent does not know says that this is why it fails.
func TestOlderAgent(t *testing.T) {
	var http2 http.Protocols
	http2.SetUnencryptedHTTP2(true)
	s := httptest.NewUnstartedServer(http.NotFoundHandler()) // as the generated handler answers what it does not know
	s.Config.Protocols = &http2
	s.Start()
	defer s.Close()
	c := NewClient(func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", s.Listener.Addr().String())
	})
	defer c.Close()
	_, preview := c.Preview(within(t, 5*time.Second), *sampleWatching())
	_, info := c.Info(within(t, 5*time.Second))
	watch := c.Watch(within(t, 5*time.Second), *sampleWatching(), nil)
	get := c.Get(within(t, 5*time.Second), dtc.Query{Status: dtc.StatusMemory}, nil)
	for call, err := range map[string]error{"Preview": preview, "Info": info, "Watch": watch, "Get": get} {
		if !errors.Is(err, ErrOlder) || dtc.KindOf(err) != dtc.KindInvalid {
			t.Errorf("%s = %v (%s), want ErrOlder", call, err, dtc.KindOf(err))
		}
	}
}
