package status

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"dtc"
)

// platform answers what uname -a and hostnamectl print.
func (c *Collector) platform(context.Context) (*dtc.Platform, error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return nil, fmt.Errorf("uname: %w", err)
	}
	p := &dtc.Platform{
		Hostname:        unix.ByteSliceToString(uts.Nodename[:]),
		OS:              unix.ByteSliceToString(uts.Sysname[:]),
		Kernel:          unix.ByteSliceToString(uts.Release[:]),
		KernelVersion:   unix.ByteSliceToString(uts.Version[:]),
		Arch:            unix.ByteSliceToString(uts.Machine[:]),
		BootTime:        bootTime(),
		UptimeSeconds:   c.host.uptime(),
		Virtualization:  c.host.virtualization(),
		OperatingSystem: "GNU/Linux", // what uname -o says wherever glibc or musl is
	}
	c.host.release().fill(p)
	c.host.hostnamectl(p)
	return p, nil
}

// release is what the distribution says of itself: os-release(5).
type release map[string]string

func (h *host) release() release {
	for _, file := range []string{"etc/os-release", "usr/lib/os-release"} {
		if data, err := os.ReadFile(h.path(file)); err == nil {
			return parseVariables(data)
		}
	}
	return nil
}

func (r release) fill(p *dtc.Platform) {
	p.PrettyName, p.CPEName = r["PRETTY_NAME"], r["CPE_NAME"]
	p.Platform, p.PlatformVersion = r["NAME"], r["VERSION"]
	if p.PlatformVersion == "" {
		p.PlatformVersion = r["VERSION_ID"]
	}
	if p.Platform == "" {
		p.Platform = p.PrettyName
	}
}

// parseVariables reads lines KEY=VALUE, whose values may be quoted as in a
// shell.
func parseVariables(data []byte) map[string]string {
	values := make(map[string]string)
	for line := range bytes.Lines(data) {
		key, value, ok := strings.Cut(strings.TrimSpace(string(line)), "=")
		if ok && !strings.HasPrefix(key, "#") {
			values[key] = unquote(value)
		}
	}
	return values
}

// unquote takes a shell's quotes off a word.
func unquote(s string) string {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case c == quote && quote != 0:
			quote = 0
		case c == '\\' && i+1 < len(s) && escapes(quote, s[i+1]):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// escapes tells whether a backslash before c is none of the word. Between
// quotes it stands for itself before most characters.
func escapes(quote, c byte) bool {
	switch quote {
	case 0:
		return true
	case '"':
		return strings.IndexByte("\"\\`$", c) >= 0
	default:
		return false
	}
}
