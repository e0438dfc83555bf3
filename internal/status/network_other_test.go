//go:build !linux

package status

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dtc"
)

func TestInterfacesOfOthers(t *testing.T) {
	items, notes, err := New(Options{}).interfaces(context.Background())
	if err != nil || len(items) == 0 {
		t.Fatalf("%v, %v", items, err)
	}
	if len(notes) > 0 {
		t.Error(notes)
	}
	loopback := false
	for i := range items {
		t.Logf("%+v", items[i])
		loopback = loopback || items[i].LinkType == "loopback" && strings.HasPrefix(items[i].Flags, "LOOPBACK")
		if items[i].Name == "" || items[i].Index <= 0 || items[i].State == "" {
			t.Errorf("%+v", items[i])
		}
	}
	if !loopback {
		t.Error("no loopback")
	}
}

func TestSocketsOfOthers(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp4", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	datagrams := datagramPort(t)
	items, notes, err := New(Options{}).sockets(context.Background(), nil)
	if err != nil || len(notes) > 0 {
		t.Fatal(err, notes)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	owned := 0
	want := map[string]bool{"tcp LISTEN": false, "tcp ESTAB": false, "udp UNCONN": false}
	for i := range items {
		s := &items[i]
		ours := s.LocalPort == port || s.RemotePort == port || s.LocalPort == datagrams
		if !ours {
			continue
		}
		t.Logf("%+v", s)
		if s.LocalAddress != "127.0.0.1" {
			t.Errorf("%+v", s)
		}
		if s.State == "LISTEN" && (s.RemotePort != dtc.Absent || s.RemoteAddress != "0.0.0.0") {
			t.Errorf("%+v", s)
		}
		want[s.Protocol+" "+s.State] = true
		if len(s.Owners) == 0 {
			continue // Wine does not know of all whose they are
		}
		owned++
		if s.Owners[0].PID != os.Getpid() || s.Owners[0].Name != filepath.Base(self) || s.User == "" {
			t.Errorf("%+v", s)
		}
	}
	if owned == 0 {
		t.Error("no socket has an owner")
	}
	for socket, found := range want {
		if !found {
			t.Errorf("%s is missing", socket)
		}
	}
}
