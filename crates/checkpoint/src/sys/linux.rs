//! Linux.

use crate::disk::FileSystemKind;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Not std's `sync_data`, which repeats an interrupted call: a sync is never repeated here.
pub(crate) fn sync_data(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fdatasync(file)?)
}

pub(crate) fn sync_all(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fsync(file)?)
}

/// By the magic numbers of statfs(2). What is not listed is taken for a local disk.
pub(crate) fn file_system_kind(path: &Path) -> FileSystemKind {
    const BTRFS: u64 = 0x9123_683E;
    const BCACHEFS: u64 = 0xCA45_1A4E;
    const ZFS: u64 = 0x2FC1_2FC1;
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58F6;
    const NFS: u64 = 0x6969;
    const SMB: u64 = 0x517B;
    const SMB2: u64 = 0xFE53_4D42;
    const CIFS: u64 = 0xFF53_4D42;
    const CEPH: u64 = 0x00C3_6400;
    const AFS: u64 = 0x5346_414F;
    const NINE_P: u64 = 0x0102_1997;
    const FUSE: u64 = 0x6573_5546;
    let Ok(stat) = rustix::fs::statfs(path) else { return FileSystemKind::Local };
    // The field is signed on some architectures: only its low 32 bits are the magic number.
    match (stat.f_type as u64) & 0xFFFF_FFFF {
        BTRFS | BCACHEFS | ZFS => FileSystemKind::CopyOnWrite,
        TMPFS | RAMFS => FileSystemKind::Memory,
        NFS | SMB | SMB2 | CIFS | CEPH | AFS | NINE_P => FileSystemKind::Network,
        // sshfs or ntfs-3g alike: nothing tells which, so it counts as local.
        FUSE => FileSystemKind::Local,
        _ => FileSystemKind::Local,
    }
}

/// A file system without a size (in memory without a limit, some on the network) has no number of blocks either.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    (stat.f_blocks > 0).then(|| stat.f_bavail.saturating_mul(stat.f_frsize))
}

pub(crate) fn machine_id() -> Option<String> {
    read_line("/etc/machine-id")
}

pub(crate) fn boot_id() -> Option<String> {
    read_line("/proc/sys/kernel/random/boot_id")
}

/// Clock ticks since boot, field 22 of `/proc/<pid>/stat`; the name in field 2 may hold spaces and brackets.
pub(crate) fn process_start_time(pid: u32) -> Option<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.iter().rposition(|&b| b == b')')?;
    let fields = std::str::from_utf8(&stat[after_name + 1..]).ok()?;
    fields.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

fn read_line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned()).filter(|line| !line.is_empty())
}
