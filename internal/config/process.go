package config

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"dtc"
)

const processElement = "monitor_process"

// What a watch takes, see package wire.
const (
	maxRules     = 1000 // of one host
	maxRuleName  = 200  // bytes
	maxCondition = 4096 // bytes
	maxCount     = 100_000
)

const (
	wantRegexp = `a regular expression as in match="nginx: master"`
	wantExe    = `an absolute path or a name as in exe="nginx"`
	wantPath   = `an absolute path as in /run/nginx.pid`
	wantUnit   = `a unit as in unit="nginx.service"`
	wantPort   = "a number from 1 to 65535"
	wantNumber = "a whole number from 1"
)

// conditions are the attributes of which a monitor_process has exactly one.
func conditions() []string { return []string{"match", "exe", "pidfile", "unit", "port"} }

func processAttributes() []attribute {
	return []attribute{
		{name: "name", required: true, want: `a name as in name="web"`, check: checkRuleName},
		{name: "match", want: wantRegexp, check: checkMatch, exact: true},
		{name: "exe", want: wantExe, check: checkExe},
		{name: "pidfile", want: wantPath, check: checkPath},
		{name: "unit", want: wantUnit, check: checkUnit},
		{name: "port", want: wantPort, check: checkNumber(65535)},
		{name: "user", want: `a user as in user="root"`, check: checkLength(maxRuleName)},
		{name: "min", want: wantNumber, check: checkNumber(maxCount)},
		{name: "max", want: wantNumber, check: checkNumber(maxCount)},
		{name: "restart_within", want: wantSeconds, check: checkNumber(maxSeconds)},
	}
}

// rules collects the monitor_process elements of one place.
type rules struct {
	list  []dtc.ProcessRule
	lines []int          // of each
	named map[string]int // line of the first of that name
}

// process reads a monitor_process.
func (c *checker) process(n *node, to *rules) {
	v := c.values(n)
	r := dtc.ProcessRule{
		Name: v["name"], Match: v["match"], Exe: v["exe"], PIDFile: v["pidfile"], Unit: v["unit"],
		Port: number(v["port"]), User: v["user"], Min: max(number(v["min"]), 1), Max: number(v["max"]),
		RestartWithin: seconds(v["restart_within"], 0),
	}
	c.oneCondition(n)
	if r.Max > 0 && r.Min > r.Max {
		c.fault(n, "max", fmt.Sprintf("max=%q is below min=%q, expected at least as many", v["max"], strconv.Itoa(r.Min)))
	}
	if first, ok := to.named[r.Name]; ok && r.Name != "" {
		c.fault(n, "name", fmt.Sprintf("name=%s is that of line %d too, expected one rule a name", quote(r.Name), first))
		return
	}
	if to.named == nil {
		to.named = map[string]int{}
	}
	to.named[r.Name] = n.line
	if len(to.list) == maxRules {
		c.addf(n.line, "<%s> is one too many here, expected at most %d", n.rule.name, maxRules)
	}
	to.list, to.lines = append(to.list, r), append(to.lines, n.line)
}

// oneCondition notes if an element has none or several of the attributes that
// say which processes are meant.
func (c *checker) oneCondition(n *node) {
	var there []string
	for _, a := range n.attrs {
		if slices.Contains(conditions(), a.rule.name) {
			there = append(there, a.rule.name)
		}
	}
	switch {
	case len(there) > 1:
		c.fault(n, there[1], strings.Join(there, " and ")+": expected exactly one of "+oneOf(conditions()))
	case c.lacks(n, conditions()...):
		c.addf(n.line, "<%s> does not say which processes are meant, expected exactly one of %s", n.rule.name, oneOf(conditions()))
	}
}

// under returns the rules of a host: its own, and those of the file that it has
// no own of the same name of.
func (own *rules) under(file *rules) (list []dtc.ProcessRule, lines []int) {
	if len(own.list) == 0 {
		return slices.Clip(file.list), slices.Clip(file.lines) // one memory for all such hosts
	}
	list, lines = slices.Clip(own.list), slices.Clip(own.lines)
	for i, r := range file.list {
		if _, ok := own.named[r.Name]; !ok {
			list, lines = append(list, r), append(lines, file.lines[i])
		}
	}
	return list, lines
}

// number reads a number that was checked; 0 of none.
func number(value string) int {
	n, err := strconv.Atoi(value)
	if err != nil {
		return 0
	}
	return n
}

// seconds likewise reads a time; fallback of none.
func seconds(value string, fallback time.Duration) time.Duration {
	if value == "" {
		return fallback
	}
	return time.Duration(number(value)) * time.Second
}

func checkNumber(limit int) func(string) error {
	return func(value string) error {
		_, err := parseNumber(value, limit)
		return err
	}
}

func checkLength(limit int) func(string) error {
	return func(value string) error {
		if len(value) > limit {
			return fmt.Errorf("it has %d bytes, expected at most %d", len(value), limit)
		}
		return nil
	}
}

// checkRuleName leaves the comma to the lists of names, and there the words of
// states to these.
func checkRuleName(value string) error {
	if slices.Contains(dtc.States(), dtc.State(value)) {
		return errors.New("it is the word of a state, which a list of names would take it for; expected another name")
	}
	if strings.Contains(value, ",") {
		return errors.New("it holds a comma, which separates names where they are listed; expected a name without one")
	}
	return checkLength(maxRuleName)(value)
}

func checkMatch(value string) error {
	if err := checkLength(maxCondition)(value); err != nil {
		return err
	}
	err := dtc.CheckMatch(value)
	wrong, ok := errors.AsType[*syntax.Error](err)
	if !ok {
		return err
	}
	where := ""
	if i := strings.Index(value, wrong.Expr); i >= 0 && wrong.Expr != "" && wrong.Expr != value {
		where = fmt.Sprintf(" at character %d, %s", utf8.RuneCountInString(value[:i])+1, quote(wrong.Expr))
	}
	return fmt.Errorf("%s%s, expected a regular expression (RE2)", wrong.Code, where)
}

// checkExe takes the paths of every system: the host need not have the monitor's.
func checkExe(value string) error {
	switch {
	case value == "." || value == "..":
		return errors.New("expected " + wantExe)
	case strings.HasSuffix(value, "/") || strings.HasSuffix(value, `\`):
		return errors.New("it is a folder, expected " + wantExe)
	case strings.ContainsAny(value, `/\`) && !isAbsolute(value):
		return errors.New("it is a relative path, expected " + wantExe)
	}
	return checkLength(maxCondition)(value)
}

func checkPath(value string) error {
	if !isAbsolute(value) {
		return errors.New("expected " + wantPath)
	}
	return checkLength(maxCondition)(value)
}

func checkUnit(value string) error {
	if strings.Contains(value, "/") {
		return errors.New("it is no name of a unit, expected " + wantUnit)
	}
	if strings.ContainsAny(value, "*?[") {
		return errors.New("it is a pattern, of which a unit's name is none; expected the name of one unit as in unit=\"nginx.service\"")
	}
	return checkLength(maxCondition)(value)
}

// isAbsolute says whether a path is absolute on some system.
func isAbsolute(path string) bool {
	if strings.HasPrefix(path, "/") || strings.HasPrefix(path, `\\`) {
		return true
	}
	drive := len(path) > 2 && (path[0]|0x20 >= 'a' && path[0]|0x20 <= 'z') && path[1] == ':'
	return drive && (path[2] == '\\' || path[2] == '/')
}
