package ca

import (
	"net/netip"
	"time"

	"dtc"
)

// Options are the package's surroundings. The zero value is the real clock.
type Options struct {
	Now func() time.Time // nil: time.Now
}

func (o Options) clock() func() time.Time {
	if o.Now == nil {
		return time.Now
	}
	return o.Now
}

// Init makes the CA and the monitor's certificate in dir, see [Options.Init].
func Init(dir string, ips []netip.Addr) error { return Options{}.Init(dir, ips) }

// Open opens the authority in dir, see [Options.Open].
func Open(dir string) (*Authority, error) { return Options{}.Open(dir) }

// Load reads a program's own credentials, see [Options.Load].
func Load(dir string, role dtc.Role) (*Credentials, error) { return Options{}.Load(dir, role) }
