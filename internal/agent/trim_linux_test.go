package agent

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// residentFile returns how many bytes of files this process has mapped.
func residentFile(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "RssFile:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// What is forgotten of this very program: its code and its constants.
func TestFreeMemoryUnmapsProgram(t *testing.T) {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	memory, err := os.Open("/proc/self/mem") // reading it maps what is read
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	all, modes := 0, map[string]bool{}
	for _, p := range pristine(bytes.NewReader(smaps), program) {
		_, rest, ok := strings.Cut(string(smaps), fmt.Sprintf("%08x-%08x ", p.from, p.to))
		if !ok {
			t.Fatalf("no part %x to %x", p.from, p.to)
		}
		modes[rest[:4]] = true
		n, err := io.Copy(io.Discard, io.NewSectionReader(memory, int64(p.from), int64(p.to-p.from)))
		if err != nil {
			t.Fatal(err)
		}
		all += int(n)
	}
	if !modes["r-xp"] || !modes["r--p"] || len(modes) != 2 {
		t.Errorf("parts of the modes %v", modes)
	}
	before := residentFile(t)
	freeMemory()
	after := residentFile(t)
	if before < all || before-after < all*5/8 {
		t.Errorf("of %d bytes, and others, %d were mapped, and now %d", all, before, after)
	}
}

func TestPristine(t *testing.T) {
	const (
		first  = "00400000-0093a000 r-xp 00000000 fe:00 10299234                           /opt/dtc agent"
		second = "0093a000-00edf000 r--p 0053a000 fe:00 10299234                           /opt/dtc agent"
	)
	part := func(line, anonymous, swap string) string {
		return line + "\nSize:               5352 kB\nRss:                5352 kB\nAnonymous:  " + anonymous +
			"\nKSM:                   0 kB\nSwap:       " + swap + "\nSwapPss:               0 kB\nVmFlags: rd ex mr mw me \n"
	}
	clean := func(line string) string { return part(line, "       0 kB", "       0 kB") }
	code := span{0x400000, 0x93a000}
	constants := span{0x93a000, 0xedf000}
	for smaps, want := range map[string][]span{
		clean(first):                 {code},
		clean(first) + clean(second): {code, constants},
		part(first, "       4 kB", "       0 kB") + clean(second):                                                  {constants},
		clean(first) + clean("7ffd3b5f2000-7ffd3b5f4000 r-xp 00000000 00:00 0                          [vdso]"):    {code},
		clean("00400000-0093a000 r-xp 00000000 fe:00 10299234                           /opt/dtc agent (deleted)"): nil,
		clean("0093a000-00edf000 rw-p 0053a000 fe:00 10299234                           /opt/dtc agent"):           nil,
		clean("0093a000-00edf000 rwxp 0053a000 fe:00 10299234                           /opt/dtc agent"):           nil,
		clean("0093a000-00edf000 r--s 0053a000 fe:00 10299234                           /opt/dtc agent"):           nil,
		clean("00400000-0093a000 r-xp 00000000 fe:00 10299234                           /lib/libc.so.6"):           nil,
		clean("7ffd3b5f2000-7ffd3b5f4000 r-xp 00000000 00:00 0"):                                                   nil,
		clean("0093a000-00400000 r-xp 00000000 fe:00 10299234                           /opt/dtc agent"):           nil,
		// What the file does not have, or nobody knows whether it has.
		part(first, "       4 kB", "       0 kB"): nil,
		part(first, "       0 kB", "       4 kB"): nil,
		part(first, "nonsense", "       0 kB"):    nil,
		first + "\nAnonymous:  0 kB\n":            nil,
		first + "\nSwap:       0 kB\n":            nil,
		first:                                     nil,
		"nonsense":                                nil,
		"":                                        nil,
	} {
		if got := pristine(strings.NewReader(smaps), "/opt/dtc agent"); !slices.Equal(got, want) {
			t.Errorf("%q: %x, want %x", smaps, got, want)
		}
	}
}
