package dtc

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"regexp/syntax"
	"strings"
)

// NameMatcher returns what tells whether a name fits an entry of
// [Selection.Names].
func NameMatcher(pattern string) (func(name string) bool, error) {
	if expr, ok := strings.CutPrefix(pattern, "/"); ok {
		expr, ok = strings.CutSuffix(expr, "/")
		if !ok {
			return nil, errors.New("a regular expression must end with a slash, as in /^ssh/")
		}
		re, err := regexp.Compile(expr)
		if err != nil {
			return nil, err
		}
		return re.MatchString, nil
	}
	if err := checkGlob(pattern); err != nil {
		return nil, err
	}
	return func(name string) bool { return MatchName(pattern, name) }, nil
}

// MatchName says whether a name is the one that is meant, or fits it as a
// pattern of [path.Match]. A slash is a character like others in a name:
// "kworker/0:1".
func MatchName(pattern, name string) bool {
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), strings.ReplaceAll(name, "/", "\x00"))
	return name == pattern || ok && err == nil
}

// checkPath is checkGlob for a path. One of Windows may end with a backslash.
func checkPath(glob string) error {
	if !strings.ContainsAny(glob, "*?[") {
		return nil
	}
	return checkGlob(strings.ReplaceAll(glob, "**", "*"))
}

func checkGlob(glob string) error {
	if _, err := path.Match(glob, ""); err != nil {
		return errors.New("not a pattern: a [ without its ], or a \\ at its end")
	}
	return nil
}

// maxSteps is how many steps the regular expressions of a selection may have
// together, once they are compiled: each takes some hundred bytes of the host's
// memory, and a short expression can have millions.
const maxSteps = 50_000

// maxGlobs is how many bytes the globs of a selection may have together: each
// name and path of a host is held against every one of them.
const maxGlobs = 64 << 10

// patternCheck checks the patterns of a selection, and what they take together.
type patternCheck struct{ steps, globs int }

// path is to be called with each of the globs of a path.
func (c *patternCheck) path(glob string) error {
	if err := c.glob(glob); err != nil {
		return err
	}
	return checkPath(glob)
}

// glob counts what a glob takes. One without a wildcard is compared.
func (c *patternCheck) glob(pattern string) error {
	if strings.ContainsAny(pattern, "*?[\\") {
		c.globs += len(pattern)
	}
	if c.globs > maxGlobs {
		return fmt.Errorf("the patterns are too long: together they have %d bytes, at most %d are possible", c.globs, maxGlobs)
	}
	return nil
}

// next is to be called with each of the names.
func (c *patternCheck) next(pattern string) error {
	if !strings.HasPrefix(pattern, "/") {
		if err := c.glob(pattern); err != nil {
			return err
		}
	}
	if expr, ok := strings.CutPrefix(pattern, "/"); ok {
		if tree, err := syntax.Parse(strings.TrimSuffix(expr, "/"), syntax.Perl); err == nil { // NameMatcher tells an error
			c.steps += steps(tree)
		}
	}
	if c.steps > maxSteps {
		return fmt.Errorf("the regular expressions are too large: together they have %d steps, at most %d are possible", c.steps, maxSteps)
	}
	_, err := NameMatcher(pattern)
	return err
}

// steps returns about how many steps a regular expression is compiled to.
func steps(re *syntax.Regexp) int {
	n := 1
	switch re.Op {
	case syntax.OpLiteral:
		n = len(re.Rune)
	case syntax.OpCharClass:
		n += len(re.Rune) / 8 // ranges, which take less
	default:
	}
	for _, sub := range re.Sub {
		n += steps(sub)
	}
	if re.Op == syntax.OpRepeat { // so many copies
		n *= max(re.Min, re.Max, 1)
	}
	return n
}
