package config

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"dtc"
)

const retentionElement = "retention"

const (
	maxRetention = 100 // elements in one place
	leastSize    = 1e6 // bytes: about what is dropped at a time
	mostSize     = 1 << 60
	leastAge     = time.Minute // so often is looked
)

const (
	wantSize      = `bytes as in size="500MB" or size="10GiB"`
	wantSizeUnit  = "KB, MB, GB or TB (of 1000), or KiB, MiB, GiB or TiB (of 1024)"
	wantAge       = `a time as in age="30d"`
	wantAgeUnit   = "s, m, h or d"
	wantAliasGlob = `an alias or a pattern of some as in alias="*.log"`
	wantSizeOrAge = `size="10GB", age="30d" or both`
)

func retentionAttributes() []attribute {
	return []attribute{
		{name: "size", want: wantSize, check: checkSize},
		{name: "age", want: wantAge, check: checkAge},
		{name: "alias", want: wantAliasGlob, check: checkAliasGlob},
	}
}

// retention reads an element of that name behind others of its place.
func (c *checker) retention(n *node, before []Retention) []Retention {
	if len(before) > maxRetention {
		return before // told already
	}
	v := c.values(n)
	r := Retention{Alias: v["alias"], Line: n.line}
	r.Size, _ = parseSize(v["size"]) // what is wrong is told already
	r.Age, _ = parseAge(v["age"])
	if c.lacks(n, "size", "age") {
		c.addf(n.line, "<%s> does not say how much is kept, expected %s", n.rule.name, wantSizeOrAge)
	}
	if n.has("alias") && r.Alias == "" {
		return before // told already
	}
	if i := slices.IndexFunc(before, func(o Retention) bool { return o.covers(r.Alias) }); i >= 0 {
		c.addf(n.line, "<%s> would never count, that of line %d is for its streams; expected it before that one", n.rule.name, before[i].Line)
	}
	if len(before) == maxRetention {
		c.addf(n.line, "<%s> is one too many here, expected at most %d", n.rule.name, maxRetention)
	}
	return append(before, r)
}

// covers tells whether all that a pattern matches is matched already.
func (r *Retention) covers(alias string) bool {
	return r.Alias == "" || r.Alias == "*" || r.Alias == alias ||
		!strings.ContainsAny(alias, `*?[\`) && alias != "" && r.Matches(alias)
}

// Matches tells whether it is for the streams with an alias.
func (r *Retention) Matches(alias string) bool {
	return r.Alias == "" || dtc.MatchName(AliasKey(r.Alias), AliasKey(alias))
}

// RetentionOf returns what counts for an alias of a host: the first of its own
// that is for it, else the first of all hosts' that is. The zero value if there
// is none.
func RetentionOf(alias string, own, all []Retention) Retention {
	for _, list := range [][]Retention{own, all} {
		for i := range list {
			if list[i].Matches(alias) {
				return list[i]
			}
		}
	}
	return Retention{}
}

// checkAliasGlob takes what may match an alias.
func checkAliasGlob(value string) error {
	if _, err := path.Match(AliasKey(value), ""); err != nil {
		return errors.New("it is no pattern, expected each [ with its ], and no \\ at the end")
	}
	if strings.Contains(value, "/") {
		return errors.New("an alias holds no slash, expected " + wantAliasGlob)
	}
	return checkLength(maxRuleName)(value)
}

// sizeUnits are those of a size, in bytes.
func sizeUnits() map[string]int64 {
	return map[string]int64{
		"": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	}
}

// parseSize reads a number of bytes, perhaps with a unit; 0 of none.
func parseSize(value string) (int64, error) {
	if value == "" {
		return 0, nil
	}
	n, unit, err := splitUnit(value, wantSize)
	if err != nil {
		return 0, err
	}
	times, ok := sizeUnits()[unit]
	switch {
	case !ok:
		return 0, fmt.Errorf("%s is no unit of a size, expected %s", quote(unit), wantSizeUnit)
	case n > mostSize/times:
		return 0, fmt.Errorf("it is too large, expected at most %d bytes", int64(mostSize))
	case n*times < leastSize:
		return 0, errors.New("it is below 1MB, about what is dropped at a time; expected at least that, " + wantSize)
	}
	return n * times, nil
}

func checkSize(value string) error {
	_, err := parseSize(value)
	return err
}

// parseAge reads a time with a unit; 0 of none.
func parseAge(value string) (time.Duration, error) {
	if value == "" {
		return 0, nil
	}
	n, unit, err := splitUnit(value, wantAge)
	if err != nil {
		return 0, err
	}
	times, ok := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[unit]
	switch {
	case unit == "":
		return 0, errors.New("it has no unit, expected one of " + wantAgeUnit + " behind the number")
	case !ok:
		return 0, fmt.Errorf("%s is no unit of an age, expected %s", quote(unit), wantAgeUnit)
	case n > maxSeconds/int64(times/time.Second):
		return 0, fmt.Errorf("it is too long, expected at most %dd", maxSeconds/86400)
	case time.Duration(n)*times < leastAge:
		return 0, errors.New("it is below 1m, expected at least that, " + wantAge)
	}
	return time.Duration(n) * times, nil
}

func checkAge(value string) error {
	_, err := parseAge(value)
	return err
}

// splitUnit splits a value into a whole number from 1 and what stands behind it.
func splitUnit(value, want string) (int64, string, error) {
	unit := strings.TrimLeft(value, "0123456789")
	digits := value[:len(value)-len(unit)]
	n, err := strconv.ParseInt(digits, 10, 64)
	switch {
	case digits == "":
		return 0, "", errors.New("it does not begin with a number, expected " + want)
	case err != nil:
		return 0, "", errors.New("it is too large, expected " + want)
	case n < 1:
		return 0, "", errors.New("it is below 1, expected " + want)
	case strings.HasPrefix(unit, ".") || strings.HasPrefix(unit, ","):
		return 0, "", errors.New("it is no whole number, expected " + want)
	}
	return n, strings.TrimFunc(unit, isSpace), nil
}
