//! Taking a partition over: read to the end, claim, read up to the claim; only then is the claimant the owner (R12).
//!
//! ```text
//! begin ─ next_batch … ─▶ at the end ─ append Claim(highest term + 1, random writer) ─ next_batch … ─▶ own claim read ─ finish
//! ```
//!
//! Crash argument: a crash before the claim leaves nothing. A crash after it leaves a claim that no one acts under; the
//! next claimant's term is higher. A claim whose append is uncertain may land at any time: its writer id is never used
//! again, so it owns nothing but the need for a higher term.

use crate::acceptance::AcceptedRecord;
use crate::clock::{Clock, SystemClock};
use crate::draft;
use crate::frontier::{Frontier, Owner};
use crate::journal::{AppendError, EventJournal};
use crate::reader::{FollowError, PartitionReader};
use crate::writer::PartitionWriter;
use acurast_events::bytes::WriterId;
use acurast_events::topics::TopicPartition;
use acurast_events::units::Offset;
use std::sync::Arc;
use std::time::Duration;

/// How a claimant identifies itself and measures time.
#[derive(Clone)]
pub struct ClaimOptions {
    /// Random, never used for another claim; see [`fresh_writer_id`].
    pub writer: WriterId,
    /// How long after reading back a record of its own the owner may send (`lease_ms`).
    pub lease: Duration,
    /// The shell's clocks.
    pub clock: Arc<dyn Clock>,
}

impl ClaimOptions {
    /// A claim of this process: a fresh writer id and the machine's clocks.
    pub fn new(lease: Duration) -> Self {
        Self { writer: fresh_writer_id(), lease, clock: Arc::new(SystemClock::default()) }
    }
}

/// A random writer id.
pub fn fresh_writer_id() -> WriterId {
    WriterId(rand::random())
}

/// Why the partition wasn't taken over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// Another claim came first, or followed before this one was read back. Its writer is the owner.
    #[error("{at}: owned by {by}; this claimant stands down")]
    Superseded {
        /// Where.
        at: TopicPartition,
        /// The owner.
        by: Owner,
    },
    /// The claim was not written, or it isn't known whether it was; claim again, with a new writer id.
    #[error("claim not confirmed: {0}")]
    Append(#[from] AppendError),
    /// The log can't be read, or the reader must halt.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// There is no higher term. Only a forged claim can use terms up.
    #[error("{0}: the highest term is taken by a forged claim; nobody can own this partition any more. Restore the topic without it")]
    NoTermLeft(TopicPartition),
    /// `finish` was called before the claim was read back.
    #[error("{0}: the claim wasn't read back yet; call next_batch until it returns nothing")]
    Unfinished(TopicPartition),
}

enum Stage {
    CatchingUp,
    /// The claim was appended at this offset.
    Appended(Owner, Offset),
    /// It isn't known whether it was.
    Uncertain(Owner, AppendError),
    Owned(Owner),
}

/// A claim under way.
pub struct Claiming {
    reader: PartitionReader,
    options: ClaimOptions,
    stage: Stage,
}

impl Claiming {
    /// Starts after `frontier`, up to which the claimant's store is folded.
    ///
    /// # Errors
    /// When the log isn't the one that was folded, or can't be read.
    pub async fn begin(
        journal: Arc<dyn EventJournal>,
        at: TopicPartition,
        frontier: Frontier,
        options: ClaimOptions,
    ) -> Result<Self, ClaimError> {
        Ok(Self::with(PartitionReader::open(journal, at, frontier).await?, options))
    }

    /// Starts with the reader of a warm follower, which folded all that it returned.
    pub fn with(reader: PartitionReader, options: ClaimOptions) -> Self {
        Self { reader, options, stage: Stage::CatchingUp }
    }

    /// The next accepted records of predecessors, which the caller folds; nothing once the claim was read back.
    ///
    /// # Errors
    /// See [`ClaimError`]; the claim is over then.
    pub async fn next_batch(&mut self) -> Result<Option<Vec<AcceptedRecord>>, ClaimError> {
        loop {
            if let Stage::Owned(_) = self.stage {
                return Ok(None);
            }
            let batch = self.reader.next_batch().await?;
            self.settle_claim(batch.caught_up)?;
            if !batch.records.is_empty() {
                return Ok(Some(batch.records));
            }
            match &self.stage {
                Stage::CatchingUp if batch.caught_up => self.append().await?,
                Stage::Appended(..) if batch.caught_up => self.reader.wait().await?,
                Stage::CatchingUp | Stage::Appended(..) | Stage::Uncertain(..) | Stage::Owned(_) => {}
            }
        }
    }

    /// The writer, once `next_batch` returned nothing.
    ///
    /// # Errors
    /// [`ClaimError::Unfinished`] before that.
    pub fn finish(self) -> Result<PartitionWriter, ClaimError> {
        match self.stage {
            Stage::Owned(owner) => Ok(PartitionWriter::new(self.reader, owner, self.options)),
            Stage::CatchingUp | Stage::Appended(..) | Stage::Uncertain(..) => Err(ClaimError::Unfinished(self.reader.partition().clone())),
        }
    }

    async fn append(&mut self) -> Result<(), ClaimError> {
        let at = self.reader.partition().clone();
        let term = self.reader.acceptance().term().checked_add(1).ok_or_else(|| ClaimError::NoTermLeft(at.clone()))?;
        let owner = Owner { term, writer: self.options.writer };
        let entry = draft::claim(&at, owner, self.options.clock.now());
        self.stage = match self.reader.journal().append(&at, vec![entry]).await {
            Ok(offsets) => Stage::Appended(owner, offsets.last().copied().unwrap_or_default()),
            Err(error @ AppendError::Uncertain { .. }) => Stage::Uncertain(owner, error),
            Err(error @ AppendError::Refused { .. }) => return Err(error.into()),
        };
        Ok(())
    }

    /// Judges the claim by what was read so far; `caught_up`: to the end.
    fn settle_claim(&mut self, caught_up: bool) -> Result<(), ClaimError> {
        let (mine, passed) = match &self.stage {
            Stage::Appended(owner, offset) => (*owner, self.reader.next_offset() > *offset),
            Stage::Uncertain(owner, _) => (*owner, caught_up),
            Stage::CatchingUp | Stage::Owned(_) => return Ok(()),
        };
        match self.reader.owner() {
            Some(owner) if owner == mine => self.stage = Stage::Owned(mine),
            Some(by) if by.term >= mine.term => return Err(ClaimError::Superseded { at: self.reader.partition().clone(), by }),
            Some(_) | None if passed => {
                if let Stage::Uncertain(_, error) = &self.stage {
                    return Err(error.clone().into());
                }
                // The log gave our claim an offset, and another record stands there: what it acknowledged is lost.
                return Err(AppendError::Uncertain {
                    at: self.reader.partition().clone(),
                    reason: "the claim was acknowledged but isn't in the log".into(),
                }
                .into());
            }
            Some(_) | None => {}
        }
        Ok(())
    }
}
