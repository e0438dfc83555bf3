// Package config reads agent.xml and monitor.xml, strictly: whatever it does
// not know, or finds twice, is a fault with its line, and all faults of a file
// are told at once. It also adds hosts to a monitor.xml and takes them out,
// byte for byte beside the rest, and knows which aliases are legal.
package config

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"dtc"
)

// What holds where a file says nothing.
const (
	DefaultScanFileTime   = 3 * time.Second
	DefaultDetectInterval = time.Hour
)

// MaxSize is the size in bytes beyond which a file is not read. A host takes
// about 250, so that there is room for some ten thousand.
const MaxSize = 4 << 20

// Agent is what an agent.xml says.
type Agent struct {
	LocalHost    netip.AddrPort // to listen on; zero: not set
	MonitorHost  netip.AddrPort // where the logs go; zero: not set
	ScanFileTime time.Duration
	Files        []File // in the order of the file
}

// File is one file_alias.
type File struct {
	Path string // as written: perhaps relative to the home, perhaps a pattern

	// Alias is the final one of a plain Path; of a pattern it holds {name} and
	// perhaps {dir}, and what comes of it has to pass CheckAlias.
	Alias   string
	FromEnd bool // a file that the monitor has never seen is copied from its end
	Line    int  // of the element
}

// Pattern says whether the path may match several files.
func (f File) Pattern() bool { return isPattern(f.Path) }

// Monitor is what a monitor.xml says.
type Monitor struct {
	LocalHost      netip.AddrPort // to listen on; zero: not set
	DetectInterval time.Duration  // of hosts that set none
	Hosts          []Host         // in the order of the file

	// Rules are those of all hosts: each Host has them too, but for those that it
	// has an own one of the same name of.
	Rules []dtc.ProcessRule

	Retention []Retention // of all hosts, see RetentionOf

	Receivers   []Receiver    // in the order of the file
	Maintenance []Maintenance // in the order of the file
}

// Retention says how much is kept of the copies of followed files. At least one
// of Size and Age is set.
type Retention struct {
	Size  int64         // bytes; 0: it does not matter
	Age   time.Duration // 0: it does not matter
	Alias string        // glob of the aliases that it is for; "": all
	Line  int           // of the element
}

// Receiver is one notify: who is told of what, and how.
type Receiver struct {
	Name     string            // unique; the kind, or kind-2 and so on, if the file gives none
	Kind     string            // name of the element in it: webhook, email, …
	Settings map[string]string // that element's attributes; "file=PATH" is not read yet
	For      []string          // hosts, groups, rules and states, or globs of them; none: everything
	Wait     time.Duration     // what happens within it is told together
	Remind   time.Duration     // what lasts is told again so often; 0: never
	GiveUp   time.Duration     // a notice that cannot be delivered for so long is given up on
	Line     int               // of the element
}

// Maintenance is a time in which what happens is not told: a day's time, each
// day or on some weekdays, or one stretch of time.
type Maintenance struct {
	For      []string       // as of a Receiver
	Days     []time.Weekday // on which it begins; none: every day
	From, To time.Duration  // since midnight, local time; To is at most 24 h; To at most From: it ends on the next day
	Start    time.Time      // of one stretch; zero: it is a day's time
	End      time.Time
	Line     int // of the element
}

// Host is one remote_host.
type Host struct {
	Name           string            // unique; Address.String() if the file gives none
	Address        netip.AddrPort    // unique
	Groups         []string          // none twice
	PIDs           []int             // none twice
	Rules          []dtc.ProcessRule // its own, then those of the file that it has no own of the same name of; not to be changed
	Retention      []Retention       // its own, see RetentionOf
	DetectInterval time.Duration     // its own, else the file's
	Line           int               // of the element
	PIDLine        int               // of its monitor_pid; 0: none
	RuleLines      []int             // of the elements of Rules
}

// LoadAgent reads the agent.xml at path. An error of type [Errors] holds the
// faults of the file; any other says why it could not be read.
func LoadAgent(path string) (Agent, error) {
	data, err := readFile(path)
	if err != nil {
		return Agent{}, err
	}
	return ParseAgent(path, data)
}

// LoadMonitor reads the monitor.xml at path, with errors as [LoadAgent].
func LoadMonitor(path string) (Monitor, error) {
	data, err := readFile(path)
	if err != nil {
		return Monitor{}, err
	}
	return ParseMonitor(path, data)
}

// readFile reads a file but no more of it than shows that it is too large.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return data, nil
}

// ParseAgent reads the content of an agent.xml; file is its name in faults. The
// error is nil or of type [Errors].
func ParseAgent(file string, data []byte) (Agent, error) {
	c := checker{faults: faults{file: file}}
	root := parseTree(data, agentRules(), &c.faults)
	agent := c.agent(root)
	if err := c.err(); err != nil {
		return Agent{}, err
	}
	return agent, nil
}

// ParseMonitor reads the content of a monitor.xml, like [ParseAgent].
func ParseMonitor(file string, data []byte) (Monitor, error) {
	monitor, _, err := parseMonitor(file, data)
	return monitor, err
}

// parseMonitor gives the tree too, for those who edit the file.
func parseMonitor(file string, data []byte) (Monitor, *node, error) {
	c := checker{faults: faults{file: file}}
	root := parseTree(data, monitorRules(), &c.faults)
	monitor := c.monitor(root)
	if err := c.err(); err != nil {
		return Monitor{}, nil, err
	}
	return monitor, root, nil
}

// Resolve returns a path of a configuration as the system needs it: a relative
// one is relative to the home.
func Resolve(home, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(home, path)
}
