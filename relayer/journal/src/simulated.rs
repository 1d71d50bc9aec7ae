//! A journal in memory that misbehaves by a seed: what a broker, a network and other writers can do, and no more.
//!
//! Same seed, same rates, same calls in the same order: same log, byte for byte. Appended records never vanish by
//! themselves; [`SimulatedJournal::truncate`] is the broker that lost acknowledged data.

mod fault;
mod state;

use crate::journal::{AppendError, EventJournal, ReadError, Refusal, TopicError, check_append, check_topic};
use crate::log::{NewRecord, ReadBatch, ReadLimits};
use acurast_events::topics::{TopicName, TopicPartition};
use acurast_events::units::Offset;
use async_trait::async_trait;
pub use fault::{Fault, FaultRates};
use state::State;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The simulated back end.
pub struct SimulatedJournal {
    state: Mutex<State>,
}

impl SimulatedJournal {
    /// A journal whose faults follow from `seed` and happen at `rates`.
    pub fn new(seed: u64, rates: FaultRates) -> Self {
        Self { state: Mutex::new(State::new(seed, rates)) }
    }

    /// A journal without faults.
    pub fn faultless() -> Self {
        Self::new(0, FaultRates::default())
    }

    /// Changes the rates from here on.
    pub fn set_rates(&self, rates: FaultRates) {
        self.state().rates = rates;
    }

    /// The next append to `at` meets this fault, whatever the rates say.
    pub fn inject(&self, at: &TopicPartition, fault: Fault) {
        self.state().injected.insert(at.clone(), fault);
    }

    /// How often each fault happened.
    pub fn faults(&self) -> BTreeMap<Fault, u64> {
        self.state().counts.clone()
    }

    /// All records that are still on their way land now.
    pub fn land(&self) {
        self.state().land_all();
    }

    /// The log of `at` loses all from offset `end` on, acknowledged or not.
    pub fn truncate(&self, at: &TopicPartition, end: Offset) {
        self.state().truncate(at, end);
    }

    // No code panics while it holds the lock; a poisoned state is as good as any.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl EventJournal for SimulatedJournal {
    async fn create(&self, topic: &TopicName, partitions: NonZeroU32) -> Result<(), TopicError> {
        check_topic(topic, partitions)?;
        self.state().create(topic, partitions)
    }

    async fn topics(&self) -> Result<BTreeMap<TopicName, NonZeroU32>, TopicError> {
        Ok(self.state().topics.clone())
    }

    async fn append(&self, at: &TopicPartition, records: Vec<NewRecord>) -> Result<Vec<Offset>, AppendError> {
        check_append(at, &records)?;
        let mut state = self.state();
        if !state.logs.contains_key(at) {
            return Err(AppendError::Refused { at: at.clone(), reason: Refusal::NoSuchPartition });
        }
        state.append(at, records)
    }

    async fn read(&self, at: &TopicPartition, from: Offset, limits: ReadLimits) -> Result<ReadBatch, ReadError> {
        self.state().read(at, from, limits)
    }

    async fn end(&self, at: &TopicPartition) -> Result<Offset, ReadError> {
        self.state().log(at).map(|log| log.end())
    }

    async fn wait_beyond(&self, at: &TopicPartition, offset: Offset) -> Result<Offset, ReadError> {
        let mut end = self.state().log(at)?.ends.subscribe();
        let seen = end.wait_for(|end| *end != offset).await.map(|end| *end);
        seen.map_err(|_| ReadError::Unavailable { at: at.clone(), reason: "the journal was closed".into() })
    }
}
