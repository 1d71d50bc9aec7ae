//! The one writer of a partition's fold.
//!
//! Beside the state it keeps sparse *landmarks*: places of the partition's own log at which a reader of it may begin. Any
//! process that folds the partition has them, so that a take-over on another host needn't read its inputs from their start.
//! They are part of no state and no digest.
//!
//! Crash argument: a commit is one write batch (rows, digest, answered inputs, landmark, applied position), atomic but not synced.
//! Crash before it: the journal has the records, the store doesn't; it reads them again from its applied position. Crash
//! after it, process lost: it is there. Crash after it, power lost: it may be gone with others after it, never a part of it
//! and never one before it; the store reads those records again.

use crate::applied::Applied;
use crate::changes::{Row, last_of_each};
use crate::digest::{BucketDigests, Digest};
use crate::error::StoreError;
use crate::view::PartitionView;
use acurast_events::bytes::Bytes;
use acurast_events::record::{InputRef, Progress, StateDigest};
use acurast_events::units::Sequence;
use acurast_relayer_journal::{
    AcceptedRecord, EventJournal, PartitionReader, answered_before, merge_progress, progress_of, state_digest_of,
};
use rocksdb::WriteBatch;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;

/// At least so many sequences between two landmarks: about a batch that is read in vain, at a few bytes per record.
const LANDMARK_EVERY: u64 = 256;

/// An input that a record named: all but its id identify where it stands; facts of one position differ by id.
type InputKey = (String, u32, u64, [u8; 32]);

fn input_key(input: &InputRef) -> InputKey {
    (input.topic.clone(), input.partition, input.position.0, input.id.0)
}

/// Answered inputs since the last Progress, with the subjects that they were answered for.
type Answered = BTreeMap<InputKey, (InputRef, BTreeSet<Bytes>)>;

/// What a commit's records say of inputs.
struct Inputs {
    progress: Progress,
    /// Whether a Progress was among them.
    moved: bool,
    /// Answered by them, and not passed by a later Progress among them.
    answered: Answered,
}

fn note(answered: &mut Answered, input: &InputRef, subject: &Bytes) {
    answered.entry(input_key(input)).or_insert_with(|| (input.clone(), BTreeSet::new())).1.insert(subject.clone());
}

fn forget(answered: &mut Answered, progress: &Progress) {
    answered.retain(|_, (input, _)| !answered_before(progress, input));
}

/// A partition's fold; see also [`PartitionView`], which it reads through.
pub struct PartitionStore {
    view: PartitionView,
    applied: Applied,
    answered: Answered,
    buckets: BucketDigests,
    /// `next_sequence` of the last landmark.
    landmark: Sequence,
}

impl Deref for PartitionStore {
    type Target = PartitionView;
    fn deref(&self) -> &PartitionView {
        &self.view
    }
}

impl Drop for PartitionStore {
    fn drop(&mut self) {
        self.view.shared.release(&self.view.at);
    }
}

impl PartitionStore {
    pub(crate) fn load(view: PartitionView) -> Result<Self, StoreError> {
        let prefix = view.id.answered_inputs();
        let mut answered = Answered::new();
        for row in view.shared.scan(&prefix, &prefix) {
            let (key, _) = row?;
            let bytes = key.get(prefix.len()..).unwrap_or_default();
            let (input, subject): (InputRef, Bytes) =
                postcard::from_bytes(bytes).map_err(|error| view.shared.damaged(format!("{}: an answered input ({error})", view.at)))?;
            note(&mut answered, &input, &subject);
        }
        let landmark = view.shared.landmark(&view.at, Sequence(u64::MAX))?.next_sequence;
        Ok(Self { applied: view.applied()?, buckets: view.buckets()?, answered, landmark, view })
    }

    /// A reader for the API, which outlives this writer.
    pub fn view(&self) -> PartitionView {
        self.view.clone()
    }

    /// How far the partition is folded.
    pub fn position(&self) -> &Applied {
        &self.applied
    }

    /// A reader of the partition that goes on after what was applied.
    ///
    /// # Errors
    /// [`StoreError::LeadsJournal`] when the journal doesn't hold what was applied: refuse to start.
    pub async fn follow(&self, journal: Arc<dyn EventJournal>) -> Result<PartitionReader, StoreError> {
        Ok(PartitionReader::open(journal, self.at.clone(), self.applied.frontier).await?)
    }

    /// The subjects for which records after the last Progress already answer `input`.
    pub fn answered(&self, input: &InputRef) -> BTreeSet<Bytes> {
        self.answered.get(&input_key(input)).map(|(_, subjects)| subjects.clone()).unwrap_or_default()
    }

    /// Applies `records`, whose effect on the state is `rows`, in one write batch. `whole`: a reader may begin right after the
    /// last of these records (in a source topic: no block is in the making there), so it may become a landmark.
    ///
    /// A [`StateDigest`] is compared with the fold before it, so its record must be the first of its commit: see
    /// [`digest_runs`](crate::digest_runs).
    ///
    /// # Errors
    /// [`StoreError::NotNext`] when the records don't follow what was applied, [`StoreError::NoRecord`] when there are rows
    /// without a record, [`StoreError::StateDiffers`] when the state isn't what the owner's was. After any error nothing of
    /// it is applied.
    pub fn commit(&mut self, records: &[AcceptedRecord], rows: Vec<Row>, whole: bool) -> Result<(), StoreError> {
        let Some(last) = records.last() else {
            return if rows.is_empty() { Ok(()) } else { Err(StoreError::NoRecord(self.at.clone())) };
        };
        self.check_chain(records)?;
        self.check_digests(records)?;
        let mut batch = WriteBatch::default();
        let buckets = self.stage_rows(rows, &mut batch)?;
        let inputs = self.stage_inputs(records, &mut batch)?;
        let applied = Applied { frontier: last.frontier(), progress: inputs.progress };
        batch.put(self.id.applied(), self.encode(&applied)?);
        let next = applied.frontier.next_sequence;
        let marks = whole && next.0.saturating_sub(self.landmark.0) >= LANDMARK_EVERY;
        if marks {
            batch.put(self.id.landmark(next), self.encode(&applied.frontier)?);
        }
        self.shared.note_write(applied.frontier.next_offset, &batch);
        self.shared.db.write(batch).map_err(|error| self.shared.database(&error))?;
        if marks {
            self.landmark = next;
        }
        if inputs.moved {
            forget(&mut self.answered, &applied.progress);
        }
        for (input, subjects) in inputs.answered.into_values() {
            for subject in subjects {
                note(&mut self.answered, &input, &subject);
            }
        }
        (self.applied, self.buckets) = (applied, buckets);
        Ok(())
    }

    /// The digest of the state, without a read.
    pub fn current_digest(&self) -> Digest {
        self.buckets.digest()
    }

    /// What the owner records of the state as it is: right if it is the next record.
    pub fn state_digest(&self) -> StateDigest {
        StateDigest { sequence: self.applied.frontier.next_sequence, digest: self.current_digest().into(), schema: self.shared.schema }
    }

    fn check_chain(&self, records: &[AcceptedRecord]) -> Result<(), StoreError> {
        let mut frontier = self.applied.frontier;
        for accepted in records {
            let record = &accepted.record;
            let follows = record.sequence == frontier.next_sequence
                && record.previous == frontier.hash
                && accepted.offset >= frontier.next_offset
                && record.term >= frontier.owner.map_or(record.term, |owner| owner.term);
            if !follows {
                return Err(StoreError::NotNext { at: self.at.clone(), expected: frontier.next_sequence, found: record.sequence });
            }
            frontier = accepted.frontier();
        }
        Ok(())
    }

    /// Compares the digests that the records carry with what is folded.
    fn check_digests(&self, records: &[AcceptedRecord]) -> Result<(), StoreError> {
        for (place, AcceptedRecord { record, .. }) in records.iter().enumerate() {
            let sequence = record.sequence;
            let wrong = |reason: String| StoreError::StateDigest { at: self.at.clone(), sequence, reason };
            let Some(recorded) = state_digest_of(record).map_err(|error| wrong(error.to_string()))? else { continue };
            if recorded.sequence != sequence {
                return Err(wrong(format!("it names sequence {}", recorded.sequence)));
            }
            if place > 0 {
                return Err(StoreError::DigestNotFirst { at: self.at.clone(), sequence });
            }
            if recorded.schema != self.shared.schema {
                // Of rows of another version, before an upgrade or beside one: there is nothing to compare it with.
                continue;
            }
            let (recorded, found) = (Digest(recorded.digest.0), self.current_digest());
            if recorded != found {
                return Err(StoreError::StateDiffers { at: self.at.clone(), sequence, recorded, found });
            }
        }
        Ok(())
    }

    fn stage_rows(&self, rows: Vec<Row>, batch: &mut WriteBatch) -> Result<BucketDigests, StoreError> {
        let rows = last_of_each(rows);
        let old = self.multi_get(rows.keys().map(|(table, key)| (*table, key.as_slice())))?;
        let mut buckets = self.buckets.clone();
        let mut touched = BTreeSet::new();
        for (((table, key), value), old) in rows.into_iter().zip(old) {
            if old == value {
                continue;
            }
            if let Some(old) = old {
                touched.insert(buckets.remove(table, &key, &old));
            }
            match value {
                Some(value) => {
                    touched.insert(buckets.add(table, &key, &value));
                    batch.put(self.id.row(table, &key), value);
                }
                None => batch.delete(self.id.row(table, &key)),
            }
        }
        for bucket in touched {
            batch.put(self.id.bucket(bucket), buckets.bucket(bucket));
        }
        Ok(buckets)
    }

    /// Stages what the records say of inputs: those that they answer, and those that a Progress passed and nobody meets again.
    fn stage_inputs(&self, records: &[AcceptedRecord], batch: &mut WriteBatch) -> Result<Inputs, StoreError> {
        let mut inputs = Inputs { progress: self.applied.progress.clone(), moved: false, answered: Answered::new() };
        for AcceptedRecord { record, .. } in records {
            if let Some(input) = &record.input {
                batch.put(self.answered_key(input, &record.subject)?, []);
                note(&mut inputs.answered, input, &record.subject);
            }
            let newer =
                progress_of(record).map_err(|error| StoreError::Progress { at: self.at.clone(), sequence: record.sequence, error })?;
            if let Some(newer) = newer {
                merge_progress(&mut inputs.progress, &newer);
                inputs.moved = true;
                self.forget_passed(&inputs.answered, &inputs.progress, batch)?;
                forget(&mut inputs.answered, &inputs.progress);
            }
        }
        if inputs.moved {
            self.forget_passed(&self.answered, &inputs.progress, batch)?;
        }
        Ok(inputs)
    }

    fn forget_passed(&self, answered: &Answered, progress: &Progress, batch: &mut WriteBatch) -> Result<(), StoreError> {
        for (input, subjects) in answered.values().filter(|(input, _)| answered_before(progress, input)) {
            for subject in subjects {
                batch.delete(self.answered_key(input, subject)?);
            }
        }
        Ok(())
    }

    fn answered_key(&self, input: &InputRef, subject: &Bytes) -> Result<Vec<u8>, StoreError> {
        self.id.answered(input, subject).map_err(|error| self.shared.damaged(format!("{}: encoding ({error})", self.at)))
    }

    fn encode(&self, value: &impl serde::Serialize) -> Result<Vec<u8>, StoreError> {
        postcard::to_stdvec(value).map_err(|error| self.shared.damaged(format!("{}: encoding ({error})", self.at)))
    }
}
