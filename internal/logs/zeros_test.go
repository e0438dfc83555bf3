package logs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestLastLinesWithZeros counts back over runs of NULs, which end lines as they
// do on the way forth.
func TestLastLinesWithZeros(t *testing.T) {
	for _, zeros := range []int{minZeros, 70_000, 2*backBlock + 5, 1 << 20} {
		z := strings.Repeat("\x00", zeros)
		short := strings.Repeat("\x00", minZeros-1)
		for _, c := range []struct {
			content string
			match   string
			lines   []string // as a reading from the start gives them
		}{
			{"one\ntwo\n" + z + "three\nfour\n", "", []string{"one\n", "two\n", "three\n", "four\n"}},
			{"one\ntw" + z + "three\nfour\n", "", []string{"one\n", "tw", "three\n", "four\n"}},
			{z + "three\nfour", "", []string{"three\n", "four"}},
			{"one\n" + z, "", []string{"one\n"}},
			{"one" + z, "", []string{"one"}},
			{"one\n" + z + "\ntwo\n", "", []string{"one\n", "\n", "two\n"}},
			{"one\n" + short + "\ntwo\n", "", []string{"one\n", short + "\n", "two\n"}},
			{z + "a" + z + "b" + z, "", []string{"a", "b"}},
			{"one\n" + z + "two\n" + z + "three\n", "o", []string{"one\n", "two\n"}},
		} {
			dir := plainDir(t, map[string]string{"app.log": c.content})
			q := Query{}
			if c.match != "" {
				q.Match = regexp.MustCompile(c.match)
			}
			for n := 1; n <= len(c.lines)+1; n++ {
				q.Lines = n
				want := strings.Join(c.lines[max(len(c.lines)-n, 0):], "|")
				if got := strings.Join(texts(t, dir, q), "|"); got != want {
					t.Errorf("%d zeros: the last %d of %.20q: %.60q, want %.60q", zeros, n, c.content, got, want)
				}
			}
		}
	}
}

// TestLastLinesModel compares the way back with the way forth.
func TestLastLinesModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var b []byte
		for range rapid.IntRange(0, 8).Draw(rt, "pieces") {
			n := rapid.SampledFrom([]int{1, 2, 50, minZeros - 1, minZeros, backBlock - 1, backBlock, 3 * backBlock}).Draw(rt, "length")
			b = append(b, bytes.Repeat([]byte{rapid.SampledFrom([]byte("\x00\x00\na")).Draw(rt, "byte")}, n)...)
		}
		dir := plainDir(t, map[string]string{"app.log": string(b)})
		q := Query{Lines: -1}
		if rapid.Bool().Draw(rt, "match") {
			q.Match = regexp.MustCompile("a")
		}
		all := texts(t, dir, q)
		q.Lines = rapid.IntRange(1, 9).Draw(rt, "lines")
		want := all[max(len(all)-q.Lines, 0):]
		if got := texts(t, dir, q); !slices.Equal(got, want) {
			rt.Fatalf("%d lines, want %d: %.30q, want %.30q", len(got), len(want), got, want)
		}
	})
}

// texts returns the lines that a query gives, without the marks.
func texts(tb testing.TB, dir string, q Query) (out []string) {
	tb.Helper()
	check(tb, Read(tb.Context(), dir, q, func(l Line) error {
		if l.Mark == nil {
			out = append(out, string(l.Text))
		}
		return nil
	}))
	return out
}

// TestHole reads a copy with a hole of a terabyte from both ends, which takes
// no more than one of a line.
func TestHole(t *testing.T) {
	const hole = 1 << 40
	dir := plainDir(t, nil)
	f, err := os.Create(filepath.Join(dir, "10.0.0.7", "app.log"))
	check(t, err)
	defer f.Close()
	_, err = f.WriteString("one\ntwo\n")
	check(t, err)
	_, err = f.WriteAt([]byte("three\nfour\n"), hole)
	check(t, err)
	start := time.Now()
	for n, want := range map[int]string{-1: "one two hole three four", 1: "four", 2: "three four", 3: "two hole three four", 9: "one two hole three four"} {
		var got []string
		check(t, Read(t.Context(), dir, Query{Lines: n, Marks: true}, func(l Line) error {
			switch {
			case l.Mark == nil:
				got = append(got, strings.TrimSuffix(string(l.Text), "\n"))
			case l.Mark.Kind == MarkHole && l.Mark.Bytes == hole-8:
				got = append(got, "hole")
			default:
				got = append(got, fmt.Sprint(*l.Mark))
			}
			return nil
		}))
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%d lines: %s, want %s", n, text, want)
		}
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Fatalf("it took %v", took)
	}
}
