package render

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"dtc"
	"dtc/internal/status"
)

// TestMemoryOfOtherHostsAsFree lets free see other figures than there are, of
// which some are missing or do not fit together.
func TestMemoryOfOtherHostsAsFree(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	theirs := pretend(t, "/proc/meminfo", "")
	root := t.TempDir()
	if err := os.Mkdir(root+"/proc", 0o755); err != nil {
		t.Fatal(err)
	}
	names := []string{"MemFree", "MemAvailable", "Buffers", "Cached", "SwapCached", "Active", "SwapTotal", "SwapFree", "Shmem", "SReclaimable", "SUnreclaim", "HighTotal"}
	may := []string{"MemAvailable", "SwapCached", "SReclaimable", "SUnreclaim", "HighTotal"} // be missing: old kernels
	for i := range uint64(300) {
		random := rand.New(rand.NewPCG(7, i))
		most := int64(1) << random.IntN(45)
		total := 1 + random.Int64N(most+1)
		var b strings.Builder
		fmt.Fprintf(&b, "MemTotal:       %d kB\n", total)
		lacks := may[random.IntN(len(may))]
		for _, name := range names {
			value := random.Int64N(total + 1)
			if name == "SwapTotal" {
				value += total // so that SwapFree is not more
			}
			if random.IntN(8) == 0 {
				value = 0
			}
			if name == "MemAvailable" && random.IntN(4) == 0 {
				value += total
			}
			if name != lacks || random.IntN(3) > 0 {
				fmt.Fprintf(&b, "%s:  %d kB\n", name, value)
			}
		}
		if err := errors.Join(os.WriteFile(theirs, []byte(b.String()), 0o644), os.WriteFile(root+"/proc/meminfo", []byte(b.String()), 0o644)); err != nil {
			t.Fatal(err)
		}
		for option, human := range map[string]bool{"-k": false, "-h": true} {
			var got string
			err := status.New(status.Options{Root: root}).Get(t.Context(), dtc.Query{Status: dtc.StatusMemory}, func(r *dtc.Report) error {
				got = text(t, r, Options{Human: human})
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if want := run(t, "", "free", option); got != want {
				t.Fatalf("of\n%s\ngot\n%s\nwant\n%s", b.String(), got, want)
			}
		}
	}
}
