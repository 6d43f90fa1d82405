//! Values to bytes and back, and bytes that were never values.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]

use cofferdam_ipc::{Codec, CodecError, CodecSet, DECODE_BYTES_MAX};
use proptest::prelude::{Just, any, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Value {
    Nothing,
    Number(i64),
    Text { text: String, tag: Option<u8> },
    Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
    Map(BTreeMap<String, u64>),
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Nothing),
        any::<i64>().prop_map(Value::Number),
        (any::<String>(), any::<Option<u8>>()).prop_map(|(text, tag)| Value::Text { text, tag }),
        any::<Vec<u8>>().prop_map(Value::Bytes),
        any::<BTreeMap<String, u64>>().prop_map(Value::Map),
    ]
}

fn encoded<T: Serialize + ?Sized>(codec: Codec, value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    codec.encode(value, &mut out).unwrap();
    out
}

proptest! {
    #[test]
    fn values_come_back(values in proptest::collection::vec(value(), 0..8)) {
        for codec in Codec::ALL {
            let mut out = b"before".to_vec();
            codec.encode(&values, &mut out).unwrap();
            prop_assert_eq!(&codec.decode::<Vec<Value>>(out.strip_prefix(b"before").unwrap()).unwrap(), &values);
        }
    }

    #[test]
    fn hostile_bytes_are_values_or_errors(bytes: Vec<u8>) {
        for codec in Codec::ALL {
            if let Ok(values) = codec.decode::<Vec<Value>>(&bytes) {
                // A value that was decoded is a value like any other.
                prop_assert_eq!(codec.decode::<Vec<Value>>(&encoded(codec, &values)).unwrap(), values);
            }
        }
    }

    #[test]
    fn a_truncated_value_is_an_error(value in value(), cut: proptest::sample::Index) {
        for codec in Codec::ALL {
            let bytes = encoded(codec, &value);
            let cut = &bytes[..cut.index(bytes.len())];
            assert!(matches!(codec.decode::<Value>(cut), Err(CodecError::Decode { .. })));
        }
    }
}

#[test]
fn bytes_behind_a_value_are_an_error() {
    let mut bytes = encoded(Codec::Bincode, &5u8);
    bytes.push(0);
    assert!(matches!(Codec::Bincode.decode::<u8>(&bytes), Err(CodecError::Trailing { extra: 1, .. })));
    assert!(matches!(Codec::Json.decode::<u8>(b"5 5"), Err(CodecError::Decode { .. })));
}

#[test]
fn a_sequence_that_announces_more_than_the_limit_is_an_error() {
    let announced = encoded(Codec::Bincode, &(DECODE_BYTES_MAX as u64 + 1));
    assert!(Codec::Bincode.decode::<serde_bytes::ByteBuf>(&announced).is_err());
    assert!(Codec::Bincode.decode::<Vec<u64>>(&announced).is_err());
    assert!(Codec::Bincode.decode::<String>(&announced).is_err());
}

#[test]
fn json_that_is_nested_without_end_is_an_error_and_no_stack_overflow() {
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "never built")]
    struct Nested(Vec<Nested>);
    let bytes = vec![b'['; 1 << 20];
    assert!(matches!(Codec::Json.decode::<Nested>(&bytes), Err(CodecError::Decode { .. })));
}

#[test]
fn a_value_that_a_codec_cannot_carry_names_its_type_and_leaves_no_bytes() {
    /// Says that a sequence follows, but not how long it is.
    struct Endless;
    impl Serialize for Endless {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::{SerializeSeq, SerializeTuple};
            let mut tuple = serializer.serialize_tuple(2)?;
            tuple.serialize_element(&1u8)?;
            struct Unknown;
            impl Serialize for Unknown {
                fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.serialize_seq(None)?.end()
                }
            }
            tuple.serialize_element(&Unknown)?;
            tuple.end()
        }
    }
    let keyed_by_lists = BTreeMap::from([(vec![1u8], 1u8)]);
    let mut out = b"before".to_vec();
    let errors = [Codec::Bincode.encode(&Endless, &mut out), Codec::Json.encode(&keyed_by_lists, &mut out)];
    for (error, name) in errors.into_iter().zip(["Endless", "BTreeMap"]) {
        let Err(CodecError::Encode { type_name, .. }) = error else { panic!("{error:?}") };
        assert!(type_name.contains(name), "{type_name}");
    }
    assert_eq!(out, b"before");
}

#[test]
fn ids_are_one_to_one() {
    for id in 0..=u8::MAX {
        let codec = Codec::from_id(id);
        assert!(codec.is_none_or(|codec| codec.id() == id));
        assert_eq!(codec.is_some(), id == 1 || id == 2);
    }
    assert_eq!(CodecSet::all().bits(), 0b110);
    assert!(!CodecSet::from_bits(0b100).contains(Codec::Bincode));
}

#[test]
fn an_encoding_ends_at_the_limit_of_who_wants_it_and_leaves_no_bytes() {
    for codec in Codec::ALL {
        let value = ("text", 300u16, serde_bytes::Bytes::new(&[7; 100]));
        let len = encoded(codec, &value).len();
        let mut out = b"before".to_vec();
        codec.encode_within(&value, &mut out, len).unwrap();
        assert_eq!(out.len(), 6 + len);
        for max in 0..len {
            let mut out = b"before".to_vec();
            let error = codec.encode_within(&value, &mut out, max);
            assert!(matches!(error, Err(CodecError::TooLong { max: of, .. }) if of == max), "{error:?}");
            assert_eq!(out, b"before");
        }
    }
}

#[test]
fn a_value_written_to_a_stream_has_the_same_bytes_and_is_read_from_one_piece_by_piece() {
    for codec in Codec::ALL {
        let values = vec![Value::Bytes(vec![7; 3000]), Value::Text { text: "ä".repeat(3000), tag: Some(3) }];
        let mut written = Vec::new();
        codec.encode_to(&values, &mut written).unwrap();
        assert_eq!(written, encoded(codec, &values));
        let mut from = std::io::BufReader::with_capacity(7, &*written);
        assert_eq!(codec.decode_trusted_from::<Vec<Value>>(&mut from).unwrap(), values);
        let cut = &written[..written.len() - 1];
        assert!(matches!(
            codec.decode_trusted_from::<Vec<Value>>(&mut &*cut),
            Err(CodecError::Decode { .. })
        ));
        written.push(b'5');
        assert!(codec.decode_trusted_from::<Vec<Value>>(&mut &*written).is_err());
    }
}

#[test]
fn a_stream_that_takes_no_more_ends_an_encoding() {
    for codec in Codec::ALL {
        let mut room = [0; 10];
        let error = codec.encode_to(&Value::Bytes(vec![7; 100]), &mut &mut room[..]);
        assert!(matches!(error, Err(CodecError::Encode { .. })), "{error:?}");
    }
}

#[test]
fn numbers_that_take_more_memory_than_bytes_are_read_whatever_their_number_when_they_are_trusted() {
    let numbers = vec![0u128; DECODE_BYTES_MAX / 16 + 1];
    let bytes = encoded(Codec::Bincode, &numbers);
    assert!(Codec::Bincode.decode::<Vec<u128>>(&bytes).is_err(), "who may be hostile may not claim so much");
    assert!(Codec::Bincode.decode_trusted::<Vec<u128>>(&bytes).unwrap() == numbers);
}

#[test]
fn a_short_encoding_claims_no_more_than_the_limit_also_when_it_is_trusted() {
    let announced = encoded(Codec::Bincode, &(DECODE_BYTES_MAX as u64 + 1));
    assert!(Codec::Bincode.decode_trusted::<serde_bytes::ByteBuf>(&announced).is_err());
    assert!(Codec::Bincode.decode_trusted::<String>(&announced).is_err());
}
