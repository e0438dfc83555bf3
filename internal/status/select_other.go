//go:build !linux

package status

import "strings"

// isCut tells whether the name of a process may be longer than the system tells.
func isCut(string) bool { return false }

// fold makes alike what the system takes for the same name, user or path: it
// does not tell small letters from capitals.
func fold(name string) string { return strings.ToLower(name) }

func foldPattern(pattern string) string {
	if expr, ok := strings.CutPrefix(pattern, "/"); ok {
		return "/(?i)" + expr
	}
	return fold(pattern)
}

// plainName is what a program is called too.
func plainName(name string) string { return strings.TrimSuffix(fold(name), ".exe") }

// isUser tells whether a user is wanted. Windows puts the domain before the name.
func isUser(wanted map[string]bool, name string) bool {
	name = fold(name)
	return wanted[name] || wanted[name[strings.LastIndexByte(name, '\\')+1:]]
}

// findUsers returns what the users that are wanted are called. Numbers are not
// asked for.
func (h *host) findUsers(wanted []string) (names map[string]bool, uids map[uint32]bool) {
	names = make(map[string]bool)
	for _, name := range wanted {
		names[fold(name)] = true
	}
	return names, nil
}
