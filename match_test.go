package dtc

import (
	"errors"
	"regexp/syntax"
	"strings"
	"testing"
)

func TestCompileMatch(t *testing.T) {
	re, err := CompileMatch(`^nginx: (master|worker)`)
	if err != nil || !re.MatchString("nginx: master process") || re.MatchString("x nginx: master") {
		t.Errorf("%v, %v", re, err)
	}
	_, err = CompileMatch("a(b")
	if _, ok := errors.AsType[*syntax.Error](err); !ok {
		t.Errorf("error %v, want one of syntax", err)
	}
	_, err = CompileMatch(strings.Repeat("a{1000}", 11))
	if err == nil || !strings.Contains(err.Error(), "at most 10000 are possible") {
		t.Errorf("error %v, want one on the size", err)
	}
}
