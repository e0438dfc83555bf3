package render

import (
	"strings"

	"dtc"
)

// platformAnswer renders as `uname -a` and, below it, `hostnamectl`.
type platformAnswer struct{ escape escape }

func (a platformAnswer) append(b []byte, part *dtc.Report) []byte {
	p := part.Platform
	if p == nil {
		return b
	}
	b = a.uname(b, p)
	static := p.StaticHostname
	if static == "" {
		static = p.Hostname
	}
	lines := [...]struct{ key, value string }{
		{"Static hostname", static},
		{"Pretty hostname", unless(static, p.PrettyHostname)},
		{"Transient hostname", unless(static, p.Hostname)},
		{"Icon name", p.IconName},
		{"Chassis", joined(p.Chassis, chassisGlyph(p.Chassis))},
		{"Deployment", p.Deployment},
		{"Location", p.Location},
		{"Machine ID", p.MachineID},
		{"Boot ID", p.BootID},
		{"Virtualization", unless("none", p.Virtualization)},
		{"Operating System", operatingSystem(p)},
		{"CPE OS Name", p.CPEName},
		{"Kernel", joined(p.OS, p.Kernel)},
		{"Architecture", architecture(p.Arch)},
		{"Hardware Vendor", p.HardwareVendor},
		{"Hardware Model", p.HardwareModel},
		{"Firmware Version", p.FirmwareVersion},
		{"Boot Time", bootTime(part)},
		{"Uptime", uptime(p.UptimeSeconds)},
	}
	width := 0
	for _, l := range lines {
		if l.value != "" {
			width = max(width, len(l.key))
		}
	}
	for _, l := range lines {
		if l.value == "" { // hostnamectl leaves out what it does not know
			continue
		}
		b = append(appendRight(b, l.key, width), ": "...)
		b = append(appendEscaped(b, l.value, a.escape), '\n')
	}
	return b
}

// uname appends the line of `uname -a`, without what is absent.
func (a platformAnswer) uname(b []byte, p *dtc.Platform) []byte {
	start := len(b)
	for _, s := range [...]string{p.OS, p.Hostname, p.Kernel, p.KernelVersion, p.Arch, p.OperatingSystem} {
		if s == "" {
			continue
		}
		if len(b) > start {
			b = append(b, ' ')
		}
		b = appendEscaped(b, s, a.escape)
	}
	return append(b, '\n')
}

// joined puts a space between two texts, either of which may be absent.
func joined(x, y string) string { return strings.TrimSpace(x + " " + y) }

// unless returns value, or nothing if it is that word.
func unless(word, value string) string {
	if value == word {
		return ""
	}
	return value
}

// operatingSystem returns what the platform calls itself.
func operatingSystem(p *dtc.Platform) string {
	if p.PrettyName != "" {
		return p.PrettyName
	}
	return joined(p.Platform, p.PlatformVersion)
}

// chassisGlyph returns the picture that hostnamectl puts behind the form of a
// machine.
func chassisGlyph(chassis string) string {
	switch chassis {
	case "laptop":
		return "\U0001f4bb"
	case "desktop":
		return "\U0001f5a5\ufe0f"
	case "server":
		return "\U0001f5b3"
	case "tablet":
		return "具"
	case "watch":
		return "⌚"
	case "handset":
		return "\U0001f57b"
	case "vm":
		return "\U0001f5b4"
	case "container":
		return "☐"
	default:
		return ""
	}
}

// architecture returns systemd's name of what uname calls machine.
func architecture(machine string) string {
	switch machine {
	case "x86_64", "amd64", "AMD64":
		return "x86-64"
	case "aarch64", "ARM64":
		return "arm64"
	case "i386", "i486", "i586", "i686":
		return "x86"
	case "ppc64le":
		return "ppc64-le"
	case "mips64el":
		return "mips64-le"
	}
	if strings.HasPrefix(machine, "armv") {
		return "arm"
	}
	return machine
}

// bootTime returns when the host booted, on its own clock.
func bootTime(r *dtc.Report) string {
	if !known(r.Platform.BootTime) {
		return ""
	}
	return onHost(r.Platform.BootTime, r.CollectedAt).Format("Mon 2006-01-02 15:04:05 MST")
}

// uptime returns how long the host is up, in the words of uptime(1).
func uptime(seconds float64) string {
	if !(seconds >= 0) { // or NaN
		return ""
	}
	return strings.TrimSpace(string(appendSpan(nil, seconds)))
}
