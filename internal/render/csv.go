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
	rows   rows
	chosen *chosen
	row    csvRow
}

func newCSVAnswer(status dtc.Status, opt Options) *csvAnswer {
	a := &csvAnswer{rows: newRows(status, opt.Fields), chosen: newChosen(emptyRow(status), opt.Fields)}
	a.row.escape = escapeNone
	if opt.Terminal && !opt.Raw {
		a.row.escape = escapeGo
	}
	return a
}

func (a *csvAnswer) append(b []byte, part *dtc.Report) []byte {
	a.row.b, a.row.host = b, part.Host
	a.rows.each(part, func(it item) {
		a.row.cell(a.row.host)
		a.chosen.fields(it, &a.row)
		a.row.b = append(a.row.b, "\r\n"...)
	})
	b, a.row.b = a.row.b, nil
	return b
}

// appendCSVHeader appends the names of the columns, nil for all.
func appendCSVHeader(b []byte, status dtc.Status, fields []string) []byte {
	if fields == nil {
		fields = dtc.FieldNames(status)
	}
	b = append(b, "host"...)
	for _, name := range fields {
		b = append(append(b, ','), name...)
	}
	return append(b, "\r\n"...)
}

// csvRow appends the values of the fields that it is given.
type csvRow struct {
	b      []byte
	host   string
	escape escape
}

func (r *csvRow) Text(_, value string) {
	r.b = append(r.b, ',')
	r.cell(value)
}

func (r *csvRow) Integer(_ string, value int64) {
	r.b = append(r.b, ',')
	if value != dtc.Absent {
		r.b = strconv.AppendInt(r.b, value, 10)
	}
}

func (r *csvRow) Number(_ string, value float64) {
	r.b = append(r.b, ',')
	if !math.IsNaN(value) && !math.IsInf(value, 0) {
		r.b = appendNumber(r.b, value)
	}
}

func (r *csvRow) Time(_ string, value time.Time) {
	r.b = append(r.b, ',')
	if value = value.UTC(); known(value) {
		r.b = value.AppendFormat(r.b, time.RFC3339Nano)
	}
}

// Owners puts the processes of a socket into one cell, as ss lists them.
func (r *csvRow) Owners(_ string, value []dtc.SocketOwner) {
	r.b = append(r.b, ',')
	if len(value) > 0 {
		r.cell(string(appendOwners(nil, value)))
	}
}

// appendOwners appends the processes of a socket as ss does within users:().
func appendOwners(b []byte, owners []dtc.SocketOwner) []byte {
	for i, o := range owners {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, `("`...), o.Name...), `",pid=`...)
		b = strconv.AppendInt(b, int64(o.PID), 10)
		if o.FD >= 0 {
			b = strconv.AppendInt(append(b, ",fd="...), int64(o.FD), 10)
		}
		b = append(b, ')')
	}
	return b
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
