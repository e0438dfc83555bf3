// Package dtc holds the nouns of Distributed Task Control: what is asked of a
// host and answered, what happens on it, and the bytes that it writes. It
// imports the standard library only and starts nothing.
//
// A number that a system cannot give is [Absent] (a float: NaN), an absent text
// is empty, an absent time is the zero time. Text that comes from a host
// (names, command lines, users) is hostile: any bytes, any length up to the
// limits of the wire, and not always UTF-8.
package dtc

import (
	"math"
	"net/netip"
)

// Absent is the value of an integer field that a system cannot give.
const Absent = -1

// AbsentFloat is the value of a float field that a system cannot give: NaN.
func AbsentFloat() float64 { return math.NaN() }

// Role says what the holder of a certificate may do. It stands in the
// certificate.
type Role string

// The roles of the fleet.
const (
	RoleMonitor Role = "monitor" // asks and watches any agent; receives logs and events
	RoleAgent   Role = "agent"   // sends its own logs and events, renews itself; asks nobody anything

	// Of people, for a second machine than the monitor's.
	RoleOperator Role = "operator" // asks any agent; may do through the monitor what its commands can
	RoleViewer   Role = "viewer"   // the same, as far as it only reads
)

// Peer is who stands at the other end of a connection, as its certificate
// proves it. The address that the connection seems to come from says nothing.
type Peer struct {
	ID   string       // opaque, unique in the fleet, stable over renewals
	Role Role         //
	IPs  []netip.Addr // at least one for an agent; the first names its folder unless another is configured
}

// Info is what a program tells a proven monitor about itself.
type Info struct {
	Version string // of the program
	Boot    string // id of this boot of the host; another value means it rebooted
	Run     string // id of this run of the program
}
