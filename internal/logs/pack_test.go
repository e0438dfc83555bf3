package logs

import (
	"errors"
	"slices"
	"testing"
	"time"

	"dtc"
	"dtc/internal/bounds"

	"github.com/klauspost/compress/zstd"
)

func zstdOf(tb testing.TB, b []byte) []byte {
	tb.Helper()
	w, err := zstd.NewWriter(nil)
	check(tb, err)
	defer w.Close()
	return w.EncodeAll(b, nil)
}

func (a *agent) packed(data []byte, offset, end int64, sum uint32) dtc.Frame {
	f := a.frame(dtc.FramePacked, 1, 1)
	f.Offset, f.End, f.Data, f.Sum = offset, end, data, sum
	return f
}

// TestPacked stores packed bytes as if they had come as they are: also twice,
// and with a part that is there already.
func TestPacked(t *testing.T) {
	r := newRig(t)
	a := r.connect(peerA)
	a.attach(1, "app.log")
	a.open(1, 1, "one")
	all := text(100_000)
	send := func(from, to int) {
		part := all[from:to]
		a.send(a.packed(zstdOf(t, []byte(part)), int64(from), int64(to), crcOf(part)))
	}
	send(0, 60_000)
	send(0, 60_000)
	a.append(1, 1, 60_000, all[60_000:70_000])
	send(50_000, 100_000)
	a.durable(1, 1, len(all))
	if got := r.content("app.log"); got != all {
		t.Fatalf("the copy has %d bytes, not the %d that were sent", len(got), len(all))
	}
	a.send(a.packed(zstdOf(t, []byte("x")), 100_005, 100_006, crcOf("x")))
	if f := a.until(dtc.FrameNack); f.Offset != int64(len(all)) {
		t.Fatalf("bytes behind a hole are answered by %+v", f)
	}
}

// TestBrokenPacked ends the connection of an agent whose packed bytes are not
// what they say.
func TestBrokenPacked(t *testing.T) {
	good := zstdOf(t, []byte("two\n"))
	bomb := zstdOf(t, make([]byte, 64<<20))
	for name, make := range map[string]func(a *agent) dtc.Frame{
		"no zstd":         func(a *agent) dtc.Frame { return a.packed([]byte("garbage"), 4, 8, crcOf("two\n")) },
		"nothing":         func(a *agent) dtc.Frame { return a.packed(nil, 4, 8, crcOf("two\n")) },
		"cut":             func(a *agent) dtc.Frame { return a.packed(good[:len(good)-2], 4, 8, crcOf("two\n")) },
		"other length":    func(a *agent) dtc.Frame { return a.packed(good, 4, 9, crcOf("two\n")) },
		"other checksum":  func(a *agent) dtc.Frame { return a.packed(good, 4, 8, 1) },
		"empty range":     func(a *agent) dtc.Frame { return a.packed(good, 4, 4, crcOf("two\n")) },
		"turned range":    func(a *agent) dtc.Frame { return a.packed(good, 8, 4, crcOf("two\n")) },
		"negative":        func(a *agent) dtc.Frame { return a.packed(good, -1, 3, crcOf("two\n")) },
		"bomb":            func(a *agent) dtc.Frame { return a.packed(bomb, 4, 4+dtc.MaxChunk, 0) },
		"bomb, told":      func(a *agent) dtc.Frame { return a.packed(bomb, 4, 4+64<<20, 0) },
		"huge window":     func(a *agent) dtc.Frame { return a.packed([]byte("\x28\xb5\x2f\xfd\x00\xff\x01\x00\x00"), 4, 8, 0) },
		"two, both right": func(a *agent) dtc.Frame { return a.packed(append(slices.Clip(good), good...), 4, 8, crcOf("two\n")) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			a := r.connect(peerA)
			a.attach(1, "app.log")
			a.open(1, 1, "one")
			a.append(1, 1, 0, "one\n")
			a.durable(1, 1, 4)
			a.send(make(a))
			select {
			case err := <-a.err:
				if !errors.Is(err, errProtocol) {
					t.Fatalf("error %v", err)
				}
				a.err <- nil
			case <-time.After(30 * time.Second):
				t.Fatal("the connection goes on")
			}
			if got := r.content("app.log"); got != "one\n" {
				t.Fatalf("the copy has %q", got)
			}
		})
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte("\x28\xb5\x2f\xfd\x00\xff\x01\x00\x00"), int64(5))
	w, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(w.EncodeAll([]byte("one line\n"), nil), int64(9))
	var u unpacker
	f.Fuzz(func(t *testing.T, data []byte, n int64) {
		defer bounds.Alloc(t, len(data))()
		b, err := u.unpack(nil, data, n)
		if err == nil && int64(len(b)) != n || len(b) > dtc.MaxChunk {
			t.Fatalf("%d bytes of %d that were told, error %v", len(b), n, err)
		}
	})
}
