package render

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"dtc"
)

// jsonAnswer renders one host's answer as one JSON object on one line. An
// absent value is left out.
type jsonAnswer struct {
	status dtc.Status
	begun  bool
	items  int // so far, of a list
}

func (a *jsonAnswer) append(b []byte, part *dtc.Report) []byte {
	o := jsonObject{b: b}
	if !a.begun {
		a.begun = true
		o.b = append(o.b, '{')
		appendHostFields(&o, part)
		if part.Err != nil { // Document hands over no parts before an error
			o.text("error", part.Err.Error())
			return append(o.b, '}')
		}
		o.key(string(a.status))
		o.b = append(o.b, a.opening()...)
	}
	switch a.status {
	case dtc.StatusProcess:
		for i := range part.Process {
			a.item(&o)
			processFields(&o, &part.Process[i])
			o.b = append(o.b, '}')
		}
	case dtc.StatusOpenFiles:
		for i := range part.OpenFiles {
			a.item(&o)
			openFileFields(&o, &part.OpenFiles[i])
			o.b = append(o.b, '}')
		}
	default:
		appendObject(&o, a.status, part)
	}
	if part.Partial {
		return o.b
	}
	return append(append(o.b, a.closing()...), '}')
}

// list tells whether the status is an array of items.
func (a *jsonAnswer) list() bool {
	return a.status == dtc.StatusProcess || a.status == dtc.StatusOpenFiles
}

func (a *jsonAnswer) opening() string {
	if a.list() {
		return "["
	}
	return "{"
}

func (a *jsonAnswer) closing() string {
	if a.list() {
		return "]"
	}
	return "}"
}

// item opens the next object of a list.
func (a *jsonAnswer) item(o *jsonObject) {
	if a.items > 0 {
		o.b = append(o.b, ',')
	}
	a.items++
	o.b = append(o.b, '{')
	o.more = false
}

// appendHostFields appends what each host's object begins with.
func appendHostFields(o *jsonObject, r *dtc.Report) {
	o.text("host", r.Host)
	o.text("address", r.Address)
	o.moment("collected_at", r.CollectedAt)
}

// appendObject appends the fields of a status that is an object.
func appendObject(o *jsonObject, status dtc.Status, r *dtc.Report) {
	o.more = false
	switch {
	case status == dtc.StatusMemory && r.Memory != nil:
		memoryFields(o, r.Memory)
	case status == dtc.StatusPlatform && r.Platform != nil:
		platformFields(o, r.Platform)
	case status == dtc.StatusCPU && r.CPU != nil:
		cpuFields(o, r.CPU)
		o.key("percent")
		o.b = append(o.b, '[')
		for i := range r.CPU.Percent {
			if i > 0 {
				o.b = append(o.b, ',')
			}
			o.b, o.more = append(o.b, '{'), false
			percentFields(o, &r.CPU.Percent[i])
			o.b = append(o.b, '}')
		}
		o.b = append(o.b, ']')
	}
}

// jsonObject appends the members of an object, without its braces.
type jsonObject struct {
	b    []byte
	more bool // a member stands there already
}

func (o *jsonObject) key(name string) {
	if o.more {
		o.b = append(o.b, ',')
	}
	o.more = true
	o.b = append(append(append(o.b, '"'), name...), '"', ':')
}

func (o *jsonObject) text(name, value string) {
	if value == "" {
		return
	}
	o.key(name)
	o.b = appendJSONString(o.b, value)
}

func (o *jsonObject) integer(name string, value int64) {
	if value < 0 {
		return
	}
	o.key(name)
	o.b = strconv.AppendInt(o.b, value, 10)
}

func (o *jsonObject) number(name string, value float64) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return
	}
	o.key(name)
	o.b = appendNumber(o.b, value)
}

func (o *jsonObject) moment(name string, value time.Time) {
	if !known(value.UTC()) {
		return
	}
	o.key(name)
	o.b = append(o.b, '"')
	o.b = value.UTC().AppendFormat(o.b, time.RFC3339Nano)
	o.b = append(o.b, '"')
}

// appendNumber appends the shortest decimal that reads as v again.
func appendNumber(b []byte, v float64) []byte {
	format := byte('f')
	if x := math.Abs(v); x != 0 && (x < 1e-6 || x >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(b, v, format, -1, 64)
}

// appendJSONString appends s as a JSON string. What is unsafe on a terminal is
// escaped also where JSON would allow it as it is; bytes that are not UTF-8
// become U+FFFD.
func appendJSONString(b []byte, s string) []byte {
	b = append(b, '"')
	for len(s) > 0 {
		run := 0
		for run < len(s) && s[run] >= ' ' && s[run] <= '~' && s[run] != '"' && s[run] != '\\' {
			run++
		}
		b, s = append(b, s[:run]...), s[run:]
		if s == "" {
			break
		}
		r, n := utf8.DecodeRuneInString(s)
		b = appendJSONRune(b, r)
		s = s[n:]
	}
	return append(b, '"')
}

func appendJSONRune(b []byte, r rune) []byte {
	switch {
	case r == '"', r == '\\':
		return append(b, '\\', byte(r))
	case r == '\n':
		return append(b, `\n`...)
	case r == '\r':
		return append(b, `\r`...)
	case r == '\t':
		return append(b, `\t`...)
	case unsafeRune(r):
		return appendU(b, r)
	default:
		return utf8.AppendRune(b, r)
	}
}

// EscapeJSON returns a document of encoding/json with \u escapes in the place of
// what JSON allows in a string and a terminal may obey: see [Escape].
func EscapeJSON(document []byte) []byte {
	b := make([]byte, 0, len(document))
	for _, r := range string(document) {
		if r >= 0x7f && unsafeRune(r) {
			b = appendU(b, r)
		} else {
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}
