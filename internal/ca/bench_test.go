package ca

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"dtc"
)

// bigFleet returns the authority of a fleet of n agents, and one of them.
func bigFleet(b *testing.B, n int) (*Authority, dtc.Peer) {
	b.Helper()
	dir := filepath.Join(b.TempDir(), "tls")
	if err := Init(dir, nil); err != nil {
		b.Fatal(err)
	}
	a, err := Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	var last Record
	err = a.update(func(r *register) error {
		for i := range n {
			last = Record{
				ID: newID(), Name: fmt.Sprintf("host%d", i), Role: dtc.RoleAgent, Key: newID() + newID(), Serial: newID(),
				IPs: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}, Expires: time.Now().Add(time.Hour),
			}
			r.put(last)
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return a, dtc.Peer{ID: last.ID, Role: last.Role, IPs: last.IPs}
}

// What every accept costs.
func BenchmarkValid1000(b *testing.B) {
	a, peer := bigFleet(b, 1000)
	for b.Loop() {
		if !a.Valid(peer) {
			b.Fatal("not valid")
		}
	}
}

// What one join costs the monitor, its disk included.
func BenchmarkRedeem1000(b *testing.B) {
	a, _ := bigFleet(b, 1000)
	_, csr, err := NewKey()
	if err != nil {
		b.Fatal(err)
	}
	text, err := a.Invite(Invitation{})
	if err != nil {
		b.Fatal(err)
	}
	token, err := ParseToken(text)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := a.Redeem(token.Secret, netip.MustParseAddr("192.0.2.1"), csr, netip.AddrPort{}); err != nil {
			b.Fatal(err)
		}
	}
}

// What a stranger who guesses a token costs the monitor.
func BenchmarkRedeemUnknown1000(b *testing.B) {
	a, _ := bigFleet(b, 1000)
	_, csr, err := NewKey()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := a.Redeem([]byte("guessed"), netip.MustParseAddr("192.0.2.1"), csr, netip.AddrPort{}); err == nil {
			b.Fatal("a guess was right")
		}
	}
}
