//! The back end itself: one producer, the cursors of each partition, and what is known of topics.
//!
//! | call | what it asks the brokers |
//! |---|---|
//! | `append` | one produce request per batch, acknowledged by all in-sync replicas |
//! | `read` behind the end | nothing, as a rule: a cursor fetched it already |
//! | `read` at the end | where the log ends, unless that was asked a moment ago |
//! | `end` | where the log ends, always |
//! | `wait_beyond` | nothing: the cursor that stands there wakes it |
//!
//! Derived topics may be written in transactions, which leave offsets without a record. There, and nowhere else, a hole is no loss,
//! only what was committed is read, `end` may be beyond the last record, and a read at the last record says that the log ends there.

use crate::admin::{self, Admin, TopicPlan, TopicState};
use crate::config::{ConfigError, KafkaConfig, Transactions};
use crate::context::Access;
use crate::cursor::{self, Cursor, Ended, Taking};
use crate::cursors::{Cursors, FILL};
use crate::group::Membership;
use crate::names::{offset, partition_number};
use crate::outbox::Outbox;
use crate::transactor::Transactor;
use crate::window::Spacing;
use acurast_events::topics::{Topic, TopicKind, TopicName, TopicPartition};
use acurast_events::units::Offset;
use acurast_relayer_journal::{
    AppendError, EventJournal, NewRecord, ReadBatch, ReadError, ReadLimits, Refusal, TopicError, check_append, check_topic,
};
use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How long a partition that was there may be unknown to a broker before it counts as gone.
const SPREAD: Duration = Duration::from_secs(5);
/// Pause before a question is asked anew.
const AGAIN: Duration = Duration::from_millis(100);
/// How long a cursor of a sparse log may take before it is asked whether there is anything at all.
const HEAD_START: Duration = Duration::from_millis(100);
/// How often a cursor that ends is replaced within one read.
const CURSORS_PER_READ_MAX: u32 = 3;

/// The journal on Kafka. Made without reaching the brokers; each call reaches them as it needs.
pub struct KafkaJournal {
    inner: Inner,
}

struct Inner {
    config: KafkaConfig,
    outbox: Outbox,
    /// Writes derived topics, where transactions are on.
    transactor: Option<Transactor>,
    admin: Admin,
    consumer: ClientConfig,
    access: Access,
    /// Topics are ours if their name begins so.
    prefix: String,
    read_timeout: Duration,
    topics: RwLock<BTreeMap<TopicName, NonZeroU32>>,
    partitions: RwLock<BTreeMap<TopicPartition, Arc<Cursors>>>,
    manages: bool,
    attributes: bool,
}

/// What a broker says of a partition's log.
#[derive(Clone, Copy)]
struct Bounds {
    begins: Offset,
    end: Offset,
}

impl KafkaJournal {
    /// A journal on the brokers of `config`, of which `prefix` begins the names of all topics.
    ///
    /// # Errors
    /// When the configuration makes no client, or a secret can't be read.
    pub fn open(config: &KafkaConfig, prefix: &str) -> Result<Self, ConfigError> {
        let client = config.client()?;
        let access = Access::new(config.sasl.as_ref());
        let inner = Inner {
            config: config.clone(),
            outbox: Outbox::new(config, access.clone())?,
            transactor: (config.transactions == Transactions::On).then(|| Transactor::new(config, access.clone(), prefix)).transpose()?,
            access,
            admin: Admin::new(config, client.clone()),
            consumer: client,
            prefix: prefix.to_owned(),
            read_timeout: config.read_timeout(),
            topics: RwLock::default(),
            partitions: RwLock::default(),
            manages: admin::can_manage(config),
            attributes: false,
        };
        Ok(Self { inner })
    }

    /// The same journal, whose reads have the records' attributes: for people and tests. They decide nothing, so that whoever
    /// works with records is spared their cost.
    #[must_use]
    pub fn with_attributes(mut self) -> Self {
        self.inner.attributes = true;
        self
    }

    /// Compares topics with what they must be.
    ///
    /// # Errors
    /// When the brokers can't be asked.
    pub async fn plan(&self, wanted: &[(TopicName, NonZeroU32)]) -> Result<Vec<TopicPlan>, TopicError> {
        self.inner.admin.plan(&self.inner.outbox, wanted).await
    }

    /// Creates and configures topics as planned. May be repeated.
    ///
    /// # Errors
    /// When one can't be made so; those before it are made.
    pub async fn apply(&self, plan: &[TopicPlan]) -> Result<(), TopicError> {
        self.inner.admin.apply(&self.inner.outbox, plan).await
    }

    /// Whether all topics are as they must be: the relayer's check at its start. Without the right to manage topics (SASL
    /// OAUTHBEARER), only their presence and partitions.
    ///
    /// # Errors
    /// The first that differs, with what to do.
    pub async fn verify(&self, wanted: &[(TopicName, NonZeroU32)]) -> Result<(), TopicError> {
        if !self.inner.manages {
            for (topic, partitions) in wanted {
                match self.inner.partitions_of(topic).await.map_err(|reason| TopicError::Unavailable(format!("{topic}: {reason}")))? {
                    Some(found) if found == *partitions => {}
                    Some(found) => return Err(TopicError::Drift { topic: topic.clone(), wanted: *partitions, found }),
                    None => {
                        return Err(TopicError::Unavailable(format!("topic {topic} is missing; create it with the brokers' own tools")));
                    }
                }
            }
            return Ok(());
        }
        match self.plan(wanted).await?.into_iter().find(|planned| planned.state != TopicState::AsPlanned) {
            None => Ok(()),
            Some(differs) => Err(TopicError::Unavailable(format!("topic {differs}"))),
        }
    }

    /// Takes part in the consumer group that shares `topics`, with their partitions, out among replicas. Nothing is read through
    /// it, and what is assigned is advice: the claims in the log decide who owns a partition (R12).
    ///
    /// # Errors
    /// When the configuration makes no client. Brokers that are out of reach are no error: it joins once they are there.
    pub fn join(&self, topics: &[(TopicName, NonZeroU32)]) -> Result<Membership, ConfigError> {
        Membership::join(&self.inner.config, self.inner.access.clone(), &self.inner.prefix, topics)
    }

    /// How many consumers run now, over all partitions.
    pub fn consumers(&self) -> usize {
        let partitions = self.inner.partitions.read().unwrap_or_else(PoisonError::into_inner);
        partitions.values().map(|cursors| cursors.count()).fold(0, usize::saturating_add)
    }
}

impl Inner {
    /// Partitions of `topic`, asked once; nothing when there is no such topic.
    async fn partitions_of(&self, topic: &TopicName) -> Result<Option<NonZeroU32>, String> {
        if let Some(found) = self.known(topic) {
            return Ok(Some(found));
        }
        let found = admin::find(&self.outbox, topic).await.map_err(|error| self.access.explain(error.to_string()))?;
        let found = found.map(|found| found.partitions);
        if let Some(found) = found {
            self.topics.write().unwrap_or_else(PoisonError::into_inner).insert(topic.clone(), found);
        }
        Ok(found)
    }

    fn known(&self, topic: &TopicName) -> Option<NonZeroU32> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).get(topic).copied()
    }

    fn forget(&self, at: &TopicPartition) {
        self.topics.write().unwrap_or_else(PoisonError::into_inner).remove(&at.topic);
        self.cursors(at).forget();
    }

    fn cursors(&self, at: &TopicPartition) -> Arc<Cursors> {
        if let Some(cursors) = self.partitions.read().unwrap_or_else(PoisonError::into_inner).get(at) {
            return Arc::clone(cursors);
        }
        let mut partitions = self.partitions.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(partitions.entry(at.clone()).or_default())
    }

    async fn check_partition(&self, at: &TopicPartition) -> Result<(), ReadError> {
        match self.partitions_of(&at.topic).await {
            Ok(Some(partitions)) if at.partition < partitions.get() => Ok(()),
            Ok(Some(_) | None) => Err(ReadError::NoSuchPartition(at.clone())),
            Err(reason) => Err(ReadError::Unavailable { at: at.clone(), reason }),
        }
    }

    /// Asks the partition's leader where its log begins and ends; again while the brokers are out of reach or don't know the
    /// partition yet, within bounds.
    async fn bounds(&self, at: &TopicPartition) -> Result<Bounds, ReadError> {
        self.check_partition(at).await?;
        let unavailable = |reason: String| ReadError::Unavailable { at: at.clone(), reason };
        let Some(partition) = partition_number(at) else { return Err(ReadError::NoSuchPartition(at.clone())) };
        let began = Instant::now();
        loop {
            let when = Instant::now();
            let (topic, patience) = (at.topic.clone(), self.outbox.patience);
            let asked = self.outbox.ask(move |client| client.fetch_watermarks(topic.as_str(), partition, patience));
            let error = match asked.await {
                Ok((low, high)) => {
                    let (Some(begins), Some(end)) = (offset(low), offset(high)) else {
                        return Err(unavailable(format!("the broker named no bounds of the log ({low}, {high})")));
                    };
                    self.cursors(at).asked_end(end, when);
                    return Ok(Bounds { begins, end });
                }
                Err(error) => error,
            };
            if is_unknown(&error) && began.elapsed() >= SPREAD {
                self.forget(at);
                return Err(ReadError::NoSuchPartition(at.clone()));
            }
            if began.elapsed() >= self.read_timeout {
                return Err(unavailable(self.access.explain(format!("the brokers don't answer: {error}"))));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Derived topics may be written in transactions, by us or by others before; all others never are, and a hole in them is a
    /// loss, whatever this configuration says.
    fn spacing(&self, at: &TopicPartition) -> Spacing {
        match Topic::parse(&self.prefix, at.topic.as_str()).map(|topic| topic.kind()) {
            Some(TopicKind::Derived) => Spacing::Sparse,
            Some(TopicKind::Authoritative | TopicKind::Input) | None => Spacing::Dense,
        }
    }

    fn cursor_at(&self, at: &TopicPartition, from: Offset) -> Result<Arc<Cursor>, ReadError> {
        let taking = Taking { spacing: self.spacing(at), attributes: self.attributes };
        let start = || Cursor::start(&self.consumer, self.access.clone(), at, from, taking);
        self.cursors(at).at(from, start).map_err(|reason| ReadError::Unavailable { at: at.clone(), reason })
    }
}

impl Inner {
    /// Whether the log shows any record at `from` or after it now.
    async fn shows_any(&self, at: &TopicPartition, from: Offset) -> Result<bool, ReadError> {
        let unavailable = |reason: String| ReadError::Unavailable { at: at.clone(), reason };
        let (config, access, at_, patience) = (self.consumer.clone(), self.access.clone(), at.clone(), self.read_timeout);
        let spacing = self.spacing(at);
        let asked = tokio::task::spawn_blocking(move || cursor::shows_any(&config, access, &at_, from, spacing, patience));
        match asked.await.map_err(|error| unavailable(error.to_string()))? {
            Ok(Some(any)) => Ok(any),
            Ok(None) => Err(unavailable(format!("the brokers sent nothing for {} ms", patience.as_millis()))),
            Err(ended) => Err(unavailable(format!("{ended:?}"))),
        }
    }
}

impl Inner {
    /// Why nothing came from `from` on, though the log went on there: the brokers don't answer, or what the log has there is no
    /// record. A dense log ends so where somebody wrote to it in a transaction.
    async fn nothing_came(&self, at: &TopicPartition, from: Offset) -> ReadError {
        match (self.shows_any(at, from).await, self.bounds(at).await) {
            // Asked after that, so that a log which was shortened meanwhile isn't taken for one that goes on.
            (Ok(false), Ok(bounds)) if bounds.end > from => {
                let reason = "the log goes on there with what is no record, as after somebody's transaction".to_owned();
                ReadError::Corrupted { at: at.clone(), offset: from, reason }
            }
            (Err(error), _) | (_, Err(error)) => error,
            (Ok(_), Ok(_)) => {
                let reason = format!("the brokers sent nothing for {} ms", self.read_timeout.as_millis());
                ReadError::Unavailable { at: at.clone(), reason: self.access.explain(reason) }
            }
        }
    }
}

/// Whether the brokers say that there is no such topic or partition.
fn is_unknown(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicId)
    )
}

#[async_trait]
impl EventJournal for KafkaJournal {
    async fn create(&self, topic: &TopicName, partitions: NonZeroU32) -> Result<(), TopicError> {
        check_topic(topic, partitions)?;
        let unavailable = |reason: String| TopicError::Unavailable(format!("{topic}: {reason}"));
        match self.inner.partitions_of(topic).await.map_err(unavailable)? {
            Some(found) if found == partitions => Ok(()),
            Some(found) => Err(TopicError::Drift { topic: topic.clone(), wanted: partitions, found }),
            None => self.inner.admin.create(&self.inner.outbox, topic, partitions).await,
        }
    }

    async fn topics(&self) -> Result<BTreeMap<TopicName, NonZeroU32>, TopicError> {
        let listed = admin::list(&self.inner.outbox, &self.inner.prefix).await;
        listed.map_err(|error| TopicError::Unavailable(error.to_string()))
    }

    async fn append(&self, at: &TopicPartition, records: Vec<NewRecord>) -> Result<Vec<Offset>, AppendError> {
        check_append(at, &records)?;
        let refuse = |reason| AppendError::Refused { at: at.clone(), reason };
        // Asked before anything is sent, so that a partition that isn't there is a refusal and not a doubt.
        match self.inner.check_partition(at).await {
            Ok(()) => {}
            Err(ReadError::NoSuchPartition(_)) => return Err(refuse(Refusal::NoSuchPartition)),
            Err(error) => return Err(refuse(Refusal::Unavailable(error.to_string()))),
        }
        let appended = match &self.inner.transactor {
            Some(transactor) if self.inner.spacing(at) == Spacing::Sparse => transactor.append(at, records).await,
            Some(_) | None => self.inner.outbox.append(at, records).await,
        };
        match &appended {
            Ok(offsets) => {
                if let Some(last) = offsets.last() {
                    self.inner.cursors(at).saw_end(last.next());
                }
            }
            // Whatever it was, the topic may not be what it was.
            Err(_) => {
                self.inner.topics.write().unwrap_or_else(PoisonError::into_inner).remove(&at.topic);
            }
        }
        appended
    }

    async fn read(&self, at: &TopicPartition, from: Offset, limits: ReadLimits) -> Result<ReadBatch, ReadError> {
        let cursors = self.inner.cursors(at);
        let sparse = self.inner.spacing(at) == Spacing::Sparse;
        // Of a sparse log nobody knows beforehand whether more follows.
        let fill = if sparse { Duration::ZERO } else { FILL };
        let mut ended = None;
        for _ in 0..CURSORS_PER_READ_MAX {
            if let Some(mut records) = cursors.take(from, limits) {
                cursors.fill(&mut records, limits, fill).await;
                return Ok(ReadBatch { records, end: cursors.end() });
            }
            if cursors.surely_ends_at(from) || (sparse && cursors.surely_silent_at(from)) {
                return Ok(ReadBatch { records: Vec::new(), end: from });
            }
            let bounds = self.inner.bounds(at).await?;
            if from < bounds.begins {
                return Err(ReadError::Truncated { at: at.clone(), begins: bounds.begins, asked: from });
            }
            if from >= bounds.end {
                return Ok(ReadBatch { records: Vec::new(), end: bounds.end });
            }
            let cursor = self.inner.cursor_at(at, from)?;
            // The log of a sparse partition may go on with what is no record, and then nothing ever comes.
            if sparse
                && tokio::time::timeout(HEAD_START, cursor.wait_beyond(from)).await.is_err()
                && !self.inner.shows_any(at, from).await?
            {
                cursors.found_silent(from);
                return Ok(ReadBatch { records: Vec::new(), end: from });
            }
            let Ok(reached) = tokio::time::timeout(self.inner.read_timeout, cursor.wait_beyond(from)).await else {
                return Err(self.inner.nothing_came(at, from).await);
            };
            let mut records = cursor.take(from, limits);
            if !records.is_empty() {
                cursors.saw_end(reached.next);
                cursors.fill(&mut records, limits, fill).await;
                return Ok(ReadBatch { records, end: cursors.end() });
            }
            // Asked once more by another cursor: only what stays missing is missing.
            if let Some(Ended::Hole(hole)) = &reached.ended
                && ended == reached.ended
            {
                let reason = format!("it is missing, the next one is at offset {}", hole.found);
                return Err(ReadError::Corrupted { at: at.clone(), offset: hole.expected, reason });
            }
            ended = reached.ended;
        }
        let reason = ended.map_or_else(|| "readers went on while it was read".to_owned(), |ended| format!("{ended:?}"));
        Err(ReadError::Unavailable { at: at.clone(), reason })
    }

    async fn end(&self, at: &TopicPartition) -> Result<Offset, ReadError> {
        Ok(self.inner.bounds(at).await?.end)
    }

    async fn wait_beyond(&self, at: &TopicPartition, offset: Offset) -> Result<Offset, ReadError> {
        let cursors = self.inner.cursors(at);
        let sparse = self.inner.spacing(at) == Spacing::Sparse;
        loop {
            let cursor = match cursors.standing_at(offset) {
                Some(cursor) => cursor,
                None => {
                    let bounds = self.inner.bounds(at).await?;
                    // What a sparse log has there may be no record; the cursor tells.
                    let may_be_silent = sparse && bounds.begins <= offset && offset < bounds.end;
                    if bounds.end != offset && !may_be_silent {
                        return Ok(bounds.end);
                    }
                    self.inner.cursor_at(at, offset)?
                }
            };
            let reached = cursor.wait_beyond(offset).await;
            if reached.next > offset {
                cursors.saw_end(reached.next);
                return Ok(reached.next);
            }
            match reached.ended {
                // The log is another one now, or nobody waited for long: its bounds tell.
                None | Some(Ended::Idle | Ended::Lost(_) | Ended::Hole(_)) => {}
                Some(Ended::Failed(reason)) => {
                    return Err(ReadError::Unavailable { at: at.clone(), reason: self.inner.access.explain(reason) });
                }
            }
        }
    }
}
