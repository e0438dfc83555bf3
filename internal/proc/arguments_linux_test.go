package proc

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"dtc/internal/bounds"
)

func TestArguments(t *testing.T) {
	for cmdline, want := range map[string]string{
		"a\x00b c\x00":             "a b c",
		"a\x00\x00b\x00\x00\x00":   "a  b",
		"title ":                   "title",
		"title\n":                  "title",
		"title \x00":               "title ",
		"a\nb\x00":                 "a b",
		"\x00":                     "",
		"":                         "",
		"é\x01\x7f\u0085\u202e":    "é???\u202e",
		"\xff\x01é":                "?.??",
		"é \xe2\x82":               "é ??",
		"\xf4\x90\x80\x80 é":       "? é",
		"\u0378 \ue000 \u2028":     "? \ue000 ?",
		"\xed\xa0\x80 日":           "??? 日",
		strings.Repeat("x", 10000): strings.Repeat("x", 10000),
	} {
		if got := string(AppendArguments(nil, []byte(cmdline))); got != want {
			t.Errorf("%q: got %q, want %q", cmdline, got, want)
		}
	}
}

func FuzzArguments(f *testing.F) {
	f.Add([]byte("a\x00b\n\xff\x01é\u202e"))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounds.Alloc(t, len(data))()
		got := AppendArguments(nil, slices.Clone(data))
		if !utf8.Valid(got) || len(got) > len(data) {
			t.Errorf("%q: got %q", data, got)
		}
		for _, r := range string(got) {
			if r < ' ' || r >= 0x7f && r < 0xa0 {
				t.Errorf("%q: got %q", data, got)
			}
		}
	})
}
