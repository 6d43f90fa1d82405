//! Windows.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::mem::size_of;
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use windows_sys::Win32::System::ProcessStatus::{GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS};
use windows_sys::Win32::System::Threading::GetCurrentProcess;

pub fn open_without_blocking(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Little-endian UTF-16 code units, so that lone surrogates survive.
pub fn path_to_bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().encode_wide().flat_map(u16::to_le_bytes).collect()
}

pub fn path_from_bytes(bytes: &[u8]) -> PathBuf {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    OsString::from_wide(&units).into()
}

pub fn peak_resident_bytes() -> Option<u64> {
    let mut counters =
        PROCESS_MEMORY_COUNTERS { cb: size_of::<PROCESS_MEMORY_COUNTERS>() as u32, ..Default::default() };
    let len = counters.cb;
    // SAFETY: `counters` is valid for writes of `len` bytes, and the pseudo handle of this process is always valid.
    let filled = unsafe { GetProcessMemoryInfo(GetCurrentProcess(), &raw mut counters, len) };
    (filled != 0).then_some(counters.PeakWorkingSetSize as u64)
}

pub fn write_garbage() -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "garbage is not available on this system"))
}

pub fn kill_parent() -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "kill-host is not available on this system"))
}
