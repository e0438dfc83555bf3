package proc

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

// PortOwner is a process that has a socket on a port.
type PortOwner struct{ Port, PID int }

// Classes of the tables of iphlpapi.h, and the offsets in their rows behind the
// number of these. A port stands in the order of the network.
const (
	tcpListeners = 3 // TCP_TABLE_OWNER_PID_LISTENER
	udpSockets   = 1 // UDP_TABLE_OWNER_PID
	tableHeader  = 4
	maxPortTable = 64 << 20
)

type portTable struct {
	function             string
	family, class        uintptr
	row, port, processID int
}

func portTables() []portTable {
	return []portTable{
		{"GetExtendedTcpTable", windows.AF_INET, tcpListeners, 24, 8, 20},
		{"GetExtendedTcpTable", windows.AF_INET6, tcpListeners, 56, 20, 52},
		{"GetExtendedUdpTable", windows.AF_INET, udpSockets, 12, 4, 8},
		{"GetExtendedUdpTable", windows.AF_INET6, udpSockets, 28, 20, 24},
	}
}

// PortOwners returns who listens on ports of TCP or has ports of UDP. A system
// may be without version 6 of IP.
func PortOwners() ([]PortOwner, error) {
	var list []PortOwner
	helper := windows.NewLazySystemDLL("iphlpapi.dll")
	for _, t := range portTables() {
		data, err := t.read(helper.NewProc(t.function))
		switch {
		case err == nil:
			list = t.owners(list, data)
		case t.family == windows.AF_INET:
			return nil, fmt.Errorf("%s: %w", t.function, err)
		}
	}
	return list, nil
}

// read asks with as much room as the system says that the table takes, which
// may grow meanwhile.
func (t *portTable) read(call *windows.LazyProc) ([]byte, error) {
	if err := call.Find(); err != nil {
		return nil, err
	}
	size := uint32(4 << 10)
	for range 8 {
		buf := make([]uint32, size/4+1)
		code, _, _ := call.Call(uintptr(unsafe.Pointer(&buf[0])), uintptr(unsafe.Pointer(&size)), 0, t.family, t.class, 0)
		switch err := windows.Errno(code); {
		case err == windows.ERROR_SUCCESS:
			return unsafe.Slice((*byte)(unsafe.Pointer(&buf[0])), 4*len(buf)), nil
		case err != windows.ERROR_INSUFFICIENT_BUFFER || size > maxPortTable:
			return nil, err
		}
	}
	return nil, windows.ERROR_INSUFFICIENT_BUFFER
}

func (t *portTable) owners(list []PortOwner, data []byte) []PortOwner {
	rows := int(binary.NativeEndian.Uint32(data))
	for data = data[tableHeader:]; rows > 0 && len(data) >= t.row; rows-- {
		list = append(list, PortOwner{
			Port: int(binary.BigEndian.Uint16(data[t.port:])),
			PID:  int(binary.NativeEndian.Uint32(data[t.processID:])),
		})
		data = data[t.row:]
	}
	return list
}
