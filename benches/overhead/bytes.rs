//! Items and outputs laid out as the engine lays them out: a length, then a variable-length integer. Written again here, since
//! the yardstick must not use the library.

/// Appends one entry: its length (always below 128 here), then the value.
pub fn push_entry(out: &mut Vec<u8>, value: u64) {
    match value {
        0..=250 => out.extend_from_slice(&[1, value as u8]),
        251..=0xffff => {
            let [a, b, ..] = value.to_le_bytes();
            out.extend_from_slice(&[3, 251, a, b]);
        }
        0x1_0000..=0xffff_ffff => {
            let [a, b, c, d, ..] = value.to_le_bytes();
            out.extend_from_slice(&[5, 252, a, b, c, d]);
        }
        _ => {
            out.extend_from_slice(&[9, 253]);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}

/// The values in `bytes`; stops at the first malformed entry.
pub fn entries(mut bytes: &[u8]) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || {
        let (&len, rest) = bytes.split_first()?;
        let (entry, rest) = rest.split_at_checked(usize::from(len))?;
        bytes = rest;
        match *entry {
            [small] => Some(u64::from(small)),
            [251, a, b] => Some(u64::from(u16::from_le_bytes([a, b]))),
            [252, a, b, c, d] => Some(u64::from(u32::from_le_bytes([a, b, c, d]))),
            [253, ref wide @ ..] => Some(u64::from_le_bytes(wide.try_into().ok()?)),
            _ => None,
        }
    })
}
