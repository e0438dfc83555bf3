package dtc

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"process", "platform", "openfiles", "memory", "cpu"}
	for word, want := range map[string]string{
		"procss": "process", "porcess": "process", "memroy": "memory", "cpus": "cpu", "openfile": "openfiles",
		"xyzzy": "", "": "", strings.Repeat("p", 1<<20): "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("Nearest(%.20q) = %q, want %q", word, got, want)
		}
	}
}
