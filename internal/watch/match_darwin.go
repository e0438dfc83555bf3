package watch

import "path"

// separators are what tells a path from a name.
const separators = "/"

// programFolders are the folders in which a program without a path is looked for.
func programFolders() []string {
	return []string{"/opt/homebrew/bin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}
}

// canFork says whether a process can run its parent's program.
const canFork = true

// fold makes alike what the system takes for the same name: nothing but itself.
func fold(name string) string { return name }

// samePath compares paths of files, or their names.
func samePath(a, b string) bool { return a == b }

func plainProgram(name string) string { return name }

func baseName(name string) string { return path.Base(name) }

func plainUser(name string) string { return name }
