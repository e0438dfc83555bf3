package wire

import (
	"time"

	"dtc"
)

func newTrustState(s *dtc.TrustState) *TrustStateMessage {
	m := &TrustStateMessage{List: s.List, Bundle: s.Bundle, ExpiresSeconds: s.Expires.Unix(), Csr: s.Request}
	for _, r := range s.Refusals {
		m.Refusals = append(m.Refusals, &RefusalMessage{
			Id: []byte(r.Peer.ID), Role: []byte(r.Peer.Role), What: []byte(r.What), Count: r.Count, AgeNanos: int64(r.Age),
		})
	}
	return m
}

// state returns what an agent says of itself, bounded.
func (m *TrustStateMessage) trustState() dtc.TrustState {
	s := dtc.TrustState{List: m.List, Bundle: m.Bundle, Request: m.Csr}
	if m.ExpiresSeconds >= minSeconds && m.ExpiresSeconds <= maxSeconds {
		s.Expires = time.Unix(m.ExpiresSeconds, 0)
	}
	for _, r := range m.Refusals[:min(len(m.Refusals), maxRefusals+1)] {
		s.Refusals = append(s.Refusals, dtc.Refusal{
			Peer: dtc.Peer{ID: clean(cut(r.Id, maxShort)), Role: dtc.Role(clean(cut(r.Role, maxShort)))},
			What: clean(cut(r.What, maxShort)), Count: r.Count, Age: span(r.AgeNanos),
		})
	}
	return s
}

func newTrustGrant(g *dtc.TrustGrant) *TrustGrantMessage {
	return &TrustGrantMessage{List: g.List, Bundle: g.Bundle, Certificate: g.Certificate}
}

func (m *TrustGrantMessage) grant() dtc.TrustGrant {
	return dtc.TrustGrant{List: m.List, Bundle: m.Bundle, Certificate: m.Certificate}
}
