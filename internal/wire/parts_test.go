package wire

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"dtc"
)

func TestHostileOwners(t *testing.T) {
	row := func(count []uint32, owners *OwnerColumns) *PartMessage {
		return &PartMessage{Sockets: &SocketColumns{LocalPort: []int64{1, 2}, OwnerCount: count, Owners: owners}}
	}
	for name, m := range map[string]*PartMessage{
		"more than there are":   row([]uint32{1, 1}, &OwnerColumns{Pid: []int64{7}}),
		"a huge count":          row([]uint32{0, 1<<32 - 1}, &OwnerColumns{Pid: []int64{7}}),
		"counts without owners": row([]uint32{1, 0}, nil),
		"too few counts":        row([]uint32{1}, &OwnerColumns{Pid: []int64{7}}),
		"columns of two lengths": row([]uint32{1, 1}, &OwnerColumns{
			Pid: []int64{7, 8}, Fd: []int64{1},
		}),
		"too many": row([]uint32{1, 1}, &OwnerColumns{Pid: make([]int64, maxPartOwners+1)}),
	} {
		r, err := newDecoder(&dtc.Query{Status: dtc.StatusSockets}).decode(m)
		if !errors.Is(err, errMalformed) {
			t.Errorf("%s: %v, %+v", name, err, r.Sockets)
		}
	}
	r, err := newDecoder(&dtc.Query{Status: dtc.StatusSockets}).decode(row(nil, nil))
	if err != nil || len(r.Sockets) != 2 || len(r.Sockets[0].Owners) > 0 {
		t.Errorf("without owners: %v, %+v", err, r.Sockets)
	}
}

// A socket that thousands of processes share, and thousands of such sockets, come
// over in parts that a client takes.
func TestSocketsOfManyOwners(t *testing.T) {
	owners := make([]dtc.SocketOwner, 20_000)
	for i := range owners {
		owners[i] = dtc.SocketOwner{Name: "worker", PID: i + 1, FD: 3}
	}
	most := make([]dtc.SocketOwner, 2*maxOwners)
	want := slices.Repeat([]dtc.Socket{{Protocol: "tcp", LocalPort: 80, Owners: owners}}, 30)
	want = append(want, dtc.Socket{Protocol: "udp", LocalPort: 53, Owners: most})
	r := serve(t, &Server{Agent: &fakeAgent{get: func(_ context.Context, _ dtc.Query, emit func(*dtc.Report) error) error {
		return emit(&dtc.Report{Sockets: want})
	}}})
	i := 0
	err := r.client(t, r.monitor).Get(within(t, 10*time.Second), dtc.Query{Status: dtc.StatusSockets}, func(part *dtc.Report) error {
		for _, s := range part.Sockets {
			if expected := want[i].Owners[:min(len(want[i].Owners), maxOwners)]; !slices.Equal(s.Owners, expected) {
				t.Errorf("socket %d has %d owners, want %d", i, len(s.Owners), len(expected))
			}
			i++
		}
		return nil
	})
	if err != nil || i != len(want) {
		t.Errorf("%d sockets, %v", i, err)
	}
}

// A small message with one long text, or one long name of owners, for each of
// thousands of items would fill a disk with what it says.
func TestRepeatedTextIsCounted(t *testing.T) {
	const rows = 4000
	long := &TextColumn{Data: make([]byte, 1<<20), Length: []uint32{1 << 20}, Index: make([]uint32, rows)}
	for status, m := range map[dtc.Status]*PartMessage{
		dtc.StatusProcess: {Process: &ProcessColumns{Pid: make([]int64, rows), State: long}},
		dtc.StatusSockets: {Sockets: &SocketColumns{
			LocalPort: []int64{1}, OwnerCount: []uint32{rows}, Owners: &OwnerColumns{Pid: make([]int64, rows), Name: long},
		}},
	} {
		if _, err := newDecoder(&dtc.Query{Status: status}).decode(m); !errors.Is(err, errMalformed) {
			t.Errorf("%s: %v", status, err)
		}
	}
	d := newDecoder(&dtc.Query{Status: dtc.StatusProcess})
	short := &TextColumn{Data: make([]byte, 1000), Length: []uint32{1000}, Index: make([]uint32, rows)}
	m, text := &PartMessage{Process: &ProcessColumns{Pid: make([]int64, rows), State: short}}, 0
	for {
		if _, err := d.decode(m); err != nil {
			break
		}
		if text += rows * 1000; text > maxAnswerText {
			t.Fatalf("%d bytes were taken", text)
		}
	}
}

// What is available of a disk may be less than nothing, and -1 is not known.
func TestFiguresBelowZero(t *testing.T) {
	q := dtc.Query{Status: dtc.StatusDisk}
	want := []dtc.Disk{{AvailableBytes: -4096}, {AvailableBytes: dtc.Absent}, {AvailableBytes: 4096}}
	err := newEncoder(&q).send(&dtc.Report{Disk: want}, func(m *PartMessage) error {
		got, err := newDecoder(&q).decode(m)
		if !slices.Equal(got.Disk, want) {
			t.Errorf("got %+v", got.Disk)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Every field of every item crosses: who adds one to a noun must add its column.
func TestEveryFieldCrosses(t *testing.T) {
	for _, s := range dtc.Statuses() {
		want := &dtc.Report{Status: s.Status}
		n := 0
		for _, f := range reflect.VisibleFields(reflect.TypeFor[dtc.Report]()) {
			if v := reflect.ValueOf(want).Elem().FieldByIndex(f.Index); holds(s.Status, f.Type) {
				fill(v, &n)
			}
		}
		if n == 0 {
			t.Errorf("%s has no field", s.Status)
		}
		for i := range want.Interfaces { // of the one direction only
			in := &want.Interfaces[i]
			in.RX.Carrier, in.RX.Collisions, in.TX.Missed, in.TX.Multicast = 0, 0, 0, 0
		}
		q := dtc.Query{Status: s.Status}
		err := newEncoder(&q).send(want, func(m *PartMessage) error {
			got, err := newDecoder(&q).decode(m)
			if show(got) != show(want) {
				t.Errorf("%s:\n got %s\nwant %s", s.Status, show(got), show(want))
			}
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", s.Status, err)
		}
	}
}

// holds tells whether a field of a report of this type is the status' own.
func holds(s dtc.Status, field reflect.Type) bool {
	return field == map[dtc.Status]reflect.Type{
		dtc.StatusProcess:    reflect.TypeFor[[]dtc.Process](),
		dtc.StatusOpenFiles:  reflect.TypeFor[[]dtc.OpenFile](),
		dtc.StatusDisk:       reflect.TypeFor[[]dtc.Disk](),
		dtc.StatusInterfaces: reflect.TypeFor[[]dtc.Interface](),
		dtc.StatusSockets:    reflect.TypeFor[[]dtc.Socket](),
		dtc.StatusUsers:      reflect.TypeFor[[]dtc.User](),
		dtc.StatusServices:   reflect.TypeFor[[]dtc.Service](),
		dtc.StatusMemory:     reflect.TypeFor[*dtc.Memory](),
		dtc.StatusCPU:        reflect.TypeFor[*dtc.CPU](),
		dtc.StatusPlatform:   reflect.TypeFor[*dtc.Platform](),
	}[s]
}

// fill gives every field in v another value.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1_700_000_000, int64(*n)).In(time.FixedZone("CET", 3600))))
			return
		}
		for _, field := range v.Fields() {
			fill(field, n)
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d", *n))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Float64:
		v.SetFloat(float64(*n) / 3)
	default:
		panic(v.Type())
	}
}
