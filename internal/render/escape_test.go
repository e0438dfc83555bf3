package render

import (
	"bytes"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"dtc/internal/bounds"
)

func TestEscape(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{`plain ~ text\n`, `plain ~ text\n`},
		{"a\x1b[31mred\a", `a\x1b[31mred\x07`},
		{"line\nnext\r\n\t.", `line\nnext\r\n\t.`},
		{"\x00\x7f", `\x00\x7f`},
		{"\u0085\u009b", `\u0085\u009b`},
		{"\u061c\u200e\u200f", `\u061c\u200e\u200f`},
		{"abc\u202edcb\u202c", `abc\u202edcb\u202c`},
		{"\u2066\u2069\u206f", `\u2066\u2069\u206f`},
		{"\u2028\u2029", `\u2028\u2029`},
		{"\xff\xc2", `\xff\xc2`},
		{"\xed\xa0\x80", `\xed\xa0\x80`},
		{"\xc0\x9b", `\xc0\x9b`},
		{"中文 é 👍\u200d", "中文 é 👍\u200d"},
		{"\ufffd", "\ufffd"},
	} {
		if got := Escape(tt.in); got != tt.want {
			t.Errorf("Escape(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestEscapesOfTools(t *testing.T) {
	const in = "a\\ \x1b\n\x7f中\u202e\xff"
	for _, tt := range []struct {
		esc  escape
		want string
	}{
		{escapePS, "a\\ ???中??"},
		{escapeLsof, `a\\ ^[\n\x7f中\xe2\x80\xae\xff`},
		{escapeNone, in},
	} {
		if got := string(appendEscaped(nil, in, tt.esc)); got != tt.want {
			t.Errorf("escape %d: %q, want %q", tt.esc, got, tt.want)
		}
	}
}

// checkSafe fails if s has anything that a terminal may act upon, but for the
// newlines and tabs of the output itself.
func checkSafe(t *testing.T, s string) {
	t.Helper()
	if !utf8.ValidString(s) {
		t.Fatalf("not UTF-8: %q", s)
	}
	for _, r := range s {
		if r != '\n' && r != '\t' && unsafeRune(r) {
			t.Fatalf("%U in %q", r, s)
		}
	}
}

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "a", "\x1b]0;x\a", "\u202e\xff\xe2\x80", "中\r\n", "\xf0\x9f\x91"} {
		f.Add(s, 2)
	}
	f.Fuzz(func(t *testing.T, s string, cut int) {
		defer bounds.Alloc(t, len(s))()
		got := Escape(s)
		checkSafe(t, got)
		if strings.ContainsAny(got, "\n\t") {
			t.Fatalf("a line break in %q", got)
		}
		for esc := range escapeNone {
			checkSafe(t, string(appendEscaped(nil, s, esc)))
		}
		checkSafe(t, string(appendJSONString(nil, s)))

		// A stream is escaped the same however it is cut.
		whole, pieces := stream(t, s), ""
		if n := len(s); n > 0 {
			cut = (cut%n + n) % n
			pieces = stream(t, s[:cut], s[cut:])
		}
		checkSafe(t, whole)
		if whole != pieces {
			t.Fatalf("%q whole, %q in pieces", whole, pieces)
		}
	})
}

func stream(t *testing.T, parts ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := EscapingWriter(&out)
	for _, p := range parts {
		if n, err := w.Write([]byte(p)); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestEscapingWriter(t *testing.T) {
	for _, tt := range []struct {
		parts []string
		want  string
	}{
		{[]string{"one\ntwo\tx\r\nthree"}, "one\ntwo\tx\nthree"},
		{[]string{"a\r", "\nb"}, "a\nb"},
		{[]string{"a\r", "b"}, `a\rb`},
		{[]string{"progress\r"}, `progress\r`},
		{[]string{"\xe4", "\xb8", "\xad!"}, "中!"},
		{[]string{"\xe4", "x"}, `\xe4x`},
		{[]string{"\xe2\x80", "\xae"}, `\u202e`},
		{[]string{"\xf0\x9f\x91"}, `\xf0\x9f\x91`},
	} {
		if got := stream(t, tt.parts...); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.parts, got, tt.want)
		}
	}
	w := EscapingWriter(iotest.TruncateWriter(nil, 0))
	if _, err := w.Write(nil); err != nil {
		t.Error(err)
	}
}

func TestWidths(t *testing.T) {
	for s, want := range map[string]int{
		"": 0, "abc": 3, "中文": 4, "e\u0301": 1, "👍": 2, "é": 1, "ｱ": 1, "Ａ": 2, "한": 2, "\u200b": 0,
		"か\u3099": 2, "\u2060x\u2064": 1, "ᄒ\ud7b0": 2, "\U000e0041": 0, "\u0600": 1,
	} {
		if got := cellWidth([]byte(s)); got != want {
			t.Errorf("cellWidth(%q) = %d, want %d", s, got, want)
		}
	}
}
