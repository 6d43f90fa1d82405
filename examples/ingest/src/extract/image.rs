//! Images: dimensions, colour, a perceptual hash.

use crate::engine::{Context, Failure};
use crate::facts::{Facts, ImageFacts};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::io::Cursor;

/// The most memory that decoding one image may take.
const DECODED_BYTES_MAX: u64 = 256 << 20;

/// Decodes the image (of an animation the first frame) and measures it.
///
/// # Errors
/// `InvalidInput` when it is damaged, or larger than [`DECODED_BYTES_MAX`] once decoded.
pub fn extract(bytes: &[u8], facts: &mut Facts, cx: &Context<'_>) -> Result<(), Failure> {
    let format = ImageFormat::from_mime_type(&facts.media_type)
        .ok_or_else(|| Failure::invalid_input(format!("no decoder for {}", facts.media_type)))?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODED_BYTES_MAX);
    reader.limits(limits);
    cx.stage("header");
    let decoder = reader.into_decoder()?;
    let ((width, height), color) = (decoder.dimensions(), decoder.original_color_type());
    let needed = decoder.total_bytes();
    if needed > DECODED_BYTES_MAX {
        return Err(Failure::invalid_input(format!(
            "{width} × {height} pixels need {needed} bytes, more than the {DECODED_BYTES_MAX} allowed"
        )));
    }
    cx.check()?;
    cx.stage("pixels");
    let pixels = DynamicImage::from_decoder(decoder)?;
    cx.check()?;
    cx.stage("hash");
    let color = format!("{color:?}").to_lowercase();
    facts.image =
        Some(ImageFacts { width, height, color: color.clone(), dhash: format!("{:016x}", dhash(&pixels)) });
    let name = match format {
        ImageFormat::Ico => "ICO".to_owned(), // its media type names a vendor
        _ => facts.media_type.trim_start_matches("image/").to_uppercase(),
    };
    facts.summary = format!("{name} image, {width} × {height} pixels, {color}.");
    facts.keywords = vec![name.to_lowercase(), orientation(width, height).to_owned(), "image".to_owned()];
    Ok(())
}

fn orientation(width: u32, height: u32) -> &'static str {
    match width.cmp(&height) {
        std::cmp::Ordering::Less => "portrait",
        std::cmp::Ordering::Equal => "square",
        std::cmp::Ordering::Greater => "landscape",
    }
}

/// The difference hash: the image in 9 × 8 grey values, and for each row whether a value is less than its right
/// neighbour; the first pair is the highest bit. Twenty lines on top of `image`, where the hashing crate brings a
/// Fourier transform and eight more crates.
fn dhash(image: &DynamicImage) -> u64 {
    let small = image.thumbnail_exact(9, 8).into_luma8();
    small
        .rows()
        .flat_map(|row| {
            let grey: Vec<u8> = row.map(|pixel| pixel.0[0]).collect();
            (0..8).map(move |x| u64::from(grey[x] < grey[x + 1]))
        })
        .fold(0, |hash, bit| hash << 1 | bit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Luma};

    #[test]
    fn a_rising_gradient_has_all_bits_and_a_falling_one_none() {
        let rising = GrayImage::from_fn(90, 80, |x, _| Luma([x as u8 * 2]));
        let falling = GrayImage::from_fn(90, 80, |x, _| Luma([200 - x as u8 * 2]));

        assert_eq!(dhash(&rising.into()), u64::MAX);
        assert_eq!(dhash(&falling.into()), 0);
    }

    #[test]
    fn similar_images_differ_in_few_bits() {
        let waves = |phase: f64| {
            DynamicImage::from(GrayImage::from_fn(90, 80, |x, y| {
                Luma([(127.0 + 100.0 * (f64::from(x) / 13.0 + f64::from(y) / 29.0 + phase).sin()) as u8])
            }))
        };
        let distance = |a: f64, b: f64| (dhash(&waves(a)) ^ dhash(&waves(b))).count_ones();

        assert!(distance(0.0, 0.05) <= 4);
        assert!(distance(0.0, 3.1) >= 40);
    }
}
