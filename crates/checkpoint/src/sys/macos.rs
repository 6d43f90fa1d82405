//! macOS (and whatever else is Unix but not Linux, as far as it compiles there).

use crate::disk::FileSystemKind;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::path::Path;

/// `fsync` on macOS reaches the drive's cache only; `F_FULLFSYNC` reaches the medium.
pub(crate) fn sync_data(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fcntl_fullfsync(file)?)
}

pub(crate) fn sync_all(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fcntl_fullfsync(file)?)
}

pub(crate) fn file_system_kind(path: &Path) -> FileSystemKind {
    let Ok(stat) = rustix::fs::statfs(path) else { return FileSystemKind::Local };
    let name: Vec<u8> = stat.f_fstypename.iter().map(|&c| c as u8).take_while(|&b| b != 0).collect();
    match name.as_slice() {
        b"apfs" => FileSystemKind::CopyOnWrite,
        b"nfs" | b"smbfs" | b"afpfs" | b"webdav" => FileSystemKind::Network,
        b"tmpfs" => FileSystemKind::Memory,
        _ => FileSystemKind::Local,
    }
}

pub(crate) fn machine_id() -> Option<String> {
    sysctl_text(c"kern.uuid")
}

pub(crate) fn boot_id() -> Option<String> {
    sysctl_text(c"kern.bootsessionuuid")
}
