package status

import (
	"cmp"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"dtc"
)

// maxSorted is how many bytes an answer may hold while it is sorted: those of
// 100,000 processes or open files.
const maxSorted = 64 << 20

// errTooMuch tells how to ask for what can be sorted.
var errTooMuch = &dtc.Error{
	Kind: dtc.KindInvalid, Err: errors.New("too much to sort: ask for the first ones with --limit, or for some with --pid, --user or --name"),
}

// sorter keeps the items of an answer to sort them by one of their fields. If no
// more than limit are wanted, it does not hold more than twice as many.
type sorter[T any] struct {
	kind[T]

	read  keyReader
	order int // -1: the largest first
	limit int // 0: none
	held  []*held[T]
	bytes int  // in held, about
	size  int  // of an item without its texts
	full  bool // limit items are before the bound
	bound key
}

// held is an item with what it is sorted by.
type held[T any] struct {
	item T
	key  key
	text int // bytes
}

func newSorter[T any](s *selector, k kind[T]) *sorter[T] {
	o := &sorter[T]{kind: k, read: keyReader{field: s.field}, order: 1, limit: s.Limit, size: int(reflect.TypeFor[held[T]]().Size())}
	if s.descending {
		o.order = -1
	}
	return o
}

// add keeps an item if it may be among the first.
func (o *sorter[T]) add(item *T) error {
	key := o.keyOf(item)
	if o.full && o.compare(&key, &o.bound) > 0 {
		return nil
	}
	h := &held[T]{item: *item}
	if o.own != nil {
		h.text = o.own(&h.item)
	}
	h.key = o.keyOf(&h.item) // with its own text now
	h.key.place = key.place
	o.held = append(o.held, h)
	o.bytes += o.size + h.text
	if o.limit > 0 && (len(o.held) >= 2*o.limit || o.bytes > maxSorted) {
		o.cut()
	}
	if o.bytes > maxSorted {
		return errTooMuch
	}
	return nil
}

// cut drops what is not among the first.
func (o *sorter[T]) cut() {
	o.sort()
	n := min(len(o.held), o.limit)
	for _, h := range o.held[n:] {
		o.bytes -= o.size + h.text
	}
	clear(o.held[n:])
	o.held = o.held[:n]
	o.full, o.bound = n == o.limit, o.held[n-1].key
}

// sorted returns what was kept, in order.
func (o *sorter[T]) sorted() []*held[T] {
	o.sort()
	if o.limit > 0 {
		return o.held[:min(len(o.held), o.limit)]
	}
	return o.held
}

func (o *sorter[T]) sort() {
	slices.SortFunc(o.held, func(a, b *held[T]) int { return o.compare(&a.key, &b.key) })
}

// compare puts what has no value last, and what has the same in the order in
// which it came.
func (o *sorter[T]) compare(a, b *key) int {
	switch {
	case a.known != b.known && a.known:
		return -1
	case a.known != b.known:
		return 1
	}
	return cmp.Or(o.order*a.compare(b), cmp.Compare(a.place, b.place))
}

// keyOf returns what an item is sorted by.
func (o *sorter[T]) keyOf(item *T) key {
	o.read.key = key{place: o.read.key.place + 1}
	o.fields(item, &o.read)
	return o.read.key
}

// key is the value of the field that is sorted by, as one of the three.
type key struct {
	known   bool
	integer int64
	number  float64
	text    string
	place   int // grows with every key made
}

func (k *key) compare(to *key) int {
	return cmp.Or(cmp.Compare(k.integer, to.integer), cmp.Compare(k.number, to.number), compareNatural(k.text, to.text))
}

// keyReader takes the value of one field.
type keyReader struct {
	field string
	key   key
}

var _ dtc.Fields = (*keyReader)(nil)

// Text implements [dtc.Fields].
func (r *keyReader) Text(name, value string) {
	if name == r.field {
		r.key.text, r.key.known = value, value != ""
	}
}

// Integer implements [dtc.Fields].
func (r *keyReader) Integer(name string, value int64) {
	if name == r.field {
		r.key.integer, r.key.known = value, value != dtc.Absent
	}
}

// Number implements [dtc.Fields].
func (r *keyReader) Number(name string, value float64) {
	if name == r.field && !math.IsNaN(value) {
		r.key.number, r.key.known = value, true
	}
}

// Time implements [dtc.Fields].
func (r *keyReader) Time(name string, value time.Time) {
	if name == r.field && !value.IsZero() {
		r.key.integer, r.key.known = value.UnixNano(), true
	}
}

// Owners implements [dtc.Fields]. A list has no order.
func (*keyReader) Owners(string, []dtc.SocketOwner) {}

// compareNatural compares texts byte by byte, but the numbers in them by their
// value: "eth2" comes before "eth10".
func compareNatural(a, b string) int {
	for a != "" && b != "" {
		if !isDigit(a[0]) || !isDigit(b[0]) {
			if a[0] != b[0] {
				return cmp.Compare(a[0], b[0])
			}
			a, b = a[1:], b[1:]
			continue
		}
		var x, y string
		x, a = cutNumber(a)
		y, b = cutNumber(b)
		if c := cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y)); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

// cutNumber returns the digits at the start of s, without leading zeros, and
// what follows.
func cutNumber(s string) (number, rest string) {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return strings.TrimLeft(s[:n], "0"), s[n:]
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
