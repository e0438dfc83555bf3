package ca

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxName = 253 // bytes, as of a DNS name
	maxIPs  = 64  // in one certificate
)

// checkName says whether name may stand for a host that has ips. It must not
// be mistaken for another host's address, a pattern, a path or a flag wherever
// a host is selected or shown. Without ips (not known yet) an address passes.
func checkName(name string, ips []netip.Addr) error {
	switch {
	case name == "" || len(name) > maxName:
		return fmt.Errorf("a host's name has 1 to %d bytes, this one has %d", maxName, len(name))
	case !utf8.ValidString(name):
		return fmt.Errorf("name %+q is not UTF-8", name)
	case name != strings.TrimSpace(name) || name[0] == '-':
		return fmt.Errorf("name %+q must not begin or end with a space, nor begin with '-'", name)
	}
	for _, r := range name {
		if !unicode.In(r, unicode.L, unicode.Nd, unicode.M) && !strings.ContainsRune(" ._-:@+#~()", r) {
			return fmt.Errorf("name %+q must not hold %+q: use letters, digits and . _ - : @ + # ~ ( )", name, r)
		}
	}
	ip, ok := addressOf(name)
	if ok && len(ips) > 0 && !slices.Contains(ips, ip) {
		return fmt.Errorf("name %s is an address that this host is not granted: choose another name, or grant it with --ip", name)
	}
	return nil
}

// addressOf returns the address that name looks like: ip or ip:port.
func addressOf(name string) (netip.Addr, bool) {
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.Unmap(), true
	}
	if ap, err := netip.ParseAddrPort(name); err == nil {
		return ap.Addr().Unmap(), true
	}
	return netip.Addr{}, false
}

// checkIPs returns ips as they stand in a certificate: no IPv4 in IPv6, none
// twice, each one that another host can dial without saying more.
func checkIPs(ips []netip.Addr) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, ip := range ips {
		ip = ip.Unmap()
		switch {
		case !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast():
			return nil, fmt.Errorf("%s is not the address of a host", ip)
		case ip.Zone() != "" || ip.Is6() && ip.IsLinkLocalUnicast():
			return nil, fmt.Errorf("%s means another host on every link: give another address with --ip", ip)
		}
		if !slices.Contains(out, ip) {
			out = append(out, ip)
		}
	}
	if len(out) > maxIPs {
		return nil, fmt.Errorf("%d addresses are more than the %d that a certificate may hold", len(out), maxIPs)
	}
	return out, nil
}

// checkHost checks what an agent's certificate is to hold.
func checkHost(name string, ips []netip.Addr) ([]netip.Addr, error) {
	ips, err := checkIPs(ips)
	if err != nil {
		return nil, err
	}
	if len(ips) == 0 {
		return nil, errors.New("an agent's certificate needs an address: give one with --ip")
	}
	return ips, checkName(name, ips)
}

// sameIPs reports whether a and b hold the same addresses, in any order.
// Neither holds one twice.
func sameIPs(a, b []netip.Addr) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(ip netip.Addr) bool { return !slices.Contains(b, ip) })
}

// list formats addresses for a message.
func list(ips []netip.Addr) string {
	var s []string
	for _, ip := range ips {
		s = append(s, ip.String())
	}
	return strings.Join(s, ", ")
}
