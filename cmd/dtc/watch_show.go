package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"dtc"
	"dtc/internal/render"
)

// sort brings the lines into the order of the file.
func (p *preview) sort() {
	slices.SortStableFunc(p.lines, func(a, b *previewLine) int { return cmp.Compare(a.line, b.line) })
}

// verdict says in one word how many processes of a line there are, by what the
// configuration allows.
func (l *previewLine) verdict(m *dtc.RuleMatches) string {
	switch {
	case m.Problem != "":
		return "unknown"
	case m.Total == 0:
		return "missing"
	case m.Total < l.rule.Min:
		return "too_few"
	case l.rule.Max > 0 && m.Total > l.rule.Max:
		return "too_many"
	default:
		return "ok"
	}
}

// previewCell is one attribute of a rule.
type previewCell struct{ name, value string }

// cells returns what stands in the configuration of a rule, but for its name.
func (l *previewLine) cells() []previewCell {
	r := &l.rule
	cells := []previewCell{{"match", r.Match}, {"exe", r.Exe}, {"pidfile", r.PIDFile}, {"unit", r.Unit}, {"port", positive(r.Port)}, {"user", r.User}}
	if r.Min != 1 {
		cells = append(cells, previewCell{"min", positive(r.Min)})
	}
	cells = append(cells, previewCell{"max", positive(r.Max)}, previewCell{"restart_within", positive(int(r.RestartWithin / time.Second))})
	return slices.DeleteFunc(cells, func(c previewCell) bool { return c.value == "" })
}

// positive returns a number as text, "" for 0.
func positive(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// writeText prints a block a line of the configuration. Hosts and processes are
// cut to the width of the terminal, whose columns are 0 if there is none.
func (p *preview) writeText(w io.Writer, columns int) error {
	out := bufio.NewWriter(w)
	for i, l := range p.lines {
		var b strings.Builder
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(render.Escape(fmt.Sprintf("%s:%d: %s", p.file, l.line, l.title())) + "\n")
		l.writeHosts(&b, columns)
		if _, err := out.WriteString(b.String()); err != nil {
			return err
		}
	}
	return out.Flush()
}

// title says what stands in that line of the configuration.
func (l *previewLine) title() string {
	if l.pid > 0 {
		return "monitor_pid " + strconv.Itoa(l.pid)
	}
	var b strings.Builder
	b.WriteString(l.rule.Name + ":")
	for _, c := range l.cells() {
		fmt.Fprintf(&b, ` %s="%s"`, c.name, c.value)
	}
	return b.String()
}

func (l *previewLine) writeHosts(out *strings.Builder, columns int) {
	names, width := make([]string, len(l.hosts)), 0
	for i, h := range l.hosts {
		names[i] = fmt.Sprintf("%s (%s)", render.Escape(h.host.Name), h.host.Address)
		width = max(width, render.Width(names[i]))
	}
	for i := range l.hosts {
		h := &l.hosts[i]
		line := "  " + names[i] + strings.Repeat(" ", width-render.Width(names[i])) + "  "
		switch {
		case h.err != nil:
			line += "-  did not answer"
		case h.matches.Problem != "":
			line += "-  unknown: " + render.Escape(h.matches.Problem)
		default:
			line += strconv.Itoa(h.matches.Total) + "  " + strings.ReplaceAll(l.verdict(&h.matches), "_", " ")
			if h.matches.Reason != "" {
				line += ": " + render.Escape(h.matches.Reason)
			}
		}
		out.WriteString(cutLine(line, columns) + "\n")
		writeMatches(out, &h.matches, columns)
	}
}

// maxUserWidth is how far the column of users is padded at most.
const maxUserWidth = 32

func writeMatches(out *strings.Builder, m *dtc.RuleMatches, columns int) {
	users, width := make([]string, len(m.Matches)), 0
	for i, p := range m.Matches {
		users[i] = cmp.Or(render.Escape(p.User), "?")
		width = min(max(width, render.Width(users[i])), maxUserWidth)
	}
	for i, p := range m.Matches {
		pad := max(width-render.Width(users[i]), 0)
		command := cmp.Or(p.Command, p.Name)
		line := fmt.Sprintf("    %7d %s%s %s", p.ID.PID, users[i], strings.Repeat(" ", pad), render.Escape(command))
		out.WriteString(cutLine(strings.TrimRight(line, " "), columns) + "\n")
	}
	if more := m.Total - len(m.Matches); more > 0 {
		fmt.Fprintf(out, "    %7s and %d more\n", "", more)
	}
}

// cutLine cuts an escaped line to the width of a terminal; 0 is no terminal.
func cutLine(line string, columns int) string {
	if columns <= 0 || render.Width(line) <= columns {
		return line
	}
	cells := 0
	for i, r := range line {
		if cells += render.Width(string(r)); cells > columns {
			return line[:i]
		}
	}
	return line
}

// previewRecord is a line of the configuration in JSON.
type previewRecord struct {
	File    string              `json:"file"`
	Line    int                 `json:"line"`
	PID     int                 `json:"pid,omitempty"`
	Process string              `json:"process,omitempty"`
	Match   string              `json:"match,omitempty"`
	Exe     string              `json:"exe,omitempty"`
	PIDFile string              `json:"pidfile,omitempty"`
	Unit    string              `json:"unit,omitempty"`
	Port    int                 `json:"port,omitempty"`
	User    string              `json:"user,omitempty"`
	Min     int                 `json:"min,omitempty"`
	Max     int                 `json:"max,omitempty"`
	Restart float64             `json:"restart_within_seconds,omitempty"`
	Hosts   []previewHostRecord `json:"hosts"`
}

type previewHostRecord struct {
	Host    string         `json:"host"`
	Address string         `json:"address"`
	Error   string         `json:"error,omitempty"`
	Count   *int           `json:"count,omitempty"`
	Verdict string         `json:"verdict,omitempty"`
	Problem string         `json:"problem,omitempty"`
	Reason  string         `json:"reason,omitempty"`
	Matches []previewMatch `json:"matches,omitempty"`
}

type previewMatch struct {
	PID     int    `json:"pid"`
	User    string `json:"user,omitempty"`
	Name    string `json:"name,omitempty"`
	Command string `json:"command,omitempty"`
}

// writeJSON prints one array with an object a line.
func (p *preview) writeJSON(w io.Writer) error {
	if len(p.lines) == 0 {
		_, err := io.WriteString(w, "[]\n")
		return err
	}
	out := bufio.NewWriter(w)
	before := "[\n"
	for _, l := range p.lines {
		object, err := jsonLine(l.record(p.file))
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s%s", before, bytes.TrimSuffix(object, []byte("\n")))
		before = ",\n"
	}
	fmt.Fprint(out, "\n]\n")
	return out.Flush()
}

func (l *previewLine) record(file string) previewRecord {
	r := &l.rule
	record := previewRecord{
		File: file, Line: l.line, PID: l.pid, Process: r.Name, Match: r.Match, Exe: r.Exe, PIDFile: r.PIDFile, Unit: r.Unit,
		Port: r.Port, User: r.User, Min: r.Min, Max: r.Max, Restart: r.RestartWithin.Seconds(),
		Hosts: make([]previewHostRecord, len(l.hosts)),
	}
	for i := range l.hosts {
		h := &l.hosts[i]
		to := &record.Hosts[i]
		to.Host, to.Address = h.host.Name, h.host.Address.String()
		if h.err != nil {
			to.Error = reason(h.host, h.err)
			continue
		}
		to.Verdict, to.Problem, to.Reason = l.verdict(&h.matches), h.matches.Problem, h.matches.Reason
		if h.matches.Problem == "" {
			to.Count = &h.matches.Total
		}
		for _, m := range h.matches.Matches {
			to.Matches = append(to.Matches, previewMatch{PID: m.ID.PID, User: m.User, Name: m.Name, Command: m.Command})
		}
	}
	return record
}

// writeJSON prints a value on a line.
func writeJSON(w io.Writer, value any) error {
	line, err := jsonLine(value)
	if err == nil {
		_, err = w.Write(line)
	}
	return err
}

// jsonLine returns a value on a line that no terminal acts upon.
func jsonLine(value any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return nil, err
	}
	return render.EscapeJSON(b.Bytes()), nil
}
