package fleet

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"dtc"
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
		return func(name string) bool { return dtc.MatchName(selector, name) }
	}
	return func(name string) bool { return name == selector }
}

// unknown is the error of a selector that matches nothing.
func unknown(hosts []Host, selector string) error {
	near := nearest(hosts, selector)
	if len(near) == 0 {
		return fmt.Errorf("no host has the name, address or group %q: see dtc hosts", selector)
	}
	for i := range near {
		near[i] = strconv.Quote(near[i])
	}
	return fmt.Errorf("no host has the name, address or group %q: did you mean %s?", selector, strings.Join(near, " or "))
}

// nearest returns up to three of what hosts can be selected by, the most like
// selector first, without regard to case.
func nearest(hosts []Host, selector string) []string {
	const most = 3
	var known, near []string
	written := map[string]string{} // of what is known in small letters
	for _, h := range hosts {
		for _, name := range names(h) {
			key := strings.ToLower(name)
			if _, ok := written[key]; !ok {
				written[key] = name
				known = append(known, key)
			}
		}
	}
	for len(near) < most {
		best := dtc.Nearest(strings.ToLower(selector), known)
		if best == "" {
			break
		}
		near = append(near, written[best])
		known = slices.DeleteFunc(known, func(k string) bool { return k == best })
	}
	return near
}
