package follow

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// volumeOf returns what is known of the file system of an open file, by the
// f_type of statfs(2).
func volumeOf(fd handle) volume {
	var sys unix.Statfs_t
	if err := unix.Fstatfs(fd, &sys); err != nil {
		return volume{remote: "unknown file system"}
	}
	switch magic := uint32(sys.Type); magic {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC:
		return volume{sparse: true, prompt: true}
	case unix.OVERLAYFS_SUPER_MAGIC:
		return volume{sparse: true}
	case unix.RAMFS_MAGIC, unix.F2FS_SUPER_MAGIC, unix.REISERFS_SUPER_MAGIC, unix.NILFS_SUPER_MAGIC,
		unix.MSDOS_SUPER_MAGIC, unix.EXFAT_SUPER_MAGIC, unix.ECRYPTFS_SUPER_MAGIC, unix.MINIX_SUPER_MAGIC,
		unix.ISOFS_SUPER_MAGIC, unix.SQUASHFS_MAGIC, unix.UDF_SUPER_MAGIC, unix.EROFS_SUPER_MAGIC_V1,
		0x2fc12fc1, // zfs, which has called dirty bytes a hole
		0xca451a4e, // bcachefs
		0x3153464a, // jfs
		0x7366746e: // ntfs3
		return volume{}
	default:
		return volume{remote: systemName(magic)}
	}
}

// systemName names a file system in which others than this kernel may change
// something.
func systemName(magic uint32) string {
	switch magic {
	case unix.NFS_SUPER_MAGIC:
		return "nfs"
	case unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.SMB_SUPER_MAGIC:
		return "smb"
	case unix.FUSE_SUPER_MAGIC:
		return "fuse"
	case unix.V9FS_MAGIC:
		return "9p"
	case unix.CEPH_SUPER_MAGIC:
		return "ceph"
	case unix.AFS_SUPER_MAGIC, unix.AFS_FS_MAGIC:
		return "afs"
	case unix.CODA_SUPER_MAGIC:
		return "coda"
	case unix.OCFS2_SUPER_MAGIC:
		return "ocfs2"
	case 0x01161970: // GFS2_MAGIC of linux/gfs2_ondisk.h
		return "gfs2"
	case 0x786f4256: // VBOXSF_SUPER_MAGIC of linux/magic.h
		return "vboxsf"
	default:
		return fmt.Sprintf("unknown file system %#x", magic)
	}
}

// reopen opens the file behind fd once more, whatever its name is by now. Only
// who opens a file anew sees for certain what others have written to it on
// another machine.
func reopen(fd handle) (handle, error) {
	return unix.Open("/proc/self/fd/"+strconv.Itoa(fd), openFlags, 0)
}
