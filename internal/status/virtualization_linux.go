package status

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// virtualization says what systemd-detect-virt(1) does, from files alone: a
// container first, then the machine it runs on, "none" for neither.
func (h *host) virtualization() string {
	if container := h.container(); container != "" {
		return container
	}
	if machine := h.machine(); machine != "" {
		return machine
	}
	return "none"
}

// container is the manager of the container that this is.
func (h *host) container() string {
	switch {
	case h.has("proc/vz") && !h.has("proc/bc"):
		return "openvz"
	case h.contains("proc/sys/kernel/osrelease", "Microsoft", "WSL"):
		return "wsl"
	}
	for _, file := range []string{"run/host/container-manager", "run/systemd/container"} {
		if name := strings.TrimSpace(h.read(file)); name != "" {
			return containerName(name)
		}
	}
	for variable := range strings.SplitSeq(h.read("proc/1/environ"), "\x00") {
		if name, ok := strings.CutPrefix(variable, "container="); ok && name != "" {
			return containerName(name)
		}
	}
	switch {
	case h.has("run/.containerenv"):
		return "podman"
	case h.has(".dockerenv"):
		return "docker"
	default:
		return ""
	}
}

// containerName maps what a manager calls itself to what systemd-detect-virt
// knows.
func containerName(name string) string {
	switch name {
	case "oci":
		return "docker"
	case "lxc", "lxc-libvirt", "systemd-nspawn", "docker", "podman", "rkt", "wsl", "proot", "pouch":
		return name
	default:
		return "container-other"
	}
}

// hypervisors are the beginnings of what the firmware says of the machine.
var dmiFiles = [...]string{"product_name", "sys_vendor", "board_vendor", "bios_vendor", "product_version"}

func dmiName(text string) string {
	for _, h := range [...][2]string{
		{"KVM", "kvm"},
		{"OpenStack", "kvm"},
		{"KubeVirt", "kvm"},
		{"Amazon EC2", "amazon"},
		{"QEMU", "qemu"},
		{"VMware", "vmware"},
		{"VMW", "vmware"},
		{"innotek GmbH", "oracle"},
		{"VirtualBox", "oracle"},
		{"Xen", "xen"},
		{"Bochs", "bochs"},
		{"Parallels", "parallels"},
		{"BHYVE", "bhyve"},
		{"Hyper-V", "microsoft"},
		{"Apple Virtualization", "apple"},
		{"Google Compute Engine", "google"},
	} {
		if strings.HasPrefix(text, h[0]) {
			return h[1]
		}
	}
	return ""
}

// machine is the hypervisor below this system.
func (h *host) machine() string {
	dmi := h.dmi()
	switch dmi {
	case "oracle", "xen", "amazon", "parallels", "google":
		return dmi // these say more than the hypervisor below them
	}
	switch {
	case h.contains("proc/cpuinfo", "User Mode Linux"):
		return "uml"
	case h.has("proc/xen") || strings.HasPrefix(h.read("sys/hypervisor/type"), "xen"):
		return "xen"
	}
	if name := h.clocksource(); name != "" {
		return name
	}
	if dmi != "" {
		return dmi
	}
	if name := h.deviceTree(); name != "" {
		return name
	}
	if name := h.mainframe(); name != "" {
		return name
	}
	if h.hypervisorFlag() {
		return "vm-other"
	}
	return ""
}

func (h *host) dmi() string {
	for _, file := range dmiFiles {
		text := h.read(filepath.Join("sys/class/dmi/id", file))
		if name := dmiName(text); name != "" {
			if name == "amazon" && !h.hypervisorFlag() {
				return "" // a machine of Amazon without a hypervisor
			}
			return name
		}
	}
	return ""
}

// clocksource knows the hypervisor by the clock that it offers its guests. The
// processor itself would tell too, but only to an instruction.
func (h *host) clocksource() string {
	clocks := h.read("sys/devices/system/clocksource/clocksource0/available_clocksource")
	for clock := range strings.FieldsSeq(clocks) {
		switch {
		case clock == "kvm-clock":
			return "kvm"
		case strings.HasPrefix(clock, "hyperv"):
			return "microsoft"
		case clock == "xen":
			return "xen"
		}
	}
	return ""
}

func (h *host) deviceTree() string {
	compatible := strings.TrimRight(h.read("proc/device-tree/hypervisor/compatible"), "\x00\n")
	switch {
	case compatible == "linux,kvm":
		return "kvm"
	case strings.Contains(compatible, "xen"):
		return "xen"
	case strings.Contains(compatible, "vmware"):
		return "vmware"
	case compatible != "":
		return "vm-other"
	case h.has("proc/device-tree/fw-cfg"):
		return "qemu"
	default:
		return ""
	}
}

// mainframe is the hypervisor that s390 names in /proc/sysinfo.
func (h *host) mainframe() string {
	_, control, ok := strings.Cut(h.read("proc/sysinfo"), "VM00 Control Program:")
	if !ok {
		return ""
	}
	if strings.HasPrefix(strings.TrimSpace(control), "z/VM") {
		return "zvm"
	}
	return "kvm"
}

func (h *host) hypervisorFlag() bool {
	for line := range strings.Lines(h.read("proc/cpuinfo")) {
		key, flags, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) == "flags" {
			return strings.Contains(flags+" ", " hypervisor ")
		}
	}
	return false
}

func (h *host) has(name string) bool {
	return unix.Access(h.path(name), unix.F_OK) == nil
}

func (h *host) contains(name string, any ...string) bool {
	text := h.read(name)
	for _, s := range any {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

// read returns a file's text, "" if there is none.
func (h *host) read(name string) string {
	data, err := os.ReadFile(h.path(name))
	if err != nil {
		return ""
	}
	return string(data)
}
