package status

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"dtc"
)

// disks answers what df -T prints, without what holds nothing.
func (c *Collector) disks(ctx context.Context) ([]dtc.Disk, []string, error) {
	mounts, err := listMounts()
	if err != nil {
		return nil, nil, err
	}
	names := make([]string, len(mounts))
	for i := range mounts {
		names[i] = unix.ByteSliceToString(mounts[i].Mntonname[:])
	}
	type answer struct {
		fs  unix.Statfs_t
		err error
	}
	answers, err := askFileSystems(ctx, &c.host.disks, names, func(i int) (a answer) {
		a.err = unix.Statfs(names[i], &a.fs)
		return a
	})
	if err != nil {
		return nil, nil, err
	}
	var notes notes
	var disks []dtc.Disk
	for i, dir := range names {
		kind, source := unix.ByteSliceToString(mounts[i].Fstypename[:]), unix.ByteSliceToString(mounts[i].Mntfromname[:])
		switch a, ok := answers[i]; {
		case !ok:
			notes.addf("%s: the %s file system of %s does not answer", dir, kind, source)
			disks = append(disks, unknownDisk(dir, kind, source))
		case a.err != nil:
			notes.addf("%s: %v", dir, a.err)
		case a.fs.Blocks > 0:
			disks = append(disks, diskOf(unknownDisk(dir, kind, source), &a.fs))
		}
	}
	return disks, notes, nil
}

// listMounts lists what is mounted as the kernel remembers it: nobody is asked
// for it. Automounters and devices have no room.
func listMounts() ([]unix.Statfs_t, error) {
	n, err := unix.Getfsstat(nil, unix.MNT_NOWAIT)
	if err != nil {
		return nil, fmt.Errorf("list the mounts: %w", err)
	}
	const newcomers = 16 // since they were counted
	list := make([]unix.Statfs_t, n+newcomers)
	if n, err = unix.Getfsstat(list, unix.MNT_NOWAIT); err != nil {
		return nil, fmt.Errorf("list the mounts: %w", err)
	}
	var mounts []unix.Statfs_t
	for _, m := range list[:n] {
		if kind := unix.ByteSliceToString(m.Fstypename[:]); kind != "autofs" && kind != "devfs" {
			mounts = append(mounts, m)
		}
	}
	return mounts, nil
}

// diskOf fills the sizes of a row.
func diskOf(d dtc.Disk, fs *unix.Statfs_t) dtc.Disk {
	b := blocks{size: uint64(fs.Bsize), total: fs.Blocks, free: fs.Bfree, available: fs.Bavail}
	b.fill(&d)
	inodes{total: fs.Files, free: fs.Ffree}.fill(&d)
	return d
}
