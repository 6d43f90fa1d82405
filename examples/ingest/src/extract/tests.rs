use super::*;
use cofferdam_pipeline_core::{Instrument, Interrupted, SlotNumber};
use std::path::PathBuf;
use std::sync::Mutex;

/// Keeps the stages; interrupts at one of them.
#[derive(Default)]
struct Recorder {
    stages: Mutex<Vec<String>>,
    pages: Mutex<Vec<(u64, u64)>>,
    interrupt_in: Option<&'static str>,
}

impl Instrument for Recorder {
    fn progress(&self, done: u64, total: u64) {
        self.pages.lock().unwrap().push((done, total));
    }
    fn stage(&self, name: &str) {
        self.stages.lock().unwrap().push(name.to_owned());
    }
    fn message(&self, _: &str) {}
    fn breadcrumb(&self, _: &str) {}
    fn check(&self) -> Result<(), Interrupted> {
        let stages = self.stages.lock().unwrap();
        if stages.last().map(String::as_str) == self.interrupt_in { Err(Interrupted) } else { Ok(()) }
    }
}

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(name)
}

fn extract_with(path: &Path, recorder: &Recorder) -> Result<Facts, Failure> {
    extract(path, &Config::default(), &Context::new(recorder, 1, SlotNumber(0)))
}

fn extract_path(path: &Path) -> Result<Facts, Failure> {
    // `Some("")` is no stage, so this never interrupts, not even before the first one.
    extract_with(path, &Recorder { interrupt_in: Some(""), ..Recorder::default() })
}

fn facts(name: &str) -> Facts {
    extract_path(&sample(name)).unwrap()
}

fn failure(name: &str) -> String {
    let failure = extract_path(&sample(name)).unwrap_err();
    assert_eq!(failure.kind, FailureKind::InvalidInput);
    failure.message
}

fn scratch(name: &str, content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    (dir, path)
}

#[test]
fn a_pdf_gives_its_text_title_and_pages() {
    let facts = facts("pdf/three-pages.pdf");

    assert_eq!((facts.kind, facts.pages), (Kind::Pdf, Some(3)));
    assert_eq!(facts.title.as_deref(), Some("Three pages of the harbour log"));
    assert!(
        facts.text.starts_with("Page 1\n\nThe harbour master") && facts.text.contains("Page 3"),
        "{}",
        facts.text
    );
    assert!(facts.keywords.contains(&"harbour".to_owned()), "{:?}", facts.keywords);
}

#[test]
fn a_pdf_reports_each_page() {
    let recorder = Recorder { interrupt_in: Some(""), ..Recorder::default() };

    extract_with(&sample("pdf/three-pages.pdf"), &recorder).unwrap();

    assert_eq!(*recorder.pages.lock().unwrap(), [(1, 3), (2, 3), (3, 3)]);
    assert_eq!(*recorder.stages.lock().unwrap(), ["open", "read", "parse", "text", "analyse"]);
}

#[test]
fn a_pdf_in_french_keeps_its_accents_and_has_french_keywords() {
    let facts = facts("pdf/ecluses.pdf");

    assert_eq!(facts.title.as_deref(), Some("Écluses et marées"));
    assert_eq!(facts.keywords[..3], ["bassin", "marée", "porte"]);
}

#[test]
fn a_pdf_of_pictures_completes_and_says_so() {
    let facts = facts("pdf/no-text.pdf");
    assert_eq!((facts.text.as_str(), facts.notes.len()), ("", 1));
}

#[test]
fn damaged_pdfs_fail_with_a_reason() {
    for name in ["truncated", "no-pdf-at-all", "bad-xref", "only-a-header"] {
        assert!(!failure(&format!("malformed/{name}.pdf")).is_empty());
    }
}

#[test]
fn a_stop_is_heeded_between_pages_and_is_no_failure_of_the_file() {
    let recorder = Recorder { interrupt_in: Some("text"), ..Recorder::default() };

    let failure = extract_with(&sample("pdf/three-pages.pdf"), &recorder).unwrap_err();

    assert_eq!(failure.kind, FailureKind::Interrupted);
    assert_eq!(*recorder.pages.lock().unwrap(), [(1, 3)]);
}

#[test]
fn a_page_gives_what_a_reader_would_see() {
    let facts = facts("html/tides.html");

    assert_eq!((facts.kind, facts.links), (Kind::Html, 2));
    assert_eq!(facts.title.as_deref(), Some("Tides & gates"));
    assert_eq!(facts.headings, ["Tides", "Gates"]);
    assert!(facts.text.contains("lock gate\nsluice gate\ntide gate"), "{}", facts.text);
    assert!(
        !facts.text.contains("never shown")
            && !facts.text.contains("navy")
            && !facts.text.contains("comment")
    );
}

#[test]
fn a_page_is_decoded_as_it_declares() {
    let facts = facts("html/harbour.htm");

    assert_eq!(facts.encoding.as_deref(), Some("windows-1252"));
    assert_eq!(facts.title.as_deref(), Some("Hafen Größe"));
    assert_eq!(facts.keywords[..2], ["hafen", "tor"]);
}

#[test]
fn an_empty_script_element_of_xhtml_does_not_hide_the_page() {
    assert_eq!(facts("html/table.xhtml").text, "Tide table\n\nDay High water\nMonday 06:12");
}

#[test]
fn a_page_is_known_by_its_content_when_it_has_no_extension() {
    let facts = facts("html/no-title");
    assert_eq!(
        (facts.kind, facts.title.as_deref()),
        (Kind::Html, Some("A page without a title or an extension"))
    );
}

#[test]
fn ten_thousand_nested_tags_and_soup_are_pages_like_others() {
    assert_eq!(facts("malformed/nested.html").text, "at the bottom of ten thousand tags");
    let soup = facts("malformed/soup.html");
    assert!(soup.text.contains("bold") && soup.text.contains("cell"), "{soup:?}");
}

#[test]
fn markdown_gives_text_without_markup_headings_and_links() {
    let facts = facts("markdown/cofferdam.md");

    assert_eq!((facts.kind, facts.links), (Kind::Markdown, 3));
    assert_eq!(facts.title.as_deref(), Some("Cofferdams"));
    assert_eq!(facts.headings, ["Cofferdams", "Parts", "See also"]);
    assert!(facts.text.contains("pile 120") && facts.text.contains("pump --all"), "{}", facts.text);
    assert!(!facts.text.contains("metadata") && !facts.text.contains("]("), "{}", facts.text);
}

#[test]
fn headings_without_words_are_no_headings() {
    let facts = facts("markdown/empty-headings.md");
    assert_eq!((facts.title, facts.headings.len()), (None, 0));
}

#[test]
fn texts_in_many_encodings_become_the_same_unicode() {
    for (name, encoding, word) in [
        ("utf16-le.txt", "UTF-16LE", "moon"),
        ("utf16-be-no-mark.txt", "UTF-16BE", "harbour"),
        ("latin1.txt", "windows-1252", "L'éclusier"),
        ("koi8.txt", "KOI8-U", "Капитан"),
        ("shift-jis.txt", "Shift_JIS", "満潮"),
        ("utf8-mark.txt", "UTF-8", "Title behind a mark"),
    ] {
        let facts = facts(&format!("text/{name}"));
        assert_eq!((facts.kind, facts.encoding.as_deref()), (Kind::Text, Some(encoding)), "{name}");
        assert!(facts.text.contains(word), "{name}: {}", facts.text);
        assert!(!facts.text.contains('\u{feff}'), "{name}");
    }
}

#[test]
fn the_first_line_of_a_text_is_its_title_when_it_looks_like_one() {
    assert_eq!(facts("text/cofferdam.txt").title.as_deref(), Some("Cofferdams"));
    assert_eq!(facts("text/README").title.as_deref(), Some("The harbour"));
    assert_eq!(facts("text/gate.rs").title, None);
}

#[test]
fn text_that_starts_like_a_bitmap_is_text() {
    assert_eq!(facts("text/BMW-is-no-bitmap.txt").kind, Kind::Text);
}

#[test]
fn control_characters_do_not_reach_the_facts() {
    let facts = facts("malformed/escape.txt");
    assert_eq!(facts.text, "Terminal [2J [1;31m tricks and direction marks.");
}

#[test]
fn binary_data_with_a_name_of_text_is_no_text() {
    let facts = facts("malformed/binary.txt");
    assert_eq!((facts.kind, facts.text.as_str()), (Kind::Other, ""));
}

#[test]
fn an_empty_file_completes_and_says_so() {
    let facts = facts("malformed/empty.txt");
    assert_eq!((facts.kind, facts.bytes, facts.notes.len()), (Kind::Empty, 0, 1));
}

#[test]
fn other_files_are_known_by_their_media_type() {
    assert_eq!(facts("other/archive.zip").media_type, "application/zip");
    assert_eq!(facts("other/noise.dat").media_type, "application/octet-stream");
}

#[test]
fn images_of_every_format_give_dimensions_and_nearly_the_same_hash() {
    let hash = |name: &str| u64::from_str_radix(&facts(name).image.unwrap().dhash, 16).unwrap();
    for (name, mime, size) in [
        ("waves.png", "image/png", (160, 100)),
        ("waves.jpg", "image/jpeg", (160, 100)),
        ("waves-small.jpeg", "image/jpeg", (80, 50)),
        ("waves.webp", "image/webp", (160, 100)),
        ("waves-lossless.webp", "image/webp", (160, 100)),
        ("waves.bmp", "image/bmp", (64, 40)),
        ("waves.tiff", "image/tiff", (64, 40)),
        ("waves.ico", "image/vnd.microsoft.icon", (64, 40)),
        ("waves.gif", "image/gif", (160, 100)),
        ("cmyk.jpg", "image/jpeg", (160, 100)),
    ] {
        let name = format!("image/{name}");
        let facts = facts(&name);
        let image = facts.image.as_ref().unwrap();
        assert_eq!((facts.media_type.as_str(), (image.width, image.height)), (mime, size), "{name}");
        assert!((hash(&name) ^ hash("image/waves.png")).count_ones() <= 4, "{name}");
    }
    assert!((hash("image/moving.gif") ^ hash("image/waves.png")).count_ones() > 16);
}

#[test]
fn the_content_decides_against_the_extension() {
    assert_eq!(facts("image/png-called-jpg.jpg").media_type, "image/png");
}

#[test]
fn odd_but_sound_images_are_read() {
    assert_eq!(facts("image/grey-portrait.png").image.unwrap().color, "l8");
    assert_eq!(facts("image/sixteen-bit.png").image.unwrap().color, "l16");
    assert_eq!(facts("image/one-pixel.png").summary, "PNG image, 1 × 1 pixels, rgba8.");
}

#[test]
fn damaged_images_fail_with_a_reason() {
    for name in ["bad.jpg", "cut.png", "cut.gif", "cut.webp", "sentence.png"] {
        assert!(!failure(&format!("malformed/{name}")).is_empty());
    }
}

#[test]
fn a_header_that_promises_gigabytes_is_refused_before_they_are_allocated() {
    assert!(failure("malformed/bomb.png").contains("60000 × 60000 pixels"));
}

#[test]
fn every_sample_gives_the_same_twice() {
    for entry in walkdir::WalkDir::new(sample(""))
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
    {
        if entry.file_name() == "no-media-box.pdf" {
            continue; // the library panics on it: that is for workers
        }
        assert_eq!(extract_path(entry.path()), extract_path(entry.path()), "{}", entry.path().display());
    }
}

#[test]
fn of_a_huge_text_only_the_start_is_read_and_kept_and_the_facts_say_so() {
    let sentence = "A sentence about the tide that repeats itself. ";
    let (_dir, path) =
        scratch("huge.txt", sentence.repeat(7 + TEXT_READ_MAX as usize / sentence.len()).as_bytes());

    let facts = extract_path(&path).unwrap();

    assert!(facts.text.len() <= TEXT_LEN_MAX);
    assert!(facts.notes[0].starts_with("only the first 4194304 of"), "{:?}", facts.notes);
    assert!(facts.notes[1].starts_with("the text is cut"), "{:?}", facts.notes);
}

#[test]
fn huge_sparse_files_cost_no_more_than_small_ones() {
    for name in ["huge.txt", "huge.pdf", "huge.png", "huge"] {
        let (_dir, path) = scratch(name, b"");
        std::fs::File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();

        match extract_path(&path) {
            Ok(facts) => assert_eq!((facts.kind, facts.bytes), (Kind::Other, 1 << 40), "{name}"),
            Err(failure) => {
                assert!(failure.message.contains("are more than the 67108864"), "{name}: {failure:?}")
            }
        }
    }
}

#[test]
fn files_that_are_missing_or_folders_fail_with_a_reason() {
    let missing = extract_path(&sample("no-such-file")).unwrap_err();
    assert_eq!(missing.kind, FailureKind::InvalidInput);
    assert!(missing.message.starts_with("cannot read the file: "), "{missing:?}");

    assert!(extract_path(&sample("text")).is_err());
}

#[test]
fn errors_that_may_pass_are_tried_again() {
    assert_eq!(read_failure(&io::Error::from(io::ErrorKind::TimedOut)).kind, FailureKind::Transient);
    assert_eq!(
        read_failure(&io::Error::from(io::ErrorKind::PermissionDenied)).kind,
        FailureKind::InvalidInput
    );
}

#[cfg(unix)]
#[test]
fn a_fifo_in_the_place_of_a_file_fails_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo.txt");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());

    assert!(extract_path(&fifo).unwrap_err().message.contains("not a regular file"));
}

#[test]
fn a_word_document_gives_its_text_title_author_and_headings_and_nothing_that_was_deleted() {
    let facts = facts("office/harbour.docx");

    assert_eq!(facts.kind, Kind::Docx);
    assert_eq!(facts.title.as_deref(), Some("Log & tides"));
    assert_eq!(facts.author.as_deref(), Some("The harbour master"));
    assert_eq!(facts.headings, ["Tides", "Log"]);
    assert_eq!(facts.links, 1);
    assert!(facts.text.contains("Before a link\u{e4} < b."), "{}", facts.text);
    assert!(!facts.text.contains("deleted"));
    assert_eq!(facts.text.matches("Said once.").count(), 1, "a fallback says again what was said");
    assert!(facts.text.contains("12 m"));
}

#[test]
fn a_document_without_properties_is_called_by_its_first_heading() {
    assert_eq!(facts("office/no-properties.docx").title.as_deref(), Some("Pumps"));
}

#[test]
fn a_book_gives_its_chapters_in_the_order_of_reading() {
    let facts = facts("office/walls.epub");

    assert_eq!(facts.kind, Kind::Epub);
    assert_eq!(facts.title.as_deref(), Some("Walls in the water"));
    assert_eq!(facts.author.as_deref(), Some("C. O. Dam"));
    assert_eq!(facts.headings, ["Cofferdams", "Tides"]);
    let (first, second) = (facts.text.find("dry enclosure"), facts.text.find("spring tide"));
    assert!(first.is_some() && first < second);
}

#[test]
fn a_book_that_lacks_a_chapter_is_read_with_a_note() {
    let facts = facts("malformed/missing-chapter.epub");

    assert!(facts.text.contains("dry enclosure"));
    assert!(facts.notes[0].contains("second chapter.xhtml is missing"), "{:?}", facts.notes);
}

#[test]
fn damaged_archives_say_what_is_wrong() {
    assert!(failure("malformed/cut.docx").contains("invalid Zip archive"));
    assert!(failure("malformed/no-document.docx").contains("word/document.xml is missing"));
    assert!(failure("malformed/not-xml.docx").contains("ill-formed"));
    assert!(failure("malformed/no-container.epub").contains("META-INF/container.xml is missing"));
    assert!(failure("malformed/bomb.epub").contains("larger than"));
}

#[test]
fn sound_alone_in_a_container_of_another_brand_is_audio() {
    let mut bytes = std::fs::read(sample("media/horn.m4a")).unwrap();
    bytes[8..12].copy_from_slice(b"mp42");
    let (_dir, path) = scratch("horn.m4a", &bytes);
    let facts = extract_path(&path).unwrap();
    assert_eq!((facts.kind, facts.media_type.as_str()), (Kind::Audio, "audio/m4a"));
}

#[test]
fn sound_of_every_kind_has_the_same_length_tags_and_nearly_the_same_loudness() {
    for (name, codec) in [("mp3", "mp3"), ("flac", "flac"), ("ogg", "vorbis"), ("m4a", "aac")] {
        let facts = facts(&format!("media/horn.{name}"));
        let audio = facts.audio.unwrap();

        assert_eq!(facts.kind, Kind::Audio, "{name}");
        assert_eq!(facts.duration_ms, Some(1500), "{name}");
        let tags = (facts.title.as_deref(), facts.author.as_deref(), facts.album.as_deref());
        assert_eq!(tags, (Some("Fog horn"), Some("Harbour band"), Some("Signals")), "{name}");
        assert_eq!((audio.codec.as_str(), audio.sample_rate, audio.channels), (codec, Some(22050), Some(1)));
        assert!((-225..=-213).contains(&audio.loudness.unwrap()), "{name}: {:?}", audio.loudness);
    }
}

#[test]
fn silence_has_no_loudness_and_sound_without_a_decoder_a_note() {
    assert_eq!(facts("media/silence.wav").audio.unwrap().loudness, None);

    let opus = facts("media/horn.opus");
    assert_eq!(opus.audio.unwrap().codec, "opus");
    assert!(opus.notes[0].contains("could not be decoded"), "{:?}", opus.notes);
}

#[test]
fn a_video_gives_its_tracks() {
    let facts_of = |name| {
        let facts = facts(name);
        let video = facts.video.unwrap();
        (facts.kind, video.codec, video.width.zip(video.height), facts.audio.map(|audio| audio.codec))
    };
    let size = Some((64, 48));

    assert_eq!(facts_of("media/test.mp4"), (Kind::Video, "h264".into(), size, Some("aac".into())));
    assert_eq!(facts_of("media/test.mkv"), (Kind::Video, "h264".into(), size, Some("flac".into())));
    assert_eq!(facts_of("media/silent.webm"), (Kind::Video, "vp8".into(), size, None));
}

#[test]
fn damaged_media_say_what_is_wrong_and_give_what_can_be_had() {
    let garbled = facts("malformed/garbled.flac");
    assert_eq!(garbled.title.as_deref(), Some("Fog horn"));
    assert!(!garbled.notes.is_empty());

    assert!(failure("malformed/cut.mp4").contains("moov"));
    assert!(failure("malformed/sentence.mp3").contains("no suitable format"));
}

#[test]
fn listening_can_be_interrupted() {
    let recorder = Recorder { interrupt_in: Some("sound"), ..Recorder::default() };
    // A long file: the first look comes after about a second.
    let (_dir, path) = scratch("long.wav", &wav(20));

    let failure = extract_with(&path, &recorder).unwrap_err();

    assert_eq!(failure.kind, FailureKind::Interrupted);
}

/// Seconds of a low tone.
fn wav(seconds: u32) -> Vec<u8> {
    let rate = 8_000u32;
    let data: Vec<u8> = (0..rate * seconds).flat_map(|i| ((i % 40) as i16 * 100).to_le_bytes()).collect();
    let len = data.len() as u32;
    let mut file = Vec::new();
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + len).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend_from_slice(&rate.to_le_bytes());
    file.extend_from_slice(&(rate * 2).to_le_bytes());
    file.extend_from_slice(b"\x02\0\x10\0data");
    file.extend_from_slice(&len.to_le_bytes());
    file.extend(data);
    file
}
