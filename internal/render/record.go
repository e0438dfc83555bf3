package render

import (
	"slices"
	"time"

	"dtc"
)

// item is what has fields: a process, the memory and so on.
type item interface{ Fields(f dtc.Fields) }

// eachItem calls do with each item of a list, in order.
func eachItem(status dtc.Status, r *dtc.Report, do func(item)) {
	switch status {
	case dtc.StatusProcess:
		each(r.Process, do)
	case dtc.StatusOpenFiles:
		each(r.OpenFiles, do)
	case dtc.StatusDisk:
		each(r.Disk, do)
	case dtc.StatusInterfaces:
		each(r.Interfaces, do)
	case dtc.StatusSockets:
		each(r.Sockets, do)
	case dtc.StatusUsers:
		each(r.Users, do)
	case dtc.StatusServices:
		each(r.Services, do)
	default: // no list
	}
}

func each[T any, P interface {
	*T
	item
}](items []T, do func(item)) {
	for i := range items {
		do(P(&items[i]))
	}
}

// isList tells whether the answer to a status is a list of items.
func isList(status dtc.Status) bool {
	switch status {
	case dtc.StatusProcess, dtc.StatusOpenFiles, dtc.StatusDisk, dtc.StatusInterfaces, dtc.StatusSockets, dtc.StatusUsers, dtc.StatusServices:
		return true
	default:
		return false
	}
}

// rows gives the rows of an answer as a table has them: the items of a list, one
// row of an object, and of cpu one for each of its percentages, with the
// fields of the whole before them.
type rows struct {
	status dtc.Status
	once   bool // cpu has one row: no field of its percentages is wanted
}

// newRows returns the rows of a table with these fields, nil for all.
func newRows(status dtc.Status, fields []string) rows {
	wanted := newChosen(new(dtc.CPUPercent), fields)
	return rows{status: status, once: status == dtc.StatusCPU && wanted.none()}
}

func (a rows) each(r *dtc.Report, do func(item)) {
	switch a.status {
	case dtc.StatusMemory:
		if r.Memory != nil {
			do(r.Memory)
		}
	case dtc.StatusPlatform:
		if r.Platform != nil {
			do(r.Platform)
		}
	case dtc.StatusCPU:
		if r.CPU != nil {
			a.eachPercent(r.CPU, do)
		}
	default:
		eachItem(a.status, r, do)
	}
}

func (a rows) eachPercent(c *dtc.CPU, do func(item)) {
	row := cpuRow{whole: c, percent: new(dtc.CPUPercent)}
	if a.once {
		do(&row)
		return
	}
	for i := range c.Percent {
		row.percent = &c.Percent[i]
		do(&row)
	}
}

// cpuRow is a row of percentages with what holds for all of them.
type cpuRow struct {
	whole   *dtc.CPU
	percent *dtc.CPUPercent
}

func (c *cpuRow) Fields(f dtc.Fields) {
	c.whole.Fields(f)
	c.percent.Fields(f)
}

// emptyRow returns a row of a status without values; nil if the status is
// unknown.
func emptyRow(status dtc.Status) item {
	switch status {
	case dtc.StatusProcess:
		return new(dtc.Process)
	case dtc.StatusOpenFiles:
		return new(dtc.OpenFile)
	case dtc.StatusDisk:
		return new(dtc.Disk)
	case dtc.StatusInterfaces:
		return new(dtc.Interface)
	case dtc.StatusSockets:
		return new(dtc.Socket)
	case dtc.StatusUsers:
		return new(dtc.User)
	case dtc.StatusServices:
		return new(dtc.Service)
	case dtc.StatusMemory:
		return new(dtc.Memory)
	case dtc.StatusCPU:
		return &cpuRow{new(dtc.CPU), new(dtc.CPUPercent)}
	case dtc.StatusPlatform:
		return new(dtc.Platform)
	default:
		return nil
	}
}

// kind is of a value.
type kind uint8

const (
	kindText kind = iota
	kindInteger
	kindNumber
	kindTime
	kindOwners
)

// value is a field of an item: of what its kind says, the others are left over
// from another item.
type value struct {
	name    string
	kind    kind
	text    string
	integer int64
	number  float64
	time    time.Time
	owners  []dtc.SocketOwner
}

func (v *value) give(f dtc.Fields) {
	switch v.kind {
	case kindText:
		f.Text(v.name, v.text)
	case kindInteger:
		f.Integer(v.name, v.integer)
	case kindNumber:
		f.Number(v.name, v.number)
	case kindTime:
		f.Time(v.name, v.time)
	case kindOwners:
		f.Owners(v.name, v.owners)
	}
}

// record holds the fields of one item, in memory that the next one uses again.
type record []value

// take fills the record with the fields of an item.
func (r *record) take(it item) {
	*r = (*r)[:0]
	it.Fields(r)
}

func (r *record) next(name string, k kind) *value {
	n := len(*r)
	*r = slices.Grow(*r, 1)[:n+1]
	v := &(*r)[n]
	v.name, v.kind = name, k
	return v
}

func (r *record) Text(name, v string)                  { r.next(name, kindText).text = v }
func (r *record) Integer(name string, v int64)         { r.next(name, kindInteger).integer = v }
func (r *record) Number(name string, v float64)        { r.next(name, kindNumber).number = v }
func (r *record) Time(name string, v time.Time)        { r.next(name, kindTime).time = v }
func (r *record) Owners(n string, v []dtc.SocketOwner) { r.next(n, kindOwners).owners = v }
func (r record) index(name string) int {
	return slices.IndexFunc(r, func(v value) bool { return v.name == name })
}

// chosen gives of an item the fields that are wanted, in the order in which
// they are. nil gives all.
type chosen struct {
	order []int
	rec   record
}

// newChosen returns the choice of those names that the item has; no names are
// all fields.
func newChosen(of item, names []string) *chosen {
	if names == nil || of == nil {
		return nil
	}
	c := &chosen{}
	c.rec.take(of)
	for _, name := range names {
		if i := c.rec.index(name); i >= 0 {
			c.order = append(c.order, i)
		}
	}
	return c
}

// none tells whether no field of the item is wanted.
func (c *chosen) none() bool { return c != nil && len(c.order) == 0 }

// fields gives f the fields of an item.
func (c *chosen) fields(it item, f dtc.Fields) {
	if c == nil {
		it.Fields(f)
		return
	}
	c.rec.take(it)
	for _, i := range c.order {
		c.rec[i].give(f)
	}
}
