package dtc

import "time"

// ProcessRule says which processes of a host are to be there: what survives a
// restart, as a pid does not. Exactly one of Match, Exe, PIDFile, Unit and Port
// is set.
type ProcessRule struct {
	Name string // unique among the rules of a host

	Match   string // regular expression (RE2) that the command line has a match of, as ps shows it
	Exe     string // the program's file: its path, or its base name alone
	PIDFile string // path of a file that holds the pid
	Unit    string // systemd's unit, a Windows service
	Port    int    // TCP port that it listens on, or UDP port that it is bound to

	User          string        // of the process; "" is any
	Min           int           // so many at least; 0 stands for 1
	Max           int           // so many at most; 0 is no limit
	RestartWithin time.Duration // who comes back within it was restarted; 0: every end is told at once

	// Known are the processes that the asker was told to be alive under this
	// rule, in the boot KnownBoot, and not to have ended.
	Known     []ProcessID
	KnownBoot string
}

// Watching is all that an asker wants an agent to watch.
type Watching struct {
	Targets []WatchTarget
	Rules   []ProcessRule
}

// Match is a process that a rule matches now.
type Match struct {
	ID      ProcessID
	User    string
	Name    string // short name
	Command string // as ps shows it, bounded
}

// RuleMatches is what one rule, or one watched pid, comes to on a host now.
type RuleMatches struct {
	Rule    string // its name; "" of a pid
	PID     int    // the pid that was asked for, if it is no rule
	Matches []Match
	Total   int    // of matches, where Matches is cut
	Problem string // why it cannot be said: one line, "" if it can
	Reason  string // why nothing matches: one line, "" where it says itself
}

// PostMortem is what was known of a process when it ended. A number that is not
// known is [Absent].
type PostMortem struct {
	CPU         time.Duration // user and system time of all its threads
	RSSBytes    int64
	Threads     int
	Descriptors int
	PPID        int    // of its parent
	Parent      string // the parent's short name
	Command     string // as ps shows it, bounded

	// Sampled is how long before the end RSSBytes, Threads and Descriptors were
	// looked at.
	Sampled time.Duration
}

// NoPostMortem returns one of which nothing is known.
func NoPostMortem() PostMortem {
	return PostMortem{CPU: Absent, RSSBytes: Absent, Threads: Absent, Descriptors: Absent, PPID: Absent, Sampled: Absent}
}
