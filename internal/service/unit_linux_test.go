package service

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// TestAnalyze has systemd itself judge the units: nothing in them that it does
// not know, and how exposed what they start is. The bounds are what they come to
// with systemd 252, of 10.
func TestAnalyze(t *testing.T) {
	t.Parallel()
	for name, most := range map[string]float64{"dtc-agent": 3.4, "dtc": 1.8} {
		for _, user := range []string{"", "daemon"} {
			s := Service{Name: name, Exec: "/bin/true", Home: "/srv/my home", User: user}
			unit, err := s.Unit()
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), name+".service")
			if err := os.WriteFile(file, []byte(unit), 0o644); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--recursive-errors=no", "--man=no", file).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%s: %v\n%s", name, err, out)
			}
			out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--threshold=100", file).Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			overall := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+) `).FindSubmatch(out)
			if overall == nil {
				t.Fatalf("no exposure in\n%s", out)
			}
			exposure, err := strconv.ParseFloat(string(overall[1]), 64)
			if err != nil || exposure > most {
				t.Errorf("%s as %q: exposure %s, expected at most %.1f\n%s", name, user, overall[1], most, out)
			}
		}
	}
}
