//! The states that a power cut can leave.

use super::SimDisk;
use super::state::{File, Node, PAGE, State, page_of};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

const SECTOR: usize = 512;

/// How many states to show.
#[derive(Clone, Copy, Debug)]
pub struct ImageLimits {
    /// All of them up to so many; beyond, the extremes and a sample.
    pub subsets_max: usize,
    /// How many the sample has.
    pub sample: usize,
    /// Chooses the sample.
    pub seed: u64,
}

/// Iterates over the states.
#[derive(Debug)]
pub struct Images {
    state: State,
    units: Vec<Unit>,
    plans: std::vec::IntoIter<Plan>,
}

/// Something that is on the medium in one of several forms.
#[derive(Clone, Copy, Debug)]
enum Unit {
    /// Index into the pending changes: absent or made.
    Change(usize),
    /// The length that a file has in memory: unknown to the medium or known.
    Len(u64),
    /// A page: the durable form or one of those since.
    Page(u64, usize, usize),
}

#[derive(Clone, Debug)]
struct Plan {
    /// For each unit its form, 0 for the durable one.
    forms: Vec<usize>,
    /// A page that is torn: the bit of a sector says whether it is new.
    torn: Option<(u64, usize, u8)>,
}

impl Images {
    pub(super) fn new(mut state: State, limits: ImageLimits) -> Self {
        state.forget_processes();
        let mut units: Vec<_> = (0..state.pending.len()).map(Unit::Change).collect();
        for (&id, node) in &state.nodes {
            let Node::File(file) = node else { continue };
            if file.live.len() != file.durable.len() {
                units.push(Unit::Len(id));
            }
            units.extend(file.dirty.iter().map(|(&page, forms)| Unit::Page(id, page, forms.len())));
        }
        let plans = plans(&units, limits).into_iter();
        Self { state, units, plans }
    }

    fn image(&self, plan: &Plan) -> State {
        let mut state = self.state.clone();
        for node in state.nodes.values_mut() {
            match node {
                Node::Dir(dir) => dir.live = dir.durable.clone(),
                Node::File(file) => file.live = file.durable.clone(),
            }
        }
        for (unit, &form) in self.units.iter().zip(&plan.forms) {
            if form == 0 {
                continue;
            }
            match *unit {
                Unit::Change(index) => {
                    let change = self.state.pending[index].clone();
                    if let Some(Node::Dir(dir)) = state.nodes.get_mut(&change.dir) {
                        change.apply(&mut dir.live);
                    }
                }
                Unit::Len(id) => self.resize(&mut state, id),
                Unit::Page(id, page, _) => {
                    let content = self.source(id).dirty[&page][form - 1].clone();
                    self.put_page(&mut state, id, page, &content);
                }
            }
        }
        if let Some((id, page, new_sectors)) = plan.torn {
            self.put_page(&mut state, id, page, &self.torn_page(id, page, new_sectors));
        }
        for node in state.nodes.values_mut() {
            match node {
                Node::Dir(dir) => dir.durable = dir.live.clone(),
                Node::File(file) => {
                    *file =
                        File { durable: file.live.clone(), live: file.live.clone(), dirty: BTreeMap::new() }
                }
            }
        }
        state.pending.clear();
        state
    }

    fn source(&self, id: u64) -> &File {
        match &self.state.nodes[&id] {
            Node::File(file) => file,
            Node::Dir(_) => unreachable!("units name files"),
        }
    }

    fn resize(&self, state: &mut State, id: u64) {
        let len = self.source(id).live.len();
        if let Some(Node::File(file)) = state.nodes.get_mut(&id) {
            Arc::make_mut(&mut file.live).resize(len, 0);
        }
    }

    /// A page on the medium makes the file as long as the page needs, within its length in memory.
    fn put_page(&self, state: &mut State, id: u64, page: usize, content: &[u8]) {
        let len_max = self.source(id).live.len();
        let Some(Node::File(file)) = state.nodes.get_mut(&id) else { return };
        let live = Arc::make_mut(&mut file.live);
        let end = ((page + 1) * PAGE).min(len_max.max(live.len()));
        if live.len() < end {
            live.resize(end, 0);
        }
        let start = page * PAGE;
        live[start..end].copy_from_slice(&content[..end - start]);
    }

    fn torn_page(&self, id: u64, page: usize, new_sectors: u8) -> Vec<u8> {
        let file = self.source(id);
        let mut content = page_of(&file.durable, page);
        let new = file.dirty[&page].last().expect("a dirty page has a form");
        for sector in (0..PAGE / SECTOR).filter(|sector| new_sectors & 1 << sector != 0) {
            let range = sector * SECTOR..(sector + 1) * SECTOR;
            content[range.clone()].copy_from_slice(&new[range]);
        }
        content
    }
}

impl Iterator for Images {
    type Item = SimDisk;

    fn next(&mut self) -> Option<SimDisk> {
        let plan = self.plans.next()?;
        Some(SimDisk { state: Arc::new(Mutex::new(self.image(&plan))) })
    }
}

fn radix(unit: &Unit) -> usize {
    match unit {
        Unit::Change(_) | Unit::Len(_) => 2,
        Unit::Page(_, _, forms) => forms + 1,
    }
}

fn plans(units: &[Unit], limits: ImageLimits) -> Vec<Plan> {
    let all = units.iter().try_fold(1usize, |product, unit| product.checked_mul(radix(unit)));
    let newest: Vec<usize> = units.iter().map(|unit| radix(unit) - 1).collect();
    let mut forms = match all.filter(|&all| all <= limits.subsets_max) {
        Some(all) => (0..all).map(|number| digits(number, units)).collect(),
        None => sample(units, &newest, limits),
    };
    forms.sort();
    forms.dedup();
    let mut plans: Vec<Plan> = forms.into_iter().map(|forms| Plan { forms, torn: None }).collect();
    for unit in units {
        if let Unit::Page(id, page, _) = *unit {
            for new_sectors in [0b0000_0001, 0b1111_1110, 0b0000_1111, 0b1111_0000, 0b0101_0101] {
                plans.push(Plan { forms: newest.clone(), torn: Some((id, page, new_sectors)) });
            }
        }
    }
    plans
}

/// Nothing, everything, all but one, one alone, and a random sample.
fn sample(units: &[Unit], newest: &[usize], limits: ImageLimits) -> Vec<Vec<usize>> {
    let mut forms = vec![vec![0; units.len()], newest.to_vec()];
    for i in 0..units.len() {
        let (mut without, mut alone) = (newest.to_vec(), vec![0; units.len()]);
        without[i] = 0;
        alone[i] = newest[i];
        forms.extend([without, alone]);
    }
    let mut random = limits.seed | 1;
    for _ in 0..limits.sample {
        forms.push(
            units
                .iter()
                .map(|unit| {
                    // xorshift64: enough to vary a sample.
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    (random >> 33) as usize % radix(unit)
                })
                .collect(),
        );
    }
    forms
}

fn digits(mut number: usize, units: &[Unit]) -> Vec<usize> {
    units
        .iter()
        .map(|unit| {
            let digit = number % radix(unit);
            number /= radix(unit);
            digit
        })
        .collect()
}
