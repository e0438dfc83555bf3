package config

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"unicode"
)

const (
	maxDepth    = 32      // elements in one another
	maxElements = 200_000 // in a file
)

// node is one element of a file that its rules know.
type node struct {
	rule     *rule
	attrs    []attr
	children []*node
	text     string // its value without the white space round it
	line     int    // of its start tag
	textLine int    // of the first character of its value, else of its start tag
	broken   bool   // a fault in it is told already, and its value is not whole

	// What it holds that its rule does not know: the names of the attributes that
	// were probably meant, and whether there are such elements. Nobody is to be
	// told that these are missing.
	meant    []string
	unknowns bool

	// Where it stands in the file, in bytes: from its start tag to behind its
	// end tag, and between the two. In an empty tag, <x/>, inner is end.
	start, inner, innerEnd, end int
}

// attr is an attribute that the rule of its element knows.
type attr struct {
	rule   *attribute
	value  string // without the white space round it
	line   int
	broken bool // a fault in it is told already
	cut    bool // there was such white space
}

// frame is an element whose end is yet to come.
type frame struct {
	name   string
	line   int
	node   *node           // nil of one that no rule knows: all in it is skipped
	muted  bool            // its start tag is broken, and what seems to stand in it may be pieces of that
	text   strings.Builder // of an element with a value
	seen   map[string]int  // the lines of the first elements in it, by name
	healed map[string]int  // how many elements in it had no end tag, by name
}

func (f *frame) holdsValue() bool { return f.node != nil && f.node.rule.holdsValue() }

// is says whether it is an element of that name that its rule knows.
func (f *frame) is(name string) bool { return f.node != nil && f.node.rule.name == name }

// leaf says whether no element may stand in it.
func (f *frame) leaf() bool { return f.node != nil && f.node.rule.in == nil }

// parser makes the tree of a file of the tokens of encoding/xml. It pairs the
// tags itself: so it can go on behind a fault, and tell the next one too.
type parser struct {
	*faults
	data   []byte
	dec    *xml.Decoder
	base   int // where in data dec began
	rules  *rule
	root   *node
	rooted bool     // root is from the file
	dirty  bool     // data has stand-ins for what is no text
	open   []*frame // from the root inwards
	count  int      // of elements
	errors int      // of XML
	told   int      // the line of the last error of XML that was told
	shy    bool     // a tag with a secret is broken: what comes may be pieces of that, and is not shown

	pos, line int // a place in data and its line, see lineAt
}

// parseTree reads a file by the rules of its root. The root that it returns is
// never nil; what is wrong is in f.
func parseTree(data []byte, rules *rule, f *faults) *node {
	p := &parser{faults: f, rules: rules, line: 1, root: &node{rule: rules, line: 1}}
	if p.prepare(data) {
		for p.next() {
		}
	}
	return p.root
}

// next takes one token, false at the end.
func (p *parser) next() bool {
	start := p.offset()
	token, err := p.dec.RawToken()
	if errors.Is(err, io.EOF) {
		p.finish()
		return false
	}
	if err != nil {
		return p.resume(start, err)
	}
	switch token := token.(type) {
	case xml.StartElement:
		p.startTag(start, token)
		return p.bounded(start)
	case xml.EndElement:
		p.endTag(start, fullName(token.Name))
	case xml.CharData:
		p.chars(start, token)
	case xml.ProcInst:
		p.instruction(start, token.Target)
	case xml.Directive:
		word, _, _ := strings.Cut(string(token[:min(len(token), maxQuoted)]), " ")
		p.addf(p.lineAt(start), "declaration <!%s …>, expected elements only: no document type and no entities of its own", p.name(word))
	}
	return true
}

// offset is how much of data is read.
func (p *parser) offset() int { return p.base + int(p.dec.InputOffset()) }

// lineAt returns the line of a place in data, best near the last one.
func (p *parser) lineAt(pos int) int {
	if pos < p.pos {
		p.line -= bytes.Count(p.data[pos:p.pos], []byte("\n"))
	} else {
		p.line += bytes.Count(p.data[p.pos:pos], []byte("\n"))
	}
	p.pos = pos
	return p.line
}

// top is the innermost open element, nil outside of the root.
func (p *parser) top() *frame {
	if len(p.open) == 0 {
		return nil
	}
	return p.open[len(p.open)-1]
}

func (p *parser) startTag(pos int, tag xml.StartElement) {
	f := p.push(pos, fullName(tag.Name), whole)
	if f.node != nil && len(tag.Attr) > 0 {
		f.node.attrs = p.attributes(f, tag.Attr)
	}
}

// bounded says whether the file is still one that takes little time and memory.
func (p *parser) bounded(pos int) bool {
	p.count++
	switch {
	case len(p.open) > maxDepth:
		p.addf(p.lineAt(pos), "elements stand more than %d deep in one another; nothing from here on is checked", maxDepth)
	case p.count > maxElements:
		p.addf(p.lineAt(pos), "there are more than %d elements; nothing from here on is checked", maxElements)
	default:
		return true
	}
	p.abandon()
	return false
}

// condition is that of a start tag.
type condition int

const (
	whole   condition = iota
	damaged           // a syntax error in it is told; nothing else is to be said of it
)

// push opens the element whose start tag begins at pos.
func (p *parser) push(pos int, name string, tag condition) *frame {
	line := p.lineAt(pos)
	if p.unclosed(name) {
		p.heal(pos, "<"+name+">")
	}
	f := &frame{name: name, line: line}
	parent := p.top()
	r := p.ruleFor(parent, f, tag)
	f.muted = parent != nil && parent.muted || tag == damaged && r != nil && r.bare
	p.shy = p.shy || tag == damaged && (p.keepsSecrets(name) || parent != nil && parent.is(notifyElement))
	if r != nil {
		f.node = &node{rule: r, line: line, textLine: line, start: pos, inner: p.offset(), broken: tag == damaged}
		if parent == nil {
			p.root, p.rooted = f.node, true
		} else {
			parent.node.children = append(parent.node.children, f.node)
		}
	}
	p.open = append(p.open, f)
	return f
}

// ruleFor finds the rule of the element f in its parent, and notes if it has
// none there or stands there again.
func (p *parser) ruleFor(parent, f *frame, tag condition) *rule {
	switch {
	case parent == nil && !p.rooted:
		return p.rules
	case parent == nil:
		p.addf(f.line, "second root element <%s>, expected one element around all", p.name(f.name))
		return nil
	case parent.node == nil || parent.muted:
		return nil // of unknown elements in one another the outermost is told
	case parent.node.rule.bare:
		p.addf(f.line, "element <%s> in <%s>, expected %s", p.name(f.name), parent.name, parent.node.rule.inside())
		return nil
	case parent.holdsValue():
		p.addf(f.line, "element <%s> in <%s>, expected %s", p.name(f.name), parent.name, parent.node.rule.want)
		parent.node.broken = true
		return nil
	}
	r := parent.node.rule.child(f.name)
	if r != nil {
		p.repeated(parent, f, r)
		return r
	}
	parent.node.unknowns = true
	if tag == whole {
		p.unknown(parent.node.rule, f)
	}
	return r
}

// unknown notes an element that has no rule in its parent's.
func (p *parser) unknown(in *rule, f *frame) {
	if p.late(f.line) {
		p.drop(f.line) // the search for what was meant takes time
		return
	}
	p.addf(f.line, "unknown element <%s>%s, expected %s", p.name(f.name), in.meant(f.name), in.expected())
}

// repeated notes an element that may stand only once and has stood already.
func (p *parser) repeated(parent, f *frame, r *rule) {
	if r.repeat {
		return
	}
	if first, ok := parent.seen[f.name]; ok {
		p.addf(f.line, "repeated element <%s>, expected once: it stands in line %d already", f.name, first)
		return
	}
	if parent.seen == nil {
		parent.seen = map[string]int{}
	}
	parent.seen[f.name] = f.line
}

// attributes checks those of a start tag and keeps those that the rule knows.
func (p *parser) attributes(f *frame, list []xml.Attr) []attr {
	var kept []attr
	seen := map[string]bool{}
	pos := f.node.start + len("<") + len(f.name)
	for _, a := range list {
		name := fullName(a.Name)
		for isSpace(rune(p.data[pos])) {
			pos++
		}
		line := p.lineAt(pos)
		known := f.node.rule.attribute(name)
		switch {
		case seen[name]:
			p.addf(line, "repeated attribute %s of <%s>, expected once", p.name(name), p.name(f.name))
		case known == nil:
			p.unknownAttribute(f, name, line)
		default:
			value := attributeValue(a.Value)
			kept = append(kept, attr{
				rule: known, value: value, line: line,
				broken: p.dirty && strings.Contains(value, standIn), cut: strings.TrimFunc(a.Value, isSpace) != a.Value,
			})
		}
		seen[name] = true
		pos = behindAttribute(p.data, pos)
	}
	return kept
}

// unknownAttribute notes an attribute that the rule of its element does not have.
func (p *parser) unknownAttribute(f *frame, name string, line int) {
	if p.late(line) {
		p.drop(line) // as of an element
		return
	}
	hint := ""
	if meant := f.node.rule.meantAttribute(name); meant != "" {
		f.node.meant = append(f.node.meant, meant)
		hint = " (did you mean " + meant + "?)"
	}
	p.addf(line, "unknown attribute %s of <%s>%s, expected %s", p.name(name), p.name(f.name), hint, f.node.rule.expectedAttrs())
}

// keepsSecrets says whether an element of that name has attributes that no fault
// shows.
func (p *parser) keepsSecrets(name string) bool {
	notify := p.rules.child(notifyElement)
	return notify != nil && notify.child(name) != nil
}

// quote is quote for what stands in the file.
func (p *parser) quote(s string) string {
	if p.shy {
		return hidden
	}
	return quote(s)
}

// name likewise is quoteName.
func (p *parser) name(s string) string {
	if p.shy {
		return hidden
	}
	return quoteName(s)
}

// hidden stands for what may be a secret.
const hidden = "…"

// behindAttribute returns where the attribute ends that begins at pos: behind
// the second of its quotes.
func behindAttribute(data []byte, pos int) int {
	open := pos + bytes.IndexAny(data[pos:], `"'`)
	return open + 1 + bytes.IndexByte(data[open+1:], data[open]) + 1
}

// chars takes text.
func (p *parser) chars(start int, text []byte) {
	trimmed := bytes.TrimFunc(text, isSpace)
	f := p.top()
	if f != nil && f.holdsValue() {
		if f.text.Len() == 0 && len(trimmed) > 0 {
			f.node.textLine = p.textLine(start)
		}
		if f.text.Len() > 0 || len(trimmed) > 0 {
			f.text.Write(text)
		}
		return
	}
	switch {
	case len(trimmed) == 0 || f != nil && (f.node == nil || f.muted):
	case p.dirty && bytes.Contains(trimmed, []byte(standIn)): // told as what it was
	case f == nil:
		p.addf(p.textLine(start), "stray text %s outside of the root element, expected nothing there", p.quote(string(trimmed)))
	case f.leaf() || f.is(notifyElement): // what is meant for an attribute may be a secret
		p.addf(p.textLine(start), "stray text in <%s>, expected %s", p.name(f.name), f.node.rule.inside())
	default:
		p.addf(p.textLine(start), "stray text %s in <%s>, expected only elements there", p.quote(string(trimmed)), p.name(f.name))
	}
}

// textLine returns the line of the first character of the token just read.
func (p *parser) textLine(start int) int {
	raw := p.data[start:p.offset()]
	space := len(raw) - len(bytes.TrimLeftFunc(raw, isSpace))
	return p.lineAt(start + space)
}

// pop closes the innermost open element; its end tag stands from start to end.
func (p *parser) pop(start, end int) {
	f := p.top()
	p.open = p.open[:len(p.open)-1]
	if f.node == nil {
		return
	}
	f.node.innerEnd, f.node.end = start, end
	f.node.text = strings.TrimFunc(f.text.String(), isSpace)
	f.node.broken = f.node.broken || p.dirty && strings.Contains(f.node.text, standIn)
}

// isSpace is what is ignored round a value.
func isSpace(r rune) bool { return unicode.IsSpace(r) }

func fullName(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}
