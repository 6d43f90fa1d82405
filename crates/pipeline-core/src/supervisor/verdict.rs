//! Who is to blame for a worker's death.

use super::case::{Case, evidence};
use super::lease::GivenUp;
use super::signs::OPEN_ITEMS_MAX;
use super::worker::{Kill, Overdue, State, Worker};
use super::{Command, Settled, Supervisor, Turn};
use crate::{Chunk, EventKind, Evidence, Exit, ExitReport, KillReason, LeaseId, OpenItem, TimeLimit};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// An item that may have ended its worker.
struct Charged<'a> {
    lease: LeaseId,
    offset: u32,
    open: Option<&'a OpenItem>,
    /// It was seen inside `process` at the end; otherwise it is only among those that may be behind it.
    seen: bool,
}

/// What it takes to set an item aside.
struct Conviction {
    /// It is known to have been the only one that can have done it.
    certain: bool,
    evidence: Evidence,
}

impl Supervisor {
    /// Ends a worker now; its place is free from now on.
    pub(super) fn kill(
        &mut self,
        at: usize,
        reason: KillReason,
        overdue: Option<Overdue>,
        turn: &mut Turn<'_>,
    ) {
        let deadline = turn.now + self.policy.verdict_wall_max;
        let worker = &mut self.workers[at];
        if let State::Dying { killed: Some(_), .. } = worker.state {
            return;
        }
        worker.told_to_leave |= match reason {
            KillReason::TimeLimit(TimeLimit::Item | TimeLimit::Stall | TimeLimit::Stop, _)
            | KillReason::ItemCancelled
            | KillReason::Cancelled
            | KillReason::JobOver => true,
            KillReason::TimeLimit(TimeLimit::Start | TimeLimit::Heartbeat, _)
            | KillReason::ProtocolViolation => false,
        };
        let killed = Some(Kill { reason, overdue, lost_before: false });
        worker.state = State::Dying { killed, deadline };
        turn.push(Command::Kill(worker.id, reason));
    }

    /// The first sign of death: the replacement need not wait for the verdict.
    pub(super) fn lost(&mut self, at: usize, turn: &mut Turn<'_>) {
        let worker = &mut self.workers[at];
        if worker.holds_place() {
            worker.state = State::Dying { killed: None, deadline: turn.now + self.policy.verdict_wall_max };
        }
    }

    /// A worker whose verdict does not come: kill it, or give it up if that was done.
    pub(super) fn dying_too_long(&mut self, at: usize, turn: &mut Turn<'_>) {
        let max = self.policy.verdict_wall_max;
        let worker = &mut self.workers[at];
        let State::Dying { killed, deadline } = &mut worker.state else { return };
        if killed.is_none() {
            let reason = KillReason::TimeLimit(TimeLimit::Stop, max);
            *killed = Some(Kill { reason, overdue: None, lost_before: true });
            *deadline = turn.now + max;
            turn.push(Command::Kill(worker.id, reason));
            return;
        }
        turn.emit(EventKind::Degraded(format!("{} could not be ended and is given up", worker.id)));
        let report = ExitReport {
            exit: Exit::Abandoned,
            open: Vec::new(),
            open_known: false,
            stderr_tail: String::new(),
        };
        self.exited(at, &report, turn);
    }

    /// The verdict. Charges what was open, gives back the rest, and counts a death that nothing explains.
    pub(super) fn exited(&mut self, at: usize, report: &ExitReport, turn: &mut Turn<'_>) {
        let mut worker = self.workers.remove(at);
        let lived = turn.now.since(worker.busy_since);
        let exit = verdict(&worker, &report.exit);
        turn.emit(EventKind::WorkerExited(worker.id, exit.clone()));
        self.isolation.has_exited(&exit);
        let excused = is_excused(&worker, &exit);
        let charged = if excused { Vec::new() } else { charged(&worker, &exit, report) };
        let cases: Vec<_> = charged
            .iter()
            .map(|c| (worker.take_case(c.lease, c.offset), evidence(&exit, c.open, &report.stderr_tail)))
            .collect();
        let unexplained = cases.is_empty() && !worker.told_to_leave;
        if unexplained && worker.was_ready && !exit.is_foreign_kill() {
            self.strike(&mut worker, evidence(&exit, None, &report.stderr_tail), turn);
        }
        if exit.is_foreign_kill() {
            self.note_kill(cases.iter().map(|(case, _)| case), turn);
        }
        self.give_back(&mut worker, &charged, turn);
        if unexplained {
            self.unexplained_death(&exit, turn);
        }
        if !cases.is_empty() {
            *self.counters.crashes.entry(exit.kind()).or_default() += 1;
        }
        let sole = cases.len() == 1;
        for ((case, evidence), charged) in cases.into_iter().zip(&charged) {
            // Nobody is convicted on a guess: it was seen open, or it was the only item of a fresh worker.
            let certain = sole && (charged.seen || case.is_suspect());
            if exit.is_foreign_kill() {
                self.charge_kill(case, lived, Conviction { certain, evidence }, turn);
            } else {
                self.charge(case, Conviction { certain, evidence }, turn);
            }
        }
    }

    /// Remembers who was hit by a kill from outside, unless it was hit so before.
    fn note_kill<'a>(&mut self, open: impl Iterator<Item = &'a Case>, turn: &Turn<'_>) {
        let mut nobody = true;
        for case in open {
            nobody = false;
            if case.record.foreign_kills == 0 {
                self.kills.note(turn.now, Some(case.index()));
            }
        }
        if nobody {
            self.kills.note(turn.now, None);
        }
    }

    /// A kill from outside charges nobody; the item is set aside only if the kills follow it and nobody else.
    fn charge_kill(&mut self, mut case: Case, lived: Duration, conviction: Conviction, turn: &mut Turn<'_>) {
        self.counters.attempts += 1;
        let follows = case.charge_foreign_kill(&self.kills, turn.now, self.policy.foreign_kills_max);
        if case.cancelled {
            return self.settle_cancelled(&case, turn);
        }
        if follows && conviction.certain {
            return self.quarantine(&case, conviction.evidence, turn);
        }
        self.bound_saved_states(&mut case);
        self.note(&case, turn);
        self.await_quiet(case, lived, turn);
    }

    fn charge(&mut self, mut case: Case, conviction: Conviction, turn: &mut Turn<'_>) {
        self.counters.attempts += 1;
        case.charge_crash();
        if case.cancelled {
            return self.settle_cancelled(&case, turn);
        }
        if conviction.certain && case.record.crashes >= self.policy.crashes_max {
            return self.quarantine(&case, conviction.evidence, turn);
        }
        self.note(&case, turn);
        turn.emit(EventKind::Suspected(case.index()));
        self.admit(case, turn);
    }

    /// Three hosts died with this item as the only open one: it gets no fourth.
    pub(super) fn convict_of_host_deaths(&mut self, case: &Case, turn: &mut Turn<'_>) {
        let deaths = case.record.host_deaths;
        let message = format!("the host died {deaths} times with this item as the only open one");
        let evidence = Evidence { kind: "host-death".into(), message, ..Evidence::default() };
        self.quarantine(case, evidence, turn);
    }

    /// Sets an item aside for good.
    pub(super) fn quarantine(&mut self, case: &Case, evidence: Evidence, turn: &mut Turn<'_>) {
        let range = case.position..case.position + 1;
        self.ledger.commit(&case.chunk, range, case.attempts, Settled::Quarantined(evidence), turn);
    }

    /// The worker died between items: nobody is charged, but the item that was next in line is watched from now on.
    fn strike(&mut self, worker: &mut Worker, evidence: Evidence, turn: &mut Turn<'_>) {
        let Some(lease) = worker.leases.front_mut() else { return };
        let mut case = lease.take_case(lease.done);
        lease.settle(lease.done, 1);
        case.strike();
        if case.is_struck_out(self.policy.crashes_max) {
            self.quarantine(&case, evidence, turn);
        } else {
            self.admit(case, turn);
        }
    }

    /// Everything that is not charged is pending again, in its old order, in front of what was never handed out.
    fn give_back(&mut self, worker: &mut Worker, charged: &[Charged<'_>], turn: &mut Turn<'_>) {
        while let Some(mut lease) = worker.leases.pop_back() {
            let gone = charged.iter().filter(|c| c.lease == lease.id).map(|c| c.offset).collect();
            let given_up = lease.give_up(0, &gone);
            self.take_in(&lease.chunk, given_up, turn);
        }
    }

    /// What a lease gave up is pending again, uncharged.
    pub(super) fn take_in(&mut self, chunk: &Arc<Chunk>, given_up: GivenUp, turn: &mut Turn<'_>) {
        for run in given_up.runs.into_iter().rev() {
            self.ready.push_front(chunk, run);
        }
        for case in given_up.cases.into_iter().rev() {
            self.resume_case(case, turn);
        }
    }

    /// A case that was handed out and not tried waits where it waited before, first in line.
    pub(super) fn resume_case(&mut self, mut case: Case, turn: &mut Turn<'_>) {
        if case.cancelled {
            return self.settle_cancelled(&case, turn);
        }
        self.bound_saved_states(&mut case);
        if case.is_suspect() { self.await_trial(case, true) } else { self.due.push_front(case) }
    }
}

/// The exit, with our own kill told apart from everybody else's.
fn verdict(worker: &Worker, exit: &Exit) -> Exit {
    let State::Dying { killed: Some(kill), .. } = &worker.state else { return exit.clone() };
    let by_kill = exit.is_foreign_kill()
        || matches!(
            exit,
            Exit::Killed(_) | Exit::TimedOut { .. } | Exit::Abandoned | Exit::Unknown | Exit::Stopped
        );
    match (by_kill, kill.lost_before, kill.reason) {
        (false, _, _) => exit.clone(),
        // It was dead or dying before our kill, so the kill explains nothing.
        (true, true, _) if exit.is_blameless() => Exit::Unknown,
        (true, true, _) => exit.clone(),
        (true, false, KillReason::TimeLimit(limit, after)) => Exit::TimedOut { limit, after },
        (true, false, KillReason::ProtocolViolation) => {
            Exit::ProtocolViolation("a message that does not fit its leases or its state".into())
        }
        (true, false, reason @ (KillReason::Cancelled | KillReason::ItemCancelled | KillReason::JobOver)) => {
            Exit::Killed(reason)
        }
    }
}

/// Whether it ended because we wanted it to, so that not even its open items are charged.
fn is_excused(worker: &Worker, exit: &Exit) -> bool {
    exit.is_blameless() && (worker.told_to_leave || *exit != Exit::Stopped)
}

/// The items that the worker may have died of.
fn charged<'a>(worker: &Worker, exit: &Exit, report: &'a ExitReport) -> Vec<Charged<'a>> {
    if let (
        Exit::TimedOut { limit: TimeLimit::Item | TimeLimit::Stall, .. },
        State::Dying { killed: Some(kill), .. },
    ) = (exit, &worker.state)
    {
        return kill
            .overdue
            .and_then(|overdue| charged_overdue(worker, overdue, report))
            .into_iter()
            .collect();
    }
    if !report.open_known {
        let all =
            worker.leases.iter().flat_map(|l| (l.done..l.len).filter(|&o| l.holds(o)).map(|o| (l.id, o)));
        return all.map(|(lease, offset)| Charged { lease, offset, open: None, seen: false }).collect();
    }
    let ours = matches!(worker.state, State::Dying { killed: Some(_), .. });
    let violated = matches!(exit, Exit::ProtocolViolation(_));
    // When we noticed the bad message, the item that sent it may have been closed and the next one opened: both are
    // suspects, neither is certain.
    let seen = !(violated && ours);
    let mut named = BTreeSet::new();
    let open = report.open.iter().take(OPEN_ITEMS_MAX);
    let mut charged: Vec<_> = open
        .filter(|o| worker.holds(o.lease, o.offset) && named.insert((o.lease, o.offset)))
        .map(|o| Charged { lease: o.lease, offset: o.offset, open: Some(o), seen })
        .collect();
    if violated && (ours || charged.is_empty()) {
        let head = worker.leases.front().filter(|lease| !named.contains(&(lease.id, lease.done)));
        charged.extend(head.map(|lease| Charged {
            lease: lease.id,
            offset: lease.done,
            open: None,
            seen: false,
        }));
    }
    charged
}

/// Our kill had one item in mind; others that were open are its victims. It is innocent too if it ended just in time.
fn charged_overdue<'a>(worker: &Worker, overdue: Overdue, report: &'a ExitReport) -> Option<Charged<'a>> {
    let Overdue { lease, offset, gave_up } = overdue;
    let open = report.open.iter().find(|o| o.lease == lease && o.offset == offset);
    let was_open = open.is_some() || gave_up || !report.open_known;
    (was_open && worker.holds(lease, offset)).then_some(Charged { lease, offset, open, seen: true })
}
