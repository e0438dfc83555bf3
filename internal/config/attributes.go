package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"dtc"
)

// attribute says what an attribute of an element may be.
type attribute struct {
	name     string
	required bool
	secret   bool // no fault shows its value
	file     bool // it may be file=PATH, which stands for what the file holds
	exact    bool // white space at its ends could be meant, and none may stand there
	want     string
	check    func(value string) error // nil: any text
}

// fromFile begins a value that stands in a file.
const fromFile = "file="

func (r *rule) attribute(name string) *attribute {
	i := slices.IndexFunc(r.attrs, func(a attribute) bool { return a.name == name })
	if i < 0 {
		return nil
	}
	return &r.attrs[i]
}

func (r *rule) attributeNames() []string {
	names := make([]string, len(r.attrs))
	for i, a := range r.attrs {
		names[i] = a.name
	}
	return names
}

// expectedAttrs lists the attributes that an element may have.
func (r *rule) expectedAttrs() string {
	if len(r.attrs) == 0 {
		return "none"
	}
	return oneOf(r.attributeNames())
}

// meantAttribute returns the attribute of whose name the given one is a part, or
// that is most like it; "" if none is. Of short names few letters are alike by
// chance: then the first has to be the same.
func (r *rule) meantAttribute(name string) string {
	name = strings.ToLower(name)
	names := r.attributeNames()
	if i := slices.IndexFunc(names, func(n string) bool { return n == name || len(name) > 2 && strings.Contains(n, name) }); i >= 0 {
		return names[i]
	}
	return dtc.Nearest(name, slices.DeleteFunc(names, func(n string) bool {
		return len(name) < 3 || len(n) < 3 || len(name) < 5 && n[0] != name[0]
	}))
}

// attributeValue returns a value without the white space round it. A line break
// in one is a space, as XML has it (section 3.3.3).
func attributeValue(s string) string {
	return strings.TrimFunc(strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ", "\t", " ").Replace(s), isSpace)
}

// values reads the attributes of an element: those that stand there and are as
// they should be. What is wrong or missing is noted.
func (c *checker) values(n *node) map[string]string {
	values := map[string]string{}
	for _, a := range n.attrs {
		if a.broken {
			continue
		}
		err := a.rule.wrong(a.value)
		if err == nil && a.cut && a.rule.exact {
			err = fmt.Errorf(`white space at the beginning or end of %s is cut; write \s`, a.rule.name)
		}
		if err != nil {
			c.attribute(n, a, err)
			continue
		}
		values[a.rule.name] = a.value
	}
	for _, a := range n.rule.attrs {
		if a.required && c.lacks(n, a.name) {
			c.addf(n.line, "<%s> has no %s, expected %s", n.rule.name, a.name, a.want)
		}
	}
	return values
}

// wrong says what is wrong with a value.
func (a *attribute) wrong(value string) error {
	path, file := strings.CutPrefix(value, fromFile)
	switch {
	case value == "":
		return errors.New("it is empty, expected " + a.want)
	case strings.ContainsFunc(value, isControl):
		return errors.New("it holds a control character or a line break, expected text on one line")
	case a.file && file && strings.TrimSpace(path) == "":
		return errors.New("it names no file, expected " + fromFile + "PATH")
	case a.file && file, a.check == nil:
		return nil
	}
	return a.check(value)
}

// attribute adds the fault of an attribute's value.
func (c *checker) attribute(n *node, a attr, err error) {
	if a.rule.secret || a.value == "" {
		c.addf(a.line, "<%s> %s: %v", n.rule.name, a.rule.name, err)
		return
	}
	c.addf(a.line, "<%s> %s=%s: %v", n.rule.name, a.rule.name, quote(a.value), err)
}

// fault adds one about an attribute that stands there; n's line is that of one
// that does not.
func (c *checker) fault(n *node, name, text string) {
	line := n.line
	if i := slices.IndexFunc(n.attrs, func(a attr) bool { return a.rule.name == name }); i >= 0 {
		line = n.attrs[i].line
	}
	c.addf(line, "<%s> %s", n.rule.name, text)
}

// has says whether an attribute stands there, with whatever value.
func (n *node) has(name string) bool {
	return slices.ContainsFunc(n.attrs, func(a attr) bool { return a.rule.name == name })
}

// lacks says whether it is to be told that none of these attributes is there:
// not if one was probably meant, or could not be read.
func (c *checker) lacks(n *node, names ...string) bool {
	return !n.broken && !slices.ContainsFunc(names, func(name string) bool {
		return n.has(name) || slices.Contains(n.meant, name)
	})
}

// items splits the value of an attribute that is a list; an empty item is noted.
func (c *checker) items(n *node, name, value string) []string {
	if value == "" {
		return nil // absent, or told already
	}
	var items []string
	for item := range strings.SplitSeq(value, ",") {
		item = strings.TrimFunc(item, isSpace)
		if item == "" {
			c.fault(n, name, name+"="+quote(value)+": it has an empty item, expected "+n.rule.attribute(name).want)
			continue
		}
		items = append(items, item)
	}
	return unique(items)
}
