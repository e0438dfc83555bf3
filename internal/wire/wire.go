// Package wire is how the machines of a fleet speak to each other, and nothing
// else: one listener with three protocols told apart by ALPN, the client and
// the server of the queries, the frames of the log protocol, joining, and the
// local socket by which commands reach a running service.
//
// Queries are Connect RPCs over HTTP/2 (see wire.proto). Whoever opened it, both
// sides speak HTTP/2 with prior knowledge over a connection that is already
// proven: TLS and identity are finished before HTTP sees it.
//
// The package knows no certificates: what is proven, and who a peer is, is
// decided by the tls.Configs and the Identify function that it is given.
package wire

//go:generate buf generate

import (
	"context"
	"time"

	"dtc"
)

// The protocols, as ALPN names them.
const (
	ProtoRPC  = "h2"         // queries and watches
	ProtoLog  = "dtc-log/1"  // followed files, see [Link]
	ProtoJoin = "dtc-join/1" // one request for a certificate
)

// Limits of what one message may hold. What a peer sends beyond them ends the
// call.
const (
	maxRequest     = 4 << 20   // bytes of a request
	maxReply       = 16 << 20  // bytes of a reply, or of a part of one
	maxPartItems   = 1000      // that the server puts into a part
	maxPartText    = 1 << 20   // bytes of text after which the server ends a part
	maxRows        = 4096      // items of a part that a client takes
	maxOwners      = 64 << 10  // of one socket
	maxPartOwners  = 128 << 10 // of all sockets of a part that a client takes
	maxText        = 3 << 20   // bytes of one text
	maxShort       = 256       // bytes of a text that is an id or a short name
	maxNotes       = 256       // notes of a report
	maxNote        = 1024      // bytes of a note or of an error's text
	maxAnswerRows  = 4 << 20   // items of a whole answer; no Linux has more processes
	maxAnswerText  = 512 << 20 // bytes of text of a whole answer
	maxAnswerParts = 64 << 10  // parts of a whole answer
	maxPIDWidth    = 20        // digits of a pid
	maxTargets     = 100_000   // processes of one watch or check
	maxRules       = 1000      // of one watch or check
	maxCondition   = 4096      // bytes of what a rule looks for, and of a command line
)

// Times after which a peer counts as dead or a call as hung.
const (
	dialTimeout      = 10 * time.Second        // connect and handshake together
	handshakeTimeout = 10 * time.Second        // of a connection that was accepted
	joinTimeout      = 10 * time.Second        // all of joining
	stallTimeout     = 2 * time.Minute         // a peer may not read one message for so long (a reader may sit in a pager)
	deadTimeout      = 10 * time.Second        // unacknowledged bytes or an unanswered ping
	retransmit       = 1500 * time.Millisecond // at most, between two tries to deliver something; more than a round trip takes
	pingEvery        = 4 * time.Second         // by who asks, if nothing else is heard
)

// Agent is what an agent answers. The server hands every call of a proven
// monitor to it; [Client] has the same methods without the asker, who is the
// peer that asks.
type Agent interface {
	// Info tells what runs there.
	Info(ctx context.Context) (dtc.Info, error)

	// Get answers q in one part or more. emit's argument need be valid during
	// the call only; emit is not called concurrently, and its error ends Get.
	// The last part, and no other, has Partial unset.
	Get(ctx context.Context, q dtc.Query, emit func(*dtc.Report) error) error

	// Watch tells what happens to what is wanted until ctx is done. It begins
	// with what asker has not acknowledged. emit is not called concurrently, and
	// its error ends Watch.
	Watch(ctx context.Context, asker string, want dtc.Watching, emit func(dtc.Sighting) error) error

	// Check looks now at processes and rules that are watched for asker.
	Check(ctx context.Context, asker string, pids []int, rules []string) ([]dtc.Sighting, error)

	// Preview tells which processes the rules match and which pids are there
	// now, the targets first. Nothing is watched for it.
	Preview(ctx context.Context, want dtc.Watching) ([]dtc.RuleMatches, error)

	// Acknowledge tells that asker has recorded all sightings of the run up to
	// number.
	Acknowledge(ctx context.Context, asker, run string, number uint64) error
}
