//! A partition's fold in memory, as the database keeps it: rows, applied position, answered inputs, landmarks.
//!
//! It survives the crash of its process, as a database does that writes unsynced batches; a loss of power may take the last
//! commits away ([`MemoryStore::clone`] of an earlier moment), never a part of one.

use acurast_events::bytes::Bytes;
use acurast_events::record::{InputRef, Progress, StateDigest};
use acurast_events::topics::TopicPartition;
use acurast_relayer_journal::{AcceptedRecord, Frontier, answered_before, merge_progress, progress_of, state_digest_of};
use acurast_relayer_store::{BucketDigests, Digest, Row};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// At least so many sequences between two landmarks: few, so that many starts begin at one.
const LANDMARK_EVERY: u64 = 8;
/// The version of the rows, for their digests.
const SCHEMA: u32 = 1;

type InputKey = (String, u32, u64, [u8; 32]);

fn input_key(input: &InputRef) -> InputKey {
    (input.topic.clone(), input.partition, input.position.0, input.id.0)
}

/// The rows of a fold: (table, key) to value.
pub type Rows = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

/// Changes rows.
pub fn change(rows: &mut Rows, changes: Vec<Row>) {
    for (table, key, value) in changes {
        match value {
            Some(value) => drop(rows.insert((table, key), value)),
            None => drop(rows.remove(&(table, key))),
        }
    }
}

/// The digest of rows, as the store computes it.
pub fn digest(rows: &Rows) -> Digest {
    let mut buckets = BucketDigests::default();
    for ((table, key), value) in rows {
        buckets.add(*table, key, value);
    }
    buckets.digest()
}

/// One partition's fold.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    at: TopicPartition,
    /// Shared with copies until one of them changes: machines keep several, forks many.
    rows: Arc<Rows>,
    frontier: Frontier,
    progress: Progress,
    answered: BTreeMap<InputKey, (InputRef, BTreeSet<Bytes>)>,
    landmarks: BTreeMap<TopicPartition, BTreeMap<u64, Frontier>>,
}

impl MemoryStore {
    /// A store that has nothing of `at` yet.
    pub fn new(at: TopicPartition) -> Self {
        let progress = Progress { inputs: Vec::new(), published: Vec::new() };
        Self { at, rows: Arc::default(), frontier: Frontier::START, progress, answered: BTreeMap::new(), landmarks: BTreeMap::new() }
    }

    /// The partition.
    pub fn partition(&self) -> &TopicPartition {
        &self.at
    }

    /// Its rows.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Just after the last applied record.
    pub fn frontier(&self) -> Frontier {
        self.frontier
    }

    /// What the applied records say of inputs.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// How many answered inputs are remembered.
    pub fn answered_count(&self) -> usize {
        self.answered.len()
    }

    /// The subjects for which records after the last Progress already answer `input`.
    pub fn answered(&self, input: &InputRef) -> BTreeSet<Bytes> {
        self.answered.get(&input_key(input)).map(|(_, subjects)| subjects.clone()).unwrap_or_default()
    }

    /// What the owner records of the state as it is: right if it is the next record.
    pub fn state_digest(&self) -> StateDigest {
        StateDigest { sequence: self.frontier.next_sequence, digest: digest(&self.rows).into(), schema: SCHEMA }
    }

    /// Notes a place of `of` at which a reader may begin, as the fold of that partition on the same machine does.
    pub fn note_landmark(&mut self, of: TopicPartition, frontier: Frontier) {
        let known = self.landmarks.entry(of).or_default();
        let last = known.last_key_value().map_or(0, |(next, _)| *next);
        if frontier.next_sequence.0 >= last.saturating_add(LANDMARK_EVERY) {
            known.insert(frontier.next_sequence.0, frontier);
        }
    }

    /// Where to read an authoritative input from: the newest landmark that doesn't lie beyond the Progress, else the start.
    pub fn input_frontier(&self, input: &TopicPartition) -> Frontier {
        let known = self.progress.inputs.iter().find(|known| known.topic == input.topic.as_str() && known.partition == input.partition);
        let next = known.map_or(0, |known| known.next.0);
        let newest = self.landmarks.get(input).and_then(|landmarks| landmarks.range(..=next).next_back());
        newest.map_or(Frontier::START, |(_, frontier)| *frontier)
    }

    /// Applies records whose effect on the state is `rows`.
    ///
    /// # Errors
    /// When the records don't follow what was applied, or the state isn't what its owner recorded; nothing is applied then.
    pub fn commit(&mut self, records: &[AcceptedRecord], rows: Vec<Row>) -> Result<(), String> {
        let Some(last) = records.last() else {
            return if rows.is_empty() { Ok(()) } else { Err(format!("{}: rows without a record", self.at)) };
        };
        let mut frontier = self.frontier;
        for accepted in records {
            let record = &accepted.record;
            if record.sequence != frontier.next_sequence || record.previous != frontier.hash || accepted.offset < frontier.next_offset {
                return Err(format!("{}: record {} does not follow what was applied", self.at, record.sequence));
            }
            frontier = accepted.frontier();
        }
        for (place, AcceptedRecord { record, .. }) in records.iter().enumerate() {
            let recorded = state_digest_of(record).map_err(|error| format!("{}: {error}", self.at))?;
            if let Some(recorded) = recorded
                && (place > 0 || recorded != self.state_digest())
            {
                return Err(format!("{}: the state differs from what record {} says of it", self.at, record.sequence));
            }
        }
        for AcceptedRecord { record, .. } in records {
            if let Some(input) = &record.input {
                let known = self.answered.entry(input_key(input)).or_insert_with(|| (input.clone(), BTreeSet::new()));
                known.1.insert(record.subject.clone());
            }
            if let Some(newer) = progress_of(record).map_err(|error| format!("{}: {error}", self.at))? {
                merge_progress(&mut self.progress, &newer);
                let progress = &self.progress;
                self.answered.retain(|_, (input, _)| !answered_before(progress, input));
            }
        }
        if !rows.is_empty() {
            change(Arc::make_mut(&mut self.rows), rows);
        }
        self.frontier = last.frontier();
        Ok(())
    }
}
