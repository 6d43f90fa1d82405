//! An ext4 file system in a file, whose power can be cut.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// An ext4 file system of its own, on a loop device, whose power can be cut. Needs root and e2fsprogs.
///
/// Dropping it unmounts it, as far as nothing in it is open.
#[derive(Debug)]
pub struct Ext4 {
    image: PathBuf,
    mount: PathBuf,
    options: &'static str,
}

/// Cuts the power of an [`Ext4`].
#[derive(Clone, Debug)]
pub struct PowerSwitch {
    mount: PathBuf,
}

/// Sparse; the journal of so small a file system is 4 MiB.
const IMAGE_LEN: u64 = 96 << 20;
/// How often, and after what pause, an unmounting that finds the file system busy is tried again: 10 s.
const BUSY_TRIES_MAX: u32 = 500;
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// `EXT4_IOC_SHUTDOWN`, `_IOR('X', 125, __u32)`: fs/ext4/ext4.h of Linux.
const EXT4_IOC_SHUTDOWN: u32 = 0x8004_587d;
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: what the journal holds in memory is gone.
const NO_LOG_FLUSH: u32 = 2;

impl Ext4 {
    /// Makes one in `dir`, an empty directory, and mounts it with `options` beside those it needs (`data=ordered`, …).
    ///
    /// # Errors
    /// What `mkfs.ext4` or `mount` say; without root they refuse.
    pub fn create(dir: &Path, options: &'static str) -> io::Result<Self> {
        let (image, mount) = (dir.join("image"), dir.join("mount"));
        File::create(&image)?.set_len(IMAGE_LEN)?;
        std::fs::create_dir(&mount)?;
        let lazily = "lazy_itable_init=1,lazy_journal_init=1,nodiscard";
        // Without blocks that only root may use: a full file system is full for a test, too.
        run("mkfs.ext4", ["-q", "-F", "-m", "0", "-E", lazily].map(OsStr::new), &[&image])?;
        let ext4 = Self { image, mount, options };
        ext4.mount()?;
        Ok(ext4)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.mount
    }

    /// What cuts its power, for another thread.
    #[must_use]
    pub fn switch(&self) -> PowerSwitch {
        PowerSwitch { mount: self.mount.clone() }
    }

    /// Mounts it again after the power was cut, which replays its journal. Waits up to 10 s for whoever has something in it open.
    ///
    /// # Errors
    /// What `umount` or `mount` say.
    pub fn restart(&self) -> io::Result<()> {
        self.unmount()?;
        self.mount()
    }

    fn mount(&self) -> io::Result<()> {
        let options = OsString::from(format!("loop,{}", self.options));
        run(
            "mount",
            [OsStr::new("-t"), "ext4".as_ref(), "-o".as_ref(), &options],
            &[&self.image, &self.mount],
        )
    }

    /// Threads that fill ahead end a little after their store, and a process that is just being started by another thread
    /// holds what this one has open: both are over in a moment.
    fn unmount(&self) -> io::Result<()> {
        let mut result = run("umount", [], &[&self.mount]);
        for _ in 0..BUSY_TRIES_MAX {
            if result.is_ok() {
                break;
            }
            std::thread::sleep(BUSY_PAUSE);
            result = run("umount", [], &[&self.mount]);
        }
        result
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        // A test that fails may leave files open: the mount then ends with the process.
        if self.unmount().is_err() {
            let _ = run("umount", [OsStr::new("--lazy")], &[&self.mount]);
        }
    }
}

impl PowerSwitch {
    /// From now on nothing reaches the medium, and nothing that did not reach it yet ever will.
    ///
    /// # Errors
    /// Those of the system; cutting twice is none.
    pub fn cut(&self) -> io::Result<()> {
        let root = File::open(&self.mount)?;
        // SAFETY: the call reads one u32 through the pointer, which is valid for it.
        let done = unsafe {
            libc::ioctl(root.as_raw_fd(), EXT4_IOC_SHUTDOWN as _, std::ptr::from_ref(&NO_LOG_FLUSH))
        };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

fn run<const N: usize>(program: &str, args: [&OsStr; N], paths: &[&Path]) -> io::Result<()> {
    let output = Command::new(program).args(args).args(paths).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(io::Error::other(format!("{program}: {}: {}", output.status, said.trim())))
}
