package watch

import "strings"

// separators are what tells a path from a name.
const separators = `\/`

// programFolders are none: there are no links to programs to speak of.
func programFolders() []string { return nil }

// canFork says whether a process can run its parent's program.
const canFork = false

// fold makes alike what the system takes for the same name.
func fold(name string) string { return strings.ToLower(name) }

// samePath compares paths of files, or their names.
func samePath(a, b string) bool {
	return strings.EqualFold(strings.ReplaceAll(a, "/", `\`), strings.ReplaceAll(b, "/", `\`))
}

// plainProgram is what a program is called too.
func plainProgram(name string) string {
	if len(name) > 4 && strings.EqualFold(name[len(name)-4:], ".exe") {
		return name[:len(name)-4]
	}
	return name
}

func baseName(path string) string { return path[strings.LastIndexAny(path, separators)+1:] }

// plainUser is a user's name without the domain.
func plainUser(name string) string { return fold(name[strings.LastIndexByte(name, '\\')+1:]) }
