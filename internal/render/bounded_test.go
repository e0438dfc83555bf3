package render

import (
	"crypto/sha256"
	"hash"
	"os"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"

	"dtc"
)

// longAnswer hands d the answer of host i, of so many items in parts as they
// come from an agent, and returns the largest heap that it saw.
func longAnswer(tb testing.TB, d *Document, i, items int) (peak uint64) {
	tb.Helper()
	const inPart = 1000
	part := benchReport(inPart)
	for n := 0; n < items; n += inPart {
		for j := range inPart {
			part.Process[j].PID, part.OpenFiles[j].PID = n+j, (n+j)/100
		}
		part.Partial = n+inPart < items
		if err := d.Add(i, part); err != nil {
			tb.Fatal(err)
		}
		peak = max(peak, heap())
	}
	return peak
}

// heap returns how many bytes objects take, dead ones that are not yet swept
// included.
func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// sampler hashes what is written to it, and looks at the heap meanwhile.
type sampler struct {
	hash.Hash
	bytes int
	peak  uint64
}

func newSampler() *sampler { return &sampler{Hash: sha256.New()} }

func (s *sampler) Write(p []byte) (int, error) {
	s.bytes += len(p)
	s.peak = max(s.peak, heap())
	return s.Hash.Write(p)
}

// However long answers are, and however many of them wait for a slow host, the
// memory that they take has a limit; and what is written is the same.
func TestMemoryIsBounded(t *testing.T) {
	const items = 30_000
	const limit = 16 << 20
	for name, tt := range map[string]struct {
		status dtc.Status
		opt    Options
	}{
		"ps":    {dtc.StatusProcess, Options{}},
		"lsof":  {dtc.StatusOpenFiles, Options{}},
		"ss":    {dtc.StatusSockets, Options{}},
		"flat":  {dtc.StatusOpenFiles, Options{Flat: true}},
		"table": {dtc.StatusProcess, Options{Fields: []string{"pid", "user", "name", "command", "cpu_percent"}}},
		"json":  {dtc.StatusOpenFiles, Options{Format: FormatJSON}},
		"jsonl": {dtc.StatusProcess, Options{Format: FormatJSONL}},
		"csv":   {dtc.StatusOpenFiles, Options{Format: FormatCSV}},
	} {
		t.Run(name, func(t *testing.T) {
			render := func(opt Options) (out *sampler, peak uint64) {
				runtime.GC()
				before := heap()
				out = newSampler()
				d := NewDocument(out, tt.status, 4, opt)
				defer d.Close()
				for _, i := range []int{3, 1, 2, 0} { // the first is the slow one
					peak = max(peak, longAnswer(t, d, i, items))
				}
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				return out, max(peak, out.peak) - before
			}
			bounded := tt.opt
			bounded.SpoolMemory, bounded.SpoolDir = 1<<20, t.TempDir()
			got, peak := render(bounded)
			if got.bytes < limit/3 || peak > limit {
				t.Errorf("%d bytes of output took %d bytes of memory, at most %d are allowed", got.bytes, peak, limit)
			}
			want, _ := render(tt.opt)
			if string(got.Sum(nil)) != string(want.Sum(nil)) || got.bytes != want.bytes {
				t.Errorf("%d bytes are written, %d without a file", got.bytes, want.bytes)
			}
			if left, err := os.ReadDir(bounded.SpoolDir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	}
}

// A host whose answer waits for a slower one takes little besides its text, also
// when it has one long row.
func TestManyHostsWait(t *testing.T) {
	const hosts = 500
	long := strings.Repeat("x", 30<<10)
	for name, tt := range map[string]struct {
		status dtc.Status
		opt    Options
	}{
		"ps":    {dtc.StatusProcess, Options{}},
		"lsof":  {dtc.StatusOpenFiles, Options{}},
		"ss":    {dtc.StatusSockets, Options{}},
		"flat":  {dtc.StatusOpenFiles, Options{Flat: true}},
		"table": {dtc.StatusInterfaces, Options{Fields: dtc.FieldNames(dtc.StatusInterfaces)}},
		"json":  {dtc.StatusInterfaces, Options{Format: FormatJSON, Fields: dtc.FieldNames(dtc.StatusInterfaces)}},
		"csv":   {dtc.StatusInterfaces, Options{Format: FormatCSV, Fields: dtc.FieldNames(dtc.StatusInterfaces)}},
	} {
		t.Run(name, func(t *testing.T) {
			tt.opt.SpoolMemory, tt.opt.SpoolDir = 1, t.TempDir()
			r := &dtc.Report{
				Process:   []dtc.Process{{Command: long}},
				OpenFiles: []dtc.OpenFile{{Name: long}},
				Sockets:   []dtc.Socket{{LocalAddress: long}},
			}
			d := NewDocument(newSampler(), tt.status, hosts+1, tt.opt)
			defer d.Close()
			runtime.GC()
			before := heap()
			for i := range hosts {
				if err := d.Add(i+1, r); err != nil {
					t.Fatal(err)
				}
			}
			runtime.GC()
			if took := int(heap()-before) / hosts; took > 4<<10 {
				t.Errorf("%d bytes for each host", took)
			}
		})
	}
}

// One cell that is very wide does not widen all rows: what a host can make us
// write is not many times what it sends.
func TestWidthIsBounded(t *testing.T) {
	wide := strings.Repeat("x", 1<<20)
	for _, status := range []dtc.Status{dtc.StatusOpenFiles, dtc.StatusSockets, dtc.StatusDisk, dtc.StatusServices} {
		for _, flat := range []bool{false, true} {
			r := hostileReport(status, wide, 1, 1)
			r.Host = "h"
			for range 1000 {
				r.OpenFiles = append(r.OpenFiles, dtc.OpenFile{Name: "n"})
				r.Sockets = append(r.Sockets, dtc.Socket{})
				r.Disk = append(r.Disk, dtc.Disk{})
				r.Services = append(r.Services, dtc.Service{})
			}
			if n := len(documentOf(t, Options{Flat: flat}, r)); n > 40<<20 {
				t.Errorf("%s, flat %t: %d bytes", status, flat, n)
			}
		}
	}
}

// BenchmarkMillionDescriptors renders an answer of a million open files, and
// tells the largest heap.
func BenchmarkMillionDescriptors(b *testing.B) {
	for name, opt := range map[string]Options{"lsof": {}, "flat": {Flat: true}, "json": {Format: FormatJSON}} {
		b.Run(name, func(b *testing.B) {
			opt.SpoolDir = b.TempDir()
			var peak uint64
			for b.Loop() {
				out := newSampler()
				d := NewDocument(out, dtc.StatusOpenFiles, 1, opt)
				peak = max(peak, longAnswer(b, d, 0, 1_000_000))
				if err := d.Close(); err != nil {
					b.Fatal(err)
				}
				peak = max(peak, out.peak)
				b.SetBytes(int64(out.bytes))
			}
			b.ReportMetric(float64(peak)/(1<<20), "MiB-heap")
		})
	}
}
