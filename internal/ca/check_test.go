package ca

import (
	"os"
	"path/filepath"
	"testing"

	"dtc"
)

func TestTokenCheck(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	must(t, Init(dir, ips("10.0.0.5")))
	must(t, Init(other, ips("10.0.0.5")))
	a, err := Open(dir)
	must(t, err)
	text, err := a.Invite(Invitation{})
	must(t, err)
	token, err := ParseToken(text)
	must(t, err)
	own, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	must(t, err)
	foreign, err := os.ReadFile(filepath.Join(other, "ca.crt"))
	must(t, err)
	must(t, token.Check(own))
	if err := token.Check(foreign); dtc.KindOf(err) != dtc.KindCertificate {
		t.Errorf("Check of another CA: %v", err)
	}
	if token.Check([]byte("no certificate")) == nil {
		t.Error("Check of garbage has no error")
	}
}
