//! Splits what was read into what one commit takes.

use acurast_relayer_journal::{AcceptedRecord, state_digest_of};

/// The records in order, in runs of which each begins with a [`StateDigest`](acurast_events::record::StateDigest) or has none:
/// a digest is compared with the state of all records before it, so they must be committed first. A digest that can't be
/// read begins a run too; the commit says what is wrong with it.
pub fn digest_runs(records: Vec<AcceptedRecord>) -> Vec<Vec<AcceptedRecord>> {
    let begins = |record: &AcceptedRecord| !matches!(state_digest_of(&record.record), Ok(None));
    let mut runs: Vec<Vec<AcceptedRecord>> = Vec::new();
    let mut rest = records;
    while let Some(at) = rest.iter().skip(1).rposition(begins).map(|before| before.saturating_add(1)) {
        runs.push(rest.split_off(at));
    }
    if !rest.is_empty() {
        runs.push(rest);
    }
    runs.reverse();
    runs
}
