package status

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"golang.org/x/sys/windows"

	"dtc"
)

// disks answers what df -T prints: drives with letters, those of the network
// that the agent's own user has included, and volumes that are mounted in
// folders. Drives whose medium can be taken out are not waked up.
func (c *Collector) disks(ctx context.Context) ([]dtc.Disk, []string, error) {
	roots, err := driveRoots()
	if err != nil {
		return nil, nil, err
	}
	replies, err := askFileSystems(ctx, &c.host.disks, roots, func(i int) volume { return askVolume(roots[i]) })
	if err != nil {
		return nil, nil, err
	}
	var notes notes
	var disks []dtc.Disk
	for i, root := range roots {
		v, ok := replies[i]
		switch {
		case !ok:
			notes.addf("%s: it does not answer", root)
			v.disk = unknownDisk(root, "", deviceOf(root))
		case errors.Is(v.err, windows.ERROR_NOT_READY): // no medium
			continue
		case v.err != nil:
			notes.addf("%s: %v", root, v.err)
			continue
		}
		disks = append(disks, v.disk)
	}
	return disks, notes, nil
}

// driveRoots are the root folders of what may be shown: "C:\", "D:\data\".
func driveRoots() ([]string, error) {
	buf := make([]uint16, 4*26+1)
	n, err := windows.GetLogicalDriveStrings(uint32(len(buf)), &buf[0])
	if err != nil {
		return nil, fmt.Errorf("list the drives: %w", err)
	}
	roots := splitUTF16(buf[:min(int(n), len(buf))])
	for _, path := range mountedFolders() {
		if !slices.Contains(roots, path) {
			roots = append(roots, path)
		}
	}
	return slices.DeleteFunc(roots, isIdle), nil
}

// isIdle tells whether a drive is one whose medium would have to spin up: that
// of a CD, or a floppy disk.
func isIdle(root string) bool {
	path, err := windows.UTF16PtrFromString(root)
	if err != nil {
		return true
	}
	switch windows.GetDriveType(path) {
	case windows.DRIVE_CDROM, windows.DRIVE_NO_ROOT_DIR:
		return true
	case windows.DRIVE_REMOVABLE:
		return root == `A:\` || root == `B:\`
	default:
		return false
	}
}

// mountedFolders are the places where volumes are mounted.
func mountedFolders() []string {
	const longestName, maxVolumes = 64, 1000
	var name [longestName]uint16
	find, err := windows.FindFirstVolume(&name[0], longestName)
	if err != nil {
		return nil
	}
	defer func() { _ = windows.FindVolumeClose(find) }()
	var paths []string
	for range maxVolumes {
		buf := make([]uint16, windows.MAX_LONG_PATH)
		var n uint32
		if windows.GetVolumePathNamesForVolumeName(&name[0], &buf[0], uint32(len(buf)), &n) == nil {
			paths = append(paths, splitUTF16(buf[:min(int(n), len(buf))])...)
		}
		if windows.FindNextVolume(find, &name[0], longestName) != nil {
			break
		}
	}
	return paths
}

// splitUTF16 returns the texts of a list, each of which ends with a NUL.
func splitUTF16(list []uint16) []string {
	var texts []string
	for text := range strings.SplitSeq(windows.UTF16ToString(replaceNUL(list)), "\n") {
		if text != "" {
			texts = append(texts, text)
		}
	}
	return texts
}

// replaceNUL puts line feeds in the place of NULs: no path has them.
func replaceNUL(list []uint16) []uint16 {
	list = slices.Clone(list)
	for i, c := range list {
		if c == 0 {
			list[i] = '\n'
		}
	}
	return list
}

// volume is what the system says of one.
type volume struct {
	disk dtc.Disk
	err  error
}

// askVolume may wait for a server or a disk.
func askVolume(root string) volume {
	path, err := windows.UTF16PtrFromString(root)
	if err != nil {
		return volume{err: err}
	}
	var kind [windows.MAX_PATH + 1]uint16
	if err := windows.GetVolumeInformation(path, nil, 0, nil, nil, nil, &kind[0], uint32(len(kind))); err != nil {
		return volume{err: err}
	}
	b := blocks{size: 1}
	if err := windows.GetDiskFreeSpaceEx(path, &b.available, &b.total, &b.free); err != nil {
		return volume{err: err}
	}
	v := volume{disk: unknownDisk(root, windows.UTF16ToString(kind[:]), deviceOf(root))}
	b.fill(&v.disk)
	return v
}

// deviceOf is what stands behind a drive: "\Device\HarddiskVolume3", or the
// folder of a server.
func deviceOf(root string) string {
	name := strings.TrimSuffix(root, `\`)
	path, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return name
	}
	buf := make([]uint16, math.MaxUint16)
	if _, err := windows.QueryDosDevice(path, &buf[0], uint32(len(buf))); err != nil {
		return name
	}
	return serverFolder(windows.UTF16ToString(buf))
}

// serverFolder turns the name of a network drive's device, which goes on behind
// the letter with that of the server, into that of the server's folder:
// "\Device\LanmanRedirector\;Z:0000000000012345\server\share" into
// "\\server\share".
func serverFolder(device string) string {
	letter := strings.LastIndex(device, `\;`)
	if letter < 0 {
		return device
	}
	_, folder, _ := strings.Cut(device[letter+len(`\;`):], `\`)
	return `\\` + folder
}
