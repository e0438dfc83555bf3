package dtc

import (
	"fmt"
	"regexp"
	"regexp/syntax"
)

// maxMatchSteps is how many steps the regular expression of a rule may have, see
// maxSteps.
const maxMatchSteps = 10_000

// CheckMatch says what is wrong with a [ProcessRule.Match]: an error of type
// *syntax.Error of [regexp/syntax] if it is no regular expression, another if it
// would take too much of a host's memory.
func CheckMatch(expr string) error {
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return err
	}
	if n := steps(tree); n > maxMatchSteps {
		return fmt.Errorf("the regular expression is too large: it has %d steps, at most %d are possible", n, maxMatchSteps)
	}
	return nil
}

// CompileMatch makes a [ProcessRule.Match] ready, with the errors of
// [CheckMatch].
func CompileMatch(expr string) (*regexp.Regexp, error) {
	if err := CheckMatch(expr); err != nil {
		return nil, err
	}
	return regexp.Compile(expr)
}
