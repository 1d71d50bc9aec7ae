//! Publishes what derives from a jobs partition: receipts, reputation, dead letters. At least once, each with its own id.
//!
//! Crash argument: a record is derived after it was read back, and how far was published is told by a later Progress. A
//! crash in between publishes the same messages with the same ids again.

use crate::owned::{Owned, OwnedError};
use acurast_events::bytes::Genesis;
use acurast_events::derived::ReceiptsEvent;
use acurast_events::jobs::JobsEvent;
use acurast_events::topics::{Topic, TopicName, TopicPartition};
use acurast_events::units::Offset;
use acurast_events::wire::{Message, WireError};
use acurast_relayer_core::{Derived, derive};
use acurast_relayer_journal::{
    AcceptedRecord, AppendError, Attributes, EventJournal, FollowError, MAX_APPEND_BYTES, MAX_APPEND_RECORDS, NewRecord, PartitionReader,
};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Why nothing can be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The derived topic can't be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The partition can't be read again.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// An event is of a newer version.
    #[error("{0}")]
    Version(#[from] WireError),
    /// The Progress can't be written.
    #[error(transparent)]
    Owned(#[from] OwnedError),
}

/// The messages in order, in appends that the journal takes.
fn within_bounds(messages: Vec<NewRecord>) -> Vec<Vec<NewRecord>> {
    let mut chunks: Vec<Vec<NewRecord>> = Vec::new();
    let mut bytes = 0usize;
    for message in messages {
        let size = message.size_bytes();
        let full = chunks.last().is_none_or(|chunk| chunk.len() >= MAX_APPEND_RECORDS || bytes.saturating_add(size) > MAX_APPEND_BYTES);
        if full {
            chunks.push(Vec::new());
            bytes = 0;
        }
        bytes = bytes.saturating_add(size);
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(message);
        }
    }
    chunks
}

/// Publishes for one jobs partition.
pub struct Publisher {
    /// The journal.
    pub journal: Arc<dyn EventJournal>,
    /// Prefix of topic names.
    pub prefix: String,
    /// Partitions of the derived topics.
    pub partitions: NonZeroU32,
    /// Genesis of the Acurast chain.
    pub genesis: Genesis,
    /// The jobs partition.
    pub at: TopicPartition,
}

impl Publisher {
    /// Publishes what a crash may have kept back: all records after the last Progress that told how far it was.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn catch_up(&self, owned: &mut Owned, mut reader: PartitionReader) -> Result<(), PublishError> {
        let from = owned.published_next();
        loop {
            let batch = reader.next_batch().await?;
            let due: Vec<_> = batch.records.into_iter().filter(|record| Offset(record.record.sequence.0) >= from).collect();
            self.publish(owned, &due).await?;
            if owned.is_published() {
                return Ok(());
            }
            // A read that shows nothing is not the log's end: what was left out here would never be published.
            if batch.caught_up {
                reader.wait().await?;
            }
        }
    }

    /// Publishes what derives from records that were read back.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn publish(&self, owned: &mut Owned, records: &[AcceptedRecord]) -> Result<(), PublishError> {
        let mut out: BTreeMap<TopicPartition, Vec<NewRecord>> = BTreeMap::new();
        for record in records {
            let events = record.record.decode_events::<JobsEvent>()?;
            for message in derive(&self.at, &self.genesis, &record.hash, &record.record, &events) {
                let (topic, key, value) = self.place(message);
                let partition = acurast_events::partition::partition_of(&key, self.partitions);
                out.entry(topic.partition(partition)).or_default().push(NewRecord { key, value, attributes: Attributes::default() });
            }
        }
        for (partition, messages) in out {
            for chunk in within_bounds(messages) {
                self.journal.append(&partition, chunk).await?;
            }
        }
        if let Some(last) = records.last() {
            owned.published(Offset(last.record.sequence.0.saturating_add(1)));
        }
        Ok(())
    }

    fn place(&self, message: Derived) -> (TopicName, Vec<u8>, Vec<u8>) {
        let name = |topic: Topic| topic.name(&self.prefix);
        match message {
            Derived::Receipt(receipt) => (name(Topic::Receipts), receipt.job_key.0.to_vec(), ReceiptsEvent::from(*receipt).encode()),
            Derived::ReceiptReversed(reversed) => {
                (name(Topic::Receipts), reversed.settlement_id.0.to_vec(), ReceiptsEvent::from(*reversed).encode())
            }
            Derived::JobReceipt(receipt) => (name(Topic::Receipts), receipt.job_key.0.to_vec(), ReceiptsEvent::from(receipt).encode()),
            Derived::Reputation(observed) => (name(Topic::Reputation), observed.processor.0.to_vec(), observed.encode()),
            Derived::DeadLetter(letter) => (name(Topic::DeadLetters), letter.origin.topic.as_bytes().to_vec(), letter.encode()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_messages_than_one_append_takes_go_out_in_several_in_order() {
        let message =
            |n: usize, bytes: usize| NewRecord { key: n.to_be_bytes().to_vec(), value: vec![0; bytes], attributes: Attributes::default() };
        let many: Vec<_> = (0..MAX_APPEND_RECORDS + 1).map(|n| message(n, 1)).collect();
        let chunks = within_bounds(many.clone());
        assert_eq!(chunks.iter().map(Vec::len).collect::<Vec<_>>(), [MAX_APPEND_RECORDS, 1]);
        assert_eq!(chunks.concat(), many);
        let large: Vec<_> = (0..3).map(|n| message(n, MAX_APPEND_BYTES / 2)).collect();
        assert_eq!(within_bounds(large).iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
        assert!(within_bounds(Vec::new()).is_empty());
    }
}
