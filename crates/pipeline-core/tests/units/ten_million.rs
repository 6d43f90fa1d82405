//! A job of ten million items, as the supervisor sees it.

use cofferdam_pipeline_core::supervisor::{Command, Ended, Input, Supervisor};
use cofferdam_pipeline_core::{
    Buffer, ChunkBuilder, Exit, ExitReport, Identities, ItemIndex, Policy, ReplyBatch, Time, WorkerEvent,
};
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;

const ITEMS: u64 = 10_000_000;
const CHUNK_ITEMS: u64 = 32 << 10;

#[test]
fn ten_million_items_are_settled_once_each_and_few_are_held_at_a_time() {
    let policy = Policy { workers: NonZeroU32::new(2).unwrap(), ..Policy::default() };
    let mut supervisor = Supervisor::new(policy, false);
    let (mut inputs, mut commands) = (VecDeque::from([Input::Tick]), Vec::new());
    let (mut fed, mut settled, mut ended, mut asked) = (0, 0, None, 0u32);
    for step in 0u64.. {
        if inputs.is_empty() && asked > 0 {
            asked -= 1;
            inputs.push_back(if fed == ITEMS { Input::SourceEnded } else { chunk(&mut fed) });
        }
        let Some(input) = inputs.pop_front() else { break };
        supervisor.step(input, Time(step * 1_000), &mut commands);
        for command in commands.drain(..) {
            match command {
                Command::WantItems => asked += 1,
                Command::Spawn(worker, _) => inputs.push_back(Input::Worker(worker, WorkerEvent::Ready)),
                Command::Assign(worker, lease) => {
                    let count = lease.range.end - lease.range.start;
                    let outputs = Buffer::from(vec![0; count as usize]);
                    let batch = ReplyBatch { lease: lease.lease, offset: 0, count, outputs: outputs.into() };
                    inputs.push_back(Input::Worker(worker, WorkerEvent::Replied(batch)));
                }
                Command::Commit(commit) => {
                    settled += u64::from(commit.range.end - commit.range.start);
                    inputs.push_back(Input::Committed { through: commit.ticket, lsn: settled });
                }
                Command::Stop(worker) => {
                    let (open, stderr_tail) = (Vec::new(), String::new());
                    let report = ExitReport { exit: Exit::Stopped, open, open_known: true, stderr_tail };
                    inputs.push_back(Input::Worker(worker, WorkerEvent::Exited(report)));
                }
                Command::Finish(how) => ended = Some(how),
                _ => {}
            }
        }
        assert!(fed - settled <= 12 * CHUNK_ITEMS, "{} items are held", fed - settled);
    }
    assert_eq!(ended, Some(Ended::Complete));
    assert_eq!((settled, supervisor.counters().completed), (ITEMS, ITEMS));
}

fn chunk(fed: &mut u64) -> Input {
    let count = CHUNK_ITEMS.min(ITEMS - *fed);
    let (mut builder, mut identities) = (ChunkBuilder::default(), Identities::default());
    for item in *fed..*fed + count {
        builder
            .push::<()>(|out| {
                out.push(item as u8);
                Ok(())
            })
            .unwrap();
        identities.push_ordinal(item);
    }
    let chunk = builder.finish(ItemIndex(*fed), identities).unwrap();
    *fed += count;
    Input::Fed { chunk: Arc::new(chunk), priors: Vec::new() }
}
