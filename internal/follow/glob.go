package follow

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// Globber finds the files that a pattern matches. It keeps what it read of the
// folders, and reads again only those that changed.
type Globber struct {
	pattern string
	parts   []string // of the pattern, below root
	root    string   // the folder above the first part with a wildcard
	folders map[string]*globFolder
	left    int      // folders that this round may still look at
	found   []string // the last time
	whole   bool     // found is all that there was
}

// globFolder is the content of a folder as far as a pattern is concerned.
type globFolder struct {
	stamp   Stamp
	settled bool
	names   []string // files and links, sorted
	dirs    []string // folders, and links to folders
	links   []string // those of dirs that are links
	round   bool     // seen in this round
}

// maxGlobFolders bounds how many folders one pattern may lead to.
const maxGlobFolders = 100_000

// HasWildcard reports whether path is a pattern: whether it holds * or ?.
func HasWildcard(path string) bool { return strings.ContainsAny(path, "*?") }

// NewGlobber returns a Globber for an absolute pattern, in which *, ? and, as a
// whole component, ** are wildcards and nothing else is. A name that begins
// with a dot is matched only by a component that does too.
func NewGlobber(pattern string) *Globber {
	g := &Globber{pattern: pattern, root: filepath.VolumeName(pattern) + string(filepath.Separator), folders: map[string]*globFolder{}}
	g.parts = splitPath(pattern)
	for len(g.parts) > 1 && !HasWildcard(g.parts[0]) {
		g.root = filepath.Join(g.root, g.parts[0])
		g.parts = g.parts[1:]
	}
	return g
}

// Glob returns the paths that the pattern matches, sorted, and whether that can
// be other ones than the last time. What they are is not looked at, but folders
// are left out. A folder that cannot be read matches nothing; the first error of
// that kind is returned with what was found. The paths are the Globber's.
func (g *Globber) Glob() (paths []string, changed bool, err error) {
	if g.whole && g.unchanged() {
		return g.found, false, nil
	}
	for _, f := range g.folders {
		f.round = false
	}
	g.left = maxGlobFolders
	var found []string
	err = g.walk(g.root, g.parts, &found)
	for dir, f := range g.folders {
		if !f.round {
			delete(g.folders, dir)
		}
	}
	slices.Sort(found)
	g.found, g.whole = slices.Compact(found), err == nil
	return g.found, true, err
}

// unchanged reports whether every folder still is as it was read.
func (g *Globber) unchanged() bool {
	for dir, f := range g.folders {
		if now, err := StampOf(dir); err != nil || now != f.stamp || !f.settled {
			return false
		}
	}
	return len(g.folders) > 0
}

// Folders returns the folders whose names decide what the pattern matches.
func (g *Globber) Folders() []string {
	all := make([]string, 0, len(g.folders)+1)
	for dir := range g.folders {
		all = append(all, dir)
	}
	return all
}

// Matches reports whether the pattern matches path.
func (g *Globber) Matches(path string) bool {
	rel, err := filepath.Rel(g.root, path)
	return err == nil && matchParts(g.parts, splitPath(rel))
}

func (g *Globber) walk(dir string, parts []string, found *[]string) error {
	if g.left--; g.left < 0 {
		return &Refusal{g.pattern, "the pattern leads to too many folders"}
	}
	f, err := g.read(dir)
	if err != nil {
		return ignoreGone(err)
	}
	if len(parts) == 1 {
		for _, name := range f.names {
			if parts[0] == "**" && name[0] != '.' || matchName(parts[0], name) {
				*found = append(*found, filepath.Join(dir, name))
			}
		}
		if parts[0] != "**" {
			return nil
		}
	}
	return g.descend(dir, f, parts, found)
}

func (g *Globber) descend(dir string, f *globFolder, parts []string, found *[]string) error {
	var first error
	note := func(err error) {
		if first == nil {
			first = err
		}
	}
	if parts[0] == "**" && len(parts) > 1 {
		note(g.walk(dir, parts[1:], found))
	}
	for _, name := range f.dirs {
		switch {
		case parts[0] == "**":
			// Behind a link the tree may begin anew.
			if _, link := slices.BinarySearch(f.links, name); !link && name[0] != '.' {
				note(g.walk(filepath.Join(dir, name), parts, found))
			}
		case matchName(parts[0], name):
			note(g.walk(filepath.Join(dir, name), parts[1:], found))
		}
	}
	return first
}

// read returns the content of dir, from memory if it did not change.
func (g *Globber) read(dir string) (*globFolder, error) {
	now, err := StampOf(dir)
	if err != nil {
		return nil, err
	}
	f := g.folders[dir]
	if f != nil && f.stamp == now && (f.settled || f.round) {
		f.round = true
		return f, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f = &globFolder{stamp: now, settled: now.settledNow(), round: true}
	for _, e := range entries {
		f.add(dir, e)
	}
	slices.Sort(f.links)
	g.folders[dir] = f
	return f, nil
}

func (f *globFolder) add(dir string, e fs.DirEntry) {
	name := e.Name()
	switch {
	case e.IsDir():
		f.dirs = append(f.dirs, name)
	case e.Type()&fs.ModeSymlink != 0:
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.IsDir() {
			f.dirs, f.links = append(f.dirs, name), append(f.links, name)
			return
		}
		f.names = append(f.names, name)
	default:
		f.names = append(f.names, name)
	}
}

func matchParts(parts, names []string) bool {
	for len(parts) > 0 && parts[0] != "**" {
		if len(names) == 0 || !matchName(parts[0], names[0]) {
			return false
		}
		parts, names = parts[1:], names[1:]
	}
	if len(parts) == 0 {
		return len(names) == 0
	}
	if len(parts) == 1 { // ** at the end stands for at least one name
		return len(names) > 0 && !slices.ContainsFunc(names, hidden)
	}
	for i := range len(names) {
		if matchParts(parts[1:], names[i:]) {
			return true
		}
		if hidden(names[i]) {
			break
		}
	}
	return false
}

func hidden(name string) bool { return name[0] == '.' }

func matchName(part, name string) bool {
	if hidden(name) && part[0] != '.' {
		return false
	}
	ok, err := doublestar.Match(escape(part), name)
	return err == nil && ok
}

// escape takes their meaning from the characters that are wildcards elsewhere,
// and from ** inside a component.
func escape(part string) string {
	var b strings.Builder
	for i := range len(part) {
		switch c := part[i]; {
		case strings.IndexByte(`[]{}\`, c) >= 0:
			b.WriteByte('\\')
			b.WriteByte(c)
		case c != '*' || i == 0 || part[i-1] != '*':
			b.WriteByte(c)
		}
	}
	return b.String()
}
