package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/config"
)

// The verbs for who is not on the monitor's machine, whose commands change the
// files themselves: a RevokeRequest, without an answer.
const (
	VerbRevoke = "revoke"
	VerbForget = "forget"
)

// RevokeRequest names who is to be revoked, or forgotten.
type RevokeRequest struct {
	Name string `json:"name"`
}

// RevokeHost revokes the certificates that have the name and, as the
// configuration may call a host otherwise than its certificate does, the one with
// the ip of its agent. It returns the names of what it revoked. A certificate
// whose ip another configured host has too is not touched: it is that one's.
func RevokeHost(authority *ca.Authority, name string, hosts []config.Host) (names []string, err error) {
	switch _, err := authority.Revoke(name); {
	case err == nil:
		names = append(names, name)
	case !errors.Is(err, ca.ErrNotIssued):
		return nil, err
	}
	i := slices.IndexFunc(hosts, func(h config.Host) bool { return h.Name == name })
	if i < 0 {
		return names, nil
	}
	other := certificateOf(authority, hosts[i].Address.Addr())
	if other == "" || slices.ContainsFunc(hosts, func(h config.Host) bool {
		return h.Name != name && h.Address.Addr() == hosts[i].Address.Addr()
	}) {
		return names, nil
	}
	if _, err := authority.Revoke(other); err != nil {
		return names, err
	}
	return append(names, other), nil
}

// certificateOf returns the name of the valid agent's certificate with an ip,
// "" if there is none.
func certificateOf(authority *ca.Authority, ip netip.Addr) string {
	now := time.Now()
	for _, r := range authority.Issued() {
		if r.Role == dtc.RoleAgent && r.Valid(now) && slices.Contains(r.IPs, ip) {
			return r.Name
		}
	}
	return ""
}

// answerRevoke does the two verbs.
func (m *Monitor) answerRevoke(verb string, request json.RawMessage) error {
	var req RevokeRequest
	if err := json.Unmarshal(request, &req); err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	m.reloading.Lock()
	defer m.reloading.Unlock()
	cfg, _ := m.config()
	names, err := RevokeHost(m.authority, req.Name, cfg.Hosts)
	if err != nil {
		return fmt.Errorf("%s %s: %w", verb, req.Name, err)
	}
	configured := slices.ContainsFunc(cfg.Hosts, func(h config.Host) bool { return h.Name == req.Name })
	switch {
	case verb == VerbForget && configured:
		if _, err := config.RemoveHost(m.opts.ConfigPath, req.Name); err != nil {
			return errors.Join(fmt.Errorf("forget %s: it is revoked, but still in the configuration: %w", req.Name, err), m.trust(cfg.Hosts))
		}
		_, err := m.reload()
		return err
	case len(names) == 0:
		return fmt.Errorf("%s %s: no certificate has that name", verb, req.Name)
	default:
		return m.trust(cfg.Hosts)
	}
}
