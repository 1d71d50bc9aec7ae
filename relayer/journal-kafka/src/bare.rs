//! What reading a partition costs at least: the client library's own consumer and nothing else. A yardstick, not a reader: it
//! checks nothing and decides nothing.

use crate::config::{ConfigError, KafkaConfig};
use crate::context::{Access, Context};
use crate::names::{offset, partition_number};
use acurast_events::topics::TopicPartition;
use acurast_events::units::Offset;
use rdkafka::Message;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset as At, TopicPartitionList};
use std::time::Duration;

/// How long the brokers may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// A bare consumer at the start of one partition.
pub struct BareReader {
    consumer: BaseConsumer<Context>,
}

impl BareReader {
    /// Begins at the first record of `at`.
    ///
    /// # Errors
    /// When the configuration makes no client, or there is no such partition.
    pub fn open(config: &KafkaConfig, at: &TopicPartition) -> Result<Self, ConfigError> {
        let refused = |reason: String| ConfigError::Client(format!("{at}: {reason}"));
        let mut client = config.client()?;
        // As the journal's own cursors fetch.
        client.set("group.id", "acurast-relayer-measure").set("enable.auto.commit", "false").set("fetch.wait.max.ms", "100");
        let context = Context { access: Access::new(config.sasl.as_ref()) };
        let consumer = BaseConsumer::from_config_and_context(&client, context).map_err(|error| refused(error.to_string()))?;
        let partition = partition_number(at).ok_or_else(|| refused("no such partition".into()))?;
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(at.topic.as_str(), partition, At::Beginning).map_err(|error| refused(error.to_string()))?;
        consumer.assign(&place).map_err(|error| refused(error.to_string()))?;
        Ok(Self { consumer })
    }

    /// Offset and size of the next record, bytes of key and value.
    ///
    /// # Errors
    /// When the brokers send nothing, or an error.
    pub fn next(&self) -> Result<(Offset, usize), ConfigError> {
        let failed = |reason: String| ConfigError::Client(reason);
        let message = match self.consumer.poll(PATIENCE) {
            Some(message) => message.map_err(|error| failed(error.to_string()))?,
            None => return Err(failed(format!("the brokers sent nothing for {} s", PATIENCE.as_secs()))),
        };
        let at = offset(message.offset()).ok_or_else(|| failed(format!("a record has the offset {}", message.offset())))?;
        let bytes = message.key().map_or(0, <[u8]>::len).saturating_add(message.payload().map_or(0, <[u8]>::len));
        Ok((at, bytes))
    }
}
