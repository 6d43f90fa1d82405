//! Signs of life of one worker: its heartbeat, and what its open items say of themselves.

use super::worker::{Overdue, Worker};
use crate::{KillReason, LeaseId, Observation, OpenItem, Policy, Time, TimeLimit};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Open items of one worker that are looked at; a hostile recorder may claim any number.
pub(super) const OPEN_ITEMS_MAX: usize = 1024;

/// What the looks at a worker's recorder have shown so far.
#[derive(Debug, Default)]
pub(super) struct Signs {
    heartbeat: u64,
    /// When it rose last, once it has: a worker in another language may have no recorder.
    beat_at: Option<Time>,
    clocks: Vec<ItemClock>,
}

/// When an open item was first seen, and when it last said something new. Leases are never reused, so lease and offset name
/// one attempt; the recorder's count of opened items would restart the clock whenever another slot opens one.
#[derive(Debug)]
struct ItemClock {
    lease: LeaseId,
    offset: u32,
    since: Time,
    said: u64,
    said_at: Time,
    /// It is open though it has its result, or was never the worker's.
    lingers: bool,
}

/// The limits on items that count just now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    wall: Option<Duration>,
    stall: Option<Duration>,
    heartbeat: Option<Duration>,
}

impl Limits {
    /// Held items have no limits, but their workers go on beating.
    pub(super) fn new(policy: &Policy, are_items_held: bool) -> Self {
        let of_items = |limit: Option<Duration>| limit.filter(|_| !are_items_held);
        Self {
            wall: of_items(policy.item_wall_max),
            stall: of_items(policy.item_stall_max),
            heartbeat: policy.heartbeat_silence_max,
        }
    }
}

impl Signs {
    /// The items were held from `since` to `now`: that time is not theirs.
    pub(super) fn extend_items(&mut self, since: Time, now: Time) {
        for clock in &mut self.clocks {
            clock.since = clock.since + now.since(clock.since.max(since));
            clock.said_at = clock.said_at + now.since(clock.said_at.max(since));
        }
    }

    /// The clock stood still for `gap`.
    pub(super) fn extend(&mut self, gap: Duration) {
        self.beat_at = self.beat_at.map(|at| at + gap);
        for clock in &mut self.clocks {
            clock.since = clock.since + gap;
            clock.said_at = clock.said_at + gap;
        }
    }
}

impl Worker {
    /// Starts the clock of items that were not seen before, forgets those that are no longer open, and notes what is new. An item that
    /// is still open though it has its result keeps the worker from all others: it gets one more limit, from when that shows.
    pub(super) fn observe(&mut self, seen: &Observation, now: Time) {
        if seen.heartbeat != self.signs.heartbeat {
            self.signs.heartbeat = seen.heartbeat;
            self.signs.beat_at = Some(now);
        }
        let open = &seen.open[..seen.open.len().min(OPEN_ITEMS_MAX)];
        self.signs.clocks.retain(|clock| open.iter().any(|item| clock.is_of(item)));
        for item in open {
            let said = hash_of(item);
            let Some(at) = self.signs.clocks.iter().position(|clock| clock.is_of(item)) else {
                let OpenItem { lease, offset, .. } = *item;
                let clock = ItemClock { lease, offset, since: now, said, said_at: now, lingers: false };
                self.signs.clocks.push(clock);
                continue;
            };
            let (is_held, is_busy) = (self.holds(item.lease, item.offset), self.unsettled() > 0);
            let clock = &mut self.signs.clocks[at];
            let lingers_on = clock.lingers && is_busy;
            if !is_held && !lingers_on {
                (clock.lingers, clock.since, clock.said_at) = (is_busy, now, now);
            }
            if clock.said != said {
                (clock.said, clock.said_at) = (said, now);
            }
        }
    }

    /// The limit that was the first to expire, if one has by `now`, and the item that it names.
    pub(super) fn overdue(&self, now: Time, limits: Limits) -> Option<(KillReason, Option<Overdue>)> {
        let (_, reason, overdue) =
            self.expiries(limits).filter(|(at, ..)| *at <= now).min_by_key(|(at, ..)| *at)?;
        Some((reason, overdue))
    }

    /// When the next limit expires.
    pub(super) fn limit_deadline(&self, limits: Limits) -> Option<Time> {
        self.expiries(limits).map(|(at, ..)| at).min()
    }

    /// When which limit expires, unless the worker is dying already. Items that have their result count only while they hold up others.
    fn expiries(&self, limits: Limits) -> impl Iterator<Item = (Time, KillReason, Option<Overdue>)> {
        let alive = self.holds_place();
        let clocks =
            self.signs.clocks.iter().filter(|clock| clock.lingers || self.holds(clock.lease, clock.offset));
        let of_items = clocks.flat_map(move |clock| {
            let overdue = Overdue { lease: clock.lease, offset: clock.offset, gave_up: false };
            let wall = limits.wall.map(|max| (clock.since, TimeLimit::Item, max));
            let stall = limits.stall.map(|max| (clock.said_at, TimeLimit::Stall, max));
            [wall, stall]
                .into_iter()
                .flatten()
                .map(move |(from, limit, max)| (from + max, KillReason::TimeLimit(limit, max), Some(overdue)))
        });
        let beat = self.is_ready().then_some(self.signs.beat_at).flatten();
        let of_worker = beat
            .zip(limits.heartbeat)
            .map(|(from, max)| (from + max, KillReason::TimeLimit(TimeLimit::Heartbeat, max), None));
        of_worker.into_iter().chain(of_items).filter(move |_| alive)
    }
}

impl ItemClock {
    fn is_of(&self, item: &OpenItem) -> bool {
        self.lease == item.lease && self.offset == item.offset
    }
}

fn hash_of(item: &OpenItem) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&item.stage, item.progress, &item.message, &item.breadcrumbs).hash(&mut hasher);
    hasher.finish()
}
