package proc

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// States of sockets that wait to be spoken to, see TCP_ in net/tcp_states.h: a
// listener of TCP, and a socket of UDP without a peer.
const (
	stateListen = 10
	stateBound  = 7
)

// Listeners tells which sockets wait to be spoken to. It keeps its connection to
// the kernel, for who asks again and again, and is not safe for concurrent use.
type Listeners struct {
	fs  FS
	net *netlink // nil: not connected
}

// Listeners returns a teller of sockets.
func (f FS) Listeners() *Listeners { return &Listeners{fs: f} }

// Close closes the connection.
func (l *Listeners) Close() {
	if l.net != nil {
		l.net.close()
		l.net = nil
	}
}

// Each passes the listening sockets of TCP and those of UDP without a peer of our
// network namespace to put. Before the list begins, and begins anew because the
// kernel lost a part of it, start is called.
func (l *Listeners) Each(start func(), put func(*NetSocket)) error {
	answered := false
	var err error
	for range netlinkTries {
		start()
		err = l.ask(func(s *NetSocket) error {
			answered = true
			put(s)
			return nil
		})
		if err == nil {
			return nil
		}
		l.Close()
		if !errors.Is(err, ErrChanged) && !errors.Is(err, errOverrun) {
			break
		}
	}
	if answered {
		return err
	}
	start()
	if fileErr := l.files(put); fileErr != nil {
		return fmt.Errorf("%w (and %w)", fileErr, err)
	}
	return nil
}

func (l *Listeners) ask(put func(*NetSocket) error) (err error) {
	if l.net == nil {
		if l.net, err = l.fs.dial(unix.NETLINK_SOCK_DIAG); err != nil {
			l.net = nil
			return err
		}
	}
	if err := l.net.inet(TCP, 1<<stateListen, put); err != nil {
		return err
	}
	return l.net.inet(UDP, 1<<stateBound, put)
}

// files reads the kernel's text files, where it cannot be asked otherwise.
func (l *Listeners) files(put func(*NetSocket)) error {
	for protocol, state := range map[Protocol]uint8{TCP: stateListen, UDP: stateBound} {
		if err := l.fs.eachSocketOfFiles(protocol, func(s *NetSocket) error {
			if s.State == state {
				put(s)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}
