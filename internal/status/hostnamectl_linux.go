package status

import (
	"encoding/hex"
	"strings"

	"dtc"
)

// hostnamectl fills in what hostnamectl prints besides: what systemd-hostnamed(8)
// reads in /etc and of the firmware.
func (h *host) hostnamectl(p *dtc.Platform) {
	info := parseVariables([]byte(h.read("etc/machine-info")))
	p.StaticHostname = staticHostname(h.read("etc/hostname"))
	p.PrettyHostname, p.Deployment, p.Location = info["PRETTY_HOSTNAME"], info["DEPLOYMENT"], info["LOCATION"]
	if p.Chassis = info["CHASSIS"]; p.Chassis == "" {
		p.Chassis = h.chassis(p.Virtualization)
	}
	if p.IconName = info["ICON_NAME"]; p.IconName == "" {
		p.IconName = strings.TrimSuffix("computer-"+p.Chassis, "-")
	}
	p.MachineID = id128(h.read("etc/machine-id"))
	p.BootID = id128(h.read("proc/sys/kernel/random/boot_id"))
	p.HardwareVendor = h.hardware("ID_VENDOR", "sys_vendor")
	p.HardwareModel = h.hardware("ID_MODEL", "product_name")
	p.FirmwareVersion = strings.TrimSpace(h.read("sys/class/dmi/id/bios_version"))
}

// staticHostname is the name in a file of the form of hostname(5), "(unset)" if
// there is none.
func staticHostname(file string) string {
	for line := range strings.Lines(file) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if name := cleanHostname(line); name != "" {
			return name
		}
		break
	}
	return "(unset)"
}

// cleanHostname leaves out what a host's name may not have, as systemd does.
func cleanHostname(s string) string {
	const longest = 64
	var name []byte
	last := byte('.')
	for i := 0; i < len(s) && len(name) < longest; i++ {
		switch c := s[i]; {
		case c == '.' && (last == '.' || last == '-'), c == '-' && last == '.':
		case c == '.', c == '-', c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
			name, last = append(name, c), c
		}
	}
	return strings.TrimRight(string(name), ".-")
}

// chassis is the form of the machine.
func (h *host) chassis(virtualization string) string {
	switch {
	case h.container() != "":
		return "container"
	case virtualization != "none":
		return "vm"
	}
	if name := chassisOfDMI(strings.TrimSpace(h.read("sys/class/dmi/id/chassis_type"))); name != "" {
		return name
	}
	return chassisOfACPI(strings.TrimSpace(h.read("sys/firmware/acpi/pm_profile")))
}

// chassisOfDMI names a type of the System Management BIOS Reference
// Specification, 7.4.1.
func chassisOfDMI(kind string) string {
	switch kind {
	case "3", "4", "6", "7", "13", "35", "36": // desktops, towers, all in one, mini and stick PCs
		return "desktop"
	case "8", "9", "10", "14": // portable, laptop, notebook, sub notebook
		return "laptop"
	case "11":
		return "handset"
	case "17", "28", "29": // main server, blade and its enclosure
		return "server"
	case "30":
		return "tablet"
	case "31", "32": // convertible, detachable
		return "convertible"
	case "33", "34": // IoT gateway, embedded PC
		return "embedded"
	default:
		return ""
	}
}

// chassisOfACPI names a Preferred_PM_Profile of the ACPI Specification, 5.2.9.
func chassisOfACPI(profile string) string {
	switch profile {
	case "1", "3", "6": // desktop, workstation, appliance
		return "desktop"
	case "2":
		return "laptop"
	case "4", "5", "7": // servers
		return "server"
	case "8":
		return "tablet"
	default:
		return ""
	}
}

// hardware is a property of the machine as udev(7) has it, who knows some by
// better names, else as the firmware says it.
func (h *host) hardware(property, file string) string {
	const database = "_FROM_DATABASE"
	values := make(map[string]string)
	for line := range strings.Lines(h.read("run/udev/data/+dmi:id")) {
		if variable, ok := strings.CutPrefix(strings.TrimSpace(line), "E:"); ok {
			key, value, _ := strings.Cut(variable, "=")
			values[key] = value
		}
	}
	for _, name := range []string{values[property+database], values[property]} {
		if name != "" {
			return name
		}
	}
	return strings.TrimSpace(h.read("sys/class/dmi/id/" + file))
}

// id128 is an id of 32 hexadecimal digits, whatever stands between them; ""
// if it is none.
func id128(text string) string {
	id := strings.ToLower(strings.ReplaceAll(strings.TrimSpace(text), "-", ""))
	if bytes, err := hex.DecodeString(id); err != nil || len(bytes) != 16 {
		return ""
	}
	return id
}
