package render

import (
	"bytes"
	"errors"
	"strings"
	"syscall"
	"testing"

	"dtc"
)

// When there is no room for what has to wait, the whole output ends with one
// error; what was written before is whole.
func TestDocumentOnFullDisk(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	dir := t.TempDir()
	if err := syscall.Mount("dtc", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal("mount a small file system (needs root):", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })

	r := benchReport(500)
	for _, opt := range []Options{{}, {Format: FormatJSON}, {Flat: true}} {
		var b bytes.Buffer
		opt.SpoolMemory, opt.SpoolDir = 1, dir
		d := NewDocument(&b, dtc.StatusProcess, 9, opt)
		err := d.Add(0, &dtc.Report{Host: "first", Process: []dtc.Process{process()}})
		if err != nil {
			t.Fatal(err)
		}
		before := b.String()
		for i := 2; i < 9 && err == nil; i++ {
			err = d.Add(i, r)
		}
		if !errors.Is(err, syscall.ENOSPC) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v", opt, err)
		}
		if again := d.Add(1, r); !errors.Is(again, err) {
			t.Errorf("after an error: %v", again)
		}
		if closing := d.Close(); !errors.Is(closing, err) || b.String() != before {
			t.Errorf("%+v: %v; written %q", opt, closing, b.String()[len(before):])
		}
	}
	var free syscall.Statfs_t
	if err := syscall.Statfs(dir, &free); err != nil || free.Bfree != free.Blocks {
		t.Errorf("%d of %d blocks are free after Close: %v", free.Bfree, free.Blocks, err)
	}
}
