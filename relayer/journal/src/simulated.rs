//! A journal in memory that misbehaves by a seed: what a broker, a network and other writers can do, and no more.
//!
//! Same seed, same rates, same calls in the same order: same log, byte for byte. Appended records never vanish by
//! themselves; [`SimulatedJournal::truncate`] is the broker that lost acknowledged data.

mod fault;
mod state;

use crate::attributes::Attributes;
use crate::journal::{AppendError, EventJournal, ReadError, Refusal, TopicError, check_append, check_topic};
use crate::log::{LogRecord, NewRecord, ReadBatch, ReadLimits};
use acurast_events::topics::{TopicName, TopicPartition};
use acurast_events::units::Offset;
use async_trait::async_trait;
pub use fault::{Fault, FaultRates};
use state::State;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All that a simulated journal is at one moment: its logs, what is on its way to them, and what its seed has yet to bring.
#[derive(Clone)]
pub struct LogMoment(State);

/// The simulated back end.
pub struct SimulatedJournal {
    state: Mutex<State>,
    described: bool,
}

impl SimulatedJournal {
    /// A journal whose faults follow from `seed` and happen at `rates`.
    pub fn new(seed: u64, rates: FaultRates) -> Self {
        Self { state: Mutex::new(State::new(seed, rates)), described: true }
    }

    /// The same, but attributes are neither asked for nor stored.
    #[must_use]
    pub fn without_attributes(self) -> Self {
        Self { described: false, ..self }
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

    /// [`EventJournal::append`], which has nothing to wait for here.
    ///
    /// # Errors
    /// As there.
    pub fn append_now(&self, at: &TopicPartition, mut records: Vec<NewRecord>) -> Result<Vec<Offset>, AppendError> {
        check_append(at, &records)?;
        if !self.described {
            records.iter_mut().for_each(|record| record.attributes = Attributes::default());
        }
        let mut state = self.state();
        if !state.logs.contains_key(at) {
            return Err(AppendError::Refused { at: at.clone(), reason: Refusal::NoSuchPartition });
        }
        state.append(at, records)
    }

    /// [`EventJournal::read`], which has nothing to wait for here.
    ///
    /// # Errors
    /// As there.
    pub fn read_now(&self, at: &TopicPartition, from: Offset, limits: ReadLimits) -> Result<ReadBatch, ReadError> {
        self.state().read(at, from, limits)
    }

    /// [`EventJournal::end`], which has nothing to wait for here.
    ///
    /// # Errors
    /// As there.
    pub fn end_now(&self, at: &TopicPartition) -> Result<Offset, ReadError> {
        self.state().log(at).map(|log| log.end())
    }

    /// The raw records of `at` from offset `from` on, whatever reads meet: nothing is drawn for it, and nothing copied.
    ///
    /// # Errors
    /// When the partition doesn't exist.
    pub fn raw(&self, at: &TopicPartition, from: Offset) -> Result<Vec<Arc<LogRecord>>, ReadError> {
        self.state().log(at).map(|log| log.since(from).to_vec())
    }

    /// The journal as it stands.
    pub fn moment(&self) -> LogMoment {
        LogMoment(self.state().clone())
    }

    /// Makes the journal as it was at `moment`: the same calls bring the same again.
    pub fn put_back(&self, moment: &LogMoment) {
        self.state().put_back(&moment.0);
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
        self.append_now(at, records)
    }

    fn keeps_attributes(&self) -> bool {
        self.described
    }

    async fn read(&self, at: &TopicPartition, from: Offset, limits: ReadLimits) -> Result<ReadBatch, ReadError> {
        self.read_now(at, from, limits)
    }

    async fn end(&self, at: &TopicPartition) -> Result<Offset, ReadError> {
        self.end_now(at)
    }

    async fn wait_beyond(&self, at: &TopicPartition, offset: Offset) -> Result<Offset, ReadError> {
        let mut end = self.state().log(at)?.ends.subscribe();
        let seen = end.wait_for(|end| *end != offset).await.map(|end| *end);
        seen.map_err(|_| ReadError::Unavailable { at: at.clone(), reason: "the journal was closed".into() })
    }
}
