package wire

import (
	"context"
	"encoding/json"
	"fmt"

	"dtc"
)

// Trust hands an agent what is new of whom to trust, and returns how it stands
// with it then. An agent from before there was such a call is [ErrOlder].
func (c *Client) Trust(ctx context.Context, grant dtc.TrustGrant) (dtc.TrustState, error) {
	var state dtc.TrustState
	err := c.call(ctx, maxReply+1024, func(ctx context.Context) (bool, error) {
		m, err := shared().rpc.Trust(ctx, newTrustGrant(&grant))
		if err != nil {
			return false, err
		}
		state = m.trustState()
		return true, nil
	})
	return state, err
}

// Renew asks a monitor for what is new of whom to trust, and with a request in
// state for a certificate.
func (c *Client) Renew(ctx context.Context, state dtc.TrustState) (dtc.TrustGrant, error) {
	var grant dtc.TrustGrant
	err := c.call(ctx, maxReply+1024, func(ctx context.Context) (bool, error) {
		m, err := shared().monitor.Trust(ctx, newTrustState(&state))
		if err != nil {
			return false, err
		}
		grant = m.grant()
		return true, nil
	})
	return grant, err
}

// Control has a monitor carry out a verb of its control socket, see [Control].
func (c *Client) Control(ctx context.Context, verb string, request any, each func(json.RawMessage) error) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("ask the service %s: %w", verb, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream, wherever it is
	return c.call(ctx, 2*maxAnswerText, func(ctx context.Context) (given bool, err error) {
		stream, err := shared().monitor.Control(ctx, &ControlRequest{Verb: []byte(verb), Request: body})
		if err != nil {
			return false, err
		}
		defer stream.Close()
		for stream.Receive() {
			given = true
			if each == nil {
				continue
			}
			if err := each(stream.Msg().Item); err != nil {
				return given, &emitError{err}
			}
		}
		return given, stream.Err()
	})
}
