//! Audio and video: what the container says, and how loud the sound is.

use crate::engine::{Context, Failure};
use crate::facts::{AudioFacts, Facts, Kind, VideoFacts};
use ebur128::{EbuR128, Mode};
use std::fs::File;
use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{
    AudioCodecId, AudioDecoder, AudioDecoderOptions, well_known as audio_id,
};
use symphonia::core::codecs::video::{VideoCodecId, VideoCodecParameters, well_known as codec_id};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::{MetadataOptions, MetadataRevision, StandardTag};
use symphonia::core::units::{Duration, TimeBase};

/// Packets between two looks whether the item is to stop: about a second of sound.
const PACKETS_PER_CHECK: u64 = 50;
/// Damaged packets in a row after which the rest is given up.
const DAMAGED_PACKETS_MAX: u32 = 100;

/// Duration, tags, tracks, and the loudness of the first audio track.
///
/// # Errors
/// `InvalidInput` when the container cannot be read.
pub fn extract(file: File, extension: &str, facts: &mut Facts, cx: &Context<'_>) -> Result<(), Failure> {
    cx.stage("header");
    let mut hint = Hint::new();
    hint.with_extension(extension);
    let stream = MediaSourceStream::new(Box::new(file), Default::default());
    let probe = symphonia::default::get_probe();
    let mut format = probe.probe(&hint, stream, FormatOptions::default(), MetadataOptions::default())?;
    facts.duration_ms = duration_ms(format.as_ref());
    facts.video = format.first_track(TrackType::Video).and_then(video);
    if facts.video.is_none() && facts.kind == Kind::Video {
        facts.notes.push("no picture track that could be read".to_owned());
    }
    tags(format.as_mut(), facts);
    cx.check()?;
    if let Some(track) = format.default_track(TrackType::Audio).cloned() {
        cx.stage("sound");
        listen(format.as_mut(), &track, facts, cx)?;
    }
    describe(facts);
    Ok(())
}

fn duration_ms(format: &dyn FormatReader) -> Option<u64> {
    let info = format.media_info();
    let of = |base: Option<TimeBase>, duration: Option<Duration>| base?.calc_duration(duration?);
    let longest = || format.tracks().iter().filter_map(|track| of(track.time_base, track.duration)).max();
    let time = of(info.time_base, info.duration).or_else(longest)?;
    let (seconds, nanos) = time.parts();
    u64::try_from(seconds).ok().map(|seconds| seconds * 1000 + u64::from(nanos) / 1_000_000)
}

fn video(track: &Track) -> Option<VideoFacts> {
    let VideoCodecParameters { codec, width, height, .. } = track.codec_params.as_ref()?.video()?;
    Some(VideoFacts { codec: video_codec(*codec).to_owned(), width: *width, height: *height })
}

fn video_codec(codec: VideoCodecId) -> &'static str {
    match codec {
        codec_id::CODEC_ID_H264 => "h264",
        codec_id::CODEC_ID_HEVC => "hevc",
        codec_id::CODEC_ID_VVC => "vvc",
        codec_id::CODEC_ID_VP8 => "vp8",
        codec_id::CODEC_ID_VP9 => "vp9",
        codec_id::CODEC_ID_AV1 => "av1",
        codec_id::CODEC_ID_MPEG1 => "mpeg1",
        codec_id::CODEC_ID_MPEG2 => "mpeg2",
        codec_id::CODEC_ID_MPEG4 => "mpeg4",
        codec_id::CODEC_ID_THEORA => "theora",
        codec_id::CODEC_ID_MJPEG => "mjpeg",
        _ => "other",
    }
}

fn tags(format: &mut dyn FormatReader, facts: &mut Facts) {
    let mut metadata = format.metadata();
    let Some(MetadataRevision { media, .. }) = metadata.skip_to_latest() else { return };
    for tag in media.tags.iter().filter_map(|tag| tag.std.as_ref()) {
        let (field, text) = match tag {
            StandardTag::TrackTitle(text) => (&mut facts.title, text),
            StandardTag::Artist(text) => (&mut facts.author, text),
            StandardTag::Album(text) => (&mut facts.album, text),
            _ => continue, // hundreds of others, which few files have
        };
        field.get_or_insert_with(|| text.to_string());
    }
}

/// Decodes the whole track and measures it.
fn listen(
    format: &mut dyn FormatReader,
    track: &Track,
    facts: &mut Facts,
    cx: &Context<'_>,
) -> Result<(), Failure> {
    let Some(CodecParameters::Audio(parameters)) = &track.codec_params else { return Ok(()) };
    let codecs = symphonia::default::get_codecs();
    let mut decoder = match codecs.make_audio_decoder(parameters, &AudioDecoderOptions::default()) {
        Ok(decoder) => decoder,
        Err(error) => {
            let channels =
                parameters.channels.as_ref().and_then(|channels| u32::try_from(channels.count()).ok());
            let sample_rate = parameters.sample_rate;
            facts.audio = Some(AudioFacts {
                codec: undecoded(parameters.codec).to_owned(),
                sample_rate,
                channels,
                loudness: None,
            });
            facts.notes.push(format!("the sound could not be decoded: {error}"));
            return Ok(());
        }
    };
    let mut sound = Sound::default();
    let total_s = facts.duration_ms.unwrap_or(0) / 1000;
    let mut packets = 0u64;
    while let Some(packet) = next_packet(format, &mut sound) {
        if packet.track_id != track.id {
            continue;
        }
        sound.take(decoder.as_mut(), &packet);
        packets += 1;
        if packets.is_multiple_of(PACKETS_PER_CHECK) {
            cx.progress(sound.seconds(), total_s);
            cx.check()?;
        }
        if sound.is_hopeless() {
            break;
        }
    }
    facts.notes.extend(sound.note(facts.duration_ms));
    facts.duration_ms = facts.duration_ms.or(sound.duration_ms());
    facts.audio = Some(AudioFacts {
        codec: decoder.codec_info().short_name.to_owned(),
        sample_rate: Some(sound.sample_rate).filter(|rate| *rate > 0).or(parameters.sample_rate),
        channels: Some(sound.channels).filter(|channels| *channels > 0),
        loudness: sound.loudness(),
    });
    Ok(())
}

/// The names of codecs that have no decoder here.
fn undecoded(codec: AudioCodecId) -> &'static str {
    match codec {
        audio_id::CODEC_ID_OPUS => "opus",
        audio_id::CODEC_ID_AC3 => "ac3",
        audio_id::CODEC_ID_EAC3 => "eac3",
        _ => "other",
    }
}

fn next_packet(format: &mut dyn FormatReader, sound: &mut Sound) -> Option<symphonia::core::packet::Packet> {
    match format.next_packet() {
        Ok(packet) => packet,
        Err(error) => {
            sound.ended_by = Some(error.to_string());
            None
        }
    }
}

/// What has been heard so far.
#[derive(Default)]
struct Sound {
    meter: Option<EbuR128>,
    samples: Vec<f32>,
    sample_rate: u32,
    channels: u32,
    frames: u64,
    damaged: u64,
    damaged_in_a_row: u32,
    /// Why the container could not be read to its end.
    ended_by: Option<String>,
}

impl Sound {
    fn take(&mut self, decoder: &mut dyn AudioDecoder, packet: &symphonia::core::packet::Packet) {
        match decoder.decode(packet) {
            Ok(buffer) => {
                self.damaged_in_a_row = 0;
                self.measure(&buffer);
            }
            Err(Error::DecodeError(_) | Error::IoError(_)) => {
                self.damaged += 1;
                self.damaged_in_a_row += 1;
            }
            Err(error) => self.ended_by = Some(error.to_string()),
        }
    }

    fn measure(&mut self, buffer: &GenericAudioBufferRef<'_>) {
        let (rate, channels) = (buffer.spec().rate(), buffer.spec().channels().count() as u32);
        if self.meter.is_none() && self.frames == 0 {
            (self.sample_rate, self.channels) = (rate, channels);
            self.meter = EbuR128::new(channels, rate, Mode::I | Mode::HISTOGRAM).ok();
        }
        self.frames += buffer.frames() as u64;
        if (self.sample_rate, self.channels) != (rate, channels) {
            self.meter = None; // it changes in the middle: no one number is right
        }
        if let Some(meter) = &mut self.meter {
            buffer.copy_to_vec_interleaved(&mut self.samples);
            if meter.add_frames_f32(&self.samples).is_err() {
                self.meter = None;
            }
        }
    }

    fn is_hopeless(&self) -> bool {
        self.ended_by.is_some() || self.damaged_in_a_row >= DAMAGED_PACKETS_MAX
    }

    /// What is wrong with it, given how long it is said to be.
    fn note(&self, declared_ms: Option<u64>) -> Option<String> {
        if let Some(why) = &self.ended_by {
            return Some(format!("the sound could not be read to its end: {why}"));
        }
        let heard_ms = self.duration_ms().unwrap_or(0);
        // Decoders add and drop a few frames at both ends; readers pass over what they do not understand.
        let short_of = declared_ms.filter(|declared| heard_ms + declared / 20 + 200 < *declared);
        match (short_of, self.damaged) {
            (Some(declared), _) => Some(format!("{heard_ms} of {declared} ms of the sound could be decoded")),
            (None, 0) => None,
            (None, damaged) => Some(format!("{damaged} packets of the sound are damaged")),
        }
    }

    fn seconds(&self) -> u64 {
        self.frames / u64::from(self.sample_rate.max(1))
    }

    fn duration_ms(&self) -> Option<u64> {
        (self.frames > 0).then(|| self.frames.saturating_mul(1000) / u64::from(self.sample_rate.max(1)))
    }

    /// Tenths of LUFS; silence has none.
    fn loudness(&self) -> Option<i32> {
        let lufs = self.meter.as_ref()?.loudness_global().ok()?;
        lufs.is_finite().then(|| (lufs * 10.0).round() as i32)
    }
}

/// There is no text to summarise.
fn describe(facts: &mut Facts) {
    let kind = if facts.kind == Kind::Video { "video" } else { "audio" };
    let name =
        facts.media_type.rsplit('/').next().unwrap_or_default().trim_start_matches("x-").to_uppercase();
    let mut parts = vec![format!("{name} {kind}")];
    if let Some(ms) = facts.duration_ms {
        parts.push(format!("{}:{:02} min", ms / 60_000, ms / 1000 % 60));
    }
    if let Some(VideoFacts { codec, width, height }) = &facts.video {
        let size = width.zip(*height).map(|(width, height)| format!(", {width} × {height} pixels"));
        parts.push(format!("{codec}{}", size.unwrap_or_default()));
    }
    if let Some(AudioFacts { codec, sample_rate, channels, loudness }) = &facts.audio {
        parts.push(codec.clone());
        parts.extend(sample_rate.map(|rate| format!("{rate} Hz")));
        parts
            .extend(channels.map(|channels| {
                format!("{channels} {}", if channels == 1 { "channel" } else { "channels" })
            }));
        parts.extend(loudness.map(|tenths| format!("{:.1} LUFS", f64::from(tenths) / 10.0)));
    }
    facts.summary = format!("{}.", parts.join(", "));
    facts.keywords = vec![name.to_lowercase(), kind.to_owned()];
}
