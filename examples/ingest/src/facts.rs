//! What comes out of a file.

use serde::{Deserialize, Serialize};

/// What kind of file it was read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A PDF document.
    Pdf,
    /// A web page.
    Html,
    /// CommonMark.
    Markdown,
    /// Plain text of any sort: notes, source code, data.
    Text,
    /// A Word document.
    Docx,
    /// A book.
    Epub,
    /// An image.
    Image,
    /// Sound.
    Audio,
    /// Moving pictures, mostly with sound.
    Video,
    /// A file without a byte.
    Empty,
    /// Anything else; only its size and media type are known.
    Other,
}

/// What is known about a file. A pure function of its bytes and its extension: no times, no counters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// What it was read as.
    pub kind: Kind,
    /// Its media type.
    pub media_type: String,
    /// Its size.
    pub bytes: u64,
    /// Its title, from its own words.
    pub title: Option<String>,
    /// Who made it, from its own words: author, artist.
    pub author: Option<String>,
    /// The album of a recording.
    pub album: Option<String>,
    /// The encoding that its text was decoded from.
    pub encoding: Option<String>,
    /// Pages of a PDF.
    pub pages: Option<u32>,
    /// How long a recording is, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Words in `text`.
    pub words: u64,
    /// The first headings.
    pub headings: Vec<String>,
    /// Links in it.
    pub links: u64,
    /// What is known of an image.
    pub image: Option<ImageFacts>,
    /// What is known of its sound.
    pub audio: Option<AudioFacts>,
    /// What is known of its moving pictures.
    pub video: Option<VideoFacts>,
    /// A few sentences.
    pub summary: String,
    /// The most telling words and pairs of words, best first.
    pub keywords: Vec<String>,
    /// The text itself, within a limit.
    pub text: String,
    /// What a reader should know about how this came to be: cuts, damage.
    pub notes: Vec<String>,
}

/// What is known of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFacts {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// How its pixels are decoded, such as `rgb8`.
    pub color: String,
    /// The 64-bit difference hash of its grey values, as 16 hexadecimal digits: similar images differ in few bits.
    pub dhash: String,
}

/// What is known of sound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioFacts {
    /// The codec's short name, such as `mp3`; `other` without a decoder.
    pub codec: String,
    /// In Hz.
    pub sample_rate: Option<u32>,
    /// How many.
    pub channels: Option<u32>,
    /// The integrated loudness by EBU R 128, in tenths of LUFS; none for silence.
    pub loudness: Option<i32>,
}

/// What is known of moving pictures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoFacts {
    /// The codec's short name, such as `h264`.
    pub codec: String,
    /// In pixels.
    pub width: Option<u16>,
    /// In pixels.
    pub height: Option<u16>,
}

impl Kind {
    /// The kind as the outputs name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Html => "html",
            Self::Markdown => "markdown",
            Self::Text => "text",
            Self::Docx => "docx",
            Self::Epub => "epub",
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Empty => "empty",
            Self::Other => "other",
        }
    }

    /// Whether there is text to count, summarise and search for keywords; the others are described by their extractors.
    pub fn has_text(self) -> bool {
        match self {
            Self::Pdf | Self::Html | Self::Markdown | Self::Text | Self::Docx | Self::Epub => true,
            Self::Empty | Self::Other => true, // none, which is a text of no words
            Self::Image | Self::Audio | Self::Video => false,
        }
    }
}

impl Facts {
    /// Nothing known yet but these.
    pub fn new(kind: Kind, media_type: &str, bytes: u64) -> Self {
        Self {
            kind,
            media_type: media_type.to_owned(),
            bytes,
            title: None,
            author: None,
            album: None,
            encoding: None,
            pages: None,
            duration_ms: None,
            words: 0,
            headings: Vec::new(),
            links: 0,
            image: None,
            audio: None,
            video: None,
            summary: String::new(),
            keywords: Vec::new(),
            text: String::new(),
            notes: Vec::new(),
        }
    }
}
