//! Windows.
#![expect(unsafe_code, reason = "system calls without a safe wrapper")]

use crate::disk::FileSystemKind;
use std::fs::File;
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::fs::FileExt;
use std::path::{Component, Path, PathBuf, Prefix};
use std::ptr;
use windows_sys::Win32::Foundation::{CloseHandle, FILETIME};
use windows_sys::Win32::Storage::FileSystem::{GetDiskFreeSpaceExW, GetDriveTypeW, GetVolumeInformationW};
use windows_sys::Win32::System::Registry::{HKEY_LOCAL_MACHINE, RRF_RT_REG_SZ, RegGetValueW};
use windows_sys::Win32::System::SystemInformation::{GetSystemTimeAsFileTime, GetTickCount64};
use windows_sys::Win32::System::Threading::{
    GetProcessTimes, OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION,
};

pub(crate) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek_read(buf, offset)
}

pub(crate) fn write_at(file: &File, buf: &[u8], offset: u64) -> io::Result<usize> {
    file.seek_write(buf, offset)
}

/// `FlushFileBuffers`.
#[allow(clippy::disallowed_methods, reason = "the one place that syncs a file on this system")]
pub(crate) fn sync_data(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// Not found out here: whoever removes the files of an open job is told so by its next opening only.
#[expect(clippy::unnecessary_wraps, reason = "the other systems' can fail")]
pub(crate) fn is_linked(_file: &File) -> io::Result<bool> {
    Ok(true)
}

/// NTFS journals its metadata, and a directory cannot be flushed without the rights of a backup program: renames are
/// written through by the file system itself.
#[expect(clippy::unnecessary_wraps, reason = "the other systems' can fail")]
pub(crate) fn sync_dir(_path: &Path) -> io::Result<()> {
    Ok(())
}

pub(crate) fn file_system_kind(path: &Path) -> FileSystemKind {
    const DRIVE_REMOTE: u32 = 4;
    const DRIVE_RAMDISK: u32 = 6;
    let Some(root) = volume_root(path) else { return FileSystemKind::Local };
    let root = wide(&root);
    // SAFETY: the string ends with a NUL.
    match unsafe { GetDriveTypeW(root.as_ptr()) } {
        DRIVE_REMOTE => return FileSystemKind::Network,
        DRIVE_RAMDISK => return FileSystemKind::Memory,
        _ => {}
    }
    let mut name = [0u16; 64];
    let (serial, longest, flags) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
    // SAFETY: the root ends with a NUL, the buffer's length is given, and the other results are not asked for.
    let got = unsafe {
        GetVolumeInformationW(
            root.as_ptr(),
            ptr::null_mut(),
            0,
            serial,
            longest,
            flags,
            name.as_mut_ptr(),
            64,
        )
    };
    let is_refs = got != 0 && text(&name) == "ReFS";
    if is_refs { FileSystemKind::CopyOnWrite } else { FileSystemKind::Local }
}

/// With the quota of this user, if there is one.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let dir = wide(path);
    let mut free = 0;
    let (total, total_free) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: the path ends with a NUL, `free` is a number that may be written, and the other results are not asked for.
    let got = unsafe { GetDiskFreeSpaceExW(dir.as_ptr(), &raw mut free, total, total_free) };
    (got != 0).then_some(free)
}

fn volume_root(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    match path.components().next()? {
        Component::Prefix(prefix) => match prefix.kind() {
            Prefix::Disk(letter) | Prefix::VerbatimDisk(letter) => {
                Some(PathBuf::from(format!("{}:\\", char::from(letter))))
            }
            Prefix::UNC(server, share) | Prefix::VerbatimUNC(server, share) => {
                let mut root = PathBuf::from(r"\\").join(server).join(share).into_os_string();
                root.push("\\");
                Some(root.into())
            }
            Prefix::Verbatim(_) | Prefix::DeviceNS(_) => None,
        },
        Component::RootDir | Component::CurDir | Component::ParentDir | Component::Normal(_) => None,
    }
}

pub(crate) fn machine_id() -> Option<String> {
    let key = wide(Path::new(r"SOFTWARE\Microsoft\Cryptography"));
    let value = wide(Path::new("MachineGuid"));
    let mut buf = [0u16; 64];
    let mut len = size_of_val(&buf) as u32;
    // SAFETY: both names end with a NUL, and `len` is the buffer's length in bytes.
    let status = unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            key.as_ptr(),
            value.as_ptr(),
            RRF_RT_REG_SZ,
            ptr::null_mut(),
            buf.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    Some(text(&buf)).filter(|id| status == 0 && !id.is_empty())
}

/// The minute in which the system started: Windows names no boot, and its clocks drift apart by less than that.
pub(crate) fn boot_id() -> Option<String> {
    const TICKS_PER_MS: u64 = 10_000;
    const MS_PER_MINUTE: u64 = 60_000;
    let mut now = FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 };
    // SAFETY: the pointer is that of a FILETIME.
    unsafe { GetSystemTimeAsFileTime(&raw mut now) };
    // SAFETY: the call has no conditions.
    let up_ms = unsafe { GetTickCount64() };
    Some(((ticks(now) / TICKS_PER_MS).saturating_sub(up_ms) / MS_PER_MINUTE).to_string())
}

/// 100 ns since 1601.
pub(crate) fn process_start_time(pid: u32) -> Option<u64> {
    let zero = FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 };
    let (mut created, mut exited, mut kernel, mut user) = (zero, zero, zero, zero);
    // SAFETY: the call has no conditions; a null handle is told apart below.
    let process = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, pid) };
    if process.is_null() {
        return None;
    }
    // SAFETY: the handle is open, and the pointers are those of FILETIMEs.
    let got = unsafe {
        GetProcessTimes(process, &raw mut created, &raw mut exited, &raw mut kernel, &raw mut user)
    };
    // SAFETY: the handle is ours and is not used again.
    unsafe { CloseHandle(process) };
    // An ended process that somebody still holds has an exit time.
    (got != 0 && ticks(exited) == 0).then(|| ticks(created))
}

fn ticks(time: FILETIME) -> u64 {
    u64::from(time.dwHighDateTime) << 32 | u64::from(time.dwLowDateTime)
}

fn wide(path: &Path) -> Vec<u16> {
    path.as_os_str().encode_wide().chain([0]).collect()
}

fn text(wide: &[u16]) -> String {
    let end = wide.iter().position(|&unit| unit == 0).unwrap_or(wide.len());
    String::from_utf16_lossy(&wide[..end])
}
