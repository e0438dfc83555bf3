package fleet

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// Select returns the hosts that match any of the selectors, in the order of
// hosts; all of them without a selector. A selector is a name, an ip, an
// ip:port or a group, or a pattern of [path.Match] of one of them. One that
// matches nothing is an error that names the nearest thing there is.
func Select(hosts []Host, selectors []string) ([]Host, error) {
	if len(selectors) == 0 {
		return slices.Clone(hosts), nil
	}
	chosen := make([]bool, len(hosts))
	for _, selector := range selectors {
		matches, found := matcher(selector), false
		for i, h := range hosts {
			if slices.ContainsFunc(names(h), matches) {
				chosen[i], found = true, true
			}
		}
		if !found {
			return nil, unknown(hosts, selector)
		}
	}
	var selected []Host
	for i, h := range hosts {
		if chosen[i] {
			selected = append(selected, h)
		}
	}
	return selected, nil
}

// names returns all by which a host can be selected.
func names(h Host) []string {
	ip := h.Address.Addr()
	return append([]string{h.Name, ip.String(), h.Address.String()}, h.Groups...)
}

// matcher returns whether a name is meant by selector.
func matcher(selector string) func(name string) bool {
	if ip, err := netip.ParseAddr(selector); err == nil {
		selector = ip.String() // as names writes it
	} else if at, err := netip.ParseAddrPort(selector); err == nil {
		selector = at.String()
	} else if strings.ContainsAny(selector, `*?[\`) {
		return func(name string) bool { return name == selector || glob(selector, name) }
	}
	return func(name string) bool { return name == selector }
}

// glob is path.Match for names, in which a slash is a character like others.
func glob(pattern, name string) bool {
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), strings.ReplaceAll(name, "/", "\x00"))
	return ok && err == nil
}

// unknown is the error of a selector that matches nothing.
func unknown(hosts []Host, selector string) error {
	const most = 3
	type candidate struct {
		name     string
		distance int
	}
	limit := max(2, len(selector)/3)
	var near []candidate
	for _, h := range hosts {
		for _, name := range names(h) {
			d := distance(strings.ToLower(selector), strings.ToLower(name))
			if d <= limit && !slices.ContainsFunc(near, func(c candidate) bool { return c.name == name }) {
				near = append(near, candidate{name, d})
			}
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return a.distance - b.distance })
	if len(near) == 0 {
		return fmt.Errorf("no host has the name, address or group %q: see dtc hosts", selector)
	}
	quoted := make([]string, min(len(near), most))
	for i := range quoted {
		quoted[i] = fmt.Sprintf("%q", near[i].name)
	}
	return fmt.Errorf("no host has the name, address or group %q: did you mean %s?", selector, strings.Join(quoted, " or "))
}

// distance is the Levenshtein distance of two texts, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
