package follow

import "strings"

// Rotation says how a name is made of another one by a rotation.
type Rotation struct {
	Base       string // the name that is rotated
	Index      int    // of app.log.3, -1 if there is none
	Date       string // the digits of a date in the name, "" if there is none
	Compressed bool
}

// maxRotations bounds the readings of one name.
const maxRotations = 8

// Rotations returns every way to read name as that of a rotated file: with a
// number, a date or a word for old behind it (app.log.1, app.log-20261122,
// app.log.old), a date or a dotted number before its extension
// (app-2026-11-22.log, app.1.log), each perhaps compressed.
func Rotations(name string) []Rotation {
	var all []Rotation
	stem, compressed := trimCompression(name)
	if compressed {
		all = append(all, Rotation{Base: stem, Index: -1, Compressed: true})
	}
	add := func(base, token string, dated bool) {
		index, date, ok := parseToken(token)
		if base == "" || !ok || dated && date == "" || len(all) >= maxRotations {
			return
		}
		all = append(all, Rotation{Base: base, Index: index, Date: date, Compressed: compressed})
	}
	for i := len(stem) - 1; i > 0; i-- {
		if isSeparator(stem[i]) {
			add(stem[:i], stem[i+1:], false)
		}
	}
	if base, ok := strings.CutSuffix(stem, "~"); ok {
		add(base, "old", false)
	}
	dot := strings.LastIndexByte(stem, '.')
	if dot <= 0 || !isWord(stem[dot+1:]) {
		return all
	}
	front, ext := stem[:dot], stem[dot:]
	for i := len(front) - 1; i > 0; i-- {
		if isSeparator(front[i]) {
			add(front[:i]+ext, front[i+1:], front[i] != '.')
		}
	}
	return all
}

func isSeparator(c byte) bool { return c == '.' || c == '-' || c == '_' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isWord(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') })
}

// parseToken reads what a rotation put into a name: a small number, a date and
// time, or a word for old.
func parseToken(s string) (index int, date string, ok bool) {
	switch s {
	case "":
		return -1, "", false
	case "old", "bak", "prev", "save", "saved", "backup":
		return 1, "", true
	}
	digits := make([]byte, 0, len(s))
	for i := range len(s) {
		switch c := s[i]; {
		case isDigit(c):
			digits = append(digits, c)
		case i == 0 || !strings.ContainsRune("-_.:TZ+", rune(c)):
			return -1, "", false
		}
	}
	if len(digits) == len(s) && len(s) <= 5 {
		for _, c := range digits {
			index = index*10 + int(c-'0')
		}
		return index, "", true
	}
	return -1, string(digits), len(digits) >= 6 && len(digits) <= 30
}

func trimCompression(name string) (string, bool) {
	for _, ext := range []string{".gz", ".bz2", ".xz", ".zst", ".zstd", ".lz4", ".lz", ".lzma", ".lzo", ".zip", ".7z", ".Z", ".br"} {
		if stem, ok := strings.CutSuffix(name, ext); ok && stem != "" {
			return stem, true
		}
	}
	return name, false
}
