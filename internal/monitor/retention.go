package monitor

import (
	"net/netip"
	"time"

	"dtc"
	"dtc/internal/config"
	"dtc/internal/logs"
)

// retain has the copies kept as a configuration says, from now on.
func (m *Monitor) retain(cfg *config.Monitor) {
	if m.logs == nil {
		return
	}
	hosts := m.streamHosts(cfg)
	m.logs.SetRetention(func(folder, peer, alias string) logs.Retention {
		r := config.RetentionOf(alias, hosts.of(folder, peer), cfg.Retention)
		return logs.Retention{Size: r.Size, Age: r.Age}
	})
}

// streamHosts tells which host of a configuration a stream is of: the one with
// an ip of its agent's certificate, as everywhere; where that has none, or counts
// no more, the one whose folder it is in.
type streamHosts struct {
	byPeer, byFolder map[string][]config.Retention
}

func (m *Monitor) streamHosts(cfg *config.Monitor) streamHosts {
	s := streamHosts{map[string][]config.Retention{}, map[string][]config.Retention{}}
	first := map[netip.Addr]int{}
	for i, h := range cfg.Hosts {
		ip := h.Address.Addr()
		if _, ok := first[ip]; !ok {
			first[ip], s.byFolder[config.FolderName(ip)] = i, h.Retention
		}
	}
	now := time.Now()
	for _, r := range m.authority.Issued() {
		if r.Role != dtc.RoleAgent || !r.Valid(now) {
			continue
		}
		host := len(cfg.Hosts)
		for _, ip := range r.IPs {
			if i, ok := first[ip]; ok {
				host = min(host, i)
			}
		}
		if host < len(cfg.Hosts) {
			s.byPeer[r.ID] = cfg.Hosts[host].Retention
		}
	}
	return s
}

// of returns what the host of a stream has of its own.
func (s *streamHosts) of(folder, peer string) []config.Retention {
	if own, ok := s.byPeer[peer]; ok {
		return own
	}
	return s.byFolder[folder]
}
