package dtc

import "time"

// TrustState is how it stands with what a member of the fleet proves itself
// with, and with what it judges others by.
type TrustState struct {
	List    uint64    // number of the list of revoked certificates that it has; 0: none
	Bundle  uint64    // number of the CAs that it trusts; 0: the one that it joined with
	Expires time.Time // of its own certificate

	// Request is a certification request (DER), signed by its key, while it
	// wants a new certificate; else empty.
	Request []byte

	Refusals []Refusal // since it was asked last
}

// TrustGrant is what the monitor hands over of it; what is empty stays as it is.
type TrustGrant struct {
	List        []byte // the signed list of revoked certificates
	Bundle      []byte // the signed CAs that are to be trusted
	Certificate []byte // PEM, the member's own
}

// Empty reports whether nothing is handed over.
func (g *TrustGrant) Empty() bool {
	return len(g.List) == 0 && len(g.Bundle) == 0 && len(g.Certificate) == 0
}

// Refusal is what an agent refused to a peer with a certificate of the fleet.
type Refusal struct {
	Peer  Peer
	What  string        // that it tried
	Count uint64        // how often, of the same
	Age   time.Duration // since the last time
}
