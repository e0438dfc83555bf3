package proc

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// maxNamespaces bounds how many names of network namespaces are looked at.
const maxNamespaces = 10_000

// NetworkNames returns the names of the network namespaces that ip-netns(8)
// keeps in a directory, by the numbers that our own namespace has for them.
func (f FS) NetworkNames(dir string) (map[int]string, error) {
	folder, err := os.Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = folder.Close() }()
	entries, err := folder.Readdirnames(maxNamespaces)
	if err != nil && !errors.Is(err, io.EOF) { // the end, of an empty one
		return nil, err
	}
	names := make(map[int]string)
	err = f.ask(unix.NETLINK_ROUTE, func(n *netlink) error {
		for _, name := range entries {
			id, err := n.namespace(dir + "/" + name)
			var broken *os.SyscallError
			switch {
			case errors.As(err, &broken):
				return err
			case err == nil && id >= 0: // else it is no namespace (any more), or we know no number of it
				names[id] = name // of two names ip shows the later
			}
		}
		return nil
	})
	return names, err
}

// namespace returns the number that our network namespace has for another, -1
// for none.
func (n *netlink) namespace(path string) (id int, err error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	defer func() { _ = unix.Close(fd) }()
	const generalMessage = 4 // struct rtgenmsg, aligned
	body := appendAttribute(make([]byte, generalMessage), unix.NETNSA_FD, uint32(fd))
	id = -1
	err = n.each(question{kind: unix.RTM_GETNSID, flags: unix.NLM_F_ACK, body: body}, func(msg []byte) error {
		for kind, value := range attributes(msg[min(len(msg), generalMessage):]) {
			if kind == unix.NETNSA_NSID {
				id = int(int32(attrU32(value)))
			}
		}
		return nil
	})
	return id, err
}
