package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"dtc/internal/atomicfile"
)

const (
	maxFile = 64 << 10 // bytes of a key or a certificate
	maxCSR  = 4 << 10  // bytes of a certification request
)

// NewKey makes a key and a certification request for it.
func NewKey() (keyPEM, csrDER []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	if keyPEM, err = encodeKey(key); err != nil {
		return nil, nil, err
	}
	csrDER, err = request(key)
	return keyPEM, csrDER, err
}

// CSR returns a certification request (DER) for a key. It holds the public key
// and nothing else of the host.
func CSR(keyPEM []byte) ([]byte, error) {
	key, err := decodeKey(keyPEM)
	if err != nil {
		return nil, err
	}
	return request(key)
}

func request(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("make a certification request: %w", err)
	}
	return der, nil
}

// requestKey returns the public key of a certification request whose sender
// has proven to hold the private one. All else in it is ignored.
func requestKey(csr []byte) (*ecdsa.PublicKey, error) {
	if len(csr) > maxCSR {
		return nil, fmt.Errorf("the certification request has more than %d bytes", maxCSR)
	}
	req, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, errors.New("the certification request cannot be read")
	}
	key, ok := req.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("the key of the certification request must be ECDSA P-256")
	}
	if err := req.CheckSignature(); err != nil {
		return nil, errors.New("the certification request is not signed by its own key")
	}
	return key, nil
}

// keyHash returns the hexadecimal SHA-256 of a public key's DER
// (SubjectPublicKeyInfo), "" if it is of a kind that has none.
func keyHash(public any) string {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func decodeKey(data []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("no PEM block PRIVATE KEY in it")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the private key in it cannot be read")
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("the private key in it is not ECDSA P-256")
	}
	return key, nil
}

// readKey reads a key that only its owner may read.
func readKey(path string) (*ecdsa.PrivateKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // its text has the path
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkMode(path, info); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, err
	}
	key, err := decodeKey(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return key, nil
}

// ownKey reads the key at path, or makes it if there is none. The caller holds
// the lock of its folder, so that no two make it.
func ownKey(path string) (*ecdsa.PrivateKey, error) {
	key, err := readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	data, _, err := NewKey()
	if err != nil {
		return nil, err
	}
	if err := createKey(path, data); err != nil {
		return nil, err
	}
	return readKey(path)
}

// createKey writes a key where there is none. The caller holds the lock.
func createKey(path string, data []byte) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write %s: %w; a key is never overwritten", path, fs.ErrExist)
	}
	return atomicfile.Private(path, data)
}
