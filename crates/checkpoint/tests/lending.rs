//! Outcomes as they are lent, beside the same as they are copied.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use cofferdam_checkpoint::{Batch, JobStore, KeyRef, OutcomeBodyRef, OutcomeRecord, OutcomeRef};
use cofferdam_pipeline_core::{Evidence, Fingerprint, Keying, OutcomeKind};
use cofferdam_testkit::SimDisk;
use support::{JOB, entries, open_store, spec};

fn lent(job: &JobStore, after: u64) -> Vec<OutcomeRecord> {
    let mut outcomes = job.outcomes(after);
    let mut all = Vec::new();
    while let Some(outcome) = outcomes.lend_next() {
        all.push(outcome.map(OutcomeRef::into_record).unwrap());
        assert_eq!(outcomes.position(), all[all.len() - 1].lsn);
    }
    all
}

/// Whether all that is behind each place, lent and copied, is what is behind it in the whole.
fn check_from_every_place(job: &JobStore) -> Vec<OutcomeRecord> {
    let whole = lent(job, 0);
    for after in 0..=job.durable_lsn() + 1 {
        let behind: Vec<_> = whole.iter().filter(|outcome| outcome.lsn > after).cloned().collect();
        assert_eq!(lent(job, after), behind, "after {after}");
        assert_eq!(job.outcomes(after).map(Result::unwrap).collect::<Vec<_>>(), behind, "after {after}");
    }
    whole
}

#[test]
fn runs_and_what_was_set_aside_are_lent_from_every_place() {
    let disk = SimDisk::new();
    let job = open_store(&disk).unwrap().create_job(JOB, &spec(Keying::Dense)).unwrap();
    let outputs = entries(&[b"", b"one", &[2; 300], b"three"]);
    let evidence = Evidence { kind: "crash".into(), ..Evidence::default() };
    let mut batch = Batch::completed_dense(10, 4, 1, &outputs).unwrap();
    let aside = KeyRef::Ordinal(3);
    batch.append(Batch::set_aside(aside, None, OutcomeKind::Quarantined, 2, &evidence).unwrap());
    batch.append(Batch::completed_dense(30, 4, 1, &outputs).unwrap());
    job.commit(batch).unwrap();
    job.commit(Batch::completed_dense(50, 4, 1, &outputs).unwrap()).unwrap();

    let whole = check_from_every_place(&job);

    let ordinals: Vec<_> = [10..14, 3..4, 30..34, 50..54].into_iter().flatten().collect();
    let keys: Vec<_> = ordinals.into_iter().map(|ordinal| KeyRef::Ordinal(ordinal).to_key()).collect();
    assert_eq!(whole.iter().map(|outcome| outcome.key.clone()).collect::<Vec<_>>(), keys);
}

#[test]
fn what_is_superseded_is_not_lent_from_any_place() {
    let disk = SimDisk::new();
    let job = open_store(&disk).unwrap().create_job(JOB, &spec(Keying::Keyed)).unwrap();
    for (fingerprint, keys) in
        [(1, [&b"a"[..], b"b", b"c"]), (2, [b"b", b"d", b"e"]), (3, [b"f", b"a", b"e"])]
    {
        let items = keys.into_iter().map(|key| (key, Some(Fingerprint([fingerprint; 16]))));
        job.commit(Batch::completed_keyed(items, 1, &entries(&[b"x", b"y", b"z"])).unwrap()).unwrap();
    }

    let whole = check_from_every_place(&job);

    assert_eq!(whole.iter().map(|outcome| outcome.lsn).collect::<Vec<_>>(), [3, 4, 5, 7, 8, 9]);
}

#[test]
fn frames_longer_and_shorter_than_what_is_read_at_once_are_lent_whole() {
    let disk = SimDisk::new();
    let job = open_store(&disk).unwrap().create_job(JOB, &spec(Keying::Dense)).unwrap();
    let lens = [400_000, 3, 900_000, 700_000, 1, 1_000_000, 300_000, 800_000];
    for (ordinal, len) in (0..).zip(lens) {
        job.commit(Batch::completed_dense(ordinal, 1, 1, &entries(&[&vec![ordinal as u8; len]])).unwrap())
            .unwrap();
    }
    let mut outcomes = job.outcomes(0);

    for (ordinal, len) in (0..).zip(lens) {
        let outcome = outcomes.lend_next().unwrap().unwrap();
        assert!(outcome.body == OutcomeBodyRef::Output(&vec![ordinal as u8; len]), "{ordinal}");
    }
    assert!(outcomes.lend_next().is_none());
    job.commit(Batch::completed_dense(90, 1, 1, &entries(&[b"later"])).unwrap()).unwrap();

    let later = outcomes.lend_next().unwrap().unwrap();

    assert_eq!(later.body, OutcomeBodyRef::Output(b"later"));
}
