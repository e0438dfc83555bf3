package config

import (
	"bytes"
	"regexp"
	"strings"
	"unicode/utf8"
)

// standIn takes the place of a byte that is no text, so that reading can go on.
// A value with it is not looked at.
const standIn = "\x7f"

const byteOrderMark = "\xef\xbb\xbf"

// prepare looks at a file before its first token: size, encoding, declaration.
// It returns false if there is nothing to read in it.
func (p *parser) prepare(data []byte) bool {
	switch {
	case len(data) > MaxSize:
		p.addf(1, "the file is too large, expected at most %d bytes", MaxSize)
		return false
	case isWide(data):
		p.addf(1, "the file is in UTF-16 or UTF-32, expected UTF-8: save it in that encoding")
		return false
	}
	p.data = p.text(data)
	begin := 0
	if bytes.HasPrefix(data, []byte(byteOrderMark)) {
		begin = len(byteOrderMark)
	}
	p.restart(begin + p.declaration(p.data[begin:]))
	return true
}

// isWide says whether a file is in an encoding of more than a byte a character.
func isWide(data []byte) bool {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return true
	}
	return len(data) >= 4 && (data[0] == 0) != (data[1] == 0) && (data[2] == 0) != (data[3] == 0) ||
		bytes.HasPrefix(data, []byte("\x00\x00\xfe\xff"))
}

// text notes what is no text in a file, of each line the first such byte, and
// returns the file with stand-ins of the same length.
func (p *parser) text(data []byte) []byte {
	line, told := 1, 0
	for pos := 0; pos < len(data); {
		r, size := utf8.DecodeRune(data[pos:])
		if r == '\n' {
			line++
		}
		invalid := r == utf8.RuneError && size == 1
		if !invalid && isXMLChar(r) {
			pos += size
			continue
		}
		if told != line {
			told = line
			p.nonText(line, r, data[pos])
		}
		if !p.dirty {
			p.dirty, data = true, bytes.Clone(data)
		}
		copy(data[pos:pos+size], strings.Repeat(standIn, size))
		pos += size
	}
	return data
}

func (p *parser) nonText(line int, r rune, b byte) {
	if r == utf8.RuneError {
		p.addf(line, "byte 0x%02x is not UTF-8, expected the file in that encoding", b)
		return
	}
	p.addf(line, "character %U, expected text without control characters", r)
}

// isXMLChar is the production Char of XML 1.0.
func isXMLChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r <= 0xd7ff || r >= 0xe000 && r <= 0xfffd || r >= 0x10000
}

// declaration looks at <?xml …?> at the very beginning and returns its length.
func (p *parser) declaration(data []byte) int {
	rest, ok := bytes.CutPrefix(data, []byte("<?xml"))
	if !ok || len(rest) == 0 || !isSpace(rune(rest[0])) {
		return 0
	}
	inside, _, ok := bytes.Cut(rest, []byte("?>"))
	if !ok {
		return 0 // the decoder tells that it is not closed
	}
	p.declared(string(inside))
	return len("<?xml") + len(inside) + len("?>")
}

// declared checks what stands in the declaration, which is at most version,
// encoding and standalone, in this order.
func (p *parser) declared(inside string) {
	if strings.TrimRight(inside, " ") == ` version="1.0" encoding="UTF-8"` {
		return // nearly always so: the expression below takes longer than the whole file
	}
	value := `\s*=\s*(?:"([^"<]*)"|'([^'<]*)')`
	form := regexp.MustCompile(`^\s+version` + value + `(?:\s+encoding` + value + `)?(?:\s+standalone` + value + `)?\s*$`)
	m := form.FindStringSubmatch(inside)
	if m == nil {
		p.addf(1, `XML declaration %s, expected <?xml version="1.0" encoding="UTF-8"?>`, quote(inside))
		return
	}
	version, encoding := m[1]+m[2], m[3]+m[4]
	if !strings.HasPrefix(version, "1.") {
		p.addf(1, "XML of version %s, expected 1.0", quote(version))
	}
	if strings.Contains(inside, "encoding") && !strings.EqualFold(encoding, "UTF-8") && !strings.EqualFold(encoding, "UTF8") {
		p.addf(1, "the file declares the encoding %s, expected UTF-8: save it in that encoding", quote(encoding))
	}
}
