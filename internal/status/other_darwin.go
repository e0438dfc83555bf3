package status

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/process"
	"golang.org/x/sys/unix"

	"dtc"
)

// names are the names of users and terminals by their numbers.
type names struct {
	mu    sync.Mutex
	users map[uint32]string
	ttys  map[int32]string
}

func (*host) perCPU(ctx context.Context) ([]cpu.TimesStat, error) {
	return cpu.TimesWithContext(ctx, true)
}

func (*host) known(into *cpuTimes, from *cpu.TimesStat) { into.nice = from.Nice }

// load is the load average of the last minutes: 1, 5 or 15.
func (*host) load(minutes int) float64 {
	avg, err := try("load", load.Avg)
	switch {
	case err != nil:
		return dtc.AbsentFloat()
	case minutes == 1:
		return avg.Load1
	case minutes == 5:
		return avg.Load5
	default:
		return avg.Load15
	}
}

func (*host) model() string { return sysctl("machdep.cpu.brand_string") }

// sysctl is a text of the kernel, "" if it does not have it.
func sysctl(name string) string {
	text, err := unix.Sysctl(name)
	if err != nil {
		return ""
	}
	return text
}

// system reads what names this system.
func (*host) system(context.Context) (*dtc.Platform, error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return nil, fmt.Errorf("uname: %w", err)
	}
	p := &dtc.Platform{
		Hostname:        unix.ByteSliceToString(uts.Nodename[:]),
		OS:              unix.ByteSliceToString(uts.Sysname[:]),
		Platform:        "macOS",
		PlatformVersion: sysctl("kern.osproductversion"),
		Kernel:          unix.ByteSliceToString(uts.Release[:]),
		KernelVersion:   unix.ByteSliceToString(uts.Version[:]),
		Arch:            unix.ByteSliceToString(uts.Machine[:]),
		OperatingSystem: "Darwin",
		BootID:          strings.ToLower(strings.ReplaceAll(sysctl("kern.bootsessionuuid"), "-", "")),
		HardwareVendor:  "Apple Inc.",
		HardwareModel:   sysctl("hw.model"),
	}
	if present, err := unix.SysctlUint32("kern.hv_vmm_present"); err == nil {
		p.Virtualization = "none"
		if present != 0 {
			p.Virtualization = "vm-other"
		}
	}
	p.BootTime, p.UptimeSeconds = uptime()
	return p, nil
}

// processes lists what runs, ascending by pid.
func (h *host) processes(ctx context.Context) ([]dtc.Process, error) {
	infos, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	if err != nil {
		return nil, err
	}
	list := make([]dtc.Process, 0, len(infos))
	for i := range infos {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		list = append(list, h.processOf(ctx, &infos[i]))
	}
	sort.Slice(list, func(i, j int) bool { return list[i].PID < list[j].PID })
	return list, nil
}

func (h *host) processOf(ctx context.Context, info *unix.KinfoProc) dtc.Process {
	start := info.Proc.P_starttime
	p := dtc.Process{
		PID:       int(info.Proc.P_pid),
		PPID:      int(info.Eproc.Ppid),
		User:      h.user(info.Eproc.Ucred.Uid),
		TTY:       h.tty(info.Eproc.Tdev),
		State:     state(info),
		StartedAt: time.Unix(start.Sec, int64(start.Usec)*1e3),
		Name:      unix.ByteSliceToString(info.Proc.P_comm[:]),
		VSZBytes:  dtc.Absent, RSSBytes: dtc.Absent, CPUSeconds: dtc.AbsentFloat(), Threads: dtc.Absent,
	}
	of := &process.Process{Pid: info.Proc.P_pid}
	p.Command = command(ctx, of, p.Name)
	if m, err := try("memory", func() (*process.MemoryInfoStat, error) { return of.MemoryInfoWithContext(ctx) }); err == nil {
		p.RSSBytes, p.VSZBytes = int64(m.RSS), int64(m.VMS)
	}
	if t, err := try("times", func() (*cpu.TimesStat, error) { return of.TimesWithContext(ctx) }); err == nil {
		p.CPUSeconds = t.User + t.System
	}
	if n, err := try("threads", func() (int32, error) { return of.NumThreadsWithContext(ctx) }); err == nil && n > 0 {
		p.Threads = int(n)
	}
	return p
}

// state is what ps(1) of this system calls STAT, as far as the kernel's table
// has it: sys/proc.h.
func state(info *unix.KinfoProc) string {
	const (
		controlTerminal = 0x2 // P_CONTROLT
		sessionLeader   = 0x2 // EPROC_SLEADER
	)
	letters := [...]byte{'?', 'I', 'R', 'S', 'T', 'Z'}
	s := []byte{'?'}
	if n := int(info.Proc.P_stat); n >= 0 && n < len(letters) {
		s[0] = letters[n]
	}
	if info.Proc.P_nice < 0 {
		s = append(s, '<')
	}
	if info.Proc.P_nice > 0 {
		s = append(s, 'N')
	}
	if info.Eproc.Flag&sessionLeader != 0 {
		s = append(s, 's')
	}
	if info.Proc.P_flag&controlTerminal != 0 && info.Eproc.Pgid == info.Eproc.Tpgid {
		s = append(s, '+')
	}
	return string(s)
}

// user is the name of a user, or the number if there is none.
func (n *names) user(uid uint32) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if name, ok := n.users[uid]; ok {
		return name
	}
	name := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	if n.users == nil {
		n.users = make(map[uint32]string)
	}
	n.users[uid] = name
	return name
}

// tty is the name of a terminal by its device number.
func (n *names) tty(dev int32) string {
	if dev == -1 {
		return noTTY
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if name, ok := n.ttys[dev]; ok {
		return name
	}
	n.ttys = make(map[int32]string)
	entries, _ := os.ReadDir("/dev")
	for _, entry := range entries {
		var st unix.Stat_t
		path := filepath.Join("/dev", entry.Name())
		if entry.Type()&os.ModeCharDevice != 0 && unix.Stat(path, &st) == nil {
			n.ttys[st.Rdev] = entry.Name()
		}
	}
	if _, ok := n.ttys[dev]; !ok {
		n.ttys[dev] = noTTY
	}
	return n.ttys[dev]
}
