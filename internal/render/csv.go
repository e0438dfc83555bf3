package render

import (
	"math"
	"strconv"
	"strings"
	"time"

	"dtc"
)

// csvAnswer renders one host's answer as rows of a csv (RFC 4180). An absent
// value is an empty cell; a text stands there as the host sent it, but for a
// terminal.
type csvAnswer struct {
	status dtc.Status
	escape escape
}

func newCSVAnswer(status dtc.Status, opt Options) csvAnswer {
	a := csvAnswer{status: status, escape: escapeNone}
	if opt.Terminal && !opt.Raw {
		a.escape = escapeGo
	}
	return a
}

func (a csvAnswer) append(b []byte, part *dtc.Report) []byte {
	row := csvRow{b: b, host: part.Host, escape: a.escape}
	switch a.status {
	case dtc.StatusProcess:
		for i := range part.Process {
			row.begin()
			processFields(&row, &part.Process[i])
			row.end()
		}
	case dtc.StatusOpenFiles:
		for i := range part.OpenFiles {
			row.begin()
			openFileFields(&row, &part.OpenFiles[i])
			row.end()
		}
	default:
		a.object(&row, part)
	}
	return row.b
}

// object appends the row of a status that is an object; cpu has a row for each
// of its percentages, with the fields of the whole before them.
func (a csvAnswer) object(row *csvRow, part *dtc.Report) {
	switch {
	case a.status == dtc.StatusMemory && part.Memory != nil:
		row.begin()
		memoryFields(row, part.Memory)
		row.end()
	case a.status == dtc.StatusPlatform && part.Platform != nil:
		row.begin()
		platformFields(row, part.Platform)
		row.end()
	case a.status == dtc.StatusCPU && part.CPU != nil:
		for i := range part.CPU.Percent {
			row.begin()
			cpuFields(row, part.CPU)
			percentFields(row, &part.CPU.Percent[i])
			row.end()
		}
	}
}

// appendCSVHeader appends the names of the columns.
func appendCSVHeader(b []byte, status dtc.Status) []byte {
	h := csvHeader{b: append(b, "host"...)}
	switch status {
	case dtc.StatusProcess:
		processFields(&h, &dtc.Process{})
	case dtc.StatusOpenFiles:
		openFileFields(&h, &dtc.OpenFile{})
	case dtc.StatusMemory:
		memoryFields(&h, &dtc.Memory{})
	case dtc.StatusPlatform:
		platformFields(&h, &dtc.Platform{})
	case dtc.StatusCPU:
		cpuFields(&h, &dtc.CPU{})
		percentFields(&h, &dtc.CPUPercent{})
	}
	return append(h.b, "\r\n"...)
}

// csvHeader appends the names of the fields that it is given.
type csvHeader struct{ b []byte }

func (h *csvHeader) text(name, _ string)             { h.name(name) }
func (h *csvHeader) integer(name string, _ int64)    { h.name(name) }
func (h *csvHeader) number(name string, _ float64)   { h.name(name) }
func (h *csvHeader) moment(name string, _ time.Time) { h.name(name) }
func (h *csvHeader) name(name string)                { h.b = append(append(h.b, ','), name...) }

// csvRow appends the values of the fields that it is given.
type csvRow struct {
	b      []byte
	host   string
	escape escape
}

func (r *csvRow) begin() { r.cell(r.host) }

func (r *csvRow) end() { r.b = append(r.b, "\r\n"...) }

func (r *csvRow) text(_, value string) {
	r.b = append(r.b, ',')
	r.cell(value)
}

func (r *csvRow) integer(_ string, value int64) {
	r.b = append(r.b, ',')
	if value >= 0 {
		r.b = strconv.AppendInt(r.b, value, 10)
	}
}

func (r *csvRow) number(_ string, value float64) {
	r.b = append(r.b, ',')
	if !math.IsNaN(value) && !math.IsInf(value, 0) {
		r.b = appendNumber(r.b, value)
	}
}

func (r *csvRow) moment(_ string, value time.Time) {
	r.b = append(r.b, ',')
	if value = value.UTC(); known(value) {
		r.b = value.AppendFormat(r.b, time.RFC3339Nano)
	}
}

// cell appends a text, quoted where RFC 4180 wants it.
func (r *csvRow) cell(s string) {
	if r.escape != escapeNone && !isSafe(s) {
		s = string(appendEscaped(nil, s, r.escape))
	}
	if !strings.ContainsAny(s, "\",\r\n") && !strings.HasPrefix(s, " ") && !strings.HasSuffix(s, " ") {
		r.b = append(r.b, s...)
		return
	}
	r.b = append(r.b, '"')
	for i := range len(s) {
		if s[i] == '"' {
			r.b = append(r.b, '"')
		}
		r.b = append(r.b, s[i])
	}
	r.b = append(r.b, '"')
}
