package dtc

import "time"

// Status names one question that a host can be asked.
type Status string

// The questions. [Statuses] lists them with a line on each.
const (
	StatusProcess    Status = "process"
	StatusPlatform   Status = "platform"
	StatusOpenFiles  Status = "openfiles"
	StatusMemory     Status = "memory"
	StatusCPU        Status = "cpu"
	StatusDisk       Status = "disk"
	StatusInterfaces Status = "interfaces"
	StatusSockets    Status = "sockets"
	StatusUsers      Status = "users"
	StatusServices   Status = "services"
)

// StatusSummary is a status with a line on what it answers.
type StatusSummary struct {
	Status  Status
	Summary string
}

// Statuses returns every status in the order in which help lists them.
func Statuses() []StatusSummary {
	return []StatusSummary{
		{StatusProcess, "running processes, as ps aux prints them"},
		{StatusPlatform, "operating system, kernel, uptime: uname -a and hostnamectl"},
		{StatusOpenFiles, "open files and sockets of every process, as lsof -n -P -K i prints them"},
		{StatusMemory, "memory and swap, as free prints them"},
		{StatusCPU, "load and time of each processor, as uptime and mpstat -P ALL print them"},
		{StatusDisk, "file systems and the room in them, as df -T prints them"},
		{StatusInterfaces, "network interfaces and what went through them, as ip -s link prints them"},
		{StatusSockets, "TCP and UDP sockets and whose they are, as ss -tunap prints them"},
		{StatusUsers, "who is logged in, as who prints it"},
		{StatusServices, "services of the system: name, state, since when, main pid"},
	}
}

// Query is one question to one host.
type Query struct {
	Status    Status
	Selection Selection // which items of the answer, and in which order

	// Timeout is how long the asker waits for what the host does not know yet:
	// the host tells what it has until then. 0 is unknown.
	Timeout time.Duration
}

// Report is one host's answer, or a part of it: a long list comes as several
// Reports of the same status, all but the last with Partial set. Only the
// fields of the Status asked are filled.
type Report struct {
	Host    string // the name in the configuration; set by who asks
	Address string // ip:port of the agent; set by who asks

	// CollectedAt is the host's own clock in the host's own zone: what ps and
	// uptime on that host would show.
	CollectedAt time.Time

	// Err says why there is no answer, nil if there is one.
	Err error

	Status     Status
	Partial    bool // more parts follow
	Process    []Process
	OpenFiles  []OpenFile
	Disk       []Disk
	Interfaces []Interface
	Sockets    []Socket
	Users      []User
	Services   []Service
	Memory     *Memory
	CPU        *CPU
	Platform   *Platform

	// PIDWidth is how many digits the largest pid has that the host's kernel
	// may give: ps makes its column as wide. 0 if unknown.
	PIDWidth int

	// Notes are lines on what could not be read, for the operator.
	Notes []string
}

// Process is one line of ps aux.
type Process struct {
	PID        int
	PPID       int       // Absent if unknown
	User       string    // effective user: name, or the number where it has none
	CPUPercent float64   // CPU time over the life of the process, 100 is one processor
	MemPercent float64   // RSSBytes of the machine's memory
	VSZBytes   int64     //
	RSSBytes   int64     //
	TTY        string    // as ps: "pts/0", "?" for none
	State      string    // as ps STAT: "Ssl+"
	StartedAt  time.Time // on the host's clock
	CPUSeconds float64   // user and system
	Name       string    // comm(5): the kernel's short name
	Command    string    // as ps shows it, not cut: escapes done, [kernel thread], <defunct>
	Threads    int       //
}

// OpenFile is one line of lsof.
type OpenFile struct {
	PID     int
	User    string // as lsof prints it: the name of the effective user
	Command string // lsof cuts it to nine bytes in text
	FD      string // "cwd", "rtd", "txt", "mem", "DEL", "NOFD" or the number, without mode and lock
	Mode    string // "r", "w", "u", "" where lsof prints none
	Lock    string // lsof's lock character, "" for none
	Type    string // "REG", "DIR", "CHR", "FIFO", "unix", "IPv4", "IPv6", "sock", "a_inode", …
	Device  string // as lsof prints it: "254,1", or for a socket its own number

	// SizeBytes is the size of what has one, Offset the position where lsof
	// prints that instead (0t0); the other is Absent.
	SizeBytes int64
	Offset    int64

	Node string // inode number, or protocol (TCP, UDP) of a socket
	Name string // path, endpoints and state of a socket, …
}

// Memory is what free prints, in bytes.
type Memory struct {
	TotalBytes     int64
	UsedBytes      int64 // TotalBytes - AvailableBytes, as procps 4
	FreeBytes      int64
	SharedBytes    int64
	BuffersBytes   int64
	CachedBytes    int64 // page cache and reclaimable slab, as free
	AvailableBytes int64
	SwapTotalBytes int64
	SwapUsedBytes  int64
	SwapFreeBytes  int64
}

// CPU is what uptime and mpstat -P ALL print.
type CPU struct {
	Model           string
	LogicalCores    int
	PhysicalCores   int
	Load1           float64
	Load5           float64
	Load15          float64
	IntervalSeconds float64 // that the percentages cover; a second or more
	Percent         []CPUPercent

	// What else the two tools' headers show; not fields of the JSON answer.
	UptimeSeconds float64
	Users         int // sessions, as uptime counts them
	Hostname      string
	OS            string // "Linux"
	Kernel        string // release
	Arch          string // as uname -m
}

// CPUPercent is one line of mpstat: shares of the interval in percent.
type CPUPercent struct {
	CPU       string // "all", "0", "1", …
	User      float64
	Nice      float64
	System    float64
	IOWait    float64
	IRQ       float64
	SoftIRQ   float64
	Steal     float64
	Guest     float64
	GuestNice float64
	Idle      float64
}

// Platform is what uname -a and hostnamectl print.
type Platform struct {
	Hostname        string
	OS              string // "Linux", "Darwin", "Windows_NT": uname -s
	Platform        string // "Debian GNU/Linux"
	PlatformVersion string // "12 (bookworm)"
	Kernel          string // uname -r
	KernelVersion   string // uname -v
	Arch            string // uname -m
	BootTime        time.Time
	UptimeSeconds   float64
	Virtualization  string // as systemd-detect-virt: "kvm", "docker", "none"
	OperatingSystem string // uname -o, "GNU/Linux"; text only

	// What else hostnamectl prints; not fields of the JSON answer.
	StaticHostname  string // the configured one; "(unset)" if there is none
	PrettyHostname  string // for people
	IconName        string // "computer-server"
	Chassis         string // "server", "laptop", "vm", "container", …
	Deployment      string // "production", as the administrator calls it
	Location        string // of the machine, as the administrator says
	MachineID       string // of this installation: machine-id(5)
	BootID          string // of this boot, 32 hexadecimal digits
	PrettyName      string // platform and version in one: "Ubuntu 22.04.3 LTS"
	CPEName         string // Common Platform Enumeration of the platform
	HardwareVendor  string //
	HardwareModel   string //
	FirmwareVersion string // BIOS or UEFI
}
