package config

import (
	"bytes"
	"encoding/xml"
	"strconv"
	"strings"
	"time"
)

// place is where a host is to be written, and how.
type place struct {
	from, to      int    // of the file, to be replaced
	before, after string // what comes with it
	newline       string // between its elements; "" if all stands in one line
	indent, step  string // before it, and more before what is in it
}

// placeFor finds the place behind the last host, or else at the end of the root.
func placeFor(data []byte, root *node) place {
	hosts := hostNodes(root)
	switch {
	case len(hosts) > 0:
		return placeBehind(data, hosts[len(hosts)-1])
	case root.inner == root.end:
		return placeInEmpty(data, root)
	default:
		return placeAtEnd(data, root)
	}
}

func hostNodes(root *node) []*node {
	var hosts []*node
	for _, n := range root.children {
		if n.rule.name == "remote_host" {
			hosts = append(hosts, n)
		}
	}
	return hosts
}

// placeBehind is the end of the line in which a host ends: comments there are
// about that host. If it does not begin its line, the place is right behind it.
func placeBehind(data []byte, host *node) place {
	p := place{from: host.end, to: host.end}
	indent, ok := indentOf(data, host.start)
	if !ok {
		return p
	}
	if rest := bytes.TrimSuffix(data[host.end:lineEnd(data, host.end)], []byte("\r")); onlyComments(rest) {
		p.from = host.end + len(rest)
		p.to = p.from
	}
	p.indent = indent
	p.newline, p.step = newlineAt(data, host.start), indentStep(data, host, indent)
	p.before = p.newline + indent
	if len(host.children) > 0 {
		if _, ok := indentOf(data, host.children[0].start); !ok {
			p.newline, p.step = "", ""
		}
	}
	return p
}

// placeAtEnd is before the end tag of the root.
func placeAtEnd(data []byte, root *node) place {
	p := place{from: root.innerEnd, to: root.innerEnd, newline: newlineAt(data, root.innerEnd)}
	outer, own := indentOf(data, root.innerEnd)
	if !own {
		outer, _ = indentOf(data, root.start)
	}
	p.indent, p.step = outer+"  ", "  "
	if len(root.children) > 0 {
		if indent, ok := indentOf(data, root.children[0].start); ok {
			p.indent = indent
			p.step = indentStep(data, root, outer)
		}
	}
	if own {
		p.from = lineStart(data, root.innerEnd)
		p.to = p.from
		p.before, p.after = p.indent, p.newline
		return p
	}
	p.before, p.after = p.newline+p.indent, p.newline+outer
	return p
}

// placeInEmpty is in a root of the form <monitor/>, which has to be opened.
func placeInEmpty(data []byte, root *node) place {
	tag := data[root.start:root.end]
	name := tagName(tag[1:])
	outer, _ := indentOf(data, root.start)
	newline := newlineAt(data, root.start)
	return place{
		from: root.start, to: root.end,
		before:  "<" + name + ">" + newline + outer + "  ",
		after:   newline + outer + "</" + name + ">",
		newline: newline, indent: outer + "  ", step: "  ",
	}
}

// hostText writes the element of a host from its first to its last bracket.
func hostText(h Host, interval time.Duration, p place) string {
	var b strings.Builder
	field := func(name, value string) {
		if p.newline != "" {
			b.WriteString(p.newline + p.indent + p.step)
		}
		b.WriteString("<" + name + ">")
		_ = xml.EscapeText(&b, []byte(value)) // a Builder does not fail
		b.WriteString("</" + name + ">")
	}
	b.WriteString("<remote_host>")
	field("ip_port", h.Address.String())
	if h.Name != "" && h.Name != h.Address.String() {
		field("name", h.Name)
	}
	for _, g := range h.Groups {
		field("group", g)
	}
	if len(h.PIDs) > 0 {
		pids := make([]string, len(h.PIDs))
		for i, pid := range h.PIDs {
			pids[i] = strconv.Itoa(pid)
		}
		field("monitor_pid", strings.Join(pids, ","))
	}
	if h.DetectInterval != 0 && h.DetectInterval != interval {
		field("detect_interval_time", strconv.Itoa(int(h.DetectInterval/time.Second)))
	}
	if p.newline != "" {
		b.WriteString(p.newline + p.indent)
	}
	b.WriteString("</remote_host>")
	return b.String()
}

// lineStart returns where the line begins in which pos is.
func lineStart(data []byte, pos int) int {
	return bytes.LastIndexByte(data[:pos], '\n') + 1
}

// lineEnd returns where the '\n' stands that ends the line of pos, or the end of
// the file.
func lineEnd(data []byte, pos int) int {
	if i := bytes.IndexByte(data[pos:], '\n'); i >= 0 {
		return pos + i
	}
	return len(data)
}

func blank(b []byte) bool { return len(bytes.Trim(b, " \t\r")) == 0 }

// indentOf returns the white space before pos in its line; "" and false if
// something else stands there.
func indentOf(data []byte, pos int) (string, bool) {
	before := bytes.TrimPrefix(data[lineStart(data, pos):pos], []byte(byteOrderMark))
	if !blank(before) {
		return "", false
	}
	return string(before), true
}

// indentStep returns by how much the first element in parent, whose own
// indentation is outer, is indented more.
func indentStep(data []byte, parent *node, outer string) string {
	if len(parent.children) > 0 {
		inner, ok := indentOf(data, parent.children[0].start)
		if step, more := strings.CutPrefix(inner, outer); ok && more && step != "" {
			return step
		}
	}
	return "  "
}

// newlineAt returns the line end that is in use before pos, else behind it.
func newlineAt(data []byte, pos int) string {
	i := bytes.LastIndexByte(data[:pos], '\n')
	if i < 0 {
		i = bytes.IndexByte(data, '\n')
	}
	if i > 0 && data[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// onlyComments says whether b, the rest of a line, is white space and whole
// comments.
func onlyComments(b []byte) bool {
	for {
		b = bytes.TrimLeft(b, " \t")
		rest, ok := bytes.CutPrefix(b, []byte("<!--"))
		if !ok {
			return len(b) == 0
		}
		if _, b, ok = bytes.Cut(rest, []byte("-->")); !ok {
			return false
		}
	}
}
