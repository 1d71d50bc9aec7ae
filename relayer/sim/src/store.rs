//! A partition's fold in memory, as the database keeps it: rows, applied position, answered inputs, bookmarks.
//!
//! It survives the crash of its process, as a database does that writes unsynced batches; a loss of power may take the last
//! commits away ([`MemoryStore::clone`] of an earlier moment), never a part of one.

use acurast_events::bytes::Bytes;
use acurast_events::record::{InputRef, Progress};
use acurast_events::topics::TopicPartition;
use acurast_relayer_journal::{AcceptedRecord, Frontier, answered_before, merge_progress, progress_of};
use acurast_relayer_store::{BucketDigests, Digest, Row};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
    bookmarks: BTreeMap<TopicPartition, Frontier>,
}

impl MemoryStore {
    /// A store that has nothing of `at` yet.
    pub fn new(at: TopicPartition) -> Self {
        let progress = Progress { inputs: Vec::new(), published: Vec::new() };
        Self { at, rows: Arc::default(), frontier: Frontier::START, progress, answered: BTreeMap::new(), bookmarks: BTreeMap::new() }
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

    /// Where to read an authoritative input from: the last bookmark that doesn't lie beyond the Progress, else the start.
    pub fn input_frontier(&self, input: &TopicPartition) -> Frontier {
        let known = self.progress.inputs.iter().find(|known| known.topic == input.topic.as_str() && known.partition == input.partition);
        let within = |bookmark: &&Frontier| known.is_some_and(|taken| bookmark.next_sequence.0 <= taken.next.0);
        self.bookmarks.get(input).filter(within).copied().unwrap_or(Frontier::START)
    }

    /// Applies records whose effect on the state is `rows`.
    ///
    /// # Errors
    /// When the records don't follow what was applied; nothing is applied then.
    pub fn commit(&mut self, records: &[AcceptedRecord], rows: Vec<Row>, bookmarks: Vec<(TopicPartition, Frontier)>) -> Result<(), String> {
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
        self.bookmarks.extend(bookmarks);
        self.frontier = last.frontier();
        Ok(())
    }
}
