package config

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// checker makes plain values of a tree and notes what is wrong with them.
type checker struct {
	faults
}

// value adds the fault of an element's value.
func (c *checker) value(n *node, err error) {
	c.addf(n.textLine, "<%s> %s: %v", n.rule.name, quote(n.text), err)
}

// useful says whether an element has a value to look at; one that is empty and
// may not be is a fault.
func (c *checker) useful(n *node) bool {
	if n.broken || n.text != "" {
		return !n.broken
	}
	if !n.rule.empty {
		c.addf(n.line, "<%s> is empty, expected %s", n.rule.name, n.rule.want)
	}
	return false
}

// local reads the address that a program listens on.
func (c *checker) local(n *node) netip.AddrPort {
	if !c.useful(n) {
		return netip.AddrPort{}
	}
	addr, err := parseAddress(n.text)
	if err != nil {
		c.value(n, err)
	}
	return addr
}

// remote reads the address of another program.
func (c *checker) remote(n *node) netip.AddrPort {
	addr := c.local(n)
	if addr.IsValid() && addr.Addr().IsUnspecified() {
		c.value(n, errors.New("it is the address of every host and none, expected that of one"))
		return netip.AddrPort{}
	}
	return addr
}

// seconds reads a duration; of what is absent or wrong it is fallback.
func (c *checker) seconds(n *node, fallback time.Duration) time.Duration {
	if !c.useful(n) {
		return fallback
	}
	d, err := parseSeconds(n.text)
	if err != nil {
		c.value(n, err)
		return fallback
	}
	return d
}

// pids reads a list of process numbers.
func (c *checker) pids(n *node) []int {
	if !c.useful(n) {
		return nil
	}
	var pids []int
	line, list := n.textLine, quote(n.text)
	for item := range strings.SplitSeq(n.text, ",") {
		lead := item[:len(item)-len(strings.TrimLeftFunc(item, isSpace))]
		at := line + strings.Count(lead, "\n")
		line += strings.Count(item, "\n")
		item = strings.TrimSpace(item)
		if item == "" {
			c.addf(at, "<%s> %s: it has an empty item, expected %s", n.rule.name, list, n.rule.want)
			continue
		}
		pid, err := parseNumber(item, maxPID)
		if err != nil {
			c.addf(at, "<%s> %s: %v", n.rule.name, quote(item), err)
			continue
		}
		pids = append(pids, pid)
	}
	return unique(pids)
}

// unique leaves out what has stood before.
func unique[T comparable](list []T) []T {
	seen := make(map[T]bool, len(list))
	return slices.DeleteFunc(list, func(v T) bool {
		again := seen[v]
		seen[v] = true
		return again
	})
}
