package ca

import (
	"fmt"
	"os"
	"slices"
	"time"

	"dtc"
	"dtc/internal/atomicfile"
)

// Phase is how far the change to another CA has come. The files say which it
// is, and each step is one rename, so that none is half done:
//
//	steady     ca.crt has one CA, whose key is ca.key
//	spreading  ca.crt has the old and the new one, ca.key is the old one's, ca-next.key the new one's
//	renewing   ca.crt has the new and the old one, ca.key is the new one's
type Phase string

// The phases, in their order.
const (
	PhaseSteady    Phase = "steady"    // no change is under way
	PhaseSpreading Phase = "spreading" // every host learns to trust the new CA too; the old one signs
	PhaseRenewing  Phase = "renewing"  // the new CA signs; every host gets a certificate by it
)

func (s *signing) phase() Phase {
	switch {
	case len(s.bundle.certs) == 1:
		return PhaseSteady
	case s.next != nil:
		return PhaseSpreading
	default:
		return PhaseRenewing
	}
}

// Rotation is how it stands with the fleet's CA.
type Rotation struct {
	Phase   Phase
	Bundle  uint64   // number of the CAs that every host should trust
	CAs     []CA     // the one that signs comes first
	Members []Member // with valid certificates, in the order of the register
}

// CA is one of the fleet's.
type CA struct {
	ID   string // hexadecimal beginning of the SHA-256 of its public key
	Ends time.Time
}

// Member is an agent or an operator with a valid certificate.
type Member struct {
	Name string
	Role dtc.Role
	Done bool // it has said that it has what the phase gives
	Left bool // the change does not wait for it
}

// Waits reports whether the change waits for the member. People get a new
// certificate every few days anyway.
func (m *Member) Waits() bool { return m.Role == dtc.RoleAgent && !m.Done && !m.Left }

// Rotation returns how it stands with the fleet's CA.
func (a *Authority) Rotation() Rotation {
	s := a.signing.Load()
	r := Rotation{Phase: s.phase(), Bundle: s.bundle.number, Members: a.members(a.current.Load())}
	for _, c := range s.bundle.certs {
		key := sha256Key(c)
		r.CAs = append(r.CAs, CA{ID: fmt.Sprintf("%x", key[:8]), Ends: c.NotAfter})
	}
	return r
}

func (a *Authority) members(r *register) []Member {
	s, now := a.signing.Load(), a.now()
	var out []Member
	for i := range r.records {
		if c := &r.records[i]; c.Role != dtc.RoleMonitor && c.Valid(now) {
			done := s.phase() == PhaseSteady && !c.Left || c.Trust >= s.bundle.number
			out = append(out, Member{Name: c.Name, Role: c.Role, Done: done, Left: c.Left})
		}
	}
	return out
}

// Rotate begins the change to another CA, if none is under way: it makes the
// new one, and from then on every host is to trust both.
func (a *Authority) Rotate() (began bool, err error) {
	err = a.locked(func() error {
		if _, err := a.complete(); err != nil {
			return err
		}
		s := a.signing.Load()
		if s.phase() != PhaseSteady {
			return nil
		}
		next, err := ownKey(a.path(nextFile + keySuffix))
		if err != nil {
			return err
		}
		der, err := newCA(next, a.now())
		if err != nil {
			return err
		}
		cert, err := decodeCertificate(encodeCertificate(der))
		if err != nil {
			return err
		}
		began = true
		return a.trust(newBundle(s.bundle.number+1, s.cert, cert))
	})
	return began, err
}

// trust writes another bundle, and takes up what is on the disk then.
func (a *Authority) trust(b *bundle) error {
	if err := atomicfile.Write(a.path(caFile+certSuffix), b.encode(), certMode); err != nil {
		return err
	}
	return a.takeSigning()
}

// Advance goes on with the change of the CA as far as it can: past a phase for
// which it waits for nobody any more. It also completes a step that was cut off,
// and renews the monitor's own certificate where that is due. It reports whether
// it changed anything.
func (a *Authority) Advance() (changed bool, err error) {
	err = a.locked(func() error {
		if changed, err = a.complete(); err != nil {
			return err
		}
		r, err := readRegister(a.path(registerFile))
		if err != nil {
			return err
		}
		s := a.signing.Load()
		if s.phase() != PhaseSteady && !slices.ContainsFunc(a.members(r), func(m Member) bool { return m.Waits() }) {
			changed = true
			if err := a.step(s); err != nil {
				return err
			}
		}
		before, _ := readLimited(a.path(string(dtc.RoleMonitor)+certSuffix), maxFile)
		if err := a.ownMonitor(nil); err != nil {
			return err
		}
		after, _ := readLimited(a.path(string(dtc.RoleMonitor)+certSuffix), maxFile)
		changed = changed || string(before) != string(after)
		return a.publish()
	})
	return changed, err
}

// step does what ends a phase.
func (a *Authority) step(s *signing) error {
	if s.phase() == PhaseRenewing {
		return a.trust(newBundle(s.bundle.number+1, s.cert))
	}
	if err := a.signNext(); err != nil {
		return err
	}
	_, err := a.complete()
	return err
}

// signNext makes the new CA's key the one that signs. The old key is gone with
// that. That the rename is durable comes with the next file that is written.
func (a *Authority) signNext() error {
	if err := os.Rename(a.path(nextFile+keySuffix), a.path(caFile+keySuffix)); err != nil {
		return err
	}
	return a.takeSigning()
}

// complete does the rest of a step that was cut off, by a crash or a power
// loss: ca.crt names the CA first whose key signs.
func (a *Authority) complete() (changed bool, err error) {
	if err := a.takeSigning(); err != nil {
		return false, err
	}
	s := a.signing.Load()
	if s.bundle.certs[0].Equal(s.cert) {
		return false, nil
	}
	if s.next != nil { // ca.crt is of after the rename, ca.key of before
		return true, a.signNext()
	}
	return true, a.trust(newBundle(s.bundle.number+1, s.cert, s.bundle.certs[0]))
}

// Leave has the change of the CA not wait for these agents. They must join
// again when they are back.
func (a *Authority) Leave(names []string) error {
	return a.update(func(r *register) error {
		for _, name := range names {
			found := false
			for i := range r.records {
				if c := &r.records[i]; c.Name == name && c.Role == dtc.RoleAgent && c.Valid(a.now()) {
					c.Left, found = true, true
				}
			}
			if !found {
				return fmt.Errorf("leave %+q behind: %w", name, ErrNotIssued)
			}
		}
		return nil
	})
}

// Confirm notes the numbers of the CAs that members trust, by their ids, as
// they have said with certificates that need no renewal.
func (a *Authority) Confirm(trusted map[string]uint64) error {
	most := a.signing.Load().bundle.number
	news := func(r *register) (ids []string) {
		for id, number := range trusted {
			if c := r.withID(id); c != nil && number <= most && c.Trust < number {
				ids = append(ids, id)
			}
		}
		return ids
	}
	if len(news(a.current.Load())) == 0 {
		return nil
	}
	return a.update(func(r *register) error {
		for _, id := range news(r) {
			c := r.withID(id)
			c.Trust, c.Left = trusted[id], false
		}
		return nil
	})
}
