package ca

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// The kinds of statements; each is how its bytes begin. No certificate begins
// so, so that what one key signs is never taken for the other.
const (
	kindList   = "dtc-revoked-1\n"
	kindBundle = "dtc-trust-1\n"
)

const (
	maxStatement = 2 << 20 // bytes
	maxItem      = 4 << 10 // bytes
	maxItems     = 30_000
	maxSignature = 80 // bytes of an ECDSA signature with P-256, in DER
)

// signer is a CA that signs.
type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// statement is what the fleet's CA says besides certificates. Its bytes, all
// integers big-endian:
//
//	the kind
//	32  SHA-256 of the CA's public key (SubjectPublicKeyInfo, DER)
//	 8  number, which only grows
//	 8  Unix seconds when it was made
//	 4  number of items, then of each its length (2) and its bytes
//	    ECDSA signature (DER) of the SHA-256 of all that stands before it
type statement struct {
	kind   string
	signer [32]byte
	number uint64
	made   time.Time
	items  [][]byte

	signed    [32]byte // SHA-256 of what is signed; of one that was parsed
	signature []byte
}

// sign returns the bytes of a statement.
func (s *statement) sign(by signer) ([]byte, error) {
	key := sha256Key(by.cert)
	b := append([]byte(s.kind), key[:]...)
	b = binary.BigEndian.AppendUint64(b, s.number)
	b = binary.BigEndian.AppendUint64(b, uint64(max(s.made.Unix(), 0)))
	b = binary.BigEndian.AppendUint32(b, uint32(min(len(s.items), maxItems+1)))
	for _, item := range s.items {
		if len(item) > maxItem {
			return nil, fmt.Errorf("sign a statement: an item has %d bytes, at most %d are possible", len(item), maxItem)
		}
		b = binary.BigEndian.AppendUint16(b, uint16(len(item)))
		b = append(b, item...)
	}
	if len(s.items) > maxItems || len(b) > maxStatement-maxSignature {
		return nil, fmt.Errorf("sign a statement: %d items in %d bytes are more than possible", len(s.items), len(b))
	}
	sum := sha256.Sum256(b)
	signature, err := ecdsa.SignASN1(rand.Reader, by.key, sum[:])
	if err != nil {
		return nil, fmt.Errorf("sign a statement: %w", err)
	}
	return append(b, signature...), nil
}

var errNoStatement = errors.New("it is not a signed statement of a fleet's CA: refused")

// parseStatement reads a statement; nothing of it is proven yet.
func parseStatement(kind string, data []byte) (*statement, error) {
	const head = 32 + 8 + 8 + 4
	if len(data) > maxStatement || len(data) < len(kind)+head || string(data[:len(kind)]) != kind {
		return nil, errNoStatement
	}
	rest := data[len(kind):]
	s := &statement{kind: kind, signer: [32]byte(rest), number: binary.BigEndian.Uint64(rest[32:])}
	seconds, n := binary.BigEndian.Uint64(rest[40:]), binary.BigEndian.Uint32(rest[48:])
	if rest = rest[head:]; seconds > 1<<40 || n > maxItems {
		return nil, errNoStatement
	}
	s.made = time.Unix(int64(seconds), 0)
	for range n {
		if len(rest) < 2 {
			return nil, errNoStatement
		}
		size := int(binary.BigEndian.Uint16(rest))
		if rest = rest[2:]; size > maxItem || size > len(rest) {
			return nil, errNoStatement
		}
		s.items, rest = append(s.items, rest[:size:size]), rest[size:]
	}
	if len(rest) > maxSignature {
		return nil, errNoStatement
	}
	s.signed, s.signature = sha256.Sum256(data[:len(data)-len(rest)]), rest
	return s, nil
}

// signedBy reports whether a parsed statement is by a CA.
func (s *statement) signedBy(ca *x509.Certificate) bool {
	key, ok := ca.PublicKey.(*ecdsa.PublicKey)
	return ok && sha256Key(ca) == s.signer && ecdsa.VerifyASN1(key, s.signed[:], s.signature)
}
