//! Which back end keeps the journal, and which topics it must have.
//!
//! The embedded journal makes its topics at the first start. On Kafka they are the operator's: `topics apply` makes them, and a
//! start with a topic that isn't as configured is refused.

use crate::config::{Config, JournalKind};
use acurast_events::caip::ChainId;
use acurast_events::topics::{Topic, TopicName};
use acurast_relayer_journal::{EmbeddedJournal, EventJournal, OpenError, TopicError};
use acurast_relayer_journal_kafka::{ConfigError, KafkaConfig, KafkaJournal};
use std::num::NonZeroU32;
use std::sync::Arc;

/// Why the journal can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The embedded journal.
    #[error(transparent)]
    Embedded(#[from] OpenError),
    /// The Kafka client.
    #[error(transparent)]
    Kafka(#[from] ConfigError),
    /// `journal.kind = "kafka"` says nothing about brokers.
    #[error("journal.kind is \"kafka\", but there is no [journal.kafka]")]
    NoBrokers,
}

/// The journal as configured.
#[derive(Clone)]
pub enum Backend {
    /// RocksDB in the data directory.
    Embedded(Arc<EmbeddedJournal>),
    /// Brokers.
    Kafka {
        /// Their client.
        journal: Arc<KafkaJournal>,
        /// How they are reached.
        config: Box<KafkaConfig>,
    },
}

impl Backend {
    /// Opens it for reading and writing.
    ///
    /// # Errors
    /// See [`BackendError`].
    pub fn open(config: &Config) -> Result<Self, BackendError> {
        match config.journal.kind {
            JournalKind::Embedded => Ok(Self::Embedded(Arc::new(EmbeddedJournal::open(&config.data_dir.join("journal"))?))),
            JournalKind::Kafka => Self::kafka(config, std::convert::identity),
        }
    }

    /// Opens it for reading, also while a relayer runs. The embedded one is seen as it is now; it never grows.
    ///
    /// # Errors
    /// See [`BackendError`].
    pub fn open_read_only(config: &Config) -> Result<Self, BackendError> {
        match config.journal.kind {
            JournalKind::Embedded => Ok(Self::Embedded(Arc::new(EmbeddedJournal::open_read_only(&config.data_dir.join("journal"))?))),
            // People look at attributes too.
            JournalKind::Kafka => Self::kafka(config, KafkaJournal::with_attributes),
        }
    }

    fn kafka(config: &Config, adapt: impl Fn(KafkaJournal) -> KafkaJournal) -> Result<Self, BackendError> {
        let kafka = brokers(config)?;
        let journal = adapt(KafkaJournal::open(kafka, &config.journal.prefix)?);
        Ok(Self::Kafka { journal: Arc::new(journal), config: Box::new(kafka.clone()) })
    }

    /// The journal, whatever keeps it.
    pub fn journal(&self) -> Arc<dyn EventJournal> {
        match self {
            Self::Embedded(journal) => Arc::clone(journal) as Arc<dyn EventJournal>,
            Self::Kafka { journal, .. } => Arc::clone(journal) as Arc<dyn EventJournal>,
        }
    }

    /// Makes sure that the topics are there as configured: embedded ones are made, those on Kafka only looked at.
    ///
    /// # Errors
    /// Which topic isn't as it must be, and what to do.
    pub async fn prepare(&self, wanted: &[(TopicName, NonZeroU32)]) -> Result<(), TopicError> {
        match self {
            Self::Embedded(journal) => {
                for (topic, partitions) in wanted {
                    journal.create(topic, *partitions).await?;
                }
                Ok(())
            }
            Self::Kafka { journal, .. } => journal.verify(wanted).await,
        }
    }
}

/// How to reach the brokers.
///
/// # Errors
/// When the configuration doesn't say.
pub fn brokers(config: &Config) -> Result<&KafkaConfig, BackendError> {
    config.journal.kafka.as_ref().ok_or(BackendError::NoBrokers)
}

/// All topics of a relayer with these source chains, and their partitions (PROTOCOL §8).
pub fn topics(config: &Config, sources: &[ChainId]) -> Vec<(TopicName, NonZeroU32)> {
    let journal = &config.journal;
    let mut topics: Vec<(Topic, NonZeroU32)> = sources.iter().map(|chain| (Topic::Source(chain.clone()), NonZeroU32::MIN)).collect();
    topics.push((Topic::Lanes, journal.lane_partitions));
    for topic in [Topic::Jobs, Topic::Outputs, Topic::Control, Topic::Receipts, Topic::Reputation, Topic::DeadLetters] {
        topics.push((topic, journal.partitions));
    }
    topics.into_iter().map(|(topic, partitions)| (topic.name(&journal.prefix), partitions)).collect()
}
