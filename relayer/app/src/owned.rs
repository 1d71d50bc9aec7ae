//! One authoritative partition that this process owns: its writer, its fold, and how far it took its inputs (R11, R12).
//!
//! ```text
//! take_over: fold the log's tail ─ claim ─ read up to the claim        append ─ read back ─ commit ─ … ─ Progress
//! ```
//!
//! *Crash argument.* Append, then commit. Crash before the append: nothing happened. Between the two: the records are in
//! the log and the store lags; the next take-over folds them. A lost writer is dropped with all that it held in memory:
//! `tenure` rebuilds from the stored state and the log.

use crate::fold::{Fold, fold_into};
use crate::tenure::Ground;
use acurast_events::bytes::Bytes;
use acurast_events::record::{InputPosition, InputRef, Progress};
use acurast_events::topics::TopicPartition;
use acurast_events::units::{Offset, Sequence, Timestamp};
use acurast_relayer_journal::{
    AcceptedRecord, ClaimError, ClaimOptions, Claiming, DigestPacer, Draft, FollowError, Frontier, PartitionReader, PartitionWriter,
    ProgressPacer, WriteError, merge_progress, progress_event, state_digest_event,
};
use acurast_relayer_store::{PartitionStore, PartitionView, Row, StoreError};
use std::collections::BTreeSet;
use std::time::Duration;

/// Why a partition can't be owned, written or folded.
#[derive(Debug, thiserror::Error)]
pub enum OwnedError {
    /// The claim failed.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The append failed, or its outcome is unknown.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The partition can't be followed.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// A record does not fold: another version wrote it, or the log is not what it was.
    #[error("{at}: record {sequence} can't be folded: {reason}")]
    Fold {
        /// Where.
        at: TopicPartition,
        /// Its sequence.
        sequence: u64,
        /// Why.
        reason: String,
    },
}

/// One partition of this process.
pub struct Owned {
    store: PartitionStore,
    writer: PartitionWriter,
    progress: Progress,
    pacer: ProgressPacer,
    stamped: Timestamp,
    derives: bool,
    digest: DigestPacer,
    ground: Ground,
}

impl Owned {
    /// Takes a partition over with the reader of a follower, which folded all that it returned into `state` and `store`: folds
    /// what was written since, claims, and reads up to the claim.
    ///
    /// # Errors
    /// See [`OwnedError`].
    pub async fn take_over(
        reader: PartitionReader,
        mut store: PartitionStore,
        ground: Ground,
        state: &mut (dyn Fold + Send),
    ) -> Result<Self, OwnedError> {
        let mut claiming = Claiming::with(reader, ClaimOptions::new(ground.lease));
        while let Some(records) = claiming.next_batch().await? {
            fold_into(&mut store, state, records)?;
        }
        let writer = claiming.finish()?;
        let progress = store.position().progress.clone();
        let next = writer.frontier().next_sequence;
        tracing::info!(partition = %store.partition(), term = %writer.owner().term, sequence = %next, "taken over");
        Ok(Self {
            store,
            writer,
            progress,
            pacer: ProgressPacer::default(),
            stamped: Timestamp(0),
            derives: false,
            digest: DigestPacer::default(),
            ground,
        })
    }

    /// The partition.
    pub fn partition(&self) -> &TopicPartition {
        self.store.partition()
    }

    /// Reads of the fold.
    pub fn view(&self) -> &PartitionView {
        &self.store
    }

    /// Where to read an authoritative input from: the newest place that this replica knows at or before what was taken.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn input_frontier(&self, input: &TopicPartition) -> Result<Frontier, StoreError> {
        self.store.landmark_of(input, Sequence(self.input_next(input).0))
    }

    /// Where to read this partition from to publish what derives from it and wasn't published yet.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn published_frontier(&self) -> Result<Frontier, StoreError> {
        self.store.landmark_of(self.partition(), Sequence(self.published_next().0))
    }

    /// The next position of an input that is not taken yet.
    pub fn input_next(&self, input: &TopicPartition) -> Offset {
        position_in(&self.progress.inputs, input)
    }

    /// The next record of this partition that derived topics don't have yet.
    pub fn published_next(&self) -> Offset {
        position_in(&self.progress.published, self.partition())
    }

    /// The stamp of the input that is being decided. Never before an earlier one, also within a batch that is not appended
    /// yet, whatever the wall clock does.
    pub fn stamp(&mut self) -> Timestamp {
        self.stamped = self.stamped.max(self.writer.stamp());
        self.stamped
    }

    /// Notes that messages derive from this partition, so that its own Progress counts as published.
    pub fn derives(&mut self) {
        self.derives = true;
    }

    /// Waits until somebody else may have appended here; then call [`Self::look`].
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn watch(&self) -> Result<(), FollowError> {
        self.writer.watch().await
    }

    /// Looks for a higher claim, and stands down if there is one (R12).
    ///
    /// # Errors
    /// When the partition was lost.
    pub async fn look(&mut self) -> Result<(), OwnedError> {
        Ok(self.writer.look().await?)
    }

    /// Whether nothing derives from records that were not published yet.
    pub fn is_published(&self) -> bool {
        self.published_next().0 >= self.writer.frontier().next_sequence.0
    }

    /// Whether transactions that were read back may be sent now (R12).
    pub fn may_send(&self) -> bool {
        self.writer.may_send()
    }

    /// The subjects for which records after the last Progress already answer this input.
    pub fn answered(&self, input: &InputRef) -> BTreeSet<Bytes> {
        self.store.answered(input)
    }

    /// Appends decisions, and returns them once they were read back. They are not in the store yet: call [`Self::commit`].
    ///
    /// # Errors
    /// See [`OwnedError`]; the loop ends with it.
    pub async fn append(&mut self, drafts: Vec<Draft>) -> Result<Vec<AcceptedRecord>, OwnedError> {
        Ok(self.writer.append(drafts).await?)
    }

    /// Stores what records that were read back changed, in one batch with their position. `whole`: see
    /// [`PartitionStore::commit`].
    ///
    /// # Errors
    /// When the store fails.
    pub fn commit(&mut self, records: &[AcceptedRecord], rows: Vec<Row>, whole: bool) -> Result<(), OwnedError> {
        self.digest.took(records.len());
        self.store(records, rows, whole)
    }

    fn store(&mut self, records: &[AcceptedRecord], rows: Vec<Row>, whole: bool) -> Result<(), OwnedError> {
        self.store.commit(records, rows, whole)?;
        let (at, frontier) = (self.store.partition(), &self.store.position().frontier);
        self.ground.metrics.applied(frontier.next_sequence, at);
        self.ground.membership.applied(at, frontier.next_offset);
        Ok(())
    }

    /// Notes that an input was taken: everything below `position.next` is decided and committed.
    pub fn took(&mut self, position: InputPosition) {
        merge_progress(&mut self.progress, &Progress { inputs: vec![position], published: Vec::new() });
        self.pacer.took(1);
    }

    /// Notes that a record which is no input (a Progress of another partition) was passed. Does not make a Progress due:
    /// partitions that follow each other would wake each other for ever.
    pub fn passed(&mut self, position: InputPosition) {
        merge_progress(&mut self.progress, &Progress { inputs: vec![position], published: Vec::new() });
    }

    /// Notes that all below `next` was published.
    pub fn published(&mut self, next: Offset) {
        let at = self.partition();
        let position = InputPosition { topic: at.topic.as_str().to_owned(), partition: at.partition, next };
        merge_progress(&mut self.progress, &Progress { inputs: Vec::new(), published: vec![position] });
    }

    /// How long until a Progress is due; nothing while positions stand still.
    pub fn progress_due(&mut self) -> Option<Duration> {
        let now = self.stamp();
        self.pacer.due_at().map(|at| Duration::from_millis(at.since(now).0))
    }

    /// Records a Progress if one is due.
    ///
    /// # Errors
    /// As for [`Self::append`].
    pub async fn progress_if_due(&mut self) -> Result<(), OwnedError> {
        let now = self.stamp();
        if self.pacer.due(now) { self.record_progress().await } else { Ok(()) }
    }

    /// Records a Progress, moved or not; renews the lease. All that was appended must be committed.
    ///
    /// # Errors
    /// As for [`Self::append`].
    pub async fn record_progress(&mut self) -> Result<(), OwnedError> {
        let at = self.stamp();
        if self.derives && self.is_published() {
            // Nothing derives from a Progress: with it, the next start has nothing to publish.
            self.published(Offset(self.writer.frontier().next_sequence.next().0));
        }
        self.note(at, progress_event(&self.progress)).await?;
        self.pacer.recorded(at);
        Ok(())
    }

    /// Records the digest of the state, if one is due, for followers and restored copies to compare theirs with. All that was
    /// appended must be committed.
    ///
    /// # Errors
    /// As for [`Self::append`].
    pub async fn digest_if_due(&mut self) -> Result<(), OwnedError> {
        let at = self.stamp();
        if !self.digest.due(at) {
            return Ok(());
        }
        let published = self.derives && self.is_published();
        self.note(at, state_digest_event(&self.store.state_digest())).await?;
        if published {
            // Nothing derives from a digest either.
            self.published(Offset(self.writer.frontier().next_sequence.0));
        }
        self.digest.recorded(at);
        Ok(())
    }

    /// Appends a record that is no decision, and stores that it was read back.
    async fn note(&mut self, at: Timestamp, event: Bytes) -> Result<(), OwnedError> {
        let draft = Draft { key: Vec::new(), at, input: None, subject: Bytes::default(), traceparent: None, events: vec![event] };
        let records = self.writer.append(vec![draft]).await?;
        self.store(&records, Vec::new(), false)
    }
}

fn position_in(positions: &[InputPosition], of: &TopicPartition) -> Offset {
    let known = positions.iter().find(|known| known.topic == of.topic.as_str() && known.partition == of.partition);
    known.map_or(Offset(0), |known| known.next)
}
