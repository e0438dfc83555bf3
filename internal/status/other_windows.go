package status

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/process"
	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"

	"dtc"
)

// names are the names of users by their security identifiers. A domain
// controller may be asked for one: each is asked for once.
type names struct {
	mu    sync.Mutex
	bySID map[string]string
}

// perCPU reads the times of each processor. Where the call is missing that
// covers all groups of processors, the one for our own group is made.
func (*host) perCPU(ctx context.Context) ([]cpu.TimesStat, error) {
	times, err := cpu.TimesWithContext(ctx, true)
	if err == nil {
		return times, nil
	}
	const maxInGroup = 64
	var list [maxInGroup]processorTimes
	var size uint32
	err = windows.NtQuerySystemInformation(windows.SystemProcessorPerformanceInformation,
		unsafe.Pointer(&list), uint32(unsafe.Sizeof(list)), &size)
	if err != nil {
		return nil, err
	}
	const second = 1e7 // in units of 100 ns
	for i, t := range list[:min(len(list), int(size)/int(unsafe.Sizeof(list[0])))] {
		times = append(times, cpu.TimesStat{
			CPU: fmt.Sprintf("cpu%d", i), User: float64(t.user) / second, System: float64(t.kernel-t.idle) / second,
			Idle: float64(t.idle) / second, Irq: float64(t.interrupt) / second,
		})
	}
	return times, nil
}

// processorTimes is SYSTEM_PROCESSOR_PERFORMANCE_INFORMATION, in units of
// 100 ns. The kernel's time has the idle time in it.
type processorTimes struct {
	idle, kernel, user, _, interrupt int64
	_                                uint32
}

// known fills in what this system has more: interrupts, whose time is in that of
// the system here.
func (*host) known(into *cpuTimes, from *cpu.TimesStat) {
	into.irq = from.Irq
	into.system = max(0, from.System-from.Irq)
}

func (*host) load(int) float64 { return dtc.AbsentFloat() }

// model is what the firmware calls the processor.
func (*host) model() string {
	return registryText(`HARDWARE\DESCRIPTION\System\CentralProcessor\0`, "ProcessorNameString")
}

func registryText(path, name string) string {
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, path, registry.QUERY_VALUE|registry.WOW64_64KEY)
	if err != nil {
		return ""
	}
	defer func() { _ = key.Close() }()
	text, _, err := key.GetStringValue(name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(text)
}

// system reads what names this system.
func (*host) system(context.Context) (*dtc.Platform, error) {
	const current = `SOFTWARE\Microsoft\Windows NT\CurrentVersion`
	hostname, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("host name: %w", err)
	}
	version := windows.RtlGetVersion()
	p := &dtc.Platform{
		Hostname:        hostname,
		OS:              "Windows_NT",
		Platform:        registryText(current, "ProductName"),
		PlatformVersion: registryText(current, "DisplayVersion"),
		Kernel:          fmt.Sprintf("%d.%d.%d", version.MajorVersion, version.MinorVersion, version.BuildNumber),
		KernelVersion:   strings.TrimSpace(fmt.Sprintf("Build %d %s", version.BuildNumber, windows.UTF16ToString(version.CsdVersion[:]))),
		Arch:            machine(),
		OperatingSystem: "MS/Windows",
		Virtualization:  firmware(),
	}
	// The registry goes on calling Windows 11 by the old name.
	const firstBuildOf11 = 22000
	if version.BuildNumber >= firstBuildOf11 {
		p.Platform = strings.Replace(p.Platform, "Windows 10", "Windows 11", 1)
	}
	p.PrettyName = strings.TrimSpace(p.Platform + " " + p.PlatformVersion)
	p.HardwareVendor, p.HardwareModel = registryText(bios, "SystemManufacturer"), registryText(bios, "SystemProductName")
	p.FirmwareVersion = registryText(bios, "BIOSVersion")
	p.MachineID = strings.ReplaceAll(registryText(`SOFTWARE\Microsoft\Cryptography`, "MachineGuid"), "-", "")
	p.BootTime, p.UptimeSeconds = uptime()
	return p, nil
}

// bios is what the system remembers of the firmware.
const bios = `HARDWARE\DESCRIPTION\System\BIOS`

// machine is the architecture as uname -m names it.
func machine() string {
	if runtime.GOARCH == "amd64" {
		return "x86_64"
	}
	return runtime.GOARCH
}

// firmware knows a virtual machine by what its firmware says, "" if it says
// nothing.
func firmware() string {
	text := registryText(bios, "SystemManufacturer") + " " + registryText(bios, "SystemProductName")
	for _, known := range [...][2]string{
		{"VMware", "vmware"},
		{"VirtualBox", "oracle"},
		{"innotek", "oracle"},
		{"QEMU", "qemu"},
		{"KVM", "kvm"},
		{"OpenStack", "kvm"},
		{"Amazon EC2", "amazon"},
		{"Google Compute Engine", "google"},
		{"Xen", "xen"},
		{"Parallels", "parallels"},
		{"Microsoft Corporation Virtual Machine", "microsoft"},
	} {
		if strings.Contains(text, known[0]) {
			return known[1]
		}
	}
	if strings.TrimSpace(text) == "" {
		return ""
	}
	return "none"
}

// processes lists what runs, ascending by pid.
func (h *host) processes(ctx context.Context) ([]dtc.Process, error) {
	snapshot, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = windows.CloseHandle(snapshot) }()
	var list []dtc.Process
	var entry windows.ProcessEntry32
	entry.Size = uint32(unsafe.Sizeof(entry))
	for err = windows.Process32First(snapshot, &entry); err == nil; err = windows.Process32Next(snapshot, &entry) {
		p := dtc.Process{
			PID: int(entry.ProcessID), PPID: int(entry.ParentProcessID), TTY: noTTY, Threads: int(entry.Threads),
			Name:     windows.UTF16ToString(entry.ExeFile[:]),
			VSZBytes: dtc.Absent, RSSBytes: dtc.Absent, CPUSeconds: dtc.AbsentFloat(),
		}
		h.fill(ctx, &p)
		list = append(list, p)
	}
	if !errors.Is(err, windows.ERROR_NO_MORE_FILES) {
		return nil, err
	}
	sort.Slice(list, func(i, j int) bool { return list[i].PID < list[j].PID })
	return list, nil
}

// fill adds what needs the process itself.
func (h *host) fill(ctx context.Context, p *dtc.Process) {
	of := &process.Process{Pid: int32(p.PID)}
	p.Command = "[" + printableText(p.Name) + "]"
	if p.PID == 0 {
		return // the idle process is none
	}
	p.Command = command(ctx, of, p.Name)
	if m, err := try("memory", func() (*process.MemoryInfoStat, error) { return of.MemoryInfoWithContext(ctx) }); err == nil {
		p.RSSBytes, p.VSZBytes = int64(m.RSS), int64(m.VMS)
	}
	handle, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(p.PID))
	if err != nil {
		return
	}
	defer func() { _ = windows.CloseHandle(handle) }()
	p.User = h.userOf(handle)
	var created, ended, kernel, user windows.Filetime
	if windows.GetProcessTimes(handle, &created, &ended, &kernel, &user) == nil {
		p.StartedAt = time.Unix(0, created.Nanoseconds())
		p.CPUSeconds = (span(kernel) + span(user)).Seconds()
	}
}

// span is a length of time, not a time, in a Filetime.
func span(ft windows.Filetime) time.Duration {
	return time.Duration(uint64(ft.HighDateTime)<<32|uint64(ft.LowDateTime)) * 100
}

// userOf is the name of the user of a process, without the domain.
func (n *names) userOf(handle windows.Handle) string {
	var token windows.Token
	if windows.OpenProcessToken(handle, windows.TOKEN_QUERY, &token) != nil {
		return ""
	}
	defer func() { _ = token.Close() }()
	user, err := token.GetTokenUser()
	if err != nil {
		return ""
	}
	sid := user.User.Sid.String()
	n.mu.Lock()
	defer n.mu.Unlock()
	if name, ok := n.bySID[sid]; ok {
		return name
	}
	name, _, _, err := user.User.Sid.LookupAccount("")
	if err != nil || name == "" {
		name = sid
	}
	if n.bySID == nil {
		n.bySID = make(map[string]string)
	}
	n.bySID[sid] = name
	return name
}
