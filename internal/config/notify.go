package config

import (
	"strconv"
	"strings"
	"time"
)

const notifyElement = "notify"

// What holds where a notify says nothing.
const (
	DefaultWait   = 2 * time.Second
	DefaultGiveUp = 24 * time.Hour
)

const (
	wantFor  = `names of hosts, groups, rules and states separated by commas, as in for="web,db*,dead"`
	wantName = `a name as in name="ops"`
)

func notifyAttributes() []attribute {
	return []attribute{
		{name: "name", want: wantName, check: checkRuleName},
		{name: "for", want: wantFor},
		{name: "wait", want: wantSeconds, check: checkNumber(maxSeconds)},
		{name: "remind", want: wantSeconds, check: checkNumber(maxSeconds)},
		{name: "give_up", want: wantSeconds, check: checkNumber(maxSeconds)},
	}
}

// receiver reads a notify.
func (c *checker) receiver(n *node) Receiver {
	v := c.values(n)
	r := Receiver{
		Name: v["name"], For: c.items(n, "for", v["for"]), Line: n.line,
		Wait: seconds(v["wait"], DefaultWait), Remind: seconds(v["remind"], 0), GiveUp: seconds(v["give_up"], DefaultGiveUp),
	}
	if len(n.children) == 0 && !n.unknowns && !n.broken {
		c.addf(n.line, "<%s> does not say how to tell someone, expected one of %s in it", n.rule.name, n.rule.expected())
	}
	for i, child := range n.children {
		settings := c.settings(child)
		if i == 0 {
			r.Kind, r.Settings = child.rule.name, settings
			continue
		}
		c.addf(child.line, "<%s> in a <%s> that has <%s> in line %d, expected one way to tell someone in each <%s>",
			child.rule.name, n.rule.name, n.children[0].rule.name, n.children[0].line, n.rule.name)
	}
	return r
}

// settings reads the element in a notify.
func (c *checker) settings(n *node) map[string]string {
	v := c.values(n)
	if n.rule.attribute("user") != nil && n.has("user") != n.has("password") && !n.broken && len(n.meant) == 0 {
		there, other := "user", "password"
		if n.has(other) {
			there, other = other, there
		}
		c.fault(n, there, there+" without "+other+", expected both or neither")
	}
	for _, list := range []string{"to", "at"} {
		if value := v[list]; value != "" && !strings.HasPrefix(value, fromFile) {
			c.items(n, list, value)
		}
	}
	return v
}

// receivers gives a name to those that have none, and notes what two have.
func (c *checker) receivers(list []Receiver, nodes []*node) {
	first := map[string]int{}
	for i, r := range list {
		if r.Name == "" {
			continue
		}
		if line, ok := first[r.Name]; ok {
			c.fault(nodes[i], "name", "name="+quote(r.Name)+" is that of line "+strconv.Itoa(line)+" too, expected one receiver a name")
			continue
		}
		first[r.Name] = r.Line
	}
	count := map[string]int{}
	for i := range list {
		for r := &list[i]; r.Name == "" && r.Kind != ""; {
			count[r.Kind]++
			name := r.Kind
			if n := count[r.Kind]; n > 1 {
				name += "-" + strconv.Itoa(n)
			}
			if _, ok := first[name]; !ok {
				r.Name = name
			}
		}
	}
}
