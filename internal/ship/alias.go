package ship

import (
	"errors"
	"path/filepath"
	"strings"
	"time"

	"dtc"
	"dtc/internal/follow"
)

// rule is one File with what is needed to apply it.
type rule struct {
	File
	glob *follow.Globber // nil if Path is a plain path

	checked time.Time // when what it matches was last looked at
}

// alias returns the alias that the rule gives to the file at path.
func (r *rule) alias(path string) string {
	if r.glob == nil {
		return r.Alias
	}
	name := filepath.Base(path)
	if !strings.Contains(r.Alias, "{dir}") {
		return strings.ReplaceAll(r.Alias, "{name}", name) // much faster, for there may be thousands
	}
	return strings.NewReplacer("{name}", name, "{dir}", filepath.Base(filepath.Dir(path))).Replace(r.Alias)
}

// gives reports whether the rule makes the alias of st of the path of st.
func (r *rule) gives(st *stream) bool {
	if r.glob == nil && r.Path != st.path || r.glob != nil && !r.glob.Matches(st.path) {
		return false
	}
	return fold(r.alias(st.path)) == fold(st.alias)
}

// fold makes equal the aliases that are one.
func fold(alias string) string { return strings.ToLower(alias) }

// checkLength is the check of aliases if Options has none: what the protocol
// cannot carry. The monitor refuses what else is wrong.
func checkLength(alias string) error {
	if alias == "" || len(alias) > dtc.MaxAlias {
		return errors.New("it is empty or too long")
	}
	return nil
}
