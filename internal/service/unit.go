package service

import (
	_ "embed" // the unit files
	"fmt"
	"slices"
	"strings"
	"unicode"
)

//go:embed units/dtc-agent.service.in
var agentUnit string

//go:embed units/dtc.service.in
var monitorUnit string

// capabilities lists those that the service is left with, as
// capabilities(7) calls them: unit files say what each is for.
func (s Service) capabilities() string {
	if s.Name == "dtc-agent" {
		return "CAP_DAC_READ_SEARCH CAP_SYS_PTRACE CAP_CHECKPOINT_RESTORE CAP_NET_ADMIN CAP_SYSLOG CAP_LEASE CAP_NET_BIND_SERVICE"
	}
	return "CAP_NET_BIND_SERVICE"
}

// Unit returns the service's unit file for systemd, see systemd.service(5). It
// fails where a path or name cannot stand in one.
func (s Service) Unit() (string, error) {
	for _, text := range []string{s.Exec, s.Home, s.User} {
		if strings.ContainsFunc(text, unicode.IsControl) {
			return "", fmt.Errorf("make the unit file: %q: %w", text, errControl)
		}
	}
	var write []string
	for _, path := range s.writable() {
		write = append(write, quote("-"+path, "")) // "-": it may not be there yet
	}
	user := ""
	if s.User != "" {
		user = "User=" + strings.ReplaceAll(s.User, "%", "%%") + "\nAmbientCapabilities=" + s.capabilities() + "\n"
	}
	in := monitorUnit
	if s.Name == "dtc-agent" {
		in = agentUnit
	}
	return strings.NewReplacer(
		"@EXEC@", quote(s.Exec, "$"), "@HOME@", quote(s.Home, "$"), "@WRITE@", strings.Join(write, " "),
		"@USER@", user, "@TMP@", s.privateTmp(), "@CAPS@", s.capabilities(),
	).Replace(in), nil
}

// privateTmp says whether the monitor has a /tmp of its own: a home that lies in
// the machine's would be hidden from it.
func (s Service) privateTmp() string {
	for _, dir := range []string{"/tmp/", "/var/tmp/"} {
		if strings.HasPrefix(s.Home+"/", dir) {
			return "no"
		}
	}
	return "yes"
}

// quote makes a word of a unit file's line, see Quoting in systemd.syntax(7).
// double has, besides "%", what stands for itself when it stands there twice:
// "$" in a command line.
func quote(word, double string) string {
	var b strings.Builder
	plain := true
	for _, r := range word {
		switch {
		case r == '%' || strings.ContainsRune(double, r):
			b.WriteRune(r)
		case r == '\\' || r == '"':
			b.WriteByte('\\')
			plain = false
		case r == ' ' || r == '\'' || r == ';' || r == '#':
			plain = false
		}
		b.WriteRune(r)
	}
	if plain && word != "" {
		return b.String()
	}
	return `"` + b.String() + `"`
}

// homeOf returns the home that a unit file of ours, or of a package of ours, has
// in its ExecStart; empty if it is none.
func homeOf(unit string) string {
	for line := range strings.Lines(unit) {
		command, ok := strings.CutPrefix(strings.TrimSpace(line), "ExecStart=")
		if !ok {
			continue
		}
		return homeAmong(unquote(command))
	}
	return ""
}

// homeAmong returns the home that a command line names.
func homeAmong(words []string) string {
	if i := slices.Index(words, "--home"); i >= 0 && i+1 < len(words) {
		return words[i+1]
	}
	return ""
}

// unquote undoes [quote] for the words of a command line.
func unquote(line string) []string {
	var words []string
	var word strings.Builder
	inWord, quoted := false, false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == ' ' && !quoted:
			if inWord {
				words = append(words, word.String())
				word.Reset()
			}
			inWord = false
			continue
		case c == '"':
			quoted, inWord = !quoted, true
			continue
		case i+1 < len(line) && (c == '\\' || (c == '%' || c == '$') && line[i+1] == c):
			i++
		}
		inWord = true
		word.WriteByte(line[i])
	}
	if inWord {
		words = append(words, word.String())
	}
	return words
}
