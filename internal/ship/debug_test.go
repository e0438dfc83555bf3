package ship

import (
	"bytes"
	"fmt"
	"strings"
)

// account tells which lines of a truth are missing, twice or elsewhere in a
// copy. Lines begin with the name and a number.
func account(got, want []byte) string {
	at := map[string]int{}
	for line := range bytes.SplitSeq(got, []byte("\n")) {
		at[string(line)]++
	}
	var missing, twice []string
	for line := range bytes.SplitSeq(want, []byte("\n")) {
		id := strings.Join(strings.Fields(string(line))[:min(2, len(strings.Fields(string(line))))], " ")
		switch n := at[string(line)]; {
		case n == 0:
			missing = append(missing, fmt.Sprintf("%s(%d)", id, len(line)))
		case n > 1 && id != "":
			twice = append(twice, fmt.Sprintf("%s(%d)", id, n))
		}
	}
	return fmt.Sprintf("missing %v, more than once %v", missing, twice)
}
