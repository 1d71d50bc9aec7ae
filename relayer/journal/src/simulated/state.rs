//! The simulated journal's logs, and what is on its way to them.

use super::fault::{Fault, FaultRates};
use crate::acceptance::writer_of;
use crate::attributes::Attributes;
use crate::journal::{AppendError, ReadError, Refusal, TopicError};
use crate::log::{LogRecord, NewRecord, ReadBatch, ReadLimits};
use acurast_events::bytes::WriterId;
use acurast_events::record::{Entry, Record};
use acurast_events::topics::{TopicName, TopicPartition};
use acurast_events::units::{Offset, Timestamp};
use acurast_events::wire::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use tokio::sync::watch;

/// A late append lands at most this many appends later.
const LATE_APPENDS_MAX: u32 = 4;

/// One partition.
pub(super) struct Log {
    records: Vec<Arc<LogRecord>>,
    /// The last record of each writer that ever wrote here, from which its zombie goes on.
    writers: BTreeMap<WriterId, Arc<LogRecord>>,
    /// Where the log ends, for those who wait.
    pub(super) ends: watch::Sender<Offset>,
}

impl Log {
    /// The offset that the next record gets.
    pub(super) fn end(&self) -> Offset {
        *self.ends.borrow()
    }

    /// The records from this offset on.
    pub(super) fn since(&self, from: Offset) -> &[Arc<LogRecord>] {
        usize::try_from(from.0).ok().and_then(|from| self.records.get(from..)).unwrap_or_default()
    }
}

/// As it stands; nobody waits for the copy's end.
impl Clone for Log {
    fn clone(&self) -> Self {
        Self { records: self.records.clone(), writers: self.writers.clone(), ends: watch::Sender::new(self.end()) }
    }
}

#[derive(Clone)]
struct Late {
    at: TopicPartition,
    records: Vec<NewRecord>,
    appends_left: u32,
}

/// All of it.
#[derive(Clone)]
pub(super) struct State {
    pub(super) topics: BTreeMap<TopicName, NonZeroU32>,
    pub(super) logs: BTreeMap<TopicPartition, Log>,
    pub(super) rates: FaultRates,
    pub(super) injected: BTreeMap<TopicPartition, Fault>,
    pub(super) counts: BTreeMap<Fault, u64>,
    late: Vec<Late>,
    rng: StdRng,
    now: Timestamp,
}

impl State {
    pub(super) fn new(seed: u64, rates: FaultRates) -> Self {
        Self {
            topics: BTreeMap::new(),
            logs: BTreeMap::new(),
            rates,
            injected: BTreeMap::new(),
            counts: BTreeMap::new(),
            late: Vec::new(),
            rng: StdRng::seed_from_u64(seed),
            now: Timestamp(0),
        }
    }

    pub(super) fn create(&mut self, topic: &TopicName, partitions: NonZeroU32) -> Result<(), TopicError> {
        match self.topics.get(topic) {
            Some(found) if *found == partitions => Ok(()),
            Some(found) => Err(TopicError::Drift { topic: topic.clone(), wanted: partitions, found: *found }),
            None => {
                self.topics.insert(topic.clone(), partitions);
                for partition in 0..partitions.get() {
                    let log = Log { records: Vec::new(), writers: BTreeMap::new(), ends: watch::Sender::new(Offset(0)) };
                    self.logs.insert(topic.partition(partition), log);
                }
                Ok(())
            }
        }
    }

    pub(super) fn log(&self, at: &TopicPartition) -> Result<&Log, ReadError> {
        self.logs.get(at).ok_or_else(|| ReadError::NoSuchPartition(at.clone()))
    }

    pub(super) fn append(&mut self, at: &TopicPartition, records: Vec<NewRecord>) -> Result<Vec<Offset>, AppendError> {
        self.land_due(at);
        let fault = self.injected.remove(at).or_else(|| self.rates.draw(&mut self.rng));
        if let Some(fault) = fault {
            self.count(fault);
        }
        let uncertain = |reason: &str| Err(AppendError::Uncertain { at: at.clone(), reason: reason.into() });
        match fault {
            None | Some(Fault::Stalled) => Ok(self.push(at, records)),
            Some(Fault::AckLost) => {
                self.push(at, records);
                uncertain("acknowledgement lost")
            }
            Some(Fault::Dropped) => uncertain("connection lost"),
            Some(Fault::Late) => {
                let appends_left = self.rng.random_range(1..=LATE_APPENDS_MAX);
                self.late.push(Late { at: at.clone(), records, appends_left });
                uncertain("no answer in time")
            }
            Some(Fault::MiddleLost) => {
                let middle = records.len() >> 1;
                self.push(at, records.into_iter().enumerate().filter(|(index, _)| *index != middle).map(|(_, record)| record).collect());
                uncertain("a part of it failed")
            }
            Some(Fault::Repeated) => {
                let index = self.rng.random_range(0..records.len().max(1));
                let again = records.get(index).cloned();
                let offsets = self.push(at, records);
                self.push(at, again.into_iter().collect());
                Ok(offsets)
            }
            Some(Fault::Refused) => {
                Err(AppendError::Refused { at: at.clone(), reason: Refusal::Unavailable("too few replicas in sync".into()) })
            }
            Some(Fault::Zombie) => {
                let zombie = self.zombie(at);
                self.push(at, zombie.into_iter().collect());
                Ok(self.push(at, records))
            }
            Some(Fault::Garbage) => {
                let length = self.rng.random_range(0..64);
                let value = (0..length).map(|_| self.rng.random()).collect();
                self.push(at, vec![NewRecord { key: Vec::new(), value, attributes: Attributes::default() }]);
                Ok(self.push(at, records))
            }
        }
    }

    pub(super) fn read(&mut self, at: &TopicPartition, from: Offset, limits: ReadLimits) -> Result<ReadBatch, ReadError> {
        let stalls = self.rng.random_range(0..1_000) < self.rates.stalled;
        let log = self.log(at)?;
        let end = log.end();
        if stalls && from < end {
            self.count(Fault::Stalled);
            return Ok(ReadBatch { records: Vec::new(), end: from });
        }
        let mut bytes = 0usize;
        let mut records = Vec::new();
        for record in log.since(from) {
            if !limits.admit(records.len(), bytes) {
                break;
            }
            bytes = bytes.saturating_add(record.size_bytes());
            records.push(LogRecord::clone(record));
        }
        Ok(ReadBatch { records, end })
    }

    /// Makes all as it was at `moment`. Who waits for a log's end goes on waiting for it.
    pub(super) fn put_back(&mut self, moment: &Self) {
        let waited_for = std::mem::replace(self, moment.clone()).logs;
        for (at, Log { ends, .. }) in waited_for {
            if let Some(log) = self.logs.get_mut(&at) {
                log.ends = ends;
                publish(log);
            }
        }
    }

    pub(super) fn land_all(&mut self) {
        for late in std::mem::take(&mut self.late) {
            self.push(&late.at, late.records);
        }
    }

    pub(super) fn truncate(&mut self, at: &TopicPartition, end: Offset) {
        if let Some(log) = self.logs.get_mut(at) {
            log.records.truncate(usize::try_from(end.0).unwrap_or(usize::MAX));
            publish(log);
        }
    }

    fn land_due(&mut self, at: &TopicPartition) {
        for late in std::mem::take(&mut self.late) {
            match late.appends_left.checked_sub(1) {
                _ if late.at != *at => self.late.push(late),
                Some(appends_left) if appends_left > 0 => self.late.push(Late { appends_left, ..late }),
                Some(_) | None => {
                    self.push(at, late.records);
                }
            }
        }
    }

    /// A record as an earlier writer would write it that never heard of its successor: right for its own view of the chain.
    fn zombie(&mut self, at: &TopicPartition) -> Option<NewRecord> {
        let log = self.logs.get(at)?;
        let last = |raw: &Arc<LogRecord>| match Entry::decode(&raw.value) {
            Ok(Entry::Record(record)) => Some(record),
            Ok(Entry::Claim(_)) | Err(_) => None,
        };
        let written: Vec<Record> = log.writers.values().filter_map(last).collect();
        let newest = written.iter().map(|record| record.term).max()?;
        let stale: Vec<&Record> = written.iter().filter(|record| record.term < newest).collect();
        let last = stale.get(self.rng.random_range(0..stale.len().max(1)))?;
        let previous = last.hash(at, &Entry::Record((*last).clone()).encode());
        let record = Record { sequence: last.sequence.next(), previous, ..(*last).clone() };
        Some(NewRecord { key: Vec::new(), value: Entry::Record(record).encode(), attributes: Attributes::default() })
    }

    fn push(&mut self, at: &TopicPartition, records: Vec<NewRecord>) -> Vec<Offset> {
        let mut offsets = Vec::with_capacity(records.len());
        let Some(log) = self.logs.get_mut(at) else { return offsets };
        for record in records {
            self.now = self.now.after(acurast_events::units::Millis(1));
            let offset = log.records.last().map_or(Offset(0), |last| last.offset.next());
            let NewRecord { key, value, attributes } = record;
            let stored = Arc::new(LogRecord { offset, key, value, attributes, at: self.now });
            if let Some(writer) = writer_of(&stored) {
                log.writers.insert(writer, stored.clone());
            }
            log.records.push(stored);
            offsets.push(offset);
        }
        publish(log);
        offsets
    }

    fn count(&mut self, fault: Fault) {
        let count = self.counts.entry(fault).or_default();
        *count = count.saturating_add(1);
    }
}

fn publish(log: &mut Log) {
    log.ends.send_replace(log.records.last().map_or(Offset(0), |last| last.offset.next()));
}
