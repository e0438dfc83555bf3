package top

import (
	"slices"

	"dtc"
)

// tree holds the children of each process, all by their index.
type tree struct {
	roots    []int
	children map[int][]int
}

// treeOf returns who is whose child, in the given order. A process whose parent
// is not there is a root, and so is one of each circle that a host makes up.
func treeOf(all []dtc.Process, order []int) tree {
	index := make(map[int]int, len(all))
	for i := range all {
		index[all[i].PID] = i
	}
	t := tree{children: make(map[int][]int, len(all))}
	for _, i := range order {
		parent, ok := index[all[i].PPID]
		if !ok || parent == i {
			t.roots = append(t.roots, i)
			continue
		}
		t.children[parent] = append(t.children[parent], i)
	}
	reached := make([]bool, len(all))
	for _, root := range t.roots {
		t.reach(root, reached)
	}
	for _, i := range order {
		if !reached[i] {
			t.roots = append(t.roots, i)
			t.reach(i, reached)
		}
	}
	return t
}

// reach marks a process and all below it. A child that has been reached on
// another way is taken off its parent.
func (t *tree) reach(root int, reached []bool) {
	reached[root] = true
	for next := []int{root}; len(next) > 0; {
		i := next[len(next)-1]
		next = next[:len(next)-1]
		kept := t.children[i][:0]
		for _, child := range t.children[i] {
			if !reached[child] {
				reached[child] = true
				kept = append(kept, child)
				next = append(next, child)
			}
		}
		t.children[i] = kept
	}
}

// maxDepth is how many generations the lines of a tree show.
const maxDepth = 24

// step is a process that a walk down the tree is still to come to.
type step struct {
	index, depth int
	before       string // lines of the generations above
	last         bool   // of its parent's children
}

// appendTree appends the rows of a tree, parents before their children: of the
// wanted processes and of those above them. Wanted nil is all.
func appendTree(rows []processRow, t tree, wanted []bool, look look) []processRow {
	more, last, below := look.branches()
	keep := t.withParents(wanted)
	steps := t.steps(nil, t.roots, keep, step{})
	for len(steps) > 0 {
		s := steps[len(steps)-1]
		steps = steps[:len(steps)-1]
		branch, under := s.before+more, s.before+below
		if s.last {
			branch, under = s.before+last, s.before+noBranch
		}
		switch {
		case s.depth == 0:
			branch, under = "", ""
		case s.depth >= maxDepth:
			under = s.before
		}
		rows = append(rows, processRow{s.index, branch})
		steps = t.steps(steps, t.children[s.index], keep, step{depth: s.depth + 1, before: under})
	}
	return rows
}

// steps appends a step for each child that is kept, the first one last.
func (t *tree) steps(steps []step, children []int, keep []bool, s step) []step {
	s.last = true
	for _, i := range slices.Backward(children) {
		if keep == nil || keep[i] {
			s.index = i
			steps = append(steps, s)
			s.last = false
		}
	}
	return steps
}

// withParents returns wanted with all that stand above one of them.
func (t *tree) withParents(wanted []bool) []bool {
	if wanted == nil {
		return nil
	}
	parent := make([]int, len(wanted))
	for i := range parent {
		parent[i] = -1
	}
	for i, children := range t.children {
		for _, child := range children {
			parent[child] = i
		}
	}
	keep := make([]bool, len(wanted))
	for i := range wanted {
		for at := i; wanted[i] && at >= 0 && !keep[at]; at = parent[at] {
			keep[at] = true
		}
	}
	return keep
}
