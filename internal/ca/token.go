package ca

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"dtc"
)

const (
	tokenPrefix = "dtc1_"
	secretSize  = 20 // bytes: 160 bits
	sumSize     = 4
	tokenSize   = sha256.Size + secretSize + sumSize
)

// Token is what an invitation gives to the agent: whom it may tell the secret,
// and the secret.
type Token struct {
	Secret []byte   // 20 bytes
	CAHash [32]byte // SHA-256 of the CA's public key (SubjectPublicKeyInfo, DER)
}

func tokenText() *base32.Encoding {
	return base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
}

func newToken(caHash [32]byte) Token {
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // never fails: see crypto/rand
	return Token{Secret: secret, CAHash: caHash}
}

// String returns the token without its secret: a token does not get into a log
// by being printed.
func (t Token) String() string { return tokenPrefix + "(secret)" }

// encode returns the token as it is pasted.
func (t Token) encode() string {
	data := append(t.CAHash[:], t.Secret...)
	return tokenPrefix + tokenText().EncodeToString(append(data, tokenSum(data)...))
}

func tokenSum(data []byte) []byte {
	sum := sha256.Sum256(append([]byte(tokenPrefix), data...))
	return sum[:sumSize]
}

// ParseToken reads a token as `dtc invite` printed it. The errors tell a part
// of a token and a damaged one from something else, and never repeat it.
func ParseToken(s string) (Token, error) {
	text, ok := strings.CutPrefix(strings.TrimSpace(s), tokenPrefix)
	if !ok {
		return Token{}, fmt.Errorf("this is not a token that this version knows: it begins with %s; paste it as dtc invite printed it", tokenPrefix)
	}
	if want := tokenText().EncodedLen(tokenSize); len(text) != want {
		return Token{}, fmt.Errorf("the token has %d characters instead of %d: copy the whole of it",
			len(tokenPrefix)+len(text), len(tokenPrefix)+want)
	}
	data, err := tokenText().DecodeString(text)
	if err != nil || len(data) != tokenSize || !bytes.Equal(data[tokenSize-sumSize:], tokenSum(data[:tokenSize-sumSize])) {
		return Token{}, errors.New("the token is damaged: copy it again as dtc invite printed it")
	}
	t := Token{CAHash: [32]byte(data), Secret: data[sha256.Size : sha256.Size+secretSize]}
	if t.encode() != tokenPrefix+text { // the decoder skips line ends
		return Token{}, errors.New("the token is damaged: copy it again as dtc invite printed it")
	}
	return t, nil
}

// TLS returns the configuration to join with. The handshake succeeds only with
// a monitor whose CA has the token's hash: after it the secret may be said.
// The caller sets NextProtos to the joining protocol alone.
func (t Token) TLS() *tls.Config {
	return proving(func(state tls.ConnectionState) error {
		certs := state.PeerCertificates
		if len(certs) < 2 || keyHash(certs[len(certs)-1].PublicKey) != hex.EncodeToString(t.CAHash[:]) {
			return fault(dtc.KindCertificate, "the peer is not the monitor that made the token: check its address, or get another token")
		}
		roots := x509.NewCertPool()
		roots.AddCert(certs[len(certs)-1])
		peer, err := verify(certs[0], roots, x509.ExtKeyUsageServerAuth, time.Now())
		if err == nil && peer.Role != dtc.RoleMonitor {
			err = fault(dtc.KindIdentity, "the peer is of the fleet, but its role is %s, not monitor: check the address", peer.Role)
		}
		return err
	})
}

// Check reports whether a CA's certificate (PEM) is the one that the token was
// made by: who holds a monitor's key alone could send another.
func (t Token) Check(caPEM []byte) error {
	root, err := decodeCertificate(caPEM)
	if err != nil {
		return fmt.Errorf("the fleet's CA: %w", err)
	}
	if keyHash(root.PublicKey) != hex.EncodeToString(t.CAHash[:]) {
		return fault(dtc.KindCertificate, "the CA that the peer sent is not the one that made the token: do not trust that monitor")
	}
	return nil
}

// secretHash returns what is stored of a secret. It has no salt and one round,
// as the secret is 160 random bits.
func secretHash(secret []byte) string {
	sum := sha256.Sum256(append([]byte("dtc-token-1:"), secret...))
	return hex.EncodeToString(sum[:])
}
