package logs

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"dtc"
)

// errName refuses what is no plain name of a file.
var errName = errors.New("not a plain file name")

// checkName refuses every name that could lead out of its folder or hide in
// it, whatever else the caller's own check says.
func checkName(name string) error {
	bad := func(r rune) bool { return unicode.IsControl(r) || r == '/' || r == '\\' || r == ':' }
	if name == "" || len(name) > dtc.MaxAlias || !utf8.ValidString(name) ||
		strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") || strings.ContainsFunc(name, bad) {
		return errName
	}
	return nil
}

// checkAlias is checkName for what an agent sent.
func checkAlias(alias string) error {
	if err := checkName(alias); err != nil {
		return errors.New("the alias is not a plain file name")
	}
	if processLog(alias) {
		return errors.New("the alias has the form of a process log's name")
	}
	return nil
}

// processLog tells whether a name has the form ADDRESS_PORT_process_DATE.log,
// which the process watch writes beside the copies.
func processLog(name string) bool {
	_, rest, ok := strings.Cut(strings.ToLower(name), "_process_")
	return ok && len(rest) == len("2006-01-02.log") && strings.HasSuffix(rest, ".log")
}

// fold returns the same text for two aliases that are one: they are compared
// without case.
func fold(alias string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, alias)
}
