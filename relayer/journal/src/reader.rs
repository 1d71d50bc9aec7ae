//! Follows the accepted records of an authoritative partition, from the start or from a [`Frontier`].
//!
//! Settle reads source topics and lanes with it, dispatch reads jobs, followers read the partition that they may take over,
//! and a [`PartitionWriter`](crate::PartitionWriter) reads back its own.

use crate::acceptance::{Acceptance, AcceptedRecord, Halt, SkipCounts, Verdict, is_anchor};
use crate::frontier::{Frontier, Owner};
use crate::journal::{EventJournal, ReadError};
use crate::log::ReadLimits;
use acurast_events::topics::TopicPartition;
use acurast_events::units::Offset;
use std::sync::Arc;

/// Why following stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FollowError {
    /// The log can't be read; the reader stands where it stood, and may try again.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The reader must halt; trying again halts again.
    #[error(transparent)]
    Halt(#[from] Halt),
}

/// The accepted records of one read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedBatch {
    /// In sequence order; none also when all that was read was skipped.
    pub records: Vec<AcceptedRecord>,
    /// Whether the reader reached the log's end as this read saw it.
    pub caught_up: bool,
}

/// A reader of one authoritative partition.
#[derive(Clone)]
pub struct PartitionReader {
    journal: Arc<dyn EventJournal>,
    acceptance: Acceptance,
    limits: ReadLimits,
}

impl PartitionReader {
    /// Goes on after `frontier`, once the log was found to hold the record before it.
    ///
    /// # Errors
    /// [`Halt::Shortened`] or [`Halt::Rewritten`] when the log isn't the one that `frontier` comes from; a read error when it
    /// can't be told, which may be tried again.
    pub async fn open(journal: Arc<dyn EventJournal>, at: TopicPartition, frontier: Frontier) -> Result<Self, FollowError> {
        let acceptance = Acceptance::resume(at, frontier);
        let at = acceptance.partition();
        acceptance.check_end(journal.end(at).await?)?;
        if let Some(anchor) = frontier.anchor() {
            let one = ReadLimits { records_max: 1, bytes_max: 1 };
            let batch = journal.read(at, anchor, one).await?;
            match batch.records.first() {
                Some(raw) if raw.offset == anchor && is_anchor(at, &frontier, raw) => {}
                Some(_) => return Err(Halt::Rewritten { at: at.clone(), offset: anchor, applied: frontier.hash }.into()),
                // The log reaches beyond the anchor, and a read that shows nothing of it says nothing about it.
                None => {
                    let reason = format!("no record was returned at offset {anchor}, though the log reaches beyond it");
                    return Err(ReadError::Unavailable { at: at.clone(), reason }.into());
                }
            }
        }
        Ok(Self { journal, acceptance, limits: ReadLimits::default() })
    }

    /// The same reader with other bounds per read.
    #[must_use]
    pub fn with_limits(self, limits: ReadLimits) -> Self {
        Self { limits, ..self }
    }

    /// Reads on, at most once; doesn't wait for more.
    ///
    /// # Errors
    /// See [`FollowError`]. Records before the one that halts are returned first.
    pub async fn next_batch(&mut self) -> Result<AcceptedBatch, FollowError> {
        let batch = self.journal.read(self.acceptance.partition(), self.acceptance.next_offset(), self.limits).await?;
        self.acceptance.check_end(batch.end)?;
        let mut records = Vec::new();
        for raw in &batch.records {
            match self.acceptance.offer(raw) {
                Ok(Verdict::Accepted(accepted)) => records.push(*accepted),
                Ok(Verdict::Claimed(owner)) => tracing::info!(partition = %self.acceptance.partition(), %owner, "partition claimed"),
                Ok(Verdict::Skipped(reason)) => {
                    tracing::debug!(partition = %self.acceptance.partition(), offset = %raw.offset, reason = reason.label(), "record skipped");
                }
                // What came before it is handed out; the next call meets it again, first of all.
                Err(_) if !records.is_empty() => break,
                Err(halt) => return Err(halt.into()),
            }
        }
        Ok(AcceptedBatch { records, caught_up: self.acceptance.next_offset() >= batch.end })
    }

    /// Waits until there is more to read. May be cancelled.
    ///
    /// # Errors
    /// See [`FollowError`].
    pub async fn wait(&self) -> Result<(), FollowError> {
        let end = self.journal.wait_beyond(self.acceptance.partition(), self.acceptance.next_offset()).await?;
        Ok(self.acceptance.check_end(end)?)
    }

    /// Who owns the partition, as far as it was read.
    pub fn owner(&self) -> Option<Owner> {
        self.acceptance.owner()
    }

    /// Just after the last accepted record that was returned.
    pub fn frontier(&self) -> Frontier {
        self.acceptance.frontier()
    }

    /// The next raw offset to read; the log's end minus this is the reader's lag.
    pub fn next_offset(&self) -> Offset {
        self.acceptance.next_offset()
    }

    /// The partition.
    pub fn partition(&self) -> &TopicPartition {
        self.acceptance.partition()
    }

    /// What was skipped since this reader started.
    pub fn skipped(&self) -> &SkipCounts {
        self.acceptance.skipped()
    }

    pub(crate) fn acceptance(&self) -> &Acceptance {
        &self.acceptance
    }

    pub(crate) fn journal(&self) -> &Arc<dyn EventJournal> {
        &self.journal
    }
}
