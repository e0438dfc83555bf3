package top

import (
	"strings"
	"testing"

	"dtc/internal/bounds"
	"dtc/internal/render"
)

func TestWindow(t *testing.T) {
	for _, test := range []struct {
		s           string
		from, width int
		want        string
	}{
		{"abc", 0, 5, "abc  "},
		{"abc", 1, 1, "b"},
		{"abc", 9, 2, "  "},
		{"abc", 0, 0, ""},
		{"abc", 0, -3, ""},
		{"漢字", 0, 4, "漢字"},
		{"漢字", 0, 3, "漢 "},
		{"漢字", 1, 3, " 字"},
		{"漢字", 1, 2, "  "},
		{"漢字", 2, 5, "字   "},
		{"漢字", 4, 1, " "},
		{"e\u0301x", 0, 1, "e\u0301"},
		{"e\u0301x", 1, 2, "x "},
		{"漢", 0, 1, " "},
	} {
		if got := window(test.s, test.from, test.width); got != test.want {
			t.Errorf("window(%q, %d, %d) = %q, want %q", test.s, test.from, test.width, got, test.want)
		}
	}
}

func TestFit(t *testing.T) {
	for s, want := range map[string]string{"": "    ", "abcd": "abcd", "abcde": "abc+", "漢字": "漢字", "漢字a": "漢 +", "a漢字": "a漢+"} {
		if got := fit(s, 4); got != want {
			t.Errorf("fit(%q) = %q, want %q", s, got, want)
		}
	}
}

// Whatever a host is called, it takes the cells that it is given.
func FuzzWindow(f *testing.F) {
	f.Add(hostile, 3, 7)
	f.Add("漢字e\u0301👩‍💻", 1, 4)
	f.Fuzz(func(t *testing.T, s string, from, width int) {
		defer bounds.Alloc(t, len(s))()
		from, width = from&0xff, width&0xff
		s = clean(s)
		got := window(s, from, width)
		if w := render.Width(got); w != width || render.Escape(got) != got {
			t.Errorf("window(%q, %d, %d) = %q: %d cells", s, from, width, got, w)
		}
		if got := fit(s, width); render.Width(got) != width {
			t.Errorf("fit(%q, %d) = %q", s, width, got)
		}
	})
}

func TestFigures(t *testing.T) {
	for want, got := range map[string]string{
		"-": percentText(nan), "0%": percentText(0.4), "100%": percentText(100),
		"0.00": loadText(0), "9.99": loadText(9.994), "10.0": loadText(9.996), "99.9": loadText(99.94), "100": loadText(99.96), "9999": loadText(1e9),
		"59s": spanText(59.9), "1m": spanText(60), "1h00m": spanText(3600), "23h59m": spanText(86399), "1d01h": spanText(90000),
		"99d23h": spanText(100*86400 - 1), "100d": spanText(100 * 86400), "9999d": spanText(1e18),
		"0:59": timeText(59.9), "61:01": timeText(3661), "512B": sizeText(512), "1.0K": sizeText(1024), "16G": sizeText(16 << 30), "8192P": sizeText(1<<63 - 1),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, got := range []string{loadText(-1), loadText(nan), spanText(-1), spanText(nan), sizeText(-1), timeText(nan), timeText(-1)} {
		if got != absent {
			t.Errorf("%q, want %q", got, absent)
		}
	}
}

func TestBar(t *testing.T) {
	for percent, want := range map[float64]string{nan: "    ", 0: "....", 0.5: "....", 1: "#...", 49: "##..", 100: "####", 1e9: "####", -5: "...."} {
		if got := (look{}).bar(percent, 4); got != want {
			t.Errorf("bar(%v) = %q, want %q", percent, got, want)
		}
	}
	if got := (look{unicode: true}).bar(50, 4); got != "██░░" {
		t.Errorf("bar = %q", got)
	}
	if got := (look{}).paint(red, "x") + (look{}).paint(bold, "y"); strings.Contains(got, "31") || !strings.Contains(got, "\x1b[1my") {
		t.Errorf("without colors: %q", got)
	}
}
