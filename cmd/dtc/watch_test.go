package main

import "testing"

func TestCutLine(t *testing.T) {
	for _, c := range []struct {
		line    string
		columns int
		want    string
	}{
		{"abc", 0, "abc"},
		{"abc", 3, "abc"},
		{"abcd", 3, "abc"},
		{"日本語", 5, "日本"},
		{"日本語", 6, "日本語"},
		{"日本語", 1, ""},
		{"e\u0301e\u0301e\u0301", 2, "e\u0301e\u0301"},
		{"", 1, ""},
	} {
		if got := cutLine(c.line, c.columns); got != c.want {
			t.Errorf("%q to %d: got %q, want %q", c.line, c.columns, got, c.want)
		}
	}
}

func TestSilenceLength(t *testing.T) {
	for text, want := range map[string]string{
		"90m": "1h30m0s", "7d": "168h0m0s", "366d": "8784h0m0s", "1s": "1s",
		"": "", "0s": "", "0d": "", "-1d": "", "d": "", "367d": "", "9999999h": "", "2": "", "1d2h": "", "1.5d": "",
	} {
		got, err := silenceLength(text)
		if (err == nil) != (want != "") || err == nil && got.String() != want {
			t.Errorf("%q: got %v, %v; want %q", text, got, err, want)
		}
	}
}
