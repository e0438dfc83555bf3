package follow

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestCopyFoundAfterTruncation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "app.log")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := NewHost(0)
	c := h.NewChain(path)
	defer c.Close()
	r := h.NewReader()
	var got, want []byte
	write := func(n int) {
		b := make([]byte, n)
		_, _ = rand.Read(b)
		want = append(want, b...)
		_, _ = f.Write(b)
	}
	for i := range 60 {
		if _, err := c.Sync(); err != nil {
			t.Fatal(err)
		}
		write(6000)
		if i%3 == 0 {
			_, _ = c.Sync()
		}
		g := c.Current()
		b, err := r.Read(g, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b...)
		write(60000)
		for k := i; k > 0; k-- {
			_ = os.Rename(fmt.Sprintf("%s.%d", path, k), fmt.Sprintf("%s.%d", path, k+1))
		}
		if i%5 == 0 {
			_, _ = c.Sync()
		}
		whole, _ := os.ReadFile(path)
		_ = os.WriteFile(path+".1", whole, 0o644)
		if i%2 == 0 {
			_, _ = c.Sync()
		}
		_ = f.Truncate(0)
		if _, err := r.Read(g, 1<<20); !errors.Is(err, ErrCut) {
			t.Fatal(err)
		}
		c.Cut(r, g)
		if g.File == nil {
			t.Fatalf("no copy found in round %d", i)
		}
		b, err = r.Read(g, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b...)
		if !bytes.Equal(got, want) {
			t.Fatalf("round %d: %d bytes instead of %d", i, len(got), len(want))
		}
		c.Remove(g)
		if i > 20 {
			_ = os.Remove(fmt.Sprintf("%s.%d", path, i))
		}
	}
}

// TestCopiesKeepTheirOrder has a file copied and truncated several times before
// anybody looks: what was in it first comes first.
func TestCopiesKeepTheirOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	h := NewHost(0)
	c := h.NewChain(path)
	defer c.Close()
	r := h.NewReader()
	text := func(name string) []byte { return bytes.Repeat([]byte(name+" "), 500) }
	put := func(path string, b []byte) {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put(path, text("one"))
	if _, err := c.Sync(); err != nil {
		t.Fatal(err)
	}
	g := c.Current()
	if _, err := r.Look(g); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"one", "two", "three"} {
		put(fmt.Sprintf("%s-2026010%d", path, i+1), text(name)) // as a rotation by copying leaves it
	}
	put(path, text("four"))
	if err := os.Rename(path, path+"-20260104"); err != nil {
		t.Fatal(err)
	}
	put(path, text("five"))
	if _, err := c.Sync(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Look(g); !errors.Is(err, ErrCut) {
		t.Fatal(err)
	}
	c.Cut(r, g)
	var got []byte
	for _, g := range c.Generations {
		b, err := r.Read(g, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b...)
	}
	if want := bytes.Join([][]byte{text("one"), text("two"), text("three"), text("four"), text("five")}, nil); !bytes.Equal(got, want) {
		t.Errorf("got %.20q…, %d bytes instead of %d", got, len(got), len(want))
	}
}

// TestAlikeIsNoCopy has a file truncated of which something was seen and nothing
// read, beside one that begins alike, and then beside a copy of it.
func TestAlikeIsNoCopy(t *testing.T) {
	for name, end := range map[string]string{"text": "the end\n", "NULs": "the\x00end\n", "a hole": string(make([]byte, 2*tailSize))} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.log")
			banner := someLines(5000)
			mine := append(append(bytes.Clone(banner), someLines(5000)...), end...)
			write := func(path string, b []byte) {
				if err := os.WriteFile(path, b, 0o644); err != nil { // truncates what is there
					t.Fatal(err)
				}
			}
			h := NewHost(0)
			c, r := h.NewChain(path), h.NewProver()
			defer c.Close()
			cut := func() *Generation {
				write(path, mine)
				if _, err := c.Sync(); err != nil {
					t.Fatal(err)
				}
				g := c.Current()
				if _, err := r.Look(g); err != nil {
					t.Fatal(err)
				}
				write(path, nil)
				if _, err := r.Look(g); !errors.Is(err, ErrCut) {
					t.Fatal(err)
				}
				c.Cut(r, g)
				return g
			}
			write(path, nil)
			if _, err := c.Sync(); err != nil {
				t.Fatal(err)
			}
			write(path+".2", append(bytes.Clone(banner), "something else\n"...))
			if g := cut(); g.File != nil {
				t.Errorf("goes on in a file of %d bytes", g.Seen)
			}
			write(path+".1", mine)
			if g, found := cut(), name != "a hole"; (g.File != nil) != found {
				t.Errorf("a copy of it is found: %v", !found)
			}
		})
	}
}
