package dtc

import "time"

// Disk is one line of df -T: a file system that is mounted.
type Disk struct {
	Filesystem     string // what is mounted: a device, a server's folder, or the file system's own name
	Type           string // "ext4", "tmpfs", "nfs4", "NTFS", …
	TotalBytes     int64
	UsedBytes      int64
	AvailableBytes int64   // to users without privileges; below 0 (not -1) where others have taken of a reserve
	UsedPercent    float64 // UsedBytes of UsedBytes and AvailableBytes, rounded up to a whole number as df does
	MountedOn      string
	TotalInodes    int64 // Absent where the file system has no fixed number
	UsedInodes     int64
	FreeInodes     int64
}

// User is one line of who: somebody who is logged in.
type User struct {
	Name    string
	Line    string    // terminal: "pts/0", "tty1"; "" for none
	LoginAt time.Time // on the host's clock
	From    string    // where the login came from, "" if it is of the host itself
	PID     int       // of the login; Absent if unknown
}

// Service is one service of the system: a systemd unit, a Windows service, a
// job of launchd.
type Service struct {
	Name        string // "ssh.service"; on Windows the service's name, on macOS the label
	Load        string // systemd: "loaded", "not-found", …; "" elsewhere
	State       string // "active", "inactive", "failed", … in the words of systemd on every system
	SubState    string // "running", "exited", "dead", …: finer, in the system's own words
	Since       time.Time
	PID         int // main process; Absent for none
	Description string
}
