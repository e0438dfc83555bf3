package status

import (
	"errors"
	"strings"

	"dtc"
)

// errEnough ends an answer of which nothing more is wanted.
var errEnough = errors.New("enough")

// over returns an emit that passes on to next what s wants of the parts of an
// answer. Its error is errEnough when no further part is wanted: the last has
// been passed on by then.
func (s *selector) over(status dtc.Status, next func(*dtc.Report) error) func(*dtc.Report) error {
	switch status {
	case dtc.StatusProcess:
		return pick(s, next, kind[dtc.Process]{
			items:  func(r *dtc.Report) *[]dtc.Process { return &r.Process },
			wants:  s.wantsProcessItem,
			fields: (*dtc.Process).Fields,
			own:    func(p *dtc.Process) int { return own(&p.User, &p.TTY, &p.State, &p.Name, &p.Command) },
		})
	case dtc.StatusOpenFiles:
		return pick(s, next, kind[dtc.OpenFile]{
			items:  func(r *dtc.Report) *[]dtc.OpenFile { return &r.OpenFiles },
			wants:  s.wantsFile,
			fields: (*dtc.OpenFile).Fields,
			own: func(f *dtc.OpenFile) int {
				return own(&f.User, &f.Command, &f.FD, &f.Mode, &f.Lock, &f.Type, &f.Device, &f.Node, &f.Name)
			},
		})
	case dtc.StatusDisk:
		return pick(s, next, kind[dtc.Disk]{
			items:  func(r *dtc.Report) *[]dtc.Disk { return &r.Disk },
			wants:  s.wantsDisk,
			fields: (*dtc.Disk).Fields,
		})
	case dtc.StatusInterfaces:
		return pick(s, next, kind[dtc.Interface]{
			items:  func(r *dtc.Report) *[]dtc.Interface { return &r.Interfaces },
			wants:  s.wantsInterface,
			fields: (*dtc.Interface).Fields,
		})
	case dtc.StatusSockets:
		return pick(s, next, kind[dtc.Socket]{
			items:  func(r *dtc.Report) *[]dtc.Socket { return &r.Sockets },
			wants:  s.wantsSocket,
			fields: (*dtc.Socket).Fields,
		})
	case dtc.StatusUsers:
		return pick(s, next, kind[dtc.User]{
			items:  func(r *dtc.Report) *[]dtc.User { return &r.Users },
			wants:  s.wantsLogin,
			fields: (*dtc.User).Fields,
		})
	case dtc.StatusServices:
		return pick(s, next, kind[dtc.Service]{
			items:  func(r *dtc.Report) *[]dtc.Service { return &r.Services },
			wants:  s.wantsService,
			fields: (*dtc.Service).Fields,
		})
	default:
		return next // has no items, so that Check has refused all selections
	}
}

// own makes texts independent of the memory that they are in, and returns how
// many bytes they have.
func own(texts ...*string) (bytes int) {
	for _, text := range texts {
		*text = strings.Clone(*text)
		bytes += len(*text)
	}
	return bytes
}

// kind is what a picker must know of the items of a status.
type kind[T any] struct {
	items  func(*dtc.Report) *[]T
	wants  func(*T) bool
	fields func(*T, dtc.Fields)

	// own makes an item independent of the part that it came in, and returns
	// how many bytes of text it has. nil: all items come in one part.
	own func(*T) int
}

func pick[T any](s *selector, next func(*dtc.Report) error, k kind[T]) func(*dtc.Report) error {
	p := &picker[T]{kind: k, next: next, left: s.Limit}
	if s.Limit == 0 {
		p.left = -1
	}
	if s.field == "" {
		return p.pass
	}
	p.sorter = newSorter(s, k)
	return p.collect
}

// picker picks the wanted items of an answer's parts.
type picker[T any] struct {
	kind[T]

	next   func(*dtc.Report) error
	left   int        // items that are still wanted, below 0 all
	notes  []string   // of parts that were not passed on
	sorter *sorter[T] // nil: the order stays
	out    []T        // of the part at hand
}

// pass passes on what is wanted of a part at once.
func (p *picker[T]) pass(r *dtc.Report) error {
	p.out = p.out[:0]
	items := *p.items(r)
	for i := range items {
		if p.left == 0 {
			break
		}
		if p.wants(&items[i]) {
			p.out = append(p.out, items[i])
			p.left--
		}
	}
	p.notes = append(p.notes, r.Notes...)
	partial := r.Partial && p.left != 0
	if partial && len(p.out) == 0 {
		return nil
	}
	if err := p.send(r, p.out, partial); err != nil {
		return err
	}
	if r.Partial && !partial {
		return errEnough
	}
	return nil
}

// send passes on items, with all else that is in r. more says that another part
// follows.
func (p *picker[T]) send(r *dtc.Report, items []T, more bool) error {
	part := *r
	*p.items(&part) = items
	part.Partial, part.Notes, p.notes = more, p.notes, nil
	return p.next(&part)
}

// collect keeps what is wanted until the last part, and then passes it on in
// order.
func (p *picker[T]) collect(r *dtc.Report) error {
	items := *p.items(r)
	for i := range items {
		if !p.wants(&items[i]) {
			continue
		}
		if err := p.sorter.add(&items[i]); err != nil {
			return err
		}
	}
	p.notes = append(p.notes, r.Notes...)
	if r.Partial {
		return nil
	}
	sorted := p.sorter.sorted()
	for {
		n := min(len(sorted), partItems)
		p.out = p.out[:0]
		for i := range sorted[:n] {
			p.out = append(p.out, sorted[i].item)
		}
		sorted = sorted[n:]
		if err := p.send(r, p.out, len(sorted) > 0); err != nil || len(sorted) == 0 {
			return err
		}
	}
}
