package status

import (
	"context"
	"encoding/binary"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"dtc"
)

// Layout of struct if_msghdr2 and, behind it, struct if_data64: net/if.h and
// net/if_var.h of Darwin.
const (
	linkVersion    = 2  // uint8, of all routing messages
	linkKind       = 3  // uint8
	linkIndex      = 12 // uint16
	linkQueueMost  = 20 // int32
	linkQueueDrops = 24 // int32
	linkCounters   = 32 + 24
	linkMessage    = 32 + 128
)

// fillLinks adds the counters of the kernel's routing table: route(4). No
// program is started for them.
func (*host) fillLinks(_ context.Context, items []dtc.Interface) error {
	table, err := syscall.RouteRIB(unix.NET_RT_IFLIST2, 0) //nolint:staticcheck // its successor in golang.org/x/net does the same
	if err != nil {
		return fmt.Errorf("read the list of interfaces: %w", err)
	}
	places := make(map[int]int, len(items))
	for i := range items {
		places[items[i].Index] = i
	}
	for len(table) > linkKind {
		length := int(binary.NativeEndian.Uint16(table))
		if length <= linkKind || length > len(table) {
			break
		}
		msg := table[:length]
		table = table[length:]
		if msg[linkKind] != unix.RTM_IFINFO2 || msg[linkVersion] != unix.RTM_VERSION || len(msg) < linkMessage {
			continue
		}
		if i, ok := places[int(binary.NativeEndian.Uint16(msg[linkIndex:]))]; ok {
			fillLink(&items[i], msg)
		}
	}
	return nil
}

func fillLink(i *dtc.Interface, msg []byte) {
	counter := func(n int) int64 { return count(binary.NativeEndian.Uint64(msg[linkCounters+8*n:])) }
	i.QueueLen = int64(int32(binary.NativeEndian.Uint32(msg[linkQueueMost:])))
	i.RX.Packets, i.RX.Errors, i.TX.Packets, i.TX.Errors, i.TX.Collisions = counter(0), counter(1), counter(2), counter(3), counter(4)
	i.RX.Bytes, i.TX.Bytes, i.RX.Multicast = counter(5), counter(6), counter(7)
	i.RX.Dropped = counter(9)
	i.TX.Dropped = int64(binary.NativeEndian.Uint32(msg[linkQueueDrops:]))
}
