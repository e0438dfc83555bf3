package dtc

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"
)

// Every constant of the type State is among the states.
func TestStates(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "process.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if of, ok := spec.Type.(*ast.Ident); !ok || of.Name != "State" {
			return true
		}
		n++
		word, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil || !slices.Contains(States(), State(word)) {
			t.Errorf("%s is not among the states (%v)", spec.Names[0].Name, err)
		}
		return true
	})
	if n == 0 || n != len(States()) {
		t.Errorf("%d states, and %d constants", len(States()), n)
	}
}
