package wire

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"dtc"
)

// errMalformed is what a message is that no DTC program sends.
var errMalformed = errors.New("malformed message")

// columns turns a slice of items into packed columns or back. One function
// that names every column of a message (see processColumns) serves both
// directions, so that they cannot differ.
type columns[T any] struct {
	items  []T
	decode bool  // from columns into items, else from items into columns
	err    error // the first of a decoding
	text   int   // bytes of text decoded, those of a shared one with every item

	words   map[string]uint32 // of the shared column that is being encoded
	entries []string          // of the text column that is being decoded

	nested *columns[dtc.SocketOwner] // of the items, see owners
}

// fits reports whether a column of n values can be decoded. If it has no
// values the items keep their absent ones.
func (c *columns[T]) fits(n int) bool {
	if n != 0 && n != len(c.items) && c.err == nil {
		c.err = fmt.Errorf("%w: a column of %d values for %d items", errMalformed, n, len(c.items))
	}
	return n == len(c.items) && c.err == nil
}

func (c *columns[T]) ints(col *[]int64, at func(*T) *int) {
	c.int64s(col,
		func(item *T) int64 { return int64(*at(item)) },
		func(item *T, v int64) { *at(item) = int(max(v, dtc.Absent)) })
}

func (c *columns[T]) sizes(col *[]int64, at func(*T) *int64) {
	c.int64s(col,
		func(item *T) int64 { return *at(item) },
		func(item *T, v int64) { *at(item) = max(v, dtc.Absent) })
}

// balances is a column of figures that may be below zero.
func (c *columns[T]) balances(col *[]int64, at func(*T) *int64) {
	c.int64s(col,
		func(item *T) int64 { return *at(item) },
		func(item *T, v int64) { *at(item) = v })
}

func (c *columns[T]) int64s(col *[]int64, get func(*T) int64, set func(*T, int64)) {
	if !c.decode {
		*col = slices.Grow((*col)[:0], len(c.items))
		for i := range c.items {
			*col = append(*col, get(&c.items[i]))
		}
		return
	}
	known := c.fits(len(*col))
	for i := range c.items {
		v := int64(dtc.Absent)
		if known {
			v = (*col)[i]
		}
		set(&c.items[i], v)
	}
}

func (c *columns[T]) floats(col *[]float64, at func(*T) *float64) {
	if !c.decode {
		*col = slices.Grow((*col)[:0], len(c.items))
		for i := range c.items {
			*col = append(*col, *at(&c.items[i]))
		}
		return
	}
	known := c.fits(len(*col))
	for i := range c.items {
		v := dtc.AbsentFloat()
		if known {
			v = finite((*col)[i])
		}
		*at(&c.items[i]) = v
	}
}

// finite returns v, or NaN for an infinity: no figure of a host is one, and
// JSON cannot hold it.
func finite(v float64) float64 {
	if math.IsInf(v, 0) {
		return dtc.AbsentFloat()
	}
	return v
}

// texts is a column of texts that are mostly different.
func (c *columns[T]) texts(col **TextColumn, at func(*T) *string) {
	if c.decode {
		c.decodeTexts(*col, at)
		return
	}
	m := resetText(col)
	size := 0
	for i := range c.items {
		size += len(*at(&c.items[i]))
	}
	m.Data, m.Length = slices.Grow(m.Data, size), slices.Grow(m.Length, len(c.items))
	for i := range c.items {
		m.add(*at(&c.items[i]))
	}
}

// shared is a column of texts of which few are different: each is sent once.
func (c *columns[T]) shared(col **TextColumn, at func(*T) *string) {
	if c.decode {
		c.decodeTexts(*col, at)
		return
	}
	if c.words == nil {
		c.words = map[string]uint32{}
	}
	clear(c.words)
	m := resetText(col)
	m.Index = slices.Grow(m.Index, len(c.items))
	for i := range c.items {
		s := *at(&c.items[i])
		n, ok := c.words[s]
		if !ok {
			n = uint32(len(m.Length))
			c.words[s] = n
			m.add(s)
		}
		m.Index = append(m.Index, n)
	}
}

func resetText(col **TextColumn) *TextColumn {
	if *col == nil {
		*col = new(TextColumn)
	}
	m := *col
	m.Data, m.Length, m.Index = m.Data[:0], m.Length[:0], m.Index[:0]
	return m
}

func (m *TextColumn) add(s string) {
	s = s[:min(len(s), maxText)]
	m.Data = append(m.Data, s...)
	m.Length = append(m.Length, uint32(len(s)))
}

// rows returns how many items the column has texts for.
func (m *TextColumn) rows() int {
	if n := len(m.GetIndex()); n > 0 {
		return n
	}
	return len(m.GetLength())
}

// decodeTexts gives every item its text, all of them parts of one string. What
// they are together is limited as a part is that repeats no text: one that is
// shared is written once for each item that has it.
func (c *columns[T]) decodeTexts(m *TextColumn, at func(*T) *string) {
	known := c.fits(m.rows()) && c.split(m)
	for i := range c.items {
		text := at(&c.items[i])
		switch {
		case !known || len(c.entries) == 0:
			*text = ""
		case len(m.Index) == 0:
			*text = c.entries[i]
		case int(m.Index[i]) < len(c.entries):
			*text = c.entries[m.Index[i]]
		default:
			c.err = fmt.Errorf("%w: text %d of %d", errMalformed, m.Index[i], len(c.entries))
			return
		}
		if c.text += len(*text); c.text > maxReply {
			c.err = fmt.Errorf("%w: texts of more than %d bytes", errMalformed, maxReply)
			return
		}
	}
}

// split fills c.entries with the texts of the column.
func (c *columns[T]) split(m *TextColumn) bool {
	c.entries = slices.Grow(c.entries[:0], min(len(m.GetLength()), len(c.items)))
	if len(m.GetLength()) > len(c.items) {
		c.err = fmt.Errorf("%w: %d texts for %d items", errMalformed, len(m.Length), len(c.items))
		return false
	}
	data := string(m.GetData())
	for _, n := range m.GetLength() {
		if uint64(n) > uint64(len(data)) {
			c.err = fmt.Errorf("%w: texts longer than their data", errMalformed)
			return false
		}
		c.entries = append(c.entries, data[:n])
		data = data[n:]
	}
	return true
}

const absentNanos = math.MinInt64

// timeColumn is the columns that hold a time of every item.
type timeColumn struct {
	nanos *[]int64
	zone  *[]uint32
	zones *[]*ZoneMessage
}

func (c *columns[T]) times(col timeColumn, at func(*T) *time.Time) {
	if c.decode {
		c.decodeTimes(col, at)
		return
	}
	*col.nanos, *col.zone = slices.Grow((*col.nanos)[:0], len(c.items)), slices.Grow((*col.zone)[:0], len(c.items))
	*col.zones = (*col.zones)[:0]
	for i := range c.items {
		t := *at(&c.items[i])
		nanos := int64(absentNanos)
		if !t.IsZero() {
			nanos = t.UnixNano()
		}
		*col.nanos = append(*col.nanos, nanos)
		*col.zone = append(*col.zone, zoneIndex(col.zones, t))
	}
}

// zoneIndex returns where in zones that of t is, and puts it there if it is new.
// There are two of them where summer time is kept, else one.
func zoneIndex(zones *[]*ZoneMessage, t time.Time) uint32 {
	name, offset := t.Zone()
	for i, z := range *zones {
		if z.OffsetSeconds == int32(offset) && string(z.Abbreviation) == name {
			return uint32(i)
		}
	}
	*zones = append(*zones, &ZoneMessage{OffsetSeconds: int32(offset), Abbreviation: []byte(name)})
	return uint32(len(*zones) - 1)
}

func (c *columns[T]) decodeTimes(col timeColumn, at func(*T) *time.Time) {
	if len(*col.zones) > len(c.items) {
		c.err = fmt.Errorf("%w: %d zones for %d items", errMalformed, len(*col.zones), len(c.items))
		return
	}
	known, zoned := c.fits(len(*col.nanos)), c.fits(len(*col.zone))
	locations := make([]*time.Location, len(*col.zones))
	for i, z := range *col.zones {
		locations[i] = z.location()
	}
	for i := range c.items {
		t := time.Time{}
		if known && (*col.nanos)[i] != absentNanos {
			t = time.Unix(0, (*col.nanos)[i]).UTC()
			if zoned && int((*col.zone)[i]) < len(locations) {
				t = t.In(locations[(*col.zone)[i]])
			}
		}
		*at(&c.items[i]) = t
	}
}

// owners is a list of owners an item: how many each has, and the columns of all.
func (c *columns[T]) owners(count *[]uint32, col **OwnerColumns, at func(*T) *[]dtc.SocketOwner) {
	if c.nested == nil {
		c.nested = new(columns[dtc.SocketOwner])
	}
	if c.decode {
		c.decodeOwners(*count, *col, at)
		return
	}
	if *col == nil {
		*col = new(OwnerColumns)
	}
	*count, c.nested.items = slices.Grow((*count)[:0], len(c.items)), c.nested.items[:0]
	for i := range c.items {
		owners := *at(&c.items[i])
		owners = owners[:min(len(owners), maxOwners)]
		*count = append(*count, uint32(len(owners)))
		c.nested.items = append(c.nested.items, owners...)
	}
	ownerColumns(c.nested, *col)
}

// decodeOwners gives every item its owners, all of them parts of one slice.
func (c *columns[T]) decodeOwners(count []uint32, m *OwnerColumns, at func(*T) *[]dtc.SocketOwner) {
	if err := c.nested.prepare(len(m.GetPid()), maxPartOwners); err != nil {
		c.err = err
		return
	}
	known := c.fits(len(count))
	if known && m != nil {
		ownerColumns(c.nested, m)
		c.err = c.nested.err
	}
	rest := c.nested.items
	for i := range c.items {
		n := 0
		if known {
			n = int(count[i])
		}
		if n > len(rest) {
			c.err = fmt.Errorf("%w: more owners of sockets than there are", errMalformed)
			return
		}
		*at(&c.items[i]), rest = rest[:n:n], rest[n:]
	}
}
