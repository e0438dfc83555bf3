package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"dtc"
	"dtc/internal/logs"
)

// mayCommand reports whether a role may have a verb carried out from afar, and
// whether there is such a verb for anybody there.
func mayCommand(role dtc.Role, verb string) (may, known bool) {
	reads := []string{logs.VerbList, logs.VerbVerify, VerbSilences, VerbNotices}
	changes := []string{VerbReload, VerbInvite, VerbSilence, VerbUnsilence, VerbRevoke, VerbForget}
	switch {
	case slices.Contains(reads, verb):
		return role == dtc.RoleOperator || role == dtc.RoleViewer, true
	case slices.Contains(changes, verb):
		return role == dtc.RoleOperator, true
	default:
		return false, false
	}
}

// command carries out a verb for an operator or a viewer on another machine.
func (m *Monitor) command(ctx context.Context, peer dtc.Peer, verb string, request json.RawMessage, emit func(any) error) error {
	may, known := mayCommand(peer.Role, verb)
	if !known {
		m.denied(peer, "have a command carried out that there is not from afar")
		return &dtc.Error{Kind: dtc.KindDenied, Err: fmt.Errorf("%.40q is not done from afar: run it on the monitor's machine", verb)}
	}
	if !may {
		m.denied(peer, "do "+verb)
		return &dtc.Error{Kind: dtc.KindDenied, Err: fmt.Errorf("%s: a %s's certificate may only read; this needs an operator's", verb, peer.Role)}
	}
	m.log.Info("command from afar", "by", m.authority.Name(peer.ID), "role", string(peer.Role), "verb", verb)
	return m.answer(ctx, verb, request, emit)
}
