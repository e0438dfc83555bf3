package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	maxSeconds = 1_000_000_000 // 31 years
	maxPID     = math.MaxInt32
)

// parseAddress reads ip:port of something that can be listened on or connected to.
func parseAddress(s string) (netip.AddrPort, error) {
	addr, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}, explainAddress(s)
	}
	ip := addr.Addr()
	switch {
	case ip.Zone() != "":
		return netip.AddrPort{}, errors.New("it has a zone, expected an address without one")
	case addr.Port() == 0:
		return netip.AddrPort{}, errors.New("its port is 0, expected one from 1 to 65535")
	case ip.Is4In6():
		return netip.AddrPort{}, fmt.Errorf("it is an IPv4 address in the form of IPv6, expected %s",
			netip.AddrPortFrom(ip.Unmap(), addr.Port()))
	case ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return netip.AddrPort{}, errors.New("it is the address of many hosts, expected that of one")
	}
	return addr, nil
}

// explainAddress says why s is not ip:port.
func explainAddress(s string) error {
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return errors.New("it has no port, expected " + wantAddress)
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return errors.New("expected " + wantAddress)
	}
	ip, err := netip.ParseAddr(strings.Trim(s[:i], "[]"))
	switch {
	case err != nil && strings.ContainsFunc(s[:i], unicode.IsLetter) && !strings.Contains(s[:i], ":"):
		return errors.New("it holds a host name, expected " + wantAddress)
	case err != nil && strings.HasPrefix(s, "[") && s[i-1] != ']' && strings.Contains(s, "]"):
		return errors.New("it has no colon before the port, expected " + wantAddress)
	case err != nil:
		return errors.New("it holds no valid ip, expected " + wantAddress)
	case ip.Is4() == strings.HasPrefix(s, "["):
		return errors.New("its brackets are wrong, expected " + wantAddress)
	}
	return errors.New("its port is wrong, expected a number from 1 to 65535")
}

// parseNumber reads a whole number in decimal digits from 1 to limit.
func parseNumber(s string, limit int) (int, error) {
	digits := strings.Trim(s, "0123456789") == "" && s != ""
	n, err := strconv.Atoi(s)
	switch {
	case digits && (err != nil || n > limit):
		return 0, fmt.Errorf("it is too large, expected at most %d", limit)
	case err == nil && n < 1:
		return 0, errors.New("it is below 1, expected a whole number from 1")
	case !digits:
		return 0, errors.New("expected a whole number from 1, in digits alone")
	}
	return n, nil
}

func parseSeconds(s string) (time.Duration, error) {
	n, err := parseNumber(s, maxSeconds)
	return time.Duration(n) * time.Second, err
}

// checkName returns what is wrong with the name of a host or a group.
func checkName(name string) error {
	if strings.ContainsFunc(name, isControl) {
		return errors.New("it holds a control character or a line break, expected a name on one line")
	}
	return nil
}
