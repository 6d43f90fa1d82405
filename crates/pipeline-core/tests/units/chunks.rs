//! Chunks and entries.

use cofferdam_pipeline_core::{
    Chunk, ChunkBuilder, Identities, ItemIndex, StagedItem, entries, push_entry_len, split_first_entry,
};
use proptest::collection::vec;
use proptest::prelude::{any, proptest};

fn chunk(items: &[Vec<u8>]) -> Chunk {
    let mut builder = ChunkBuilder::default();
    for item in items {
        builder
            .push::<()>(|out| {
                out.extend_from_slice(item);
                Ok(())
            })
            .unwrap();
    }
    builder.finish(ItemIndex(7), Identities::default()).unwrap()
}

fn of_sizes(sizes: &[usize]) -> Chunk {
    chunk(&sizes.iter().map(|&size| vec![1; size]).collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn what_goes_into_a_chunk_comes_out_as_entries(items in vec(vec(any::<u8>(), 0..400), 1..40), cut in any::<proptest::sample::Index>()) {
        let chunk = chunk(&items);
        assert_eq!(chunk.len() as usize, items.len());
        let out: Vec<_> = entries(chunk.slice(&(0..chunk.len()))).map(|entry| entry.unwrap().to_vec()).collect();
        assert_eq!(out, items);
        let start = cut.index(items.len());
        let rest: Vec<_> = entries(chunk.slice(&(start as u32..chunk.len()))).map(|entry| entry.unwrap().to_vec()).collect();
        assert_eq!(rest, items[start..]);
    }

    #[test]
    fn hostile_bytes_give_at_most_one_error_at_the_end_and_never_a_panic(bytes in vec(any::<u8>(), 0..600)) {
        let parts: Vec<_> = entries(&bytes).collect();
        let errors = parts.iter().filter(|part| part.is_err()).count();
        assert!(errors <= 1);
        assert!(errors == 0 || parts.last().unwrap().is_err());
        assert!(parts.iter().flatten().map(|entry| entry.len() + 1).sum::<usize>() <= bytes.len());
    }

    #[test]
    fn a_cut_sequence_is_an_error_unless_cut_between_entries(items in vec(vec(any::<u8>(), 1..300), 1..10), cut in any::<proptest::sample::Index>()) {
        let chunk = chunk(&items);
        let whole = chunk.slice(&(0..chunk.len()));
        let at = cut.index(whole.len());
        let between = (0..chunk.len()).any(|n| chunk.slice_len(&(0..n)) == at);
        assert_eq!(entries(&whole[..at]).all(|entry| entry.is_ok()), between);
    }

    #[test]
    fn take_gives_the_longest_range_within_its_limits(
        sizes in vec(0_usize..300, 1..30), items_max in 1_u32..40, bytes_max in 0_usize..2_000, start in any::<proptest::sample::Index>(),
    ) {
        let chunk = of_sizes(&sizes);
        let start = start.index(sizes.len()) as u32;
        let end = chunk.take(start, chunk.len(), items_max, bytes_max);
        assert!(end > start && end <= chunk.len() && end - start <= items_max);
        assert!(end == start + 1 || chunk.slice_len(&(start..end)) <= bytes_max);
        let longer = end < chunk.len() && end - start < items_max;
        assert!(!longer || chunk.slice_len(&(start..end + 1)) > bytes_max);
    }
}

#[test]
fn lengths_around_each_varint_step_survive() {
    for len in [0, 1, 127, 128, 129, 16_383, 16_384, 2_097_151, 2_097_152] {
        let chunk = of_sizes(&[1, len, 1]);
        let lens: Vec<_> = entries(chunk.slice(&(0..3))).map(|entry| entry.unwrap().len()).collect();
        assert_eq!(lens, [1, len, 1]);
    }
}

#[test]
fn an_item_that_cannot_be_encoded_leaves_no_trace() {
    let mut builder = ChunkBuilder::default();
    builder
        .push::<()>(|out| {
            out.push(1);
            Ok(())
        })
        .unwrap();
    let before = builder.bytes_len();
    assert_eq!(
        builder.push(|out| {
            out.extend([2; 500]);
            Err("no")
        }),
        Err("no")
    );
    assert_eq!((builder.bytes_len(), builder.items()), (before, 1));
    builder
        .push::<()>(|out| {
            out.push(3);
            Ok(())
        })
        .unwrap();
    let chunk = builder.finish(ItemIndex(0), Identities::default()).unwrap();
    assert_eq!(entries(chunk.slice(&(0..2))).map(Result::unwrap).collect::<Vec<_>>(), [[1], [3]]);
}

#[test]
fn a_builder_is_empty_after_finish_and_an_empty_one_gives_no_chunk() {
    let mut builder = ChunkBuilder::default();
    assert!(builder.finish(ItemIndex(0), Identities::default()).is_none());
    builder.push::<()>(|_| Ok(())).unwrap();
    assert!(builder.finish(ItemIndex(0), Identities::default()).is_some());
    assert_eq!((builder.items(), builder.bytes_len()), (0, 0));
}

#[test]
fn a_length_that_does_not_end_or_exceeds_the_bytes_is_malformed() {
    for bytes in [&[0x80][..], &[0xff; 9], &[5, 1, 2], &[0xff, 0xff, 0xff, 0xff, 0x0f]] {
        let mut parts = entries(bytes);
        assert_eq!(parts.next().unwrap().unwrap_err().at, 0);
        assert!(parts.next().is_none());
    }
    let mut two = vec![1, 9, 200];
    push_entry_len(&mut two, 1 << 20);
    assert_eq!(entries(&two).nth(1).unwrap().unwrap_err().at, 2);
}

#[test]
fn splitting_off_the_first_entry_again_and_again_gives_what_the_walk_over_all_gives() {
    for bytes in [&[][..], &[0], &[1, 7, 0, 2, 8, 9], &[1, 7, 3, 8], &[0x80], &[2, 1]] {
        let mut rest = bytes;
        let mut split = Vec::new();
        while let Some((entry, others)) = split_first_entry(rest) {
            split.push(entry);
            rest = others;
        }
        let walked: Vec<_> = entries(bytes).collect();
        assert_eq!(split, walked.iter().filter_map(|entry| entry.ok()).collect::<Vec<_>>());
        assert_eq!(rest.is_empty(), walked.iter().all(Result::is_ok));
    }
}

#[test]
fn a_large_item_that_lies_elsewhere_is_a_chunk_whose_length_counts_and_whose_bytes_are_not_here() {
    let item = StagedItem { path: "item".into(), len: 5 << 30, crc32: 7, keeper: Box::new(()) };
    let mut identities = Identities::default();
    identities.push_ordinal(3);
    let chunk = Chunk::of_staged(ItemIndex(9), item, identities);
    assert_eq!((chunk.first(), chunk.len(), chunk.slice(&(0..1))), (ItemIndex(9), 1, &[][..]));
    assert_eq!((chunk.slice_len(&(0..1)), chunk.slice_len(&(0..0))), (1 << 30, 0));
    assert_eq!(chunk.take(0, 1, 100, 10), 1);
    assert_eq!(chunk.staged().map(|item| item.len), Some(5 << 30));
}
