// Package render puts what hosts answered into words: as text that looks like
// the output of the tool that an operator knows (ps, lsof, free, uptime and
// mpstat, uname and hostnamectl, in the C locale), and as json, jsonl and csv.
//
// What a host says is hostile. Control characters, the ones that turn the
// direction of text included, and bytes that are not UTF-8 come out of this
// package in a visible form, unless the caller asks for raw text.
package render

import (
	"io"
	"slices"
	"time"

	"dtc"
)

// Format is a form in which answers are written.
type Format string

// The forms in which answers are written.
const (
	FormatText  Format = "text"  // as the tool that an operator knows prints it
	FormatJSON  Format = "json"  // one array, an object a host
	FormatJSONL Format = "jsonl" // an object a line and host, in the order of the answers
	FormatCSV   Format = "csv"   // RFC 4180: a header, and a row an item
)

// Formats returns every form in the order in which help lists them.
func Formats() []Format { return []Format{FormatText, FormatJSON, FormatJSONL, FormatCSV} }

// Valid tells whether f is one of [Formats].
func (f Format) Valid() bool { return slices.Contains(Formats(), f) }

// Options say how to write answers. The zero value is text for a file.
type Options struct {
	Format   Format // "" is text
	Human    bool   // memory in the units of free -h, disk in those of df -h
	Raw      bool   // text and csv as the host sent them, dangerous characters included
	Terminal bool   // the output is one: cells of a csv are made safe too
	Color    bool   // the terminal may be given colors
	Columns  int    // of the terminal; lines are cut to it as by ps. 0: nothing is cut

	// Fields are the names of the fields that are wanted, in this order: see
	// [dtc.FieldNamed]. Text is then a table of them. nil is all of them, and
	// text as the tool prints it.
	Fields []string

	// Flat makes one table of the text of all hosts, which are named before
	// each row. It is written when all hosts have ended.
	Flat bool

	// NoHeader leaves out the titles of the columns, in text and csv.
	NoHeader bool

	// SpoolMemory is how many bytes a [Document] keeps in memory of answers
	// that cannot be written yet, 0 for a default; the others go to a temporary
	// file in the folder SpoolDir. Without one all are kept in memory.
	SpoolMemory int
	SpoolDir    string
}

func (o *Options) isText() bool { return o.Format == FormatText || o.Format == "" }

// flat tells whether the answers of all hosts make one table.
func (o *Options) flat() bool { return o.Flat && o.isText() }

// An answer renders what one host says of one status, part after part.
type answer interface {
	// append appends the rendered part to b. Some statuses need the whole
	// answer for their columns' widths and append all with the last part, the
	// one that has Partial unset.
	append(b []byte, part *dtc.Report) []byte
}

// A laterAnswer is one that can be long, and whose text depends on all of it:
// append renders parts in a form of its own, and finish makes the text of it
// when all is there. Between them rest lets go of the memory of append.
type laterAnswer interface {
	answer
	rest()
	finish(out *sink, kept io.Reader) error
}

var (
	_ laterAnswer = (*lsofAnswer)(nil)
	_ laterAnswer = (*ssAnswer)(nil)
	_ laterAnswer = (*tableAnswer)(nil)
)

// newAnswer returns the renderer of one host's answer.
func newAnswer(status dtc.Status, opt Options) answer {
	switch {
	case opt.Format == FormatJSON || opt.Format == FormatJSONL:
		return newJSONAnswer(status, opt)
	case opt.Format == FormatCSV:
		return newCSVAnswer(status, opt)
	case opt.Flat || opt.Fields != nil:
		return newTableAnswer(status, opt)
	default:
		return newTextAnswer(status, opt)
	}
}

// newTextAnswer returns the renderer that mimics the tool of the status.
func newTextAnswer(status dtc.Status, opt Options) answer {
	switch status {
	case dtc.StatusProcess:
		return newPSAnswer(opt)
	case dtc.StatusOpenFiles:
		return newLsofAnswer(opt)
	case dtc.StatusMemory:
		return freeAnswer{human: opt.Human}
	case dtc.StatusCPU:
		return mpstatAnswer{escape: plainEscape(opt), headless: opt.NoHeader}
	case dtc.StatusPlatform:
		return platformAnswer{escape: plainEscape(opt)}
	case dtc.StatusDisk:
		return newDFAnswer(opt)
	case dtc.StatusInterfaces:
		return newIPAnswer(opt)
	case dtc.StatusSockets:
		return newSSAnswer(opt)
	case dtc.StatusUsers:
		return newWhoAnswer(opt)
	case dtc.StatusServices:
		return newServicesAnswer(opt)
	default:
		return nothing{}
	}
}

// beginsWithHeader tells whether the first line of what an answer appends are
// the titles of its columns. A laterAnswer sees to them itself.
func beginsWithHeader(a answer) bool {
	switch a.(type) {
	case *psAnswer, freeAnswer:
		return true
	default:
		return false
	}
}

// Text writes one host's whole answer as the tool of its status prints it. The
// option Format has no meaning here.
func Text(w io.Writer, r *dtc.Report, opt Options) error {
	if r.Err != nil {
		return nil
	}
	opt.Format = FormatText
	d := NewDocument(w, r.Status, 1, opt)
	if err := d.Add(0, r); err != nil {
		return err
	}
	return d.Close()
}

// nothing answers a status that this version does not know.
type nothing struct{}

func (nothing) append(b []byte, _ *dtc.Report) []byte { return b }

// plainEscape returns the escape of tools that have none of their own.
func plainEscape(opt Options) escape {
	if opt.Raw {
		return escapeNone
	}
	return escapeGo
}

// known tells whether t can be written as RFC 3339: it is set, and its year
// has four digits.
func known(t time.Time) bool {
	return !t.IsZero() && t.Year() > 0 && t.Year() < 10000
}

// onHost returns t as the host's clocks show it. A time comes with the host's
// zone as it was then, so that summer time is right; one that came without a
// zone gets that of now.
func onHost(t, now time.Time) time.Time {
	if t.Location() == time.UTC {
		return t.In(now.Location())
	}
	return t
}
