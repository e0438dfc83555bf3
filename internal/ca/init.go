package ca

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"time"

	"dtc"
	"dtc/internal/atomicfile"
)

// warnBefore is how long before its end a certificate is warned of.
const warnBefore = 30 * 24 * time.Hour

// monitorName is what the register calls the monitor. An agent may have the
// same name.
const monitorName = "monitor"

// Init makes what is missing of the CA and the monitor's certificate in dir.
// It may be repeated, also after it was cut off: a key that is there is kept,
// and so is a certificate that holds. The monitor's is made anew, with the same
// key and id, if it does not, or if ips are given and differ from its own; for
// its peers the ips of the monitor mean nothing, and unspecified ones (0.0.0.0)
// are left out.
func (o Options) Init(dir string, ips []netip.Addr) error {
	ips, err := checkIPs(slices.DeleteFunc(slices.Clone(ips), netip.Addr.IsUnspecified))
	if err != nil {
		return err
	}
	if err := makeDir(dir); err != nil {
		return err
	}
	a := &Authority{dir: dir, now: o.clock()}
	unlock, err := atomicfile.Lock(a.path(lockFile))
	if err != nil {
		return err
	}
	defer unlock()
	if err := a.ownCA(); err != nil {
		return err
	}
	if err := a.check(); err != nil {
		return err
	}
	if err := a.ownRegister(); err != nil {
		return err
	}
	if _, err := a.complete(); err != nil {
		return err
	}
	return a.ownMonitor(ips)
}

// ownCA reads or makes the CA. The key comes first: a CA's certificate without
// its key is another monitor's.
func (a *Authority) ownCA() error {
	path, keyPath := a.path(caFile+certSuffix), a.path(caFile+keySuffix)
	_, err := readBundle(path)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return err
	}
	if _, err := readKey(keyPath); errors.Is(err, fs.ErrNotExist) && !missing {
		return fmt.Errorf("%s is the CA of another monitor, as %s is not there: choose another home, or restore the key from a backup", path, keyPath)
	}
	key, err := ownKey(keyPath)
	if err != nil {
		return err
	}
	if missing {
		der, err := newCA(key, a.now())
		if err != nil {
			return err
		}
		if err := atomicfile.Write(path, encodeCertificate(der), certMode); err != nil {
			return err
		}
	}
	return a.takeSigning()
}

// ownRegister makes an empty register if there is none.
func (a *Authority) ownRegister() error {
	path := a.path(registerFile)
	r, err := readRegister(path)
	if err == nil {
		a.current.Store(r)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	data, err := (&register{}).encode()
	if err != nil {
		return err
	}
	if err := replacePrivate(path, data); err != nil {
		return err
	}
	if r, err = readRegister(path); err == nil {
		a.current.Store(r)
	}
	return err
}

// ownMonitor makes the monitor's key and certificate where they are missing.
// The certificate is in the register before it is in the folder. A home has one
// monitor: who had been it with another key is so no more, and is revoked.
func (a *Authority) ownMonitor(ips []netip.Addr) error {
	key, err := ownKey(a.path(string(dtc.RoleMonitor) + keySuffix))
	if err != nil {
		return err
	}
	known, err := readRegister(a.path(registerFile))
	if err != nil {
		return err
	}
	peer := dtc.Peer{ID: newID(), Role: dtc.RoleMonitor, IPs: ips}
	if c := known.withKey(keyHash(key.Public())); c != nil {
		peer.ID = c.ID
		if len(ips) == 0 {
			peer.IPs = c.IPs
		}
		if sameIPs(c.IPs, peer.IPs) && a.holds(c) {
			return nil
		}
	}
	certPEM, c, err := a.sign(leaf{peer: peer, key: &key.PublicKey})
	if err != nil {
		return err
	}
	c.Name = monitorName
	err = a.rewrite(func(r *register) error {
		for i := range r.records {
			if o := &r.records[i]; o.Role == dtc.RoleMonitor && o.ID != c.ID && o.Revoked.IsZero() {
				o.Revoked = a.now().UTC().Truncate(time.Second)
			}
		}
		r.put(c)
		return nil
	})
	if err != nil {
		return err
	}
	return atomicfile.Write(a.path(string(dtc.RoleMonitor)+certSuffix), certPEM, certMode)
}

// holds reports whether the monitor's certificate is in the folder as c has it,
// by the CA that signs now, and not due to be renewed (or as good as that CA
// allows).
func (a *Authority) holds(c *Record) bool {
	cert, err := readCertificate(a.path(string(dtc.RoleMonitor) + certSuffix))
	by := a.signing.Load().cert
	if err != nil || cert.CheckSignatureFrom(by) != nil || cert.SerialNumber.Text(16) != c.Serial {
		return false
	}
	return !cert.NotAfter.Before(by.NotAfter) || !due(cert, a.now())
}
