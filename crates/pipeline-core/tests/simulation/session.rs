//! A host that died, and the next one, which goes on with what the store has.

use crate::fake_worker::Life;
use crate::scenario::{Scenario, happenings};
use crate::world::World;
use cofferdam_pipeline_core::ItemIndex;
use cofferdam_pipeline_core::supervisor::Prior;
use std::collections::BTreeSet;

impl World {
    /// The session after this one, if this one's host died.
    pub fn next_session(mut self) -> Option<World> {
        if !self.host_died || self.model.store_lost {
            return None;
        }
        // What was written may be there, what was durable is.
        let durable = self.model.durable + self.random.below(self.model.tickets - self.model.durable + 1);
        let settled: BTreeSet<u64> =
            self.model.ranges[..durable as usize].iter().cloned().flatten().collect();
        let open = self.open_at_death(&settled);
        let (mut items, mut priors) = (Vec::new(), Vec::new());
        for (index, item) in (0u64..).zip(&self.model.items) {
            if settled.contains(&index) {
                continue;
            }
            let place = ItemIndex(items.len() as u64);
            items.push(item.nature);
            let is_sole = open.len() == 1 && open.contains(&index);
            let prior = Prior {
                index: place,
                host_deaths: if is_sole { item.stored.host_deaths + 1 } else { 0 },
                host_suspect: open.contains(&index),
                saved_state: item.saved.clone(),
                ..item.stored.clone()
            };
            if prior != (Prior { index: place, ..Prior::default() }) {
                priors.push(prior);
            }
        }
        let happenings =
            happenings(&mut self.random, items.len() as u64, self.scenario.policy.heartbeat_silence_max);
        let scenario = Scenario { items, priors, happenings, ..self.scenario };
        Some(World::of(scenario, self.random, self.verbose))
    }

    /// What the recorders say.
    fn open_at_death(&self, settled: &BTreeSet<u64>) -> BTreeSet<u64> {
        let alive = self.workers.values().filter(|fake| fake.life == Life::Running);
        alive
            .flat_map(|fake| &fake.open)
            .map(|open| open.item)
            .filter(|item| !settled.contains(item))
            .collect()
    }
}
