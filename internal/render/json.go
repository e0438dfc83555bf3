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
	status  dtc.Status
	chosen  *chosen // of an item, or of the object
	percent *chosen // of the percentages of cpu
	object  jsonObject
	begun   bool
	items   int // so far, of a list
}

func newJSONAnswer(status dtc.Status, opt Options) *jsonAnswer {
	if status == dtc.StatusCPU {
		return &jsonAnswer{
			status: status, chosen: newChosen(new(dtc.CPU), opt.Fields), percent: newChosen(new(dtc.CPUPercent), opt.Fields),
		}
	}
	return &jsonAnswer{status: status, chosen: newChosen(emptyRow(status), opt.Fields)}
}

func (a *jsonAnswer) append(b []byte, part *dtc.Report) []byte {
	a.object.b = b
	a.appendPart(part)
	b, a.object.b = a.object.b, nil
	return b
}

func (a *jsonAnswer) appendPart(part *dtc.Report) {
	o := &a.object
	if !a.begun {
		a.begun = true
		o.open()
		appendHostFields(o, part)
		if part.Err != nil { // Document hands over no parts before an error
			o.Text("error", part.Err.Error())
			o.b = append(o.b, '}')
			return
		}
		o.key(string(a.status))
		if isList(a.status) {
			o.b = append(o.b, '[')
		} else {
			o.open()
		}
	}
	if isList(a.status) {
		eachItem(a.status, part, a.item)
	} else {
		a.fields(part)
	}
	switch {
	case part.Partial:
	case isList(a.status):
		o.b = append(o.b, "]}"...)
	default:
		o.b = append(o.b, "}}"...)
	}
}

// item appends the next object of a list.
func (a *jsonAnswer) item(it item) {
	if a.items > 0 {
		a.object.b = append(a.object.b, ',')
	}
	a.items++
	a.object.open()
	a.chosen.fields(it, &a.object)
	a.object.b = append(a.object.b, '}')
}

// appendHostFields appends what each host's object begins with.
func appendHostFields(o *jsonObject, r *dtc.Report) {
	o.Text("host", r.Host)
	o.Text("address", r.Address)
	o.Time("collected_at", r.CollectedAt)
}

// fields appends the fields of a status that is an object.
func (a *jsonAnswer) fields(r *dtc.Report) {
	switch {
	case a.status == dtc.StatusMemory && r.Memory != nil:
		a.chosen.fields(r.Memory, &a.object)
	case a.status == dtc.StatusPlatform && r.Platform != nil:
		a.chosen.fields(r.Platform, &a.object)
	case a.status == dtc.StatusCPU && r.CPU != nil:
		a.chosen.fields(r.CPU, &a.object)
		if !a.percent.none() {
			a.percentages(r.CPU.Percent)
		}
	}
}

func (a *jsonAnswer) percentages(percent []dtc.CPUPercent) {
	o := &a.object
	o.key("percent")
	o.b = append(o.b, '[')
	for i := range percent {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.open()
		a.percent.fields(&percent[i], o)
		o.b = append(o.b, '}')
	}
	o.b, o.more = append(o.b, ']'), true
}

// jsonObject appends the members of an object.
type jsonObject struct {
	b    []byte
	more bool // a member stands there already
}

// open begins an object.
func (o *jsonObject) open() { o.b, o.more = append(o.b, '{'), false }

func (o *jsonObject) key(name string) {
	if o.more {
		o.b = append(o.b, ',')
	}
	o.more = true
	o.b = append(append(append(o.b, '"'), name...), '"', ':')
}

func (o *jsonObject) Text(name, value string) {
	if value == "" {
		return
	}
	o.key(name)
	o.b = appendJSONString(o.b, value)
}

func (o *jsonObject) Integer(name string, value int64) {
	if value == dtc.Absent {
		return
	}
	o.key(name)
	o.b = strconv.AppendInt(o.b, value, 10)
}

func (o *jsonObject) Number(name string, value float64) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return
	}
	o.key(name)
	o.b = appendNumber(o.b, value)
}

func (o *jsonObject) Time(name string, value time.Time) {
	if !known(value.UTC()) {
		return
	}
	o.key(name)
	o.b = append(o.b, '"')
	o.b = value.UTC().AppendFormat(o.b, time.RFC3339Nano)
	o.b = append(o.b, '"')
}

// Owners appends an array, also where there is none, so that a script can go
// through it.
func (o *jsonObject) Owners(name string, value []dtc.SocketOwner) {
	o.key(name)
	o.b = append(o.b, '[')
	for i := range value {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.open()
		o.Text("name", value[i].Name)
		o.Integer("pid", int64(value[i].PID))
		o.Integer("fd", int64(value[i].FD))
		o.b = append(o.b, '}')
	}
	o.b, o.more = append(o.b, ']'), true
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
