package config

import (
	"errors"
	"fmt"
	"strings"
)

// agent makes an Agent of the tree of an agent.xml.
func (c *checker) agent(root *node) Agent {
	a := Agent{ScanFileTime: DefaultScanFileTime}
	for _, n := range root.children {
		switch n.rule.name {
		case "local_host":
			a.LocalHost = c.local(n)
		case "monitor_host":
			a.MonitorHost = c.remote(n)
		case "scan_file_time":
			a.ScanFileTime = c.seconds(n, a.ScanFileTime)
		case "monitor_files":
			a.Files = append(a.Files, c.files(n)...)
		}
	}
	c.aliases(a.Files)
	return a
}

// files reads the elements in monitor_files.
func (c *checker) files(list *node) []File {
	var files []File
	for _, n := range list.children {
		fromEnd := c.from(n)
		if !c.useful(n) {
			continue
		}
		file, err := parseFile(n.text)
		if err != nil {
			c.value(n, err)
			continue
		}
		file.FromEnd, file.Line = fromEnd, n.line
		files = append(files, file)
	}
	return files
}

// from reads the attribute of that name: whether it says "end".
func (c *checker) from(n *node) bool {
	for _, a := range n.attrs {
		switch {
		case a.broken || a.value == "begin":
		case a.value == "end":
			return true
		default:
			c.addf(a.line, `<%s> from=%s: expected "begin" or "end"`, n.rule.name, quote(a.value))
		}
	}
	return false
}

// parseFile reads PATH,ALIAS.
func parseFile(text string) (File, error) {
	i := strings.LastIndexByte(text, ',')
	if i < 0 {
		return File{}, errors.New("it has no comma, expected " + wantAlias)
	}
	f := File{Path: strings.TrimSpace(text[:i]), Alias: strings.TrimSpace(text[i+1:])}
	switch {
	case f.Path == "":
		return f, errors.New("it has no path before the comma, expected " + wantAlias)
	case f.Alias == "":
		return f, errors.New("it has no alias behind the comma, expected " + wantAlias)
	}
	check := checkTemplate
	if !f.Pattern() {
		f.Alias = finalAlias(f.Path, f.Alias)
		check = CheckAlias
	}
	if err := check(f.Alias); err != nil {
		return f, fmt.Errorf("alias %s: %w", quote(f.Alias), err)
	}
	return f, nil
}

// aliases notes what two entries would write to one and the same copy. The
// aliases of patterns cannot be told before their files are there: only that
// one pattern has the same alias twice.
func (c *checker) aliases(files []File) {
	first := make(map[string]File, len(files))
	for _, f := range files {
		key := AliasKey(f.Alias)
		if f.Pattern() {
			key += "\x00" + f.Path
		}
		if before, ok := first[key]; ok {
			c.addf(f.Line, "<file_alias> alias %s is that of line %d (%s) too, expected one alias a file",
				quote(f.Alias), before.Line, quote(before.Path))
			continue
		}
		first[key] = f
	}
}
