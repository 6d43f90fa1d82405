//! Buffers that go back to their pool.

use cofferdam_pipeline_core::{Buffer, BufferPool};

#[test]
fn a_dropped_buffer_is_used_again() {
    let pool = BufferPool::new(4, 1 << 20);
    let mut buffer = pool.take();
    buffer.resize(1_000, 1);
    let at = buffer.as_ptr();
    drop(buffer);
    assert_eq!(pool.take().as_ptr(), at);
}

#[test]
fn a_pool_keeps_neither_too_many_nor_too_large_buffers() {
    let pool = BufferPool::new(1, 100);
    let mut large = pool.take();
    large.reserve_exact(200);
    drop(large);
    assert_eq!(pool.take().capacity(), 0);
    let (mut one, mut two) = (pool.take(), pool.take());
    one.reserve_exact(10);
    two.reserve_exact(20);
    drop(one);
    drop(two);
    assert_eq!(pool.take().capacity(), 10);
}

#[test]
fn what_a_pool_keeps_is_bounded_in_all() {
    let pool = BufferPool::new(8, 100);
    let mut taken: Vec<_> = (0..3).map(|_| pool.take()).collect();
    taken.iter_mut().for_each(|buffer| buffer.reserve_exact(40));
    drop(taken);
    let both: Vec<_> = (0..3).map(|_| pool.take()).collect();
    assert_eq!(both.iter().map(|buffer| buffer.capacity()).sum::<usize>(), 80);
}

#[test]
fn a_buffer_outlives_its_pool_and_one_without_a_pool_is_just_bytes() {
    let pool = BufferPool::new(1, 100);
    let mut buffer = pool.take();
    drop(pool);
    buffer.push(1);
    assert_eq!(*buffer, [1]);
    assert_eq!(*Buffer::from(vec![2, 3]), [2, 3]);
}
