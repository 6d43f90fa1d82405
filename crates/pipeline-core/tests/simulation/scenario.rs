//! What a seed stands for.

use crate::nature::{ItemLimits, Nature};
use crate::random::Random;
use cofferdam_pipeline_core::supervisor::{Control, Prior};
use cofferdam_pipeline_core::{FailureBudget, ItemIndex, LeaseLimits, Policy, RestartBudget, RetryPolicy};
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// How workers start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starts {
    Well,
    /// So many starts go wrong first, or all of them.
    Badly {
        first: u64,
        spawn: bool,
    },
    /// Every third start goes wrong.
    Sometimes,
}

/// What happens at a time that was chosen beforehand.
#[derive(Clone, Copy, Debug)]
pub enum Happening {
    Control(Control),
    StoreFull,
    StoreRecovered,
    StoreFailed,
    SourceFails,
    /// Somebody kills a worker.
    Kill,
    /// The host does not want this item.
    CancelItem(u64),
    /// A worker says something that nobody asked for.
    Stray,
    /// The host dies: another one goes on with what is durable.
    HostDies,
    /// A worker dies as soon as it has nothing open.
    DieIdle,
    /// Somebody stops a worker (SIGSTOP), and continues it after this time, unless it is for ever.
    Stops(Option<Duration>),
    Gap(Duration),
}

#[derive(Clone)]
pub struct Scenario {
    pub policy: Policy,
    pub allow_threads: bool,
    pub items: Vec<Nature>,
    pub priors: Vec<Prior>,
    pub chunk_items_max: u64,
    pub slots: usize,
    /// Percent of items that save their state whenever they are open.
    pub saves: u64,
    pub starts: Starts,
    pub happenings: Vec<(Duration, Happening)>,
    pub latency_us: u64,
    pub item_us: u64,
    pub sync_us: u64,
    /// Whether the host pauses for a moment whenever items are taken back.
    pub pauses_at_take_back: bool,
    pub feed_us: u64,
    /// Percent of deaths after which the recorder cannot be read.
    pub recorder_lost: u64,
    /// Percent of replies that come twice.
    pub duplicates: u64,
    /// Percent of workers that no kill can end.
    pub unkillable: u64,
    /// Percent of workers that are lost without a verdict when they die.
    pub silent: u64,
    /// Percent of workers that hold their items while paused.
    pub pausable: u64,
    /// Percent of workers that have no heartbeat, as in another language.
    pub mute: u64,
}

impl Scenario {
    pub fn new(seed: u64, random: &mut Random) -> Self {
        let limits = ItemLimits { wall: random.chance(70), stall: random.chance(40) };
        let crashes_max = random.pick(&[2, 2, 2, 3, 1]);
        let policy = policy(seed, random, limits, crashes_max);
        let mischief = random.pick(&[0, 5, 20, 60]);
        let count = random.pick(&[0, 1, 3, 10, 30, 60]);
        let items: Vec<_> = (0..count).map(|_| Nature::of(random, mischief, limits)).collect();
        let priors = if random.chance(25) { priors(&items, random) } else { Vec::new() };
        let exotic = random.chance(10);
        // With a single crash allowed, an item that is open when another one's late damage shows is convicted: by the
        // book, so there is nothing to check.
        let slots = if random.chance(30) && crashes_max > 1 { random.pick(&[2, 2, 3, 8]) } else { 1 };
        // Otherwise it has more open than it should, and reports them in order.
        let is_allowed = slots == 1 || random.chance(60);
        let mut policy = policy;
        if is_allowed {
            policy.slots_per_worker = NonZeroU32::new(slots).unwrap();
        }
        Self {
            allow_threads: random.chance(50),
            priors,
            chunk_items_max: random.pick(&[1, 5, 40]),
            slots: slots as usize,
            saves: if is_allowed { random.pick(&[0, 0, 30, 100]) } else { 0 },
            starts: match random.below(20) {
                0..=1 => Starts::Badly { first: 1 + random.below(8), spawn: random.chance(50) },
                2 => Starts::Badly { first: u64::MAX, spawn: random.chance(70) },
                3..=6 => Starts::Sometimes,
                _ => Starts::Well,
            },
            happenings: happenings(random, count, policy.heartbeat_silence_max),
            mute: random.pick(&[0, 0, 0, 50]),
            latency_us: random.pick(&[0, 50, 3_000]),
            item_us: random.pick(&[1, 500, 20_000]),
            feed_us: random.pick(&[2_000, 2_000, 30_000]),
            pauses_at_take_back: random.chance(5),
            sync_us: random.pick(&[100, 5_000, 100_000]),
            recorder_lost: if exotic { 30 } else { 0 },
            duplicates: random.pick(&[0, 0, 10]),
            unkillable: if exotic { 10 } else { 0 },
            silent: if exotic { 10 } else { 0 },
            pausable: random.pick(&[0, 100]),
            policy,
            items,
        }
    }
}

fn policy(seed: u64, random: &mut Random, limits: ItemLimits, crashes_max: u32) -> Policy {
    Policy {
        workers: NonZeroU32::new(random.pick(&[1, 2, 3, 5])).unwrap(),
        item_wall_max: limits.wall.then_some(1_000 * MS),
        item_stall_max: limits.stall.then_some(450 * MS),
        heartbeat_silence_max: random.pick(&[Some(350 * MS), Some(350 * MS), Some(60_000 * MS), None]),
        start_wall_max: 2_000 * MS,
        stop_grace: 300 * MS,
        retry: RetryPolicy { attempts_max: 3, backoff_first: 10 * MS, backoff_max: 100 * MS },
        crashes_max,
        restarts: RestartBudget { backoff_first: 10 * MS, ..RestartBudget::default() },
        lease: LeaseLimits {
            items_max: random.pick(&[4, 65_536]),
            bytes_max: random.pick(&[20, 4_096]),
            ..LeaseLimits::default()
        },
        failure_budget: random.chance(5).then(|| FailureBudget {
            failures_max: random.chance(50).then_some(2),
            percent_max: Some(40),
            percent_after: 5,
        }),
        items_per_worker_max: NonZeroU64::new(random.pick(&[0, 0, 0, 0, 0, 0, 0, 1, 5])),
        uncommitted_bytes_max: random.pick(&[200, 1 << 20]),
        waiting_items_max: random.pick(&[2, 1_000]),
        seed,
        ..Policy::default()
    }
}

fn priors(items: &[Nature], random: &mut Random) -> Vec<Prior> {
    let mut priors = Vec::new();
    for index in 0..items.len() as u64 {
        if random.chance(10) {
            let mut prior = Prior { index: ItemIndex(index), ..Prior::default() };
            match random.below(4) {
                0 => prior.crashes = 1,
                1 => prior.failures = 1,
                2 => prior.foreign_kills = 1,
                _ => prior.host_deaths = 1 + random.below(3) as u32,
            }
            priors.push(prior);
        }
    }
    priors
}

/// Much happens within a few milliseconds around the end.
fn busy_end(random: &mut Random) -> Vec<(Duration, Happening)> {
    let mut at = random.micros(60_000);
    let mut all = vec![(
        at,
        Happening::Control(random.pick(&[Control::Drain, Control::Drain, Control::Cancel, Control::Pause])),
    )];
    for _ in 0..random.below(4) {
        at += random.micros(3_000);
        let what = random.pick(&[
            Happening::Control(Control::Cancel),
            Happening::StoreFailed,
            Happening::StoreFull,
            Happening::SourceFails,
            Happening::Kill,
            Happening::Stray,
            Happening::CancelItem(0),
            Happening::Gap(Duration::from_secs(3)),
        ]);
        all.push((at, what));
    }
    all
}

/// What goes on beside the items, in a run over `count` of them.
pub fn happenings(
    random: &mut Random,
    count: u64,
    silence_max: Option<Duration>,
) -> Vec<(Duration, Happening)> {
    let mut all = Vec::new();
    let span = random.pick(&[2_000, 50_000, 400_000]);
    let mut at = |random: &mut Random, what| all.push((random.micros(span), what));
    for _ in 0..random.pick(&[0, 0, 1, 2, 5]) {
        let control =
            random.pick(&[Control::Pause, Control::Pause, Control::Resume, Control::Drain, Control::Cancel]);
        at(random, Happening::Control(control));
    }
    for _ in 0..random.pick(&[0, 0, 0, 1, 3]) {
        let kill = random.pick(&[Happening::Kill, Happening::DieIdle]);
        at(random, kill);
    }
    if random.chance(10) {
        at(random, Happening::StoreFull);
        at(random, Happening::StoreRecovered);
    }
    if random.chance(5) {
        at(random, Happening::StoreFailed);
    }
    if random.chance(8) {
        at(random, Happening::SourceFails);
    }
    if random.chance(10) {
        let gap = random.micros(5_000_000);
        at(random, Happening::Gap(gap));
    }
    for _ in 0..random.pick(&[0, 0, 1, 3, 8]) {
        // One more than there are.
        let index = random.below(count + 1);
        at(random, Happening::CancelItem(index));
    }
    for _ in 0..random.pick(&[0, 0, 0, 1, 4]) {
        at(random, Happening::Stray);
    }
    if random.chance(15) {
        at(random, Happening::HostDies);
    }
    for _ in 0..random.pick(&[0, 0, 0, 0, 1, 3]) {
        let time = random.micros(1_000_000);
        // Without a limit nobody notices.
        let for_ever = silence_max.is_some() && random.chance(50);
        at(random, Happening::Stops((!for_ever).then_some(time)));
    }
    if random.chance(40) {
        all.append(&mut busy_end(random));
    }
    // Whoever pauses resumes, and space is made in the end.
    all.push((Duration::from_millis(600), Happening::Control(Control::Resume)));
    all.push((Duration::from_millis(650), Happening::StoreRecovered));
    all
}
