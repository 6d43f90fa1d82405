//! Reads the frames of one segment and judges what is not a frame.

use crate::StoreError;
use crate::disk::{DiskFile, read_exact_at};
use crate::format::frame::{FrameHeader, FrameKey, HEADER_LEN, TRAILER_LEN};
use crate::limits::READ_CHUNK;
use crate::seeded::has_bug;
use memchr::memmem;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A window over a segment's file that moves forward.
#[derive(Debug)]
pub(crate) struct FrameReader {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    key: FrameKey,
    /// Nothing at or beyond it is read.
    end: u64,
    offset: u64,
    window: Vec<u8>,
    window_at: u64,
    /// Where in the window the body of the last intact frame lies.
    body: Range<usize>,
}

/// An intact frame.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) header: FrameHeader,
    pub(crate) offset: u64,
    pub(crate) body: &'a [u8],
    pub(crate) body_crc: u32,
}

/// What lies where a frame should begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rest {
    /// The highest end that an intact header behind it claims to be durable.
    pub(crate) claimed_end: u64,
    /// Whether there is anything but zeros.
    pub(crate) is_empty: bool,
}

impl FrameReader {
    /// Reads from `offset` on, to `end` at most.
    pub(crate) fn new(file: Arc<dyn DiskFile>, path: &Path, key: FrameKey, offset: u64, end: u64) -> Self {
        Self {
            file,
            path: path.to_owned(),
            key,
            end,
            offset,
            window: Vec::new(),
            window_at: offset,
            body: 0..0,
        }
    }

    /// Reads the same segment once more, from another place to where it ends now.
    pub(crate) fn again_from(&self, offset: u64) -> Result<Self, StoreError> {
        let len = self.file.len().map_err(|error| StoreError::io("measure", &self.path, error))?;
        Ok(Self::new(self.file.clone(), &self.path, self.key, offset, len.max(self.end)))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Lets the reader see more of a segment that has grown.
    pub(crate) fn set_end(&mut self, end: u64) {
        self.end = end;
    }

    /// The next frame; `None`, without moving, when there is no intact one.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame<'_>>, StoreError> {
        let Some(header) = self.peek_header()? else { return Ok(None) };
        let offset = self.offset;
        let frame_len = header.frame_len() as usize;
        if !self.load(frame_len)? {
            return Ok(None);
        }
        let at = (offset - self.window_at) as usize;
        let body_end = at + frame_len - TRAILER_LEN;
        let body_crc = header.body_crc(&self.window[at + HEADER_LEN..body_end]);
        let is_intact = body_crc.to_le_bytes() == self.window[body_end..body_end + TRAILER_LEN];
        if !is_intact && !has_bug("a body is not checked") {
            return Ok(None);
        }
        self.offset += header.frame_len();
        self.body = at + HEADER_LEN..body_end;
        Ok(Some(Frame { header, offset, body: self.body(), body_crc }))
    }

    /// The body of the frame that [`Self::next_frame`] returned last; nothing once the reader has looked further.
    pub(crate) fn body(&self) -> &[u8] {
        &self.window[self.body.clone()]
    }

    /// The next frame's header, if it is intact and its frame lies within the end.
    pub(crate) fn peek_header(&mut self) -> Result<Option<FrameHeader>, StoreError> {
        if !self.load(HEADER_LEN)? {
            return Ok(None);
        }
        let at = (self.offset - self.window_at) as usize;
        let bytes = self.window[at..].first_chunk().expect("load made room for a header");
        let header = FrameHeader::decode(bytes, &self.key, self.offset);
        Ok(header.filter(|header| header.frame_len() <= self.end - self.offset))
    }

    /// Passes over the frame whose header was just peeked.
    pub(crate) fn skip(&mut self, header: &FrameHeader) {
        self.offset += header.frame_len();
    }

    /// Moves to the next intact header behind what is damaged here; false, without moving, when there is none.
    pub(crate) fn resync(&mut self) -> Result<bool, StoreError> {
        let finder = memmem::Finder::new(&self.key.sync()).into_owned();
        let damaged_at = self.offset;
        let mut at = damaged_at + 1;
        let mut chunk = self.chunk_from(at);
        while at < self.end {
            let len = (self.end - at).min(READ_CHUNK as u64) as usize;
            self.read(&mut chunk[..len], at)?;
            for found in finder.find_iter(&chunk[..len]) {
                self.offset = at + found as u64;
                if self.peek_header()?.is_some() {
                    return Ok(true);
                }
            }
            // As in `judge_rest`.
            at += if at + len as u64 == self.end { len as u64 } else { (len - 3) as u64 };
        }
        self.offset = damaged_at;
        Ok(false)
    }

    /// Looks at everything from here to the end, however far that is.
    pub(crate) fn judge_rest(&self) -> Result<Rest, StoreError> {
        let mut rest = Rest { claimed_end: 0, is_empty: true };
        let finder = memmem::Finder::new(&self.key.sync()).into_owned();
        let mut at = self.offset;
        let mut chunk = self.chunk_from(at);
        let end =
            if has_bug("the scan is capped at 1 MiB") { self.end.min(at + (1 << 20)) } else { self.end };
        while at < end {
            let len = (self.end - at).min(READ_CHUNK as u64) as usize;
            self.read(&mut chunk[..len], at)?;
            // No sync word is in zeros that were filled in ahead.
            if !is_zero(&chunk[..len]) {
                rest.is_empty = false;
                for found in finder.find_iter(&chunk[..len]) {
                    let claim = self.claim_at(at + found as u64)?;
                    rest.claimed_end = rest.claimed_end.max(claim.unwrap_or(0));
                }
            }
            // The next chunk overlaps by what a sync word across the border needs.
            at += if at + len as u64 == self.end { len as u64 } else { (len - 3) as u64 };
        }
        Ok(rest)
    }

    /// Room for what is read at once from `at` on; most journals end close behind their last frame.
    fn chunk_from(&self, at: u64) -> Vec<u8> {
        vec![0; self.end.saturating_sub(at).min(READ_CHUNK as u64) as usize]
    }

    fn claim_at(&self, offset: u64) -> Result<Option<u64>, StoreError> {
        if self.end - offset < HEADER_LEN as u64 {
            return Ok(None);
        }
        let mut bytes = [0; HEADER_LEN];
        self.read(&mut bytes, offset)?;
        Ok(FrameHeader::decode(&bytes, &self.key, offset).map(|header| header.durable_end(offset)))
    }

    /// Makes `len` bytes at the current offset available; false when the end comes first.
    fn load(&mut self, len: usize) -> Result<bool, StoreError> {
        if self.end.saturating_sub(self.offset) < len as u64 {
            return Ok(false);
        }
        let window_end = self.window_at + self.window.len() as u64;
        if self.offset + len as u64 <= window_end && self.offset >= self.window_at {
            return Ok(true);
        }
        let want = (len.max(READ_CHUNK) as u64).min(self.end - self.offset) as usize;
        self.body = 0..0;
        let mut window = std::mem::take(&mut self.window);
        // What is here of the next frame is moved rather than read again.
        let kept = self.offset.checked_sub(self.window_at).map_or(0, |passed| {
            let passed = window.len().min(usize::try_from(passed).unwrap_or(usize::MAX));
            window.copy_within(passed.., 0);
            window.len() - passed
        });
        window.resize(want, 0);
        self.window_at = self.offset;
        self.read(&mut window[kept..], self.offset + kept as u64)?;
        self.window = window;
        Ok(true)
    }

    fn read(&self, buf: &mut [u8], offset: u64) -> Result<(), StoreError> {
        read_exact_at(self.file.as_ref(), buf, offset)
            .map_err(|error| StoreError::io("read", &self.path, error))
    }
}

/// Compared in pieces: byte by byte it takes four times as long as reading them.
fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|piece| piece == &ZEROS[..piece.len()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::frame::TYPE_MARK;
    use crate::journal::test_file::TestFile;
    use std::sync::Mutex;

    const START: u64 = 8192;

    /// A reader at `START`, where zeros lie, and a frame of a few bytes at `at`.
    fn reader(at: u64) -> (FrameReader, FrameHeader) {
        let key = FrameKey::new(7, 1, 1);
        let header = FrameHeader {
            body_len: 0,
            first_lsn: 1,
            count: 0,
            undurable: 0,
            kind: TYPE_MARK,
            flags: 0,
            header_crc: 0,
        };
        let mut frame = vec![0; HEADER_LEN + 5];
        let header = header.seal(&key, at, &mut frame);
        let mut content = vec![0; at as usize];
        content.extend_from_slice(&frame);
        let end = content.len() as u64;
        let file = Arc::new(TestFile { content: Mutex::new(content), ..TestFile::default() });
        (FrameReader::new(file, Path::new("seg"), key, START, end), header)
    }

    #[test]
    fn a_frame_is_found_wherever_the_borders_of_reads_fall_in_it() {
        let border = START + READ_CHUNK as u64;
        for at in border - 45..=border + 5 {
            let (mut reader, header) = reader(at);
            assert_eq!(reader.judge_rest().unwrap(), Rest { claimed_end: at, is_empty: false }, "at {at}");
            assert!(reader.resync().unwrap(), "at {at}");
            assert_eq!((reader.offset(), reader.peek_header().unwrap()), (at, Some(header)));
            reader.skip(&header);
            assert!(!reader.resync().unwrap(), "there is nothing behind it");
        }
    }

    #[test]
    fn a_header_alone_at_the_end_says_how_far_all_was_durable() {
        let (mut reader, header) = reader(START + 100);
        reader.set_end(START + 100 + HEADER_LEN as u64);
        assert_eq!(reader.judge_rest().unwrap().claimed_end, START + 100);
        assert!(!reader.resync().unwrap(), "it is no frame");
        assert_eq!(reader.peek_header().unwrap(), None, "and nothing is here");
        reader.set_end(START + 100 + header.frame_len());
        assert!(reader.resync().unwrap());
    }
}
