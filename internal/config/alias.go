package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"dtc"
)

// What the alias of a pattern holds in place of parts of the file's path.
const (
	nameMark = "{name}" // the file's base name
	dirMark  = "{dir}"  // its folder's base name
)

// isPattern says whether a path of a configuration may match several files.
// Only these two characters make it one (and so "**" does).
func isPattern(path string) bool { return strings.ContainsAny(path, "*?") }

// FolderName returns an ip as it stands in the names of files and folders: with
// '-' for ':', and a '0' before a '-' at its start.
func FolderName(ip netip.Addr) string {
	name := strings.ReplaceAll(ip.Unmap().WithZone("").String(), ":", "-")
	if strings.HasPrefix(name, "-") {
		return "0" + name
	}
	return name
}

// AliasKey returns the same text for two aliases that are one: they are
// compared without case.
func AliasKey(alias string) string { return strings.Map(foldRune, alias) }

// foldRune returns the least of the runes that differ only in case.
func foldRune(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	return least
}

// CheckAlias returns nil if alias may be the name of a followed log at the
// monitor, else what is wrong with it. An alias is a plain file name that means
// one and the same file on every system that a monitor runs on.
func CheckAlias(alias string) error {
	switch {
	case alias == "":
		return errors.New("it is empty")
	case len(alias) > dtc.MaxAlias:
		return fmt.Errorf("it has %d bytes, expected at most %d", len(alias), dtc.MaxAlias)
	case !utf8.ValidString(alias):
		return errors.New("it is not UTF-8, expected that encoding")
	case strings.ContainsAny(alias, `/\:`):
		return fmt.Errorf("it holds %q, expected a plain file name without any of / \\ : in it", alias[strings.IndexAny(alias, `/\:`)])
	case strings.ContainsFunc(alias, isControl):
		return errors.New("it holds a control character, expected a plain file name")
	case strings.HasPrefix(alias, "."):
		return errors.New("it begins with a dot, expected another character")
	case strings.HasSuffix(alias, "."):
		return errors.New("it ends with a dot, expected another character")
	case strings.HasSuffix(alias, " "):
		return errors.New("it ends with a space, which Windows would drop; expected another character")
	case isReserved(alias):
		return errors.New("it is a name that Windows reserves for a device, expected another")
	case isProcessLog(alias):
		return errors.New("it has the form of a process log, IP_PORT_process_DATE.log, expected another")
	}
	return nil
}

// isControl says whether a terminal may obey a character instead of showing it:
// C0, C1, and those that turn the direction of writing.
func isControl(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

// isReserved says whether Windows takes the name for a device: that counts up
// to the first dot. See "Naming Files, Paths, and Namespaces" of its manual.
func isReserved(alias string) bool {
	base, _, _ := strings.Cut(alias, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	if slices.Contains([]string{"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}, base) {
		return true
	}
	number, ok := strings.CutPrefix(base, "COM")
	if !ok {
		number, ok = strings.CutPrefix(base, "LPT")
	}
	return ok && utf8.RuneCountInString(number) == 1 && strings.ContainsAny(number, "0123456789¹²³")
}

// isProcessLog says whether the name is of the form of the files that the
// monitor writes beside the copies: <ip>_<port>_process_<YYYY-MM-DD>.log.
func isProcessLog(alias string) bool {
	rest, ok := strings.CutSuffix(strings.ToLower(alias), ".log")
	if !ok {
		return false
	}
	ip, rest, ok := strings.Cut(rest, "_")
	if !ok || ip == "" || strings.Trim(ip, "0123456789abcdef.-") != "" {
		return false
	}
	port, day, ok := strings.Cut(rest, "_process_")
	if !ok || port == "" || strings.Trim(port, "0123456789") != "" {
		return false
	}
	return isDay(day)
}

// isDay says whether s has the form of a date, YYYY-MM-DD.
func isDay(s string) bool {
	form := []byte(s)
	for i, c := range form {
		if '0' <= c && c <= '9' {
			form[i] = '0'
		}
	}
	return string(form) == "0000-00-00"
}

// finalAlias puts the parts of a plain path in the place of their marks.
func finalAlias(path, alias string) string {
	dir, name := splitPath(path)
	_, dir = splitPath(dir)
	return strings.NewReplacer(nameMark, name, dirMark, dir).Replace(alias)
}

// splitPath cuts a path of any system before its last separator.
func splitPath(path string) (dir, name string) {
	i := strings.LastIndexAny(path, `/\`)
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

// checkTemplate is CheckAlias for what the alias of a pattern may come to.
func checkTemplate(alias string) error {
	if !strings.Contains(alias, nameMark) {
		return fmt.Errorf("the path is a pattern, expected %s in the alias, which stands for the file's name", nameMark)
	}
	return CheckAlias(strings.NewReplacer(nameMark, "n", dirMark, "d").Replace(alias))
}
