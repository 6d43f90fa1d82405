//! Items and outputs laid out as the engine lays them out: a length, then what the codec makes of the value. Written again here,
//! since the yardstick must not use the library.

/// Appends a byte string's entry: the entry's length, the string's length, the bytes; up to 250 of them.
pub fn push_byte_string(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u8::try_from(bytes.len()).expect("short byte strings");
    match len + 1 {
        short @ 0..=127 => out.push(short),
        long => out.extend_from_slice(&[long & 127 | 128, long >> 7]),
    }
    out.push(len);
    out.extend_from_slice(bytes);
}

/// The byte strings in `bytes`; stops at the first malformed entry.
pub fn byte_strings(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&first, mut rest) = bytes.split_first()?;
        let mut len = usize::from(first & 127);
        if first > 127 {
            let (&second, behind) = rest.split_first()?;
            len |= usize::from(second) << 7;
            rest = behind;
        }
        let (entry, rest) = rest.split_at_checked(len)?;
        bytes = rest;
        entry.get(1..)
    })
}

/// Appends a number's entry: its length (always below 128 here), then the value.
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

/// The numbers in `bytes`; stops at the first malformed entry.
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
