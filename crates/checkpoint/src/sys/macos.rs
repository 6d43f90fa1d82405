//! macOS.
#![expect(unsafe_code, reason = "sysctl and proc_pidinfo have no safe wrapper")]

use crate::disk::FileSystemKind;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::path::Path;
use std::ptr;

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

/// Not by `statvfs`, whose numbers of blocks have 32 bits here.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statfs(path).ok()?;
    (stat.f_blocks > 0).then(|| stat.f_bavail.saturating_mul(u64::from(stat.f_bsize)))
}

pub(crate) fn machine_id() -> Option<String> {
    sysctl_text(c"kern.uuid")
}

pub(crate) fn boot_id() -> Option<String> {
    sysctl_text(c"kern.bootsessionuuid")
}

/// Microseconds since 1970, from the process table.
pub(crate) fn process_start_time(pid: u32) -> Option<u64> {
    let mut info = MaybeUninit::<libc::proc_bsdinfo>::uninit();
    let size = i32::try_from(size_of::<libc::proc_bsdinfo>()).expect("the struct is small");
    let pid = i32::try_from(pid).ok()?;
    // SAFETY: the buffer is as large as we say, and the call writes nothing beyond.
    let written =
        unsafe { libc::proc_pidinfo(pid, libc::PROC_PIDTBSDINFO, 0, info.as_mut_ptr().cast(), size) };
    if written != size {
        return None;
    }
    // SAFETY: the call said that it has filled in all of it.
    let info = unsafe { info.assume_init() };
    Some(info.pbi_start_tvsec * 1_000_000 + info.pbi_start_tvusec)
}

fn sysctl_text(name: &CStr) -> Option<String> {
    let mut buf = [0u8; 128];
    let mut len = buf.len();
    // SAFETY: `name` ends with a NUL, `len` is the buffer's length, and nothing is set.
    let result = unsafe {
        libc::sysctlbyname(name.as_ptr(), buf.as_mut_ptr().cast(), &raw mut len, ptr::null_mut(), 0)
    };
    let text = CStr::from_bytes_until_nul(buf.get(..len)?).ok()?.to_str().ok()?;
    (result == 0 && !text.is_empty()).then(|| text.to_owned())
}
