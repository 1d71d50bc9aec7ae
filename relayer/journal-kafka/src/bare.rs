//! What reading a partition costs at least: the client library's own consumer and nothing else. A yardstick, not a reader: it
//! checks nothing and decides nothing.

use crate::config::{ConfigError, KafkaConfig};
use crate::context::{Access, Context};
use crate::cursor::{consumer_at, consumer_config};
use crate::names::offset;
use crate::window::Spacing;
use acurast_events::topics::TopicPartition;
use acurast_events::units::Offset;
use rdkafka::Message;
use rdkafka::consumer::BaseConsumer;
use std::time::Duration;

/// How long the brokers may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// A bare consumer of a partition, which fetches as the journal's own cursors do.
pub struct BareReader {
    consumer: BaseConsumer<Context>,
}

impl BareReader {
    /// Begins at offset 0.
    ///
    /// # Errors
    /// When the configuration makes no client, or there is no such partition.
    pub fn open(config: &KafkaConfig, at: &TopicPartition) -> Result<Self, ConfigError> {
        let client = consumer_config(&config.client()?, Spacing::Dense);
        match consumer_at(&client, Access::new(config.sasl.as_ref()), at, Offset(0)) {
            Ok(consumer) => Ok(Self { consumer }),
            Err(ended) => Err(ConfigError::Client(format!("{at}: {ended:?}"))),
        }
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
