//! What reading partitions costs at least: the client library's own consumer and nothing else. A yardstick, not a reader: it
//! checks nothing and decides nothing.

use crate::config::{ConfigError, KafkaConfig};
use crate::context::{Access, Context};
use crate::cursor::consumer_config;
use crate::names::{offset, partition_number};
use crate::window::Spacing;
use acurast_events::topics::TopicPartition;
use acurast_events::units::Offset;
use rdkafka::Message;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset as At, TopicPartitionList};
use std::time::Duration;

/// How long the brokers may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// A bare consumer of all records of some partitions of a topic, which fetches as the journal's own cursors do.
pub struct BareReader {
    consumer: BaseConsumer<Context>,
}

/// Where the bare consumer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BareRecord {
    /// The record's partition.
    pub partition: u32,
    /// Its offset there.
    pub offset: Offset,
    /// Bytes of key and value.
    pub bytes: usize,
}

impl BareReader {
    /// Begins at offset 0 of each of these.
    ///
    /// # Errors
    /// When the configuration makes no client, or there is no such partition.
    pub fn open<'a>(config: &KafkaConfig, partitions: impl IntoIterator<Item = &'a TopicPartition>) -> Result<Self, ConfigError> {
        let refused = |reason: String| ConfigError::Client(reason);
        let client = consumer_config(&config.client()?, Spacing::Dense);
        let context = Context { access: Access::new(config.sasl.as_ref()) };
        let consumer = BaseConsumer::from_config_and_context(&client, context).map_err(|error| refused(error.to_string()))?;
        let mut places = TopicPartitionList::new();
        for at in partitions {
            let partition = partition_number(at).ok_or_else(|| refused(format!("{at}: no such partition")))?;
            places.add_partition_offset(at.topic.as_str(), partition, At::Offset(0)).map_err(|error| refused(format!("{at}: {error}")))?;
        }
        consumer.assign(&places).map_err(|error| refused(error.to_string()))?;
        Ok(Self { consumer })
    }

    /// The next record of any partition; each partition's come in order.
    ///
    /// # Errors
    /// When the brokers send nothing, or an error.
    pub fn next(&self) -> Result<BareRecord, ConfigError> {
        let failed = |reason: String| ConfigError::Client(reason);
        let message = match self.consumer.poll(PATIENCE) {
            Some(message) => message.map_err(|error| failed(error.to_string()))?,
            None => return Err(failed(format!("the brokers sent nothing for {} s", PATIENCE.as_secs()))),
        };
        let strange = || failed(format!("a record of partition {} has the offset {}", message.partition(), message.offset()));
        let bytes = message.key().map_or(0, <[u8]>::len).saturating_add(message.payload().map_or(0, <[u8]>::len));
        let partition = u32::try_from(message.partition()).map_err(|_| strange())?;
        Ok(BareRecord { partition, offset: offset(message.offset()).ok_or_else(strange)?, bytes })
    }
}
