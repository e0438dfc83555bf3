package ca

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"time"

	"dtc"
)

const (
	registerFormat  = "dtc-issued"
	registerVersion = 1
	maxRegister     = 64 << 20 // bytes
)

// Record is one certificate of the register.
type Record struct {
	ID      string       `json:"id"`
	Name    string       `json:"name"`
	Role    dtc.Role     `json:"role"`
	IPs     []netip.Addr `json:"ips"`
	Serial  string       `json:"serial"` // hexadecimal
	Key     string       `json:"key"`    // hexadecimal SHA-256 of the public key
	Expires time.Time    `json:"expires"`
	Revoked time.Time    `json:"revoked,omitzero"` // zero: it is not

	// While the fleet's CA changes, and after it: the number of the CAs that its
	// holder trusts, as it has said; and whether the change does not wait for it.
	Trust uint64 `json:"trust,omitempty"`
	Left  bool   `json:"left_behind,omitempty"`
}

// Valid reports whether the certificate is neither revoked nor over at now.
func (r *Record) Valid(now time.Time) bool { return r.Revoked.IsZero() && !now.After(r.Expires) }

// holder says whose certificate it is: an agent's ips, else the role.
func (r *Record) holder() string {
	if len(r.IPs) == 0 {
		return "the " + string(r.Role)
	}
	return list(r.IPs)
}

// ticket is one token of the register.
type ticket struct {
	Hash string       `json:"hash"` // see secretHash
	Name string       `json:"name,omitempty"`
	IPs  []netip.Addr `json:"ips,omitempty"`
	Ends time.Time    `json:"ends"`
	Used *use         `json:"used,omitempty"`
}

// use says which key a token has certified.
type use struct {
	Key      string    `json:"key"`
	ID       string    `json:"id"`
	At       time.Time `json:"at"`
	Rejoined bool      `json:"rejoined,omitempty"`
}

// register is the content of the file `issued`. It does not change once it is
// published: a change is made to a copy that was read from the file.
type register struct {
	records []Record // one an id
	tickets []ticket
	byID    map[string]int          // into records; of a published register
	ips     map[netip.Addr]struct{} // of the certificates that are not revoked; of a published register
	sum     [32]byte                // SHA-256 of the file
}

// line is one line of the file: exactly one of the three.
type line struct {
	Format      string  `json:"format,omitempty"`
	Version     int     `json:"version,omitempty"`
	Certificate *Record `json:"certificate,omitempty"`
	Token       *ticket `json:"token,omitempty"`
}

// readLimited returns the content of a file of at most so many bytes.
func readLimited(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // its text has the path
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("read %s: it has more than %d bytes", path, most)
	}
	return data, err
}

// readRegister reads and indexes the register at path.
func readRegister(path string) (*register, error) {
	data, err := readLimited(path, maxRegister)
	if err != nil {
		return nil, err
	}
	return parseRegister(path, data)
}

// parseRegister parses strictly: what it does not understand could be a
// revocation.
func parseRegister(path string, data []byte) (*register, error) {
	r := &register{sum: sha256.Sum256(data), byID: map[string]int{}, ips: map[netip.Addr]struct{}{}}
	n := 0
	for text := range bytes.Lines(data) {
		n++
		var l line
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.DisallowUnknownFields()
		err := dec.Decode(&l)
		if rest := text[min(int(dec.InputOffset()), len(text)):]; err == nil && len(bytes.TrimSpace(rest)) > 0 {
			err = errors.New("there is more than one object in the line")
		}
		if err == nil && n == 1 {
			err = l.checkHeader()
		} else if err == nil {
			err = r.add(l)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w: restore it from a backup", path, n, err)
		}
	}
	if n == 0 {
		return nil, fmt.Errorf("%s: it is empty: restore it from a backup", path)
	}
	return r, nil
}

func (l line) checkHeader() error {
	switch {
	case l.Format != registerFormat:
		return errors.New("this is not a register of certificates")
	case l.Version != registerVersion:
		return fmt.Errorf("version %d is not known to this program, which knows %d", l.Version, registerVersion)
	default:
		return nil
	}
}

// add takes up one line after the header.
func (r *register) add(l line) error {
	switch {
	case l.Certificate != nil && l.Token == nil:
		c := *l.Certificate
		if _, twice := r.byID[c.ID]; twice || !plainID(c.ID) {
			return errors.New("an id is malformed or stands there twice")
		}
		r.byID[c.ID] = len(r.records)
		r.records = append(r.records, c)
		if c.Revoked.IsZero() {
			for _, ip := range c.IPs {
				r.ips[ip.Unmap()] = struct{}{}
			}
		}
	case l.Token != nil && l.Certificate == nil:
		r.tickets = append(r.tickets, *l.Token)
	default:
		return errors.New("a line must hold a certificate or a token")
	}
	return nil
}

// encode returns the register as text.
func (r *register) encode() ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(line{Format: registerFormat, Version: registerVersion})
	for i := range r.records {
		err = errors.Join(err, enc.Encode(line{Certificate: &r.records[i]}))
	}
	for i := range r.tickets {
		err = errors.Join(err, enc.Encode(line{Token: &r.tickets[i]}))
	}
	return buf.Bytes(), err
}

// put adds a record or replaces that of the same id.
func (r *register) put(c Record) {
	if i := slices.IndexFunc(r.records, func(o Record) bool { return o.ID == c.ID }); i >= 0 {
		r.records[i] = c
		return
	}
	r.records = append(r.records, c)
}

// withID returns the record of an id, nil if there is none.
func (r *register) withID(id string) *Record {
	i, ok := r.byID[id]
	if !ok {
		return nil
	}
	return &r.records[i]
}

// withKey returns the record of a public key, nil if there is none.
func (r *register) withKey(key string) *Record {
	i := slices.IndexFunc(r.records, func(c Record) bool { return c.Key == key })
	if i < 0 {
		return nil
	}
	return &r.records[i]
}

// checkFree says whether another member with a valid certificate has the name
// or one of the ips; self is the id that may. The monitor's are not counted:
// its host may have an agent too. Whose it is stands outside of the [dtc.Error],
// which is all that a joiner is told.
func (r *register) checkFree(name string, ips []netip.Addr, self string, now time.Time) error {
	for i := range r.records {
		c := &r.records[i]
		if c.ID == self || c.Role == dtc.RoleMonitor || !c.Valid(now) {
			continue
		}
		var taken error
		if c.Name == name {
			taken = fault(dtc.KindDenied, "the name %s is that of another valid certificate: choose another, or revoke that one first", name)
		}
		for _, ip := range ips {
			if taken == nil && slices.Contains(c.IPs, ip) {
				taken = fault(dtc.KindDenied, "the address %s is in another valid certificate: choose another, or revoke that one first", ip)
			}
		}
		if taken != nil {
			return fmt.Errorf("%w (dtc revoke %s; it is for %s)", taken, c.Name, c.holder())
		}
	}
	return nil
}

// ticket returns the token with the secret's hash, nil if there is none. It
// takes as long whichever it is.
func (r *register) ticket(hash string) *ticket {
	var found *ticket
	for i := range r.tickets {
		if subtle.ConstantTimeCompare([]byte(r.tickets[i].Hash), []byte(hash)) == 1 {
			found = &r.tickets[i]
		}
	}
	return found
}
