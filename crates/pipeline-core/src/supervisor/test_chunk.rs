//! What the unit tests of several parts need.

use crate::{Chunk, ChunkBuilder, Identities, ItemIndex};
use std::sync::Arc;

/// Items 0 to `items` - 1 in one chunk, a byte each.
pub(super) fn chunk(items: u64) -> Arc<Chunk> {
    let (mut builder, mut identities) = (ChunkBuilder::default(), Identities::default());
    for n in 0..items {
        builder
            .push::<()>(|out| {
                out.push(7);
                Ok(())
            })
            .expect("room");
        identities.push_ordinal(n);
    }
    Arc::new(builder.finish(ItemIndex(0), identities).expect("as many identities as items"))
}
