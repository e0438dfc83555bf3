package config

import (
	"bytes"
	"encoding/xml"
	"errors"
	"strings"

	"dtc"
)

// How the parser goes on behind what is no XML, so that the faults behind it
// are told with it.

// maxErrors is the number of errors of XML in a file after which it is given up.
const maxErrors = 1000

// restart begins to read tokens at a place in data.
func (p *parser) restart(pos int) {
	p.base = pos
	p.dec = xml.NewDecoder(bytes.NewReader(p.data[pos:]))
}

// resume notes the error in the token that begins at start, and goes on at the
// next tag; false if there is none.
func (p *parser) resume(start int, err error) bool {
	at := max(p.offset(), start+1) // behind what the error is about
	msg := ""                      // of <?xml …?>, whose version and encoding are looked at
	if syn, ok := errors.AsType[*xml.SyntaxError](err); ok {
		msg = syn.Msg
	}
	if strings.HasPrefix(msg, "unexpected EOF") && p.data[start] == '<' {
		p.unfinished(start)
		return false
	}
	p.syntax(start, at, msg)
	if p.errors++; p.errors > maxErrors {
		p.addf(p.lineAt(at-1), "too much that is not XML; nothing from here on is checked")
		p.abandon()
		return false
	}
	if p.data[at-1] == '<' && at-1 > start {
		at-- // a tag that stands where something else should end
	}
	next := len(p.data)
	if i := bytes.IndexByte(p.data[at:], '<'); i >= 0 {
		next = at + i
	}
	p.spoil(start, p.data[at:next])
	p.restart(next)
	return p.bounded(start)
}

// abandon ends the reading of a file in its midst: nothing is to be said of what
// the elements lack that are still open.
func (p *parser) abandon() {
	for len(p.open) > 0 {
		if n := p.top().node; n != nil {
			n.broken = true
		}
		p.pop(len(p.data), len(p.data))
	}
}

// unfinished notes that the file ends in the midst of a token with brackets.
func (p *parser) unfinished(start int) {
	what, end := "tag", ">"
	for _, k := range []struct{ begin, what, end string }{
		{"<!--", "comment", "-->"},
		{"<![CDATA[", "CDATA section", "]]>"},
		{"<!", "declaration", ">"},
		{"<?", "processing instruction", "?>"},
	} {
		if bytes.HasPrefix(p.data[start:], []byte(k.begin)) {
			what, end = k.what, k.end
			break
		}
	}
	p.addf(p.lineAt(start), "the %s that begins here is not closed, expected %s; nothing from here on is checked", what, end)
	p.abandon()
}

// syntax notes an error of XML, of several in a line the first.
func (p *parser) syntax(start, at int, msg string) {
	if msg == "" {
		p.instruction(start, "xml")
		return
	}
	if p.data[start] == '<' && strings.HasPrefix(msg, badEntity) {
		msg = badEntity // in an attribute, where it may be a piece of a secret
	}
	if line := p.lineAt(at - 1); line != p.told {
		p.told = line
		if p.shy { // the text may show a piece of it
			p.addf(line, "not XML, as a tag before it is broken")
			return
		}
		p.addf(line, "not XML: %s%s", quoteName(msg), syntaxHint(msg))
	}
}

// badEntity is how encoding/xml begins what it says of one. That it shows goes on.
const badEntity = "invalid character entity"

// syntaxHint says what is expected in place of the most common errors.
func syntaxHint(msg string) string {
	switch {
	case strings.HasPrefix(msg, badEntity):
		return ", expected &amp; for & (entities: &amp; &lt; &gt; &quot; &apos; &#N;)"
	case strings.HasPrefix(msg, "unescaped <"):
		return ", expected the quote that closes it, or &lt; for <"
	case strings.HasPrefix(msg, "expected element name after <"):
		return ", or &lt; for <"
	case strings.HasPrefix(msg, "unquoted"):
		return `, expected name="value"`
	}
	return ""
}

// instruction notes a processing instruction.
func (p *parser) instruction(start int, target string) {
	line := p.lineAt(start)
	if strings.EqualFold(target, "xml") {
		p.addf(line, "XML declaration <?%s …?>, expected only at the very beginning of the file", target)
		return
	}
	p.addf(line, "processing instruction <?%s …?>, expected elements only", p.name(target))
}

// spoil does what the broken token at start would have done to the tree; rest is
// what stands between the error in it and the next tag.
func (p *parser) spoil(start int, rest []byte) {
	token := p.data[start:min(len(p.data), start+maxTagName)]
	f := p.top()
	begin, tag := bytes.CutPrefix(token, []byte("<"))
	name := tagName(begin)
	switch {
	case tag && bytes.HasPrefix(begin, []byte("/")):
		if name = tagName(begin[1:]); name == "" && f != nil {
			name = f.name
		}
		p.endTag(start, name)
	case tag && name != "" && (f == nil || !f.holdsValue() || p.unclosed(name)):
		p.push(start, name, damaged)
		if before, _, ok := bytes.Cut(rest, []byte(">")); ok && bytes.HasSuffix(before, []byte("/")) {
			p.pop(start, start)
		}
	case f != nil && f.node != nil:
		f.node.broken = true
	}
}

// maxTagName is how much of a broken tag is looked at for its name, in bytes.
const maxTagName = 200

// tagName returns the name at the beginning of a broken tag, "" for none.
func tagName(b []byte) string {
	b = bytes.TrimLeft(b, " ")
	end := bytes.IndexFunc(b, func(r rune) bool {
		return isSpace(r) || strings.ContainsRune(`<>/="'&?!`, r)
	})
	if end < 0 {
		end = len(b)
	}
	return string(b[:end])
}

// endTag takes the end tag that begins at pos.
func (p *parser) endTag(pos int, name string) {
	f := p.top()
	switch {
	case f == nil:
		p.addf(p.lineAt(pos), "end tag </%s> without its start tag", p.name(name))
	case f.name == name:
		p.pop(pos, p.offset())
	case f.healed[name] > 0:
		f.healed[name]-- // the end of an element that was closed early, which is told
	case p.isOpen(name):
		for p.top().name != name {
			p.heal(pos, "</"+name+">")
		}
		p.pop(pos, p.offset())
	case f.muted:
	case f.node == nil || f.leaf() || dtc.Nearest(name, []string{f.name}) != "":
		p.addf(p.lineAt(pos), "end tag </%s>, expected </%s>", p.name(name), p.name(f.name))
		p.pop(pos, p.offset())
	default:
		p.addf(p.lineAt(pos), "end tag </%s> without its start tag", p.name(name))
	}
}

func (p *parser) isOpen(name string) bool {
	for _, f := range p.open {
		if f.name == name {
			return true
		}
	}
	return false
}

// unclosed says whether the innermost open element lacks its end tag: it holds
// a value, and what begins now may stand beside it.
func (p *parser) unclosed(next string) bool {
	f := p.top()
	return f != nil && f.leaf() && len(p.open) > 1 && p.open[len(p.open)-2].node.rule.child(next) != nil
}

// heal closes the innermost open element, whose end tag is missing at pos.
func (p *parser) heal(pos int, before string) {
	f := p.top()
	switch {
	case f.muted || f.node != nil && f.node.broken:
	case f.node != nil && f.node.rule.bare:
		p.addf(f.line, "<%s> is not closed, expected /> at the end of its tag", p.name(f.name))
	default:
		p.addf(f.line, "<%s> is not closed, expected </%s> before %s in line %d",
			p.name(f.name), p.name(f.name), p.name(before), p.lineAt(pos))
	}
	p.pop(pos, pos)
	if f.holdsValue() && f.node.text == "" {
		f.node.broken = true
	}
	if parent := p.top(); parent != nil {
		if parent.healed == nil {
			parent.healed = map[string]int{}
		}
		parent.healed[f.name]++
	}
}

// finish notes what is still open, or was never there, at the end of the file.
func (p *parser) finish() {
	if !p.rooted && p.errors == 0 {
		p.addf(1, "no element in it, expected one around all, with %s", p.rules.expected())
	}
	for len(p.open) > 0 {
		p.heal(len(p.data), "the end of the file")
	}
}
