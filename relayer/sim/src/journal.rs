//! The journal as a process of the world sees it: the simulated log, with crash points around every append.

use crate::boundary::{Boundaries, Boundary};
use acurast_events::topics::{TopicName, TopicPartition};
use acurast_events::units::Offset;
use acurast_relayer_journal::{AppendError, EventJournal, NewRecord, ReadBatch, ReadError, ReadLimits, SimulatedJournal, TopicError};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// A process would wait for something that nobody will bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the process waits for something that never comes")]
pub struct WaitsForEver;

/// Runs a future of the journal to its end. The simulated journal answers at once or never.
///
/// # Errors
/// When it would wait.
pub fn finish<F: Future>(future: F) -> Result<F::Output, WaitsForEver> {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => Err(WaitsForEver),
    }
}

/// The journal of a process that may crash at any append.
pub struct ProcessJournal {
    log: Arc<SimulatedJournal>,
    boundaries: Arc<Boundaries>,
}

impl ProcessJournal {
    /// The log, as a process sees it.
    pub fn new(log: Arc<SimulatedJournal>, boundaries: Arc<Boundaries>) -> Self {
        Self { log, boundaries }
    }
}

#[async_trait]
impl EventJournal for ProcessJournal {
    async fn create(&self, topic: &TopicName, partitions: NonZeroU32) -> Result<(), TopicError> {
        self.log.create(topic, partitions).await
    }

    async fn topics(&self) -> Result<BTreeMap<TopicName, NonZeroU32>, TopicError> {
        self.log.topics().await
    }

    async fn append(&self, at: &TopicPartition, records: Vec<NewRecord>) -> Result<Vec<Offset>, AppendError> {
        // A crashed process learns nothing: what it is told here it never acts upon.
        let gone = || Err(AppendError::Uncertain { at: at.clone(), reason: "the process crashed".into() });
        if self.boundaries.pass(Boundary::Append) {
            return gone();
        }
        let appended = self.log.append_now(at, records);
        if self.boundaries.pass(Boundary::Acknowledge) { gone() } else { appended }
    }

    fn keeps_attributes(&self) -> bool {
        self.log.keeps_attributes()
    }

    async fn read(&self, at: &TopicPartition, from: Offset, limits: ReadLimits) -> Result<ReadBatch, ReadError> {
        self.log.read_now(at, from, limits)
    }

    async fn end(&self, at: &TopicPartition) -> Result<Offset, ReadError> {
        self.log.end_now(at)
    }

    async fn wait_beyond(&self, at: &TopicPartition, offset: Offset) -> Result<Offset, ReadError> {
        self.log.wait_beyond(at, offset).await
    }
}
