//! One authoritative partition of a process: its writer, its fold and how far it took its inputs, in the order of writes
//! that the relayer keeps (R11, R12): append → read back → apply.
//!
//! The writer, the claim and the acceptance rule are the relayer's own code. What is imitated here is the thin shell around
//! them, and each line of it that matters can be broken by a [`Mutant`].

use crate::boundary::{Boundaries, Boundary};
use crate::clock::MachineClock;
use crate::journal::{WaitsForEver, finish};
use crate::mutant::Mutant;
use crate::store::MemoryStore;
use acurast_events::bytes::{Bytes, WriterId};
use acurast_events::jobs::JobsEvent;
use acurast_events::lanes::LanesEvent;
use acurast_events::record::{InputPosition, InputRef, Progress};
use acurast_events::topics::TopicPartition;
use acurast_events::units::{Offset, Timestamp};
use acurast_relayer_core::{Partition, Subject};
use acurast_relayer_journal::{
    AcceptedRecord, ClaimError, ClaimOptions, Claiming, DigestPacer, Draft, EventJournal, FollowError, Frontier, PartitionWriter,
    ProgressPacer, SimulatedJournal, WriteError, merge_progress, progress_event, state_digest_event,
};
use acurast_relayer_lane::Lane;
use acurast_relayer_store::{Row, digest_runs};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Why a process ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// It crashed where it was told to.
    #[error("crashed")]
    Crashed,
    /// It lost its partition, or an append's outcome: the supervisor starts it again.
    #[error("{0}")]
    Lost(String),
    /// Log and code disagree: a start would only find the same again.
    #[error("defect: {0}")]
    Defect(String),
}

impl From<WaitsForEver> for Stop {
    fn from(error: WaitsForEver) -> Self {
        Self::Defect(error.to_string())
    }
}

impl From<FollowError> for Stop {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Read(error) => Self::Lost(error.to_string()),
            FollowError::Halt(halt) => Self::Defect(halt.to_string()),
        }
    }
}

impl From<WriteError> for Stop {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Lost { .. } | WriteError::Refused(_) => Self::Lost(error.to_string()),
            WriteError::Stamp { .. } => Self::Defect(error.to_string()),
        }
    }
}

impl From<ClaimError> for Stop {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Follow(error) => error.into(),
            ClaimError::Superseded { .. } | ClaimError::Append(_) => Self::Lost(error.to_string()),
            ClaimError::NoTermLeft(_) | ClaimError::Unfinished(_) => Self::Defect(error.to_string()),
        }
    }
}

/// The state of a partition as a fold of its records.
pub trait Fold {
    /// Takes one accepted record.
    ///
    /// # Errors
    /// Why it can't be folded.
    fn fold(&mut self, record: &AcceptedRecord) -> Result<(), String>;
    /// Rows that changed since the last call.
    ///
    /// # Errors
    /// When a value can't be encoded.
    fn rows(&mut self) -> Result<Vec<Row>, String>;
}

impl Fold for Partition {
    fn fold(&mut self, record: &AcceptedRecord) -> Result<(), String> {
        let events = record.record.decode_events::<JobsEvent>().map_err(|error| error.to_string())?;
        let subject = Subject::from_bytes(&record.record.subject).map_err(|error| error.to_string())?;
        self.evolve(record.record.at, record.record.input.as_ref(), &subject, &events).map_err(|error| error.to_string())
    }
    fn rows(&mut self) -> Result<Vec<Row>, String> {
        self.changes().map_err(|error| error.to_string())
    }
}

impl Fold for Lane {
    fn fold(&mut self, record: &AcceptedRecord) -> Result<(), String> {
        let events = record.record.decode_events::<LanesEvent>().map_err(|error| error.to_string())?;
        self.evolve(record.record.at, &events).map_err(|error| error.to_string())
    }
    fn rows(&mut self) -> Result<Vec<Row>, String> {
        self.changes().map_err(|error| error.to_string())
    }
}

/// Folds records and returns the rows that they change; a Progress is no state.
///
/// # Errors
/// Why a record can't be folded.
pub fn fold_all(state: &mut dyn Fold, records: &[AcceptedRecord]) -> Result<Vec<Row>, String> {
    let mut any = false;
    for record in records.iter().filter(|record| !record.record.subject.0.is_empty()) {
        state.fold(record).map_err(|reason| format!("record {}: {reason}", record.record.sequence))?;
        any = true;
    }
    if any { state.rows() } else { Ok(Vec::new()) }
}

/// What a process needs to own a partition.
#[derive(Clone)]
pub struct Means {
    /// The log, as the process sees it.
    pub journal: Arc<dyn EventJournal>,
    /// Its crash points.
    pub boundaries: Arc<Boundaries>,
    /// The machine's clocks.
    pub clock: Arc<MachineClock>,
    /// How long after reading back a record of its own an owner may send.
    pub lease: Duration,
    /// What is wrong with this shell, on purpose.
    pub mutant: Option<Mutant>,
    /// The log itself, which a world may put back.
    pub log: Arc<SimulatedJournal>,
}

/// One partition of a process.
pub struct Owned {
    at: TopicPartition,
    means: Means,
    /// The fold; what is on disk when the process is gone.
    pub store: MemoryStore,
    writer: PartitionWriter,
    progress: Progress,
    pacer: ProgressPacer,
    digest: DigestPacer,
    stamped: Timestamp,
    derives: bool,
}

/// The same owner once more, for a world that is put back.
impl Clone for Owned {
    fn clone(&self) -> Self {
        Self {
            at: self.at.clone(),
            means: self.means.clone(),
            store: self.store.clone(),
            writer: self.writer.twin(&self.means.log),
            progress: self.progress.clone(),
            pacer: self.pacer,
            digest: self.digest,
            stamped: self.stamped,
            derives: self.derives,
        }
    }
}

impl Owned {
    /// Takes a partition over: folds what the store does not have yet, claims, and reads up to the claim. The store keeps
    /// what was folded also when the claim fails.
    ///
    /// # Errors
    /// Why the process ends.
    pub fn take_over(means: Means, store: &mut MemoryStore, writer: WriterId, state: &mut dyn Fold) -> Result<Self, Stop> {
        let at = store.partition().clone();
        let options = ClaimOptions { writer, lease: means.lease, clock: means.clock.clone() };
        let begun = finish(Claiming::begin(means.journal.clone(), at.clone(), store.frontier(), options))?;
        let mut claiming = ended(&means, begun)?;
        while let Some(records) = ended(&means, finish(claiming.next_batch())?)? {
            for run in digest_runs(records) {
                let rows = fold_all(state, &run).map_err(|reason| Stop::Defect(format!("{at}: {reason}")))?;
                store.commit(&run, rows).map_err(Stop::Defect)?;
            }
        }
        let writer = claiming.finish()?;
        let progress = store.progress().clone();
        Ok(Self {
            at,
            means,
            store: store.clone(),
            writer,
            progress,
            pacer: ProgressPacer::default(),
            digest: DigestPacer::default(),
            stamped: Timestamp(0),
            derives: false,
        })
    }

    /// The partition.
    pub fn partition(&self) -> &TopicPartition {
        &self.at
    }

    /// What is wrong with this shell, on purpose.
    pub fn mutant(&self) -> Option<Mutant> {
        self.means.mutant
    }

    /// The next position of an input that is not taken yet.
    pub fn input_next(&self, input: &TopicPartition) -> Offset {
        position_in(&self.progress.inputs, input)
    }

    /// The next record of this partition that derived topics don't have yet.
    pub fn published_next(&self) -> Offset {
        position_in(&self.progress.published, &self.at)
    }

    /// The stamp of the input that is being decided.
    pub fn stamp(&mut self) -> Timestamp {
        self.stamped = self.stamped.max(self.writer.stamp());
        self.stamped
    }

    /// Notes that messages derive from this partition.
    pub fn derives(&mut self) {
        self.derives = true;
    }

    /// Whether somebody may have appended here since this owner last read.
    ///
    /// # Errors
    /// When the log can't be read.
    pub fn is_behind(&self) -> Result<bool, Stop> {
        let end = self.means.log.end_now(&self.at).map_err(FollowError::from)?;
        Ok(end > self.writer.reader().next_offset())
    }

    /// Looks for a higher claim, and stands down if there is one (R12).
    ///
    /// # Errors
    /// When the partition was lost.
    pub fn look(&mut self) -> Result<(), Stop> {
        if self.means.mutant == Some(Mutant::StaleTermSends) {
            return Ok(());
        }
        let looked = finish(self.writer.look())?;
        ended(&self.means, looked)
    }

    /// Whether nothing derives from records that were not published yet.
    pub fn is_published(&self) -> bool {
        self.published_next().0 >= self.writer.frontier().next_sequence.0
    }

    /// Whether transactions that were read back may be sent now (R12).
    pub fn may_send(&self) -> bool {
        self.means.mutant == Some(Mutant::StaleTermSends) || self.writer.may_send()
    }

    /// The subjects for which records after the last Progress already answer this input.
    pub fn answered(&self, input: &InputRef) -> BTreeSet<Bytes> {
        self.store.answered(input)
    }

    /// Appends decisions, and returns them once they were read back; then [`Self::commit`].
    ///
    /// # Errors
    /// Why the process ends.
    pub fn append(&mut self, drafts: Vec<Draft>) -> Result<Vec<AcceptedRecord>, Stop> {
        let appended = finish(self.writer.append(drafts))?;
        let records = ended(&self.means, appended)?;
        if self.means.boundaries.pass(Boundary::Apply) {
            return Err(Stop::Crashed);
        }
        Ok(records)
    }

    /// Stores what records that were read back changed.
    ///
    /// # Errors
    /// Why the process ends.
    pub fn commit(&mut self, records: &[AcceptedRecord], rows: Vec<Row>) -> Result<(), Stop> {
        self.digest.took(records.len());
        self.store.commit(records, rows).map_err(Stop::Defect)
    }

    /// Notes that an input was taken: everything below `position.next` is decided and committed.
    pub fn took(&mut self, position: InputPosition) {
        self.passed(position);
        self.pacer.took(1);
    }

    /// Notes that a record which is no input was passed.
    pub fn passed(&mut self, position: InputPosition) {
        merge_progress(&mut self.progress, &Progress { inputs: vec![position], published: Vec::new() });
    }

    /// Notes where a reader of an authoritative input may begin.
    pub fn note_landmark(&mut self, input: TopicPartition, frontier: Frontier) {
        self.store.note_landmark(input, frontier);
    }

    /// Notes that all below `next` was published.
    pub fn published(&mut self, next: Offset) {
        let position = InputPosition { topic: self.at.topic.as_str().to_owned(), partition: self.at.partition, next };
        merge_progress(&mut self.progress, &Progress { inputs: Vec::new(), published: vec![position] });
    }

    /// Records a Progress if one is due.
    ///
    /// # Errors
    /// As for [`Self::append`].
    pub fn progress_if_due(&mut self) -> Result<(), Stop> {
        let now = self.stamp();
        if self.pacer.due(now) { self.record_progress() } else { Ok(()) }
    }

    /// Records a Progress, moved or not; renews the lease.
    ///
    /// # Errors
    /// As for [`Self::append`].
    pub fn record_progress(&mut self) -> Result<(), Stop> {
        let at = self.stamp();
        if self.derives && self.is_published() {
            self.published(Offset(self.writer.frontier().next_sequence.next().0));
        }
        let events = vec![progress_event(&self.progress)];
        let draft = Draft { key: Vec::new(), at, input: None, subject: Bytes::default(), traceparent: None, events };
        let records = self.append(vec![draft])?;
        self.store.commit(&records, Vec::new()).map_err(Stop::Defect)?;
        self.pacer.recorded(at);
        Ok(())
    }

    /// Records the digest of the state, if one is due.
    ///
    /// # Errors
    /// As for [`Self::append`].
    pub fn digest_if_due(&mut self) -> Result<(), Stop> {
        let at = self.stamp();
        if !self.digest.due(at) {
            return Ok(());
        }
        let published = self.derives && self.is_published();
        let events = vec![state_digest_event(&self.store.state_digest())];
        let draft = Draft { key: Vec::new(), at, input: None, subject: Bytes::default(), traceparent: None, events };
        let records = self.append(vec![draft])?;
        self.store.commit(&records, Vec::new()).map_err(Stop::Defect)?;
        if published {
            self.published(Offset(self.writer.frontier().next_sequence.0));
        }
        self.digest.recorded(at);
        Ok(())
    }
}

/// A result of the journal, as the process takes it: one that has crashed learns nothing from it.
fn ended<T, E: Into<Stop>>(means: &Means, result: Result<T, E>) -> Result<T, Stop> {
    if means.boundaries.is_crashed() { Err(Stop::Crashed) } else { result.map_err(Into::into) }
}

fn position_in(positions: &[InputPosition], of: &TopicPartition) -> Offset {
    let known = positions.iter().find(|known| known.topic == of.topic.as_str() && known.partition == of.partition);
    known.map_or(Offset(0), |known| known.next)
}
