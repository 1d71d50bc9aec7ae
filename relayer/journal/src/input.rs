//! Reads a topic that has no chain (`outputs.v1`, `control.v1`, derived topics) by offset.

use crate::journal::{EventJournal, ReadError};
use crate::log::{LogRecord, ReadLimits};
use acurast_events::topics::TopicPartition;
use acurast_events::units::Offset;
use std::sync::Arc;

/// Why an input can't be read on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A position was recorded that the topic doesn't reach any more (R11).
    #[error("{at}: the log ends at offset {end}, but inputs up to {taken} were taken from it; the topic lost records. Restore it")]
    Lost {
        /// Where.
        at: TopicPartition,
        /// Where it ends.
        end: Offset,
        /// The next position that was to be taken.
        taken: Offset,
    },
}

/// A reader of one input partition.
#[derive(Clone)]
pub struct InputReader {
    journal: Arc<dyn EventJournal>,
    at: TopicPartition,
    next: Offset,
    limits: ReadLimits,
}

impl InputReader {
    /// Goes on at `next`, the position of the last `Progress`.
    ///
    /// # Errors
    /// [`InputError::Lost`] when the topic ends before it.
    pub async fn open(journal: Arc<dyn EventJournal>, at: TopicPartition, next: Offset) -> Result<Self, InputError> {
        let end = journal.end(&at).await?;
        let reader = Self { journal, at, next, limits: ReadLimits::default() };
        reader.check_end(end)?;
        Ok(reader)
    }

    /// Reads on, at most once; doesn't wait for more. Empty at the end.
    ///
    /// # Errors
    /// See [`InputError`].
    pub async fn next_batch(&mut self) -> Result<Vec<LogRecord>, InputError> {
        let batch = self.journal.read(&self.at, self.next, self.limits).await?;
        self.check_end(batch.end)?;
        if let Some(last) = batch.records.last() {
            self.next = last.offset.next();
        }
        Ok(batch.records)
    }

    /// Whether everything below `end` was read. Before a seal or a removal ends an execution, settle takes `end()` and reads
    /// on until this holds (PROTOCOL §5).
    pub fn reached(&self, end: Offset) -> bool {
        self.next >= end
    }

    /// Waits until there is more to read. May be cancelled.
    ///
    /// # Errors
    /// See [`InputError`].
    pub async fn wait(&self) -> Result<(), InputError> {
        self.check_end(self.journal.wait_beyond(&self.at, self.next).await?)
    }

    /// Where the topic ends now.
    ///
    /// # Errors
    /// See [`InputError`].
    pub async fn end(&self) -> Result<Offset, InputError> {
        Ok(self.journal.end(&self.at).await?)
    }

    /// The next offset to read.
    pub fn next_offset(&self) -> Offset {
        self.next
    }

    /// The partition.
    pub fn partition(&self) -> &TopicPartition {
        &self.at
    }

    fn check_end(&self, end: Offset) -> Result<(), InputError> {
        if end >= self.next { Ok(()) } else { Err(InputError::Lost { at: self.at.clone(), end, taken: self.next }) }
    }
}
