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
	p.Platform, p.PlatformVersion = c.host.release()
	return p, nil
}

// release is the distribution's name and version: os-release(5).
func (h *host) release() (name, version string) {
	for _, file := range []string{"etc/os-release", "usr/lib/os-release"} {
		data, err := os.ReadFile(h.path(file))
		if err != nil {
			continue
		}
		values := parseOSRelease(data)
		name, version = values["NAME"], values["VERSION"]
		if version == "" {
			version = values["VERSION_ID"]
		}
		if name == "" {
			name = values["PRETTY_NAME"]
		}
		return name, version
	}
	return "", ""
}

// parseOSRelease reads lines KEY=VALUE, whose values may be quoted as in a
// shell.
func parseOSRelease(data []byte) map[string]string {
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
		case c == '\\' && quote != '\'' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
