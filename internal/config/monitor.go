package config

import "net/netip"

// monitor makes a Monitor of the tree of a monitor.xml.
func (c *checker) monitor(root *node) Monitor {
	m := Monitor{DetectInterval: DefaultDetectInterval}
	index := hostIndex{names: map[string]*node{}, addresses: map[netip.AddrPort]*node{}}
	var all rules
	var own []rules // of each host
	var notify []*node
	for _, n := range root.children {
		switch n.rule.name {
		case "local_host":
			m.LocalHost = c.local(n)
		case "detect_interval_time":
			m.DetectInterval = c.seconds(n, m.DetectInterval)
		case "remote_host":
			own = append(own, rules{})
			m.Hosts = append(m.Hosts, c.host(n, &index, &own[len(own)-1]))
		case processElement:
			c.process(n, &all)
		case retentionElement:
			m.Retention = c.retention(n, m.Retention)
		case notifyElement:
			m.Receivers, notify = append(m.Receivers, c.receiver(n)), append(notify, n)
		case "maintenance":
			m.Maintenance = append(m.Maintenance, c.maintenance(n))
		}
	}
	c.receivers(m.Receivers, notify)
	m.Rules = all.list
	for i := range m.Hosts {
		c.complete(&m.Hosts[i], &m, &own[i], &all)
	}
	return m
}

// complete gives a host what the file says for all.
func (c *checker) complete(h *Host, m *Monitor, own, all *rules) {
	if h.DetectInterval == 0 {
		h.DetectInterval = m.DetectInterval
	}
	if n := len(own.list) + len(all.list); n > maxRules && len(own.list) > 0 {
		c.addf(h.Line, "<remote_host> has %d <%s> with those of all hosts, expected at most %d", n, processElement, maxRules)
		return
	}
	h.Rules, h.RuleLines = own.under(all)
}

// host reads a remote_host.
func (c *checker) host(parent *node, index *hostIndex, own *rules) Host {
	h := Host{Line: parent.line}
	var address, name *node
	for _, n := range parent.children {
		switch n.rule.name {
		case "ip_port":
			address, h.Address = n, c.remote(n)
		case "name":
			name, h.Name = n, c.text(n)
		case "group":
			if group := c.text(n); group != "" {
				h.Groups = append(h.Groups, group)
			}
		case "monitor_pid":
			if h.PIDs = c.pids(n); len(h.PIDs) > 0 {
				h.PIDLine = n.line
			}
		case processElement:
			c.process(n, own)
		case retentionElement:
			h.Retention = c.retention(n, h.Retention)
		case "detect_interval_time":
			h.DetectInterval = c.seconds(n, 0)
		}
	}
	h.Groups = unique(h.Groups)
	if address == nil && !parent.broken {
		c.addf(parent.line, "<remote_host> has no <ip_port>, expected one with %s", wantAddress)
	}
	if h.Address.IsValid() {
		c.uniqueAddress(address, h.Address, index)
	}
	if h.Name != "" {
		c.uniqueName(name, h, index)
	} else {
		h.Name = h.Address.String()
	}
	return h
}

// text reads the name of a host or a group, "" for none.
func (c *checker) text(n *node) string {
	if !c.useful(n) {
		return ""
	}
	if err := checkName(n.text); err != nil {
		c.value(n, err)
		return ""
	}
	return n.text
}

// hostIndex knows the elements that give names and addresses to hosts. A host
// is selected by either, so that a name may not be the address of another.
type hostIndex struct {
	names     map[string]*node
	addresses map[netip.AddrPort]*node
}

func (c *checker) uniqueAddress(n *node, addr netip.AddrPort, index *hostIndex) {
	if first, ok := index.addresses[addr]; ok {
		c.addf(n.textLine, "<ip_port> %s is that of the host in line %d too, expected one host an address", addr, first.line)
		return
	}
	index.addresses[addr] = n
	if other, ok := index.names[addr.String()]; ok {
		c.addf(n.textLine, "<ip_port> %s is the name of the host in line %d, expected another address or name", addr, other.line)
	}
}

func (c *checker) uniqueName(n *node, h Host, index *hostIndex) {
	key := h.Name
	addr, err := netip.ParseAddrPort(key)
	if err == nil {
		key = addr.String() // however it is written
	}
	if first, ok := index.names[key]; ok {
		c.addf(n.textLine, "<name> %s is that of the host in line %d too, expected one host a name", quote(h.Name), first.line)
		return
	}
	index.names[key] = n
	if other, ok := index.addresses[addr]; ok && addr != h.Address {
		c.addf(n.textLine, "<name> %s is the address of the host in line %d, expected another name", quote(h.Name), other.line)
	}
}
