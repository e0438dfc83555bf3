package wire

import (
	"fmt"

	"dtc"
)

// list carries the items of one status, in memory that it uses again.
type list interface {
	// take begins the encoding of the items of a report.
	take(r *dtc.Report)

	// put fills m with as many of the items as go into one part, and reports
	// whether there are more.
	put(m *PartMessage) (more bool)

	// get fills r with the items of m, which are valid until the next call, and
	// reports what they hold.
	get(m *PartMessage, r *dtc.Report) (amount, error)
}

// amount is what an answer holds, or a part of it.
type amount struct {
	rows int // items
	text int // bytes of text
}

// newList returns what carries the items of a status, nil if it has none. A new
// kind of list is one more entry here.
func newList(s dtc.Status) list {
	switch s {
	case dtc.StatusProcess:
		return &listOf[dtc.Process, ProcessColumns]{
			items:   func(r *dtc.Report) *[]dtc.Process { return &r.Process },
			message: func(m *PartMessage) **ProcessColumns { return &m.Process },
			key:     (*ProcessColumns).GetPid,
			columns: processColumns,
			weight:  func(p *dtc.Process) int { return len(p.Name) + len(p.Command) },
		}
	case dtc.StatusOpenFiles:
		return &listOf[dtc.OpenFile, OpenFileColumns]{
			items:   func(r *dtc.Report) *[]dtc.OpenFile { return &r.OpenFiles },
			message: func(m *PartMessage) **OpenFileColumns { return &m.OpenFiles },
			key:     (*OpenFileColumns).GetPid,
			columns: openFileColumns,
			weight:  func(f *dtc.OpenFile) int { return len(f.Name) + len(f.Command) + len(f.Device) },
		}
	case dtc.StatusDisk:
		return &listOf[dtc.Disk, DiskColumns]{
			items:   func(r *dtc.Report) *[]dtc.Disk { return &r.Disk },
			message: func(m *PartMessage) **DiskColumns { return &m.Disk },
			key:     (*DiskColumns).GetTotalBytes,
			columns: diskColumns,
			weight:  func(d *dtc.Disk) int { return len(d.Filesystem) + len(d.Type) + len(d.MountedOn) },
		}
	case dtc.StatusInterfaces:
		return &listOf[dtc.Interface, InterfaceColumns]{
			items:   func(r *dtc.Report) *[]dtc.Interface { return &r.Interfaces },
			message: func(m *PartMessage) **InterfaceColumns { return &m.Interfaces },
			key:     (*InterfaceColumns).GetIndex,
			columns: interfaceColumns,
			weight: func(i *dtc.Interface) int {
				return len(i.Name) + len(i.Lower) + len(i.Flags) + len(i.Rest) + len(i.AltNames)
			},
		}
	case dtc.StatusSockets:
		return &listOf[dtc.Socket, SocketColumns]{
			items:   func(r *dtc.Report) *[]dtc.Socket { return &r.Sockets },
			message: func(m *PartMessage) **SocketColumns { return &m.Sockets },
			key:     (*SocketColumns).GetLocalPort,
			columns: socketColumns,
			weight:  socketWeight,
		}
	case dtc.StatusUsers:
		return &listOf[dtc.User, UserColumns]{
			items:   func(r *dtc.Report) *[]dtc.User { return &r.Users },
			message: func(m *PartMessage) **UserColumns { return &m.Users },
			key:     (*UserColumns).GetPid,
			columns: userColumns,
			weight:  func(u *dtc.User) int { return len(u.Name) + len(u.Line) + len(u.From) },
		}
	case dtc.StatusServices:
		return &listOf[dtc.Service, ServiceColumns]{
			items:   func(r *dtc.Report) *[]dtc.Service { return &r.Services },
			message: func(m *PartMessage) **ServiceColumns { return &m.Services },
			key:     (*ServiceColumns).GetPid,
			columns: serviceColumns,
			weight:  func(s *dtc.Service) int { return len(s.Name) + len(s.SubState) + len(s.Description) },
		}
	default:
		return nil
	}
}

// ownerWeight is what a socket's owner counts for, beside its name: the bytes
// that its numbers take.
const ownerWeight = 16

func socketWeight(s *dtc.Socket) int {
	n := len(s.LocalAddress) + len(s.RemoteAddress) + len(s.User)
	for i := range s.Owners {
		n += len(s.Owners[i].Name) + ownerWeight
	}
	return n
}

// listOf is the list of items of the type T, whose columns are a message of the
// type M.
type listOf[T, M any] struct {
	items   func(*dtc.Report) *[]T
	message func(*PartMessage) **M
	key     func(*M) []int64      // a column that every sender knows: it says how many items there are
	columns func(*columns[T], *M) // names all columns, see [columns]
	weight  func(*T) int          // about how many bytes of text an item has
	coder   columns[T]            // of the part at hand
	rest    []T                   // to be encoded
	own     M                     // the columns that are sent
}

func (l *listOf[T, M]) take(r *dtc.Report) { l.rest = *l.items(r) }

func (l *listOf[T, M]) put(m *PartMessage) (more bool) {
	l.coder.items, l.rest = chop(l.rest, l.weight)
	if len(l.coder.items) > 0 {
		l.columns(&l.coder, &l.own)
		*l.message(m) = &l.own
	}
	return len(l.rest) > 0
}

func (l *listOf[T, M]) get(m *PartMessage, r *dtc.Report) (amount, error) {
	cols := *l.message(m)
	if cols == nil {
		return amount{}, nil
	}
	if err := l.coder.prepare(len(l.key(cols)), maxRows); err != nil {
		return amount{}, err
	}
	l.columns(&l.coder, cols)
	*l.items(r) = l.coder.items
	return l.coder.amount(), l.coder.err
}

// chop returns the items that go into one part, at least one if there is one,
// and the others.
func chop[T any](items []T, weight func(*T) int) (part, rest []T) {
	n, bytes := 0, 0
	for n < min(len(items), maxPartItems) {
		bytes += weight(&items[n])
		if bytes > maxPartText && n > 0 {
			break
		}
		n++
	}
	return items[:n], items[n:]
}

// prepare makes room for n decoded items, of at most so many.
func (c *columns[T]) prepare(n, most int) error {
	if n > most {
		return fmt.Errorf("%w: %d items in a part, at most %d are possible", errMalformed, n, most)
	}
	if cap(c.items) < n {
		c.items = make([]T, n)
	}
	c.items = c.items[:n]
	c.decode, c.err, c.text = true, nil, 0
	return nil
}

// amount returns what was decoded.
func (c *columns[T]) amount() amount {
	a := amount{rows: len(c.items), text: c.text}
	if c.nested != nil {
		a.rows += len(c.nested.items)
		a.text += c.nested.text
	}
	return a
}
