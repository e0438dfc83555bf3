package status

import (
	"bytes"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// linkType names the type of an interface as ip does: the numbers ARPHRD_ in
// linux/if_arp.h.
func linkType(kind uint16) string {
	names := map[uint16]string{
		unix.ARPHRD_NETROM: "netrom", unix.ARPHRD_ETHER: "ether", unix.ARPHRD_EETHER: "eether", unix.ARPHRD_AX25: "ax25",
		unix.ARPHRD_PRONET: "pronet", unix.ARPHRD_CHAOS: "chaos", unix.ARPHRD_IEEE802: "ieee802",
		unix.ARPHRD_ARCNET: "arcnet", unix.ARPHRD_APPLETLK: "atalk", unix.ARPHRD_DLCI: "dlci", unix.ARPHRD_ATM: "atm",
		unix.ARPHRD_METRICOM: "metricom", unix.ARPHRD_IEEE1394: "ieee1394", unix.ARPHRD_INFINIBAND: "infiniband",
		unix.ARPHRD_SLIP: "slip", unix.ARPHRD_CSLIP: "cslip", unix.ARPHRD_SLIP6: "slip6", unix.ARPHRD_CSLIP6: "cslip6",
		unix.ARPHRD_RSRVD: "rsrvd", unix.ARPHRD_ADAPT: "adapt", unix.ARPHRD_ROSE: "rose", unix.ARPHRD_X25: "x25",
		unix.ARPHRD_HWX25: "hwx25", unix.ARPHRD_CAN: "can", unix.ARPHRD_PPP: "ppp", unix.ARPHRD_HDLC: "hdlc",
		unix.ARPHRD_LAPB: "lapb", unix.ARPHRD_DDCMP: "ddcmp", unix.ARPHRD_RAWHDLC: "rawhdlc", unix.ARPHRD_TUNNEL: "ipip",
		unix.ARPHRD_TUNNEL6: "tunnel6", unix.ARPHRD_FRAD: "frad", unix.ARPHRD_SKIP: "skip",
		unix.ARPHRD_LOOPBACK: "loopback", unix.ARPHRD_LOCALTLK: "ltalk", unix.ARPHRD_FDDI: "fddi", unix.ARPHRD_BIF: "bif",
		unix.ARPHRD_SIT: "sit", unix.ARPHRD_IPDDP: "ip/ddp", unix.ARPHRD_IPGRE: "gre", unix.ARPHRD_PIMREG: "pimreg",
		unix.ARPHRD_HIPPI: "hippi", unix.ARPHRD_ASH: "ash", unix.ARPHRD_ECONET: "econet", unix.ARPHRD_IRDA: "irda",
		unix.ARPHRD_FCPP: "fcpp", unix.ARPHRD_FCAL: "fcal", unix.ARPHRD_FCPL: "fcpl", unix.ARPHRD_IEEE802_TR: "tr",
		unix.ARPHRD_IEEE80211: "ieee802.11", unix.ARPHRD_IEEE80211_PRISM: "ieee802.11/prism",
		unix.ARPHRD_IEEE80211_RADIOTAP: "ieee802.11/radiotap", unix.ARPHRD_IEEE802154: "ieee802.15.4",
		unix.ARPHRD_IEEE802154_MONITOR: "ieee802.15.4/monitor", unix.ARPHRD_PHONET: "phonet",
		unix.ARPHRD_PHONET_PIPE: "phonet_pipe", unix.ARPHRD_CAIF: "caif", unix.ARPHRD_IP6GRE: "gre6",
		unix.ARPHRD_NETLINK: "netlink", unix.ARPHRD_6LOWPAN: "6lowpan", unix.ARPHRD_NONE: "none", unix.ARPHRD_VOID: "void",
	}
	if name, ok := names[kind]; ok {
		return name
	}
	const fabrics = 13
	if n := kind - unix.ARPHRD_FCFABRIC; n < fabrics {
		return "fcfb" + strconv.Itoa(int(n))
	}
	return "[" + strconv.Itoa(int(kind)) + "]"
}

// inetText writes an address as inet_ntop(3) does, which differs from RFC 5952
// in one point: an address of IPv6 whose first 96 bits are 0 ends in the form of
// IPv4, but for :: and ::1.
func inetText(a netip.Addr) string {
	raw := a.As16()
	var zero [12]byte
	if a.Is6() && [12]byte(raw[:]) == zero && (raw[12] != 0 || raw[13] != 0) {
		return "::" + netip.AddrFrom4([4]byte(raw[12:])).String()
	}
	return a.String()
}

// idNames reads a file of iproute2 that gives numbers names: "default" for the
// group 0. Of several names of one number the last counts; a line that makes no
// sense ends the file.
func (h *host) idNames(name string) map[uint32]string {
	for _, dir := range []string{"etc/iproute2/", "usr/share/iproute2/"} {
		data, err := os.ReadFile(h.path(dir + name))
		if err == nil {
			return parseIDNames(data)
		}
	}
	return nil
}

func parseIDNames(data []byte) map[uint32]string {
	names := make(map[uint32]string)
	for line := range bytes.Lines(data) {
		line = bytes.Trim(line, " \t\n")
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		fields := bytes.Fields(line)
		if len(fields) < 2 {
			break
		}
		digits, base := string(fields[0]), 10
		if hexadecimal, ok := strings.CutPrefix(digits, "0x"); ok {
			digits, base = hexadecimal, 16
		}
		id, err := strconv.ParseInt(digits, base, 32)
		if err != nil {
			break
		}
		if id >= 0 {
			names[uint32(id)] = string(fields[1])
		}
	}
	return names
}
