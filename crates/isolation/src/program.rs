//! Which executable a worker is.

use crate::sys::os;
use cofferdam_ipc::handshake::BuildId;
use object::read::ReadCache;
use object::read::elf::{FileHeader, ProgramHeader};
use object::read::macho::MachHeader;
use object::{Endianness, FileKind, Object, elf, macho};
use std::ffi::OsString;
use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::process::Command;

/// Bytes at the start and at the end of an executable that stand for it when it holds no build id.
const SAMPLE_BYTES: u64 = 64 * 1024;

/// What to execute as a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerProgram {
    /// The host's own executable, whose `main` starts with the worker line. Works also after the file on disk was
    /// replaced (where the system has `/proc/self/exe`; elsewhere the handshake refuses the newer build).
    CurrentExe,
    /// The host is a test executable: re-enter it in the test of exactly this name, whose body starts with the worker line.
    Test {
        /// The test's path within its crate, such as `jobs::tests::resumes`.
        name: String,
    },
    /// Another executable. It may be another build, or in another language.
    Program {
        /// What to execute; not looked up in `PATH`.
        path: PathBuf,
        /// Its arguments.
        args: Vec<OsString>,
    },
}

impl WorkerProgram {
    /// The command, without environment and pipes.
    pub(crate) fn command(&self) -> io::Result<Command> {
        match self {
            Self::CurrentExe => own_executable(),
            Self::Test { name } => {
                let mut command = own_executable()?;
                // An ignored test can be a worker; one thread, so that it starts at once; nothing captured.
                command.args([
                    name.as_str(),
                    "--exact",
                    "--include-ignored",
                    "--nocapture",
                    "--test-threads=1",
                ]);
                Ok(command)
            }
            Self::Program { path, args } => {
                let mut command = new_command(path.clone());
                command.args(args);
                Ok(command)
            }
        }
    }

    /// Whether a worker must be of the host's own build.
    pub(crate) fn is_own_build(&self) -> bool {
        match self {
            Self::CurrentExe | Self::Test { .. } => true,
            Self::Program { .. } => false,
        }
    }
}

fn own_executable() -> io::Result<Command> {
    let mut command = new_command(os::current_exe()?);
    if let Some(name) = std::env::args_os().next() {
        os::set_name(&mut command, &name);
    }
    Ok(command)
}

#[expect(clippy::disallowed_methods, reason = "the one place that starts processes")]
fn new_command(path: PathBuf) -> Command {
    Command::new(path)
}

/// Identifies the running executable: the linker's build id, else a hash of its size, start and end.
///
/// # Errors
/// When the executable cannot be read.
pub(crate) fn own_build_id() -> io::Result<BuildId> {
    let mut file = File::open(os::current_exe()?)?;
    match linked_build_id(&file) {
        Some(id) => Ok(id),
        None => sampled_build_id(&mut file),
    }
}

/// Reads headers only: symbol tables of debug builds have tens of megabytes.
fn linked_build_id(file: &File) -> Option<BuildId> {
    let cache = ReadCache::new(file);
    match FileKind::parse(&cache).ok()? {
        FileKind::Elf32 => elf_build_id::<elf::FileHeader32<Endianness>>(&cache),
        FileKind::Elf64 => elf_build_id::<elf::FileHeader64<Endianness>>(&cache),
        FileKind::MachO64 => {
            let header = macho::MachHeader64::<Endianness>::parse(&cache, 0).ok()?;
            pad(&header.uuid(header.endian().ok()?, &cache, 0).ok()??)
        }
        FileKind::Pe32 | FileKind::Pe64 => {
            let file = object::File::parse(&cache).ok()?;
            let info = file.pdb_info().ok()??;
            pad(&[&info.guid()[..], &info.age().to_le_bytes()].concat())
        }
        _ => None,
    }
}

fn elf_build_id<H: FileHeader>(cache: &ReadCache<&File>) -> Option<BuildId> {
    let header = H::parse(cache).ok()?;
    let endian = header.endian().ok()?;
    for segment in header.program_headers(endian, cache).ok()? {
        let Ok(Some(mut notes)) = segment.notes(endian, cache) else { continue };
        while let Ok(Some(note)) = notes.next() {
            if note.name() == elf::ELF_NOTE_GNU && note.n_type(endian) == elf::NT_GNU_BUILD_ID {
                return pad(note.desc());
            }
        }
    }
    None
}

/// Longer ids are cut: 32 bytes are enough to tell builds apart.
fn pad(id: &[u8]) -> Option<BuildId> {
    let mut bytes = [0; 32];
    let len = id.len().min(bytes.len());
    bytes[..len].copy_from_slice(&id[..len]);
    (bytes != [0; 32]).then_some(BuildId(bytes))
}

fn sampled_build_id(file: &mut File) -> io::Result<BuildId> {
    let len = file.metadata()?.len();
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(len);
    let mut sample = Vec::new();
    for start in [0, len.saturating_sub(SAMPLE_BYTES)] {
        sample.clear();
        file.seek(SeekFrom::Start(start))?;
        (&*file).take(SAMPLE_BYTES).read_to_end(&mut sample)?;
        hasher.write(&sample);
    }
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&hasher.finish().to_le_bytes());
    bytes[8..16].copy_from_slice(b"sampled\0");
    Ok(BuildId(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_build_id_is_stable_and_not_zero() {
        let id = own_build_id().unwrap();
        assert_ne!(id, BuildId([0; 32]));
        assert_eq!(id, own_build_id().unwrap());
    }

    #[test]
    fn a_file_without_build_id_is_told_from_a_changed_one() {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, &[7; 200_000]).unwrap();
        assert_eq!(linked_build_id(&file), None);
        let before = sampled_build_id(&mut file).unwrap();
        file.seek(SeekFrom::Start(199_999)).unwrap();
        io::Write::write_all(&mut file, &[8]).unwrap();
        assert_ne!(sampled_build_id(&mut file).unwrap(), before);
    }

    #[test]
    fn a_test_is_re_entered_by_its_exact_name() {
        let command = WorkerProgram::Test { name: "a::b".into() }.command().unwrap();
        let args: Vec<_> = command.get_args().map(|arg| arg.to_str().unwrap()).collect();
        assert_eq!(args, ["a::b", "--exact", "--include-ignored", "--nocapture", "--test-threads=1"]);
    }
}
