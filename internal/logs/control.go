package logs

import (
	"context"
	"encoding/json"
	"fmt"
)

// The verbs of the service's control socket that a [Store] answers.
const (
	VerbList   = "logs-ls"     // no request; answers a StreamInfo for each stream
	VerbVerify = "logs-verify" // a VerifyRequest; answers a Finding for each generation
)

// VerifyRequest asks for a verification.
type VerifyRequest struct {
	Targets  []Target `json:"targets"`            // none: all
	Progress bool     `json:"progress,omitempty"` // answer how far it has come too, as findings with VerdictChecking
}

// Answer answers a request of the control socket.
func (s *Store) Answer(ctx context.Context, verb string, request json.RawMessage, emit func(any) error) error {
	switch verb {
	case VerbList:
		for _, i := range s.Streams() {
			if err := emit(i); err != nil {
				return err
			}
		}
		return nil
	case VerbVerify:
		var req VerifyRequest
		if err := json.Unmarshal(request, &req); err != nil {
			return fmt.Errorf("verify logs: %w", err)
		}
		return s.verifyAll(ctx, &req, func(f Finding) error { return emit(f) })
	default:
		return fmt.Errorf("the service does not know the command %q", verb)
	}
}
