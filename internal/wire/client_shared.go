package wire

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"

	"connectrpc.com/connect"
)

// shared is what all clients of a program have in common: the generated code's
// client and HTTP's settings, without connections. A thousand clients with their
// own of both would take 12 MiB for it.
var shared = sync.OnceValue(func() *clientShare {
	options := connect.WithClientOptions(
		connect.WithReadMaxBytes(maxReply),
		connect.WithSendMaxBytes(maxRequest),
		connect.WithAcceptCompression("gzip", nil, nil),
	)
	return &clientShare{
		rpc:       NewAgentServiceClient(byContext{}, "http://agent", options),
		monitor:   NewMonitorServiceClient(byContext{}, "http://monitor", options),
		transport: newTransport(),
	}
})

type clientShare struct {
	rpc       AgentServiceClient
	monitor   MonitorServiceClient
	transport *http.Transport // opens sessions, and keeps none
}

type (
	attemptKey struct{} // leads to the *attempt of a call
	connKey    struct{} // leads to the connection that a session is to have
)

func newTransport() *http.Transport {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true) // as far as HTTP can see
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if conn, ok := ctx.Value(connKey{}).(net.Conn); ok {
				return conn, nil
			}
			return nil, errors.New("no connection is given")
		},
		Protocols:              &protocols,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
		HTTP2: &http.HTTP2Config{
			StrictMaxConcurrentRequests:   true,
			MaxReceiveBufferPerConnection: 4<<20 - 1,
			MaxReceiveBufferPerStream:     1 << 20,
			MaxDecoderHeaderTableSize:     4 << 10,
			MaxEncoderHeaderTableSize:     4 << 10,
			SendPingTimeout:               pingEvery,
			PingTimeout:                   deadTimeout * 4 / 10,
			WriteByteTimeout:              deadTimeout,
		},
	}
}

// byContext sends each request over the connection of the client that makes the
// call.
type byContext struct{}

// Do implements [connect.HTTPClient].
func (byContext) Do(req *http.Request) (*http.Response, error) {
	try, ok := req.Context().Value(attemptKey{}).(*attempt)
	if !ok {
		return nil, errors.New("a request outside of a call")
	}
	s, reused, err := try.client.session(req.Context())
	if err != nil {
		return nil, err
	}
	try.reused = reused
	resp, err := s.RoundTrip(req)
	if err != nil {
		if req.Context().Err() == nil {
			try.client.drop(s)
		}
		return nil, s.why(err)
	}
	resp.Body = &body{ReadCloser: resp.Body, limit: try.limit}
	return resp, nil
}
