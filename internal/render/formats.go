package render

import (
	"math"
	"strconv"
	"strings"

	"dtc"
)

// showPlain shows a value of a field that needs no other form: a figure with two
// decimals, a time on the host's clock.
func showPlain(b []byte, v *value, c *cellContext) []byte {
	switch v.kind {
	case kindText:
		return appendEscaped(b, v.text, c.escape)
	case kindInteger:
		return appendFigure(b, v.integer)
	case kindNumber:
		return appendFixed(b, v.number, 0)
	case kindTime:
		return appendTime(b, v, c, "2006-01-02 15:04:05")
	default:
		return b
	}
}

func appendTime(b []byte, v *value, c *cellContext, layout string) []byte {
	if !known(v.time) {
		return b
	}
	return onHost(v.time, c.now).AppendFormat(b, layout)
}

func showHost(b []byte, _ *value, c *cellContext) []byte { return appendEscaped(b, c.host, c.escape) }

func showKiB(b []byte, v *value, _ *cellContext) []byte { return appendKiB(b, v.integer) }

func showHuman(b []byte, v *value, _ *cellContext) []byte { return appendHuman(b, v.integer) }

// withBuffers shows the page cache with the buffers, as free does.
func withBuffers(size format) format {
	return func(b []byte, v *value, c *cellContext) []byte {
		m := c.item.(*dtc.Memory)
		both := value{kind: kindInteger, integer: sum(m.BuffersBytes, v.integer)}
		return size(b, &both, c)
	}
}

func showCPUPercent(b []byte, v *value, _ *cellContext) []byte {
	return appendPSPercent(b, v.number, math.MaxInt32)
}

func showMemPercent(b []byte, v *value, _ *cellContext) []byte {
	return appendPSPercent(b, v.number, 999)
}

func showStart(b []byte, v *value, c *cellContext) []byte { return appendPSStart(b, v.time, c.now) }

func showCPUTime(b []byte, v *value, _ *cellContext) []byte { return appendPSTime(b, v.number) }

// showFD shows the descriptor, its mode and lock, as lsof does.
func showFD(b []byte, _ *value, c *cellContext) []byte {
	f := c.item.(*dtc.OpenFile)
	b = appendEscaped(b, f.FD, c.escape)
	b = appendEscaped(b, f.Mode, c.escape)
	if f.Lock != "" && f.Mode == "" {
		b = append(b, '-')
	}
	return appendEscaped(b, f.Lock, c.escape)
}

func showSizeOrOffset(b []byte, _ *value, c *cellContext) []byte {
	return appendSize(b, c.item.(*dtc.OpenFile))
}

func showBlocks(b []byte, v *value, _ *cellContext) []byte { return appendBlocks(b, v.integer) }

func showBlocksHuman(b []byte, v *value, _ *cellContext) []byte {
	return appendBlocksHuman(b, v.integer)
}

// appendBlocksHuman appends bytes as df -h does: rounded up, below ten with a
// decimal.
func appendBlocksHuman(b []byte, bytes int64) []byte {
	const units = "KMGTPE"
	switch {
	case bytes == dtc.Absent:
		return append(b, absent...)
	case bytes < 0:
		return appendBlocksHuman(append(b, '-'), max(-bytes, 0))
	case bytes < 1024:
		return strconv.AppendInt(b, bytes, 10)
	}
	n, scale, unit := uint64(bytes), uint64(1024), 0
	for n/scale >= 1024 {
		scale, unit = scale*1024, unit+1
	}
	whole, rest := n/scale, n%scale
	if tenths := (rest*10 + scale - 1) / scale; whole < 9 || whole == 9 && tenths < 10 {
		whole, tenths = whole+tenths/10, tenths%10
		return append(strconv.AppendUint(b, whole, 10), '.', byte('0'+tenths), units[unit])
	}
	if rest > 0 {
		whole++
	}
	if whole == 1024 && unit < len(units)-1 {
		return append(b, '1', '.', '0', units[unit+1])
	}
	return append(strconv.AppendUint(b, whole, 10), units[unit])
}

func showUse(b []byte, v *value, _ *cellContext) []byte { return appendUse(b, v.number) }

// showReceiveQueue and showSendQueue append the figure that ss has in one column,
// whatever it counts.
func showReceiveQueue(b []byte, _ *value, c *cellContext) []byte {
	return appendFigure(b, c.item.(*dtc.Socket).ReceiveQueue)
}

func showSendQueue(b []byte, _ *value, c *cellContext) []byte {
	return appendFigure(b, c.item.(*dtc.Socket).SendQueue)
}

func appendFigure(b []byte, n int64) []byte {
	if n < 0 {
		return b
	}
	return strconv.AppendInt(b, n, 10)
}

func showLocal(b []byte, _ *value, c *cellContext) []byte {
	s := c.item.(*dtc.Socket)
	return appendEndpoint(b, s.LocalAddress, s.LocalPort, c.escape)
}

func showRemote(b []byte, _ *value, c *cellContext) []byte {
	s := c.item.(*dtc.Socket)
	return appendEndpoint(b, s.RemoteAddress, s.RemotePort, c.escape)
}

// appendEndpoint appends an address and a port as ss does: "[fe80::1]%eth0:22".
func appendEndpoint(b []byte, address string, port int, esc escape) []byte {
	if host, _, _ := strings.Cut(address, "%"); strings.Contains(host, ":") {
		b = append(appendEscaped(append(b, '['), host, esc), ']')
		address = address[len(host):]
	}
	b = append(appendEscaped(b, address, esc), ':')
	if port < 0 {
		return append(b, '*')
	}
	return strconv.AppendInt(b, int64(port), 10)
}

// showOwners shows the processes of a socket as ss -p does.
func showOwners(b []byte, v *value, c *cellContext) []byte {
	if len(v.owners) == 0 {
		return b
	}
	text := string(appendOwners([]byte("users:("), v.owners))
	return append(appendEscaped(b, text, c.escape), ')')
}

// showMinute shows a time as who does.
func showMinute(b []byte, v *value, c *cellContext) []byte {
	return appendTime(b, v, c, "2006-01-02 15:04")
}

// showFrom shows where a login came from as who does.
func showFrom(b []byte, v *value, c *cellContext) []byte {
	if v.text == "" {
		return b
	}
	return append(appendEscaped(append(b, '('), v.text, c.escape), ')')
}

// showElapsed shows a time as ps does under ELAPSED: [[days-]hours:]minutes:seconds.
func showElapsed(b []byte, v *value, _ *cellContext) []byte {
	if !(v.number >= 0 && v.number < math.MaxInt32*60) { // or NaN
		return b
	}
	seconds := int64(v.number)
	hours := seconds / 3600
	if days := hours / 24; days > 0 {
		b = append(strconv.AppendInt(b, days, 10), '-')
		b = append(appendTwo(b, int(hours%24)), ':')
	} else if hours > 0 {
		b = append(appendTwo(b, int(hours)), ':')
	}
	b = append(appendTwo(b, int(seconds/60%60)), ':')
	return appendTwo(b, int(seconds%60))
}
