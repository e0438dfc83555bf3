package proc

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// AppendArguments appends a command line, as the kernel gives it, as ps shows
// it in a UTF-8 locale: a space for the NUL after each argument and for each
// newline, and other characters for what is not printable. A last space of a
// command line without a NUL at its end, as programs leave that write their own
// title, is cut.
func AppendArguments(b, cmdline []byte) []byte {
	args := bytes.TrimRight(cmdline, "\x00")
	if n := len(args); n == len(cmdline) && n > 0 && (args[n-1] == ' ' || args[n-1] == '\n') {
		args = args[:n-1]
	}
	for i, c := range args {
		if c == 0 || c == '\n' {
			args[i] = ' '
		}
	}
	return AppendPrintable(b, args)
}

// AppendPrintable appends s with a question mark for every character that is
// not printable in the sense of the C library (control characters, line and
// paragraph separators, and what Unicode has not assigned; characters that turn
// the direction of text are printable) and for every byte that is part of no
// character. Like ps (4.0.2) it gives up at the first byte that cannot begin a
// character: from there on all but ASCII becomes question marks, and control
// characters become dots.
func AppendPrintable(b, s []byte) []byte {
	text, rest := s[:validLen(s)], s[validLen(s):]
	for len(text) > 0 {
		if c := text[0]; c < utf8.RuneSelf {
			if c < ' ' || c == 0x7f {
				c = '?'
			}
			b, text = append(b, c), text[1:]
			continue
		}
		char := text[:charLen(text)]
		if printable(char) {
			b = append(b, char...)
		} else {
			b = append(b, '?')
		}
		text = text[len(char):]
	}
	for _, c := range rest {
		switch {
		case c >= utf8.RuneSelf:
			c = '?'
		case c < ' ' || c == 0x7f:
			c = '.'
		}
		b = append(b, c)
	}
	return b
}

// validLen is the length of s up to the first byte that cannot begin a
// character, judged by the first byte of each character alone.
func validLen(s []byte) int {
	i := 0
	for i < len(s) {
		n := 1
		switch c := s[i]; {
		case c < utf8.RuneSelf:
		case c < 0xc2 || c > 0xf4:
			return i
		case c < 0xe0:
			n = 2
		case c < 0xf0:
			n = 3
		default:
			n = 4
		}
		if i+n > len(s) {
			return i
		}
		i += n
	}
	return i
}

// charLen is the length of the first character of s, 1 if it is none. The C
// library takes numbers just beyond Unicode for a character.
func charLen(s []byte) int {
	const beyond = 4
	if len(s) >= beyond && s[0] == 0xf4 && continues(s[1]) && continues(s[2]) && continues(s[3]) {
		return beyond
	}
	_, size := utf8.DecodeRune(s)
	return size
}

func continues(c byte) bool { return c&0xc0 == 0x80 }

// printable says whether s is one character that iswprint(3) accepts.
func printable(s []byte) bool {
	r, size := utf8.DecodeRune(s)
	if size < len(s) || r == utf8.RuneError && size == 1 {
		return false
	}
	return unicode.IsPrint(r) || unicode.In(r, unicode.Zs, unicode.Cf, unicode.Co)
}
