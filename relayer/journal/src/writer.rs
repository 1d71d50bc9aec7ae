//! The owner's side of an authoritative partition: append → read back → apply (R11), fenced by term and lease (R12).
//!
//! ```text
//!             append Ok, read back as the next records
//!   ┌──────┐ ────────────────────────────────────────▶ returned to the caller, who applies them
//!   │ owner│
//!   └──────┘ ─ uncertain │ skipped │ higher term read │ cancelled │ halted ─▶ lost: writes and sends nothing more in this term
//! ```
//!
//! Crash argument: before the append is durable, nothing happened. After it, the records are part of the truth whether or
//! not their writer ever learns it; its successor reads them before its own claim. A caller that loses its writer drops
//! what it held in memory, reads the log from its applied [`Frontier`], and claims anew.

use crate::acceptance::AcceptedRecord;
use crate::claim::ClaimOptions;
use crate::clock::Clock;
use crate::draft::{Draft, Placed, place};
use crate::frontier::{Frontier, Owner};
use crate::journal::{AppendError, Refusal};
use crate::lease::Lease;
use crate::log::{MAX_APPEND_BYTES, MAX_APPEND_RECORDS, MAX_RECORD_BYTES, NewRecord};
use crate::reader::{FollowError, PartitionReader};
use crate::simulated::SimulatedJournal;
use acurast_events::bytes::RecordHash;
use acurast_events::topics::TopicPartition;
use acurast_events::units::{Offset, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why this writer writes nothing more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The outcome of an append is unknown.
    #[error("{0}")]
    Uncertain(AppendError),
    /// A record of ours doesn't count, though the log took it.
    #[error("a record was acknowledged by the log but isn't accepted there")]
    Skipped,
    /// Somebody else owns the partition.
    #[error("superseded by {0}")]
    Superseded(Owner),
    /// An append's future was dropped before its outcome was known.
    #[error("an append was cancelled")]
    Cancelled,
    /// What was appended couldn't be read back.
    #[error("the records couldn't be read back: {0}")]
    Unread(Box<FollowError>),
}

/// Why records weren't written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The writer is done: rebuild from the log and claim again. Some of the records may be in the log.
    #[error("{at}: ownership lost: {reason}; rebuild from the journal and claim the partition again")]
    Lost {
        /// Where.
        at: TopicPartition,
        /// Why.
        reason: Lost,
    },
    /// Nothing was written, and the writer is as it was.
    #[error(transparent)]
    Refused(AppendError),
    /// A draft's stamp is before the partition's last one.
    #[error("{at}: a decision is stamped {stamp}, before the partition's last record ({last}); stamp with PartitionWriter::stamp")]
    Stamp {
        /// Where.
        at: TopicPartition,
        /// The draft's stamp.
        stamp: Timestamp,
        /// The last record's.
        last: Timestamp,
    },
}

/// The owner of one authoritative partition.
pub struct PartitionWriter {
    reader: PartitionReader,
    owner: Owner,
    clock: Arc<dyn Clock>,
    /// How far stamps are ahead of the monotonic clock, ms; never less than before.
    ahead: AtomicU64,
    lease: Lease,
    lost: Option<Lost>,
}

impl PartitionWriter {
    pub(crate) fn new(reader: PartitionReader, owner: Owner, options: ClaimOptions) -> Self {
        Self { reader, owner, clock: options.clock, ahead: AtomicU64::new(0), lease: Lease::new(options.lease), lost: None }
    }

    /// Appends `drafts` as consecutive records and returns them as they were read back, to be applied now. One sync per
    /// 4,096 records or 16 MiB. When the future is dropped, the writer is lost.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn append(&mut self, drafts: Vec<Draft>) -> Result<Vec<AcceptedRecord>, WriteError> {
        self.check()?;
        let placed = self.place(drafts)?;
        if placed.is_empty() {
            return Ok(Vec::new());
        }
        // Taken before anything is sent, so that a pause anywhere below only shortens the lease.
        let began = self.clock.monotonic();
        // Stands until the outcome is known: a dropped future leaves it.
        self.lost = Some(Lost::Cancelled);
        let (hashes, last) = match self.send(placed).await {
            Ok(sent) => sent,
            Err(refused @ WriteError::Refused(_)) => {
                self.lost = None;
                return Err(refused);
            }
            Err(error) => return Err(error),
        };
        let records = self.read_back(&hashes, last).await?;
        self.lost = None;
        self.lease.renew(began);
        Ok(records)
    }

    /// Reads what others may have appended, and stands down if one of it is a higher claim.
    ///
    /// # Errors
    /// [`WriteError::Lost`].
    pub async fn look(&mut self) -> Result<(), WriteError> {
        self.check()?;
        loop {
            match self.reader.next_batch().await {
                Ok(batch) => {
                    self.check_owner()?;
                    // Nobody but this writer has records accepted in its term, and it read back all it knows of.
                    if !batch.records.is_empty() {
                        return Err(self.lose(Lost::Skipped));
                    }
                    if batch.caught_up {
                        return Ok(());
                    }
                }
                Err(error) => return Err(self.lose(Lost::Unread(Box::new(error)))),
            }
        }
    }

    /// Waits until somebody appends to the partition; then call [`look`](Self::look). May be cancelled.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn watch(&self) -> Result<(), FollowError> {
        self.reader.wait().await
    }

    /// Whether transactions that were read back may be sent now: this writer isn't lost, and read a record of its own back
    /// within its lease. Otherwise append a `Progress` first, moved or not. Ask immediately before each send.
    pub fn may_send(&self) -> bool {
        self.lost.is_none() && self.lease.runs(self.clock.monotonic())
    }

    /// The stamp of the input that is being decided: max(last `at` of the partition, local clock), ms since the Unix epoch.
    ///
    /// Never before an earlier one, and never standing still: a wall clock that jumps ahead and back, or a predecessor's that
    /// was ahead, would otherwise stop every age and every pause until it is caught up with. From the highest moment that was
    /// seen stamps go on at the pace of the monotonic clock.
    pub fn stamp(&self) -> Timestamp {
        let monotonic = u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        let local = self.clock.now().max(self.frontier().at);
        let ahead = local.0.saturating_sub(monotonic);
        let highest = self.ahead.fetch_max(ahead, Ordering::Relaxed).max(ahead);
        local.max(Timestamp(monotonic.saturating_add(highest)))
    }

    /// The claim that this writer writes under.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// Just after the last record that was read back.
    pub fn frontier(&self) -> Frontier {
        self.reader.frontier()
    }

    /// The partition.
    pub fn partition(&self) -> &TopicPartition {
        self.reader.partition()
    }

    /// Its reader, for lag and skip counts.
    pub fn reader(&self) -> &PartitionReader {
        &self.reader
    }

    /// The same owner once more, for a simulated log that is put back to this moment. A log that isn't would have two owners
    /// of one claim: it takes the records of one, and the other is lost at its next append.
    #[must_use]
    pub fn twin(&self, _log: &SimulatedJournal) -> Self {
        Self {
            reader: self.reader.clone(),
            owner: self.owner,
            clock: self.clock.clone(),
            ahead: AtomicU64::new(self.ahead.load(Ordering::Relaxed)),
            lease: self.lease,
            lost: self.lost.clone(),
        }
    }

    fn check(&self) -> Result<(), WriteError> {
        match &self.lost {
            None => Ok(()),
            Some(reason) => Err(WriteError::Lost { at: self.partition().clone(), reason: reason.clone() }),
        }
    }

    fn check_owner(&mut self) -> Result<(), WriteError> {
        match self.reader.owner() {
            Some(owner) if owner != self.owner => Err(self.lose(Lost::Superseded(owner))),
            Some(_) | None => Ok(()),
        }
    }

    fn lose(&mut self, reason: Lost) -> WriteError {
        self.lease.end();
        self.lost = Some(reason.clone());
        WriteError::Lost { at: self.partition().clone(), reason }
    }

    fn place(&self, drafts: Vec<Draft>) -> Result<Vec<Placed>, WriteError> {
        let at = self.partition();
        let mut frontier = self.frontier();
        let described = self.reader.journal().keeps_attributes();
        let mut placed = Vec::with_capacity(drafts.len());
        for (index, draft) in drafts.into_iter().enumerate() {
            if draft.at < frontier.at {
                return Err(WriteError::Stamp { at: at.clone(), stamp: draft.at, last: frontier.at });
            }
            let next = place(draft, at, self.owner, &mut frontier, described);
            let bytes = next.entry.size_bytes();
            if bytes > MAX_RECORD_BYTES {
                let reason = Refusal::RecordTooLong { index, bytes };
                return Err(WriteError::Refused(AppendError::Refused { at: at.clone(), reason }));
            }
            placed.push(next);
        }
        Ok(placed)
    }

    /// Appends in order; returns what must be read back, and the last offset.
    async fn send(&mut self, placed: Vec<Placed>) -> Result<(Vec<RecordHash>, Offset), WriteError> {
        let hashes = placed.iter().map(|placed| placed.hash).collect();
        let mut last = None;
        for entries in within_bounds(placed.into_iter().map(|placed| placed.entry)) {
            let appended = self.reader.journal().append(self.reader.partition(), entries).await;
            match appended {
                Ok(offsets) => last = offsets.last().copied().max(last),
                Err(refused @ AppendError::Refused { .. }) if last.is_none() => return Err(WriteError::Refused(refused)),
                // Refused after a first part was written is as good as unknown to the caller: it rebuilds.
                Err(error) => return Err(self.lose(Lost::Uncertain(error))),
            }
        }
        Ok((hashes, last.unwrap_or_default()))
    }

    async fn read_back(&mut self, hashes: &[RecordHash], last: Offset) -> Result<Vec<AcceptedRecord>, WriteError> {
        let mut records: Vec<AcceptedRecord> = Vec::with_capacity(hashes.len());
        while records.len() < hashes.len() {
            let batch = match self.reader.next_batch().await {
                Ok(batch) => batch,
                Err(error) => return Err(self.lose(Lost::Unread(Box::new(error)))),
            };
            self.check_owner()?;
            records.extend(batch.records);
            let ours = records.iter().map(|record| record.hash).eq(hashes.iter().copied().take(records.len()));
            if !ours || records.len() > hashes.len() {
                return Err(self.lose(Lost::Skipped));
            }
            if records.len() < hashes.len() && self.reader.next_offset() > last {
                return Err(self.lose(Lost::Skipped));
            }
            if records.len() < hashes.len()
                && batch.caught_up
                && let Err(error) = self.reader.wait().await
            {
                return Err(self.lose(Lost::Unread(Box::new(error))));
            }
        }
        Ok(records)
    }
}

/// Groups entries in order so that each group keeps the bounds of one append.
fn within_bounds(entries: impl Iterator<Item = NewRecord>) -> Vec<Vec<NewRecord>> {
    let mut groups: Vec<Vec<NewRecord>> = Vec::new();
    let mut bytes = 0usize;
    for entry in entries {
        let size = entry.size_bytes();
        match groups.last_mut() {
            Some(group) if group.len() < MAX_APPEND_RECORDS && bytes.saturating_add(size) <= MAX_APPEND_BYTES => {
                bytes = bytes.saturating_add(size);
                group.push(entry);
            }
            _ => {
                bytes = size;
                groups.push(vec![entry]);
            }
        }
    }
    groups
}
