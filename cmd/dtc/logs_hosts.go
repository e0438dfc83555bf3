package main

import (
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"time"

	"dtc/internal/ca"
	"dtc/internal/config"
	"dtc/internal/fleet"
	"dtc/internal/logs"
)

// copies are the copies that a home has, and whose they are.
type copies struct {
	dir     string
	targets []logs.Target
	hosts   []fleet.Host      // the configured ones, then those that only have copies
	folder  []string          // of each host
	names   map[string]string // of folders: the host's

	commands []string // that may have been meant instead of a copy
}

// copies looks what copies there are. A folder belongs to the host with its ip,
// or to the one whose agent owns its copies: that keeps them when its ip changes.
// A folder that no host has is a host of its own, so that nothing is out of
// reach.
func (a *app) copies() (*copies, error) {
	c := &copies{dir: a.logsDir(), names: map[string]string{}}
	if err := a.mustHaveHome(c.dir); err != nil {
		return nil, err
	}
	cfg, err := config.LoadMonitor(a.configPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, usageError(err)
	}
	for _, h := range cfg.Hosts {
		c.add(fleet.Host{Name: h.Name, Address: h.Address, Groups: h.Groups}, config.FolderName(h.Address.Addr()))
	}
	c.targets, err = logs.Targets(c.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	configured := len(c.hosts)
	for _, t := range c.targets {
		if slices.Contains(c.folder, t.Folder) {
			continue
		}
		h := fleet.Host{Name: t.Folder, Address: netip.AddrPortFrom(folderIP(t.Folder), 0)}
		if i := slices.IndexFunc(c.hosts[:configured], a.owner(t)); i >= 0 {
			h = c.hosts[i]
		}
		c.add(h, t.Folder)
	}
	return c, nil
}

// owner returns whether a host is the one whose agent owns a copy, as far as
// the register of certificates can be read.
func (a *app) owner(t logs.Target) func(fleet.Host) bool {
	nobody := func(fleet.Host) bool { return false }
	id, err := logs.Owner(a.logsDir(), t)
	if err != nil {
		return nobody
	}
	authority, err := ca.Open(a.tlsDir())
	if err != nil {
		return nobody
	}
	for _, r := range authority.Issued() {
		if r.ID == id && r.Valid(time.Now()) {
			return func(h fleet.Host) bool { return slices.Contains(r.IPs, h.Address.Addr()) }
		}
	}
	return nobody
}

func (c *copies) add(h fleet.Host, folder string) {
	c.hosts, c.folder = append(c.hosts, h), append(c.folder, folder)
	if c.names[folder] == "" {
		c.names[folder] = h.Name
	}
}

// folderIP returns the ip whose folder that is, see [config.FolderName].
func folderIP(folder string) netip.Addr {
	if ip, err := netip.ParseAddr(folder); err == nil {
		return ip
	}
	text := strings.ReplaceAll(folder, "-", ":")
	if rest, ok := strings.CutPrefix(text, "0:"); ok && strings.HasPrefix(rest, ":") {
		text = rest // the 0 of "0--1" stands before "::1"
		text = ":" + text
	}
	ip, _ := netip.ParseAddr(text) // the zero Addr matches no selector
	return ip
}

// selectFolders returns the folders of the hosts that are selected, each once,
// in the order of the configuration.
func (c *copies) selectFolders(selectors []string) ([]string, error) {
	hosts, err := fleet.Select(c.hosts, selectors)
	if err != nil {
		return nil, usageError(err)
	}
	var out []string
	for i, h := range c.hosts {
		selected := slices.ContainsFunc(hosts, func(s fleet.Host) bool { return s.Name == h.Name && s.Address == h.Address })
		if selected && !slices.Contains(out, c.folder[i]) {
			out = append(out, c.folder[i])
		}
	}
	return out, nil
}
