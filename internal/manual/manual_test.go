package manual_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dtc/internal/manual"

	"github.com/spf13/cobra"
	"pgregory.net/rapid"
)

// day is what stands on the pages of the tests.
func day() time.Time { return time.Date(2026, 11, 22, 23, 59, 0, 0, time.UTC) }

// awkward is text that roff would read as its own, were it not escaped.
const awkward = `\fB \n . 'x' "y" -- - ^ ~ ` + "`z`" + ` \(aq \*[a] ąß —`

// example makes a program with a command, a hidden one and one below another.
func example() *cobra.Command {
	root := &cobra.Command{Use: "prog", Short: "Do things", Version: "1.2-rc1", Long: "Do things.\n\nExit status: 0 done."}
	root.PersistentFlags().String("home", "", "folder (default here)")
	do := &cobra.Command{
		Use:   "do THING…",
		Short: "Do one thing",
		Long: ".leading dot\n'leading quote\n\n  literal " + awkward + "\n  .second line\n\n  after a gap\nand on.\n" +
			"\nLast.\n\nExit status: 0 done, 1 not.",
		Example: "  prog do -n 3 'a thing'",
		Run:     func(*cobra.Command, []string) {},
	}
	do.Flags().IntP("lines", "n", 10, "the last `N` lines "+awkward)
	do.Flags().StringArray("host", nil, "a host")
	do.Flags().DurationP("watch", "w", 2*time.Second, "every `D`")
	do.Flags().Lookup("watch").NoOptDefVal = "2s"
	do.Flags().Bool("secret", false, "not shown")
	if err := do.Flags().MarkHidden("secret"); err != nil {
		panic(err)
	}
	below := &cobra.Command{Use: "twice", Short: "Do it twice", Run: do.Run}
	beside := &cobra.Command{Use: "thrice", Short: "Do it thrice", Run: do.Run}
	do.AddCommand(below, beside)
	root.AddCommand(do, &cobra.Command{Use: "hide", Hidden: true, Run: do.Run})
	return root
}

// rendered returns what a reader sees of a page, without the spaces that fill
// its lines.
func rendered(tb testing.TB, page []byte) string {
	tb.Helper()
	cmd := exec.Command("mandoc", "-Tutf8", "-Owidth=1000")
	cmd.Stdin = bytes.NewReader(page)
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("mandoc: %v\n%s", err, page)
	}
	var text strings.Builder
	for i := 0; i < len(out); i++ { // bold is c\bc, underlined _\bc
		if i+1 < len(out) && out[i+1] == '\b' {
			i++
			continue
		}
		text.WriteByte(out[i])
	}
	return text.String()
}

func TestPagesReadAsTheHelp(t *testing.T) {
	dir := t.TempDir()
	if err := manual.WritePages(filepath.Join(dir, "man1"), example(), day()); err != nil {
		t.Fatal(err)
	}
	var names []string
	files, _ := os.ReadDir(filepath.Join(dir, "man1"))
	for _, f := range files {
		names = append(names, f.Name())
	}
	if want := []string{"prog-do-thrice.1", "prog-do-twice.1", "prog-do.1", "prog.1"}; !slices.Equal(names, want) {
		t.Errorf("pages %q, want %q", names, want)
	}
	page, err := os.ReadFile(filepath.Join(dir, "man1", "prog-do.1"))
	if err != nil {
		t.Fatal(err)
	}
	text := rendered(t, page)
	for _, want := range []string{
		"PROG-DO(1)", "prog manual", "prog-do - Do one thing", "prog do THING... [flags]", "2026-11-22", "prog 1.2-rc1",
		".leading dot 'leading quote\n", "literal " + awkward + "\n", ".second line\n\n", "after a gap\n", "and on.", "Last.",
		"prog-do-twice(1)", "-n, --lines N", "the last N lines " + awkward + " (default 10)", "--host VALUE",
		"-w, --watch[=D]", "every D (default 2s)", "--home VALUE", "EXIT STATUS\n", "0 done, 1 not.\n", "prog do -n 3 'a thing'\n",
		"SEE ALSO\n", "prog(1)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not show %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "secret") || strings.Contains(text, "Exit status:") {
		t.Errorf("the page shows what it should not:\n%s", text)
	}
	for i, b := range page {
		if b >= 0x80 || b < ' ' && b != '\n' {
			t.Fatalf("byte %#x at %d", b, i)
		}
	}
}

// Whatever stands in a help text, a reader sees it as it is, and the page is
// without a fault.
func TestEveryTextIsShown(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		word := rapid.StringMatching(`[!-~§€]{1,12}`)
		line := strings.Join(rapid.SliceOfN(word, 1, 6).Draw(rt, "words"), " ")
		c := &cobra.Command{Use: "prog", Short: "s", Long: "Before.\n\n  " + line + "\n", Run: func(*cobra.Command, []string) {}}
		page := manual.Page(c, day())
		if text := rendered(t, page); !strings.Contains(text, " "+line+"\n") {
			rt.Fatalf("%q is not in\n%s", line, text)
		}
	})
}

func TestCompletionOfEveryShell(t *testing.T) {
	for _, shell := range manual.Shells() {
		var out bytes.Buffer
		if err := manual.WriteCompletion(&out, example(), shell); err != nil || !strings.Contains(out.String(), "prog") {
			t.Errorf("%s: %v, %d bytes", shell, err, out.Len())
		}
	}
	if err := manual.WriteCompletion(&bytes.Buffer{}, example(), "tcsh"); err == nil {
		t.Error("no error for a shell without completions")
	}
}
