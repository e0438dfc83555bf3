package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"connectrpc.com/connect"

	"dtc"
)

// errNotOffered answers a call that this server has no function for.
func errNotOffered() error {
	return connect.NewError(connect.CodeUnimplemented, errors.New("this program does not answer that"))
}

// Trust implements [AgentServiceHandler].
func (s *agentServer) Trust(ctx context.Context, req *TrustGrantMessage) (*TrustStateMessage, error) {
	if s.trust == nil {
		return nil, errNotOffered()
	}
	defer extend(ctx) // for the reply
	state, err := s.trust(ctx, req.grant())
	if err != nil {
		return nil, toPeer(err)
	}
	return newTrustState(&state), nil
}

// monitorServer answers the RPCs with a monitor's functions.
type monitorServer struct {
	renew   func(context.Context, dtc.Peer, dtc.TrustState) (dtc.TrustGrant, error)
	command func(ctx context.Context, peer dtc.Peer, verb string, request json.RawMessage, emit func(any) error) error
}

var _ MonitorServiceHandler = (*monitorServer)(nil)

// Trust implements [MonitorServiceHandler].
func (s *monitorServer) Trust(ctx context.Context, req *TrustStateMessage) (*TrustGrantMessage, error) {
	if s.renew == nil {
		return nil, errNotOffered()
	}
	defer extend(ctx) // for the reply
	grant, err := s.renew(ctx, peerOf(ctx), req.trustState())
	if err != nil {
		return nil, toPeer(err)
	}
	return newTrustGrant(&grant), nil
}

// Control implements [MonitorServiceHandler].
func (s *monitorServer) Control(ctx context.Context, req *ControlRequest, stream *connect.ServerStream[ControlMessage]) error {
	if s.command == nil {
		return errNotOffered()
	}
	defer extend(ctx) // for the end of the stream
	var one sync.Mutex
	err := s.command(ctx, peerOf(ctx), cut(req.Verb, maxShort), req.Request, func(item any) error {
		b, err := json.Marshal(item)
		if err != nil {
			return fmt.Errorf("write the answer: %w", err)
		}
		one.Lock()
		defer one.Unlock()
		return sending(ctx, func() error { return stream.Send(&ControlMessage{Item: b}) })
	})
	if err != nil && strings.Contains(err.Error(), "\n") { // what crosses is one line
		err = &dtc.Error{Kind: dtc.KindOf(err), Err: errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))}
	}
	return toPeer(err)
}

// mayCall is who may ask what. A peer without a role may nothing.
func mayCall(role dtc.Role, procedure string) bool {
	switch procedure {
	case AgentServiceInfoProcedure, AgentServiceGetProcedure, AgentServicePreviewProcedure:
		return role == dtc.RoleMonitor || role == dtc.RoleOperator || role == dtc.RoleViewer
	case AgentServiceWatchProcedure, AgentServiceCheckProcedure, AgentServiceAcknowledgeProcedure, AgentServiceTrustProcedure:
		return role == dtc.RoleMonitor
	case MonitorServiceTrustProcedure:
		return role == dtc.RoleAgent || role == dtc.RoleOperator || role == dtc.RoleViewer
	case MonitorServiceControlProcedure:
		return role == dtc.RoleOperator || role == dtc.RoleViewer
	default:
		return false
	}
}
