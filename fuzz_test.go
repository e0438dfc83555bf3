package dtc_test

import (
	"errors"
	"regexp/syntax"
	"strings"
	"testing"

	"dtc"
	"dtc/internal/bounds"
)

// FuzzSelection gives a host every condition that an asker may: what is taken is
// small once it is compiled, and can be tried on any name.
func FuzzSelection(f *testing.F) {
	f.Add("/^(sshd|cron)$/", "nginx: master", "-pid", 5)
	f.Add("/((((a{99}){99}){99}){99}){99}/", "a", "", 0)
	f.Add("/(?i)(\\pL{1000}){1000}/", "", "+name", -1)
	f.Add("[^\\", "[", "pid", 1<<40)
	f.Add(strings.Repeat("*a", 100), strings.Repeat("a", 300), "", 1)
	f.Fuzz(func(t *testing.T, pattern, name, sort string, limit int) {
		defer bounds.Alloc(t, len(pattern)+len(name)+len(sort))()
		s := dtc.Selection{Names: []string{pattern, pattern}, Users: []string{name}, Sort: sort, Limit: limit}
		for _, status := range dtc.Statuses() {
			_ = s.Check(status.Status)
		}
		if (&dtc.Selection{Names: []string{pattern}}).Check(dtc.StatusProcess) == nil {
			match, err := dtc.NameMatcher(pattern)
			if err != nil {
				t.Fatalf("%q was checked: %v", pattern, err)
			}
			match(name)
		}
		_ = dtc.MatchName(pattern, name)
		if dtc.CheckMatch(pattern) == nil {
			re, err := dtc.CompileMatch(pattern)
			if err != nil {
				t.Fatalf("%q was checked: %v", pattern, err)
			}
			re.MatchString(name)
		} else if _, err := dtc.CompileMatch(pattern); err == nil {
			t.Errorf("%q was refused, and compiled", pattern)
		} else if _, ok := errors.AsType[*syntax.Error](err); ok && len(err.Error()) > 2*len(pattern)+200 {
			t.Errorf("%d bytes of an error", len(err.Error()))
		}
	})
}
