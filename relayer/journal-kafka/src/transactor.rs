//! Appends to derived topics as transactions, for subscribers that read committed records only.
//!
//! ```text
//! append ─ turn ─ begin ─ enqueue ─ commit ─┬▶ done: Ok, the producer stays
//!                                           └▶ anything else: abort, the producer goes ─┬▶ provably nothing written: Refused
//!                                                                                       └▶ Uncertain
//! ```
//!
//! One producer, one transaction at a time. Its id is new whenever the producer is: it fences nobody, and nobody fences it; who may
//! publish is decided by the claims of the partitions that messages derive from (R12). After an uncertain outcome the caller
//! publishes again, and subscribers drop ids that they have.
//!
//! Crash argument: a process that ends within a transaction leaves it open. The brokers give it up after `transaction.timeout.ms`;
//! until then readers of committed records see nothing beyond it in that partition, and the messages are published again by then or
//! later.

use crate::config::{ConfigError, KafkaConfig};
use crate::context::Access;
use crate::names::{offset_order, partition_number};
use crate::outbox::{Call, Outcome, Reports, enqueue, producer, producer_config};
use acurast_events::topics::TopicPartition;
use acurast_events::units::Offset;
use acurast_relayer_journal::{AppendError, NewRecord, Refusal, fresh_writer_id};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{Producer, ThreadedProducer};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, oneshot};

/// How much longer than an append's time a transaction may stay open.
const OPEN_LONGER: Duration = Duration::from_secs(5);
/// How long giving a transaction up may take. What doesn't succeed, the brokers do by themselves later.
const ABORT: Duration = Duration::from_secs(5);
/// How long the last report may take after the transaction ended.
const REPORTED: Duration = Duration::from_secs(1);
/// Pause before a commit is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// A transactional producer, made when it is needed.
pub(crate) struct Transactor {
    maker: Arc<Maker>,
    /// Whoever holds it has the turn.
    producer: Arc<Mutex<Option<ThreadedProducer<Reports>>>>,
}

struct Maker {
    config: ClientConfig,
    access: Access,
    prefix: String,
    patience: Duration,
}

impl Transactor {
    pub(crate) fn new(kafka: &KafkaConfig, access: Access, prefix: &str) -> Result<Self, ConfigError> {
        let mut config = producer_config(kafka)?;
        let open = kafka.delivery_timeout().saturating_add(OPEN_LONGER);
        config.set("transaction.timeout.ms", open.as_millis().to_string());
        // The library wants it below the transaction's.
        config.set("socket.timeout.ms", kafka.delivery_timeout().as_millis().min(10_000).to_string());
        let maker = Maker { config, access, prefix: prefix.to_owned(), patience: kafka.delivery_timeout() };
        Ok(Self { maker: Arc::new(maker), producer: Arc::default() })
    }

    /// Appends `records`, of which the bounds were checked, as one transaction. When the future is dropped, the transaction goes on.
    pub(crate) async fn append(&self, at: &TopicPartition, records: Vec<NewRecord>) -> Result<Vec<Offset>, AppendError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let mut turn = Arc::clone(&self.producer).lock_owned().await;
        let (maker, at_) = (Arc::clone(&self.maker), at.clone());
        // The library's calls about transactions block.
        let transacted = tokio::task::spawn_blocking(move || {
            // Taken out: only one that ended its transaction well comes back.
            let producer = match turn.take() {
                Some(producer) => producer,
                None => maker.make().map_err(|error| maker.unwritten(&at_, &error))?,
            };
            let offsets = maker.transact(&producer, &at_, &records)?;
            *turn = Some(producer);
            Ok(offsets)
        });
        let transacted = transacted.await;
        transacted.map_err(|error| AppendError::Uncertain { at: at.clone(), reason: error.to_string() })?
    }
}

impl Maker {
    fn make(&self) -> Result<ThreadedProducer<Reports>, KafkaError> {
        let mut config = self.config.clone();
        config.set("transactional.id", format!("{}relayer-{}", self.prefix, fresh_writer_id()));
        let producer = producer(&config, self.access.clone())?;
        producer.init_transactions(self.patience)?;
        Ok(producer)
    }

    fn transact(
        &self,
        producer: &ThreadedProducer<Reports>,
        at: &TopicPartition,
        records: &[NewRecord],
    ) -> Result<Vec<Offset>, AppendError> {
        let refuse = |reason| AppendError::Refused { at: at.clone(), reason };
        let doubt = |reason: String| AppendError::Uncertain { at: at.clone(), reason };
        let Some(partition) = partition_number(at) else { return Err(refuse(Refusal::NoSuchPartition)) };
        producer.begin_transaction().map_err(|error| self.unwritten(at, &error))?;
        let (told, outcome) = oneshot::channel();
        let call = Call::new(records.len(), told, None);
        let all = enqueue(producer, at, partition, records, &call);
        drop(call);
        let committed = if all { self.commit(producer) } else { Err(KafkaError::Canceled) };
        let mut given_up = false;
        if committed.is_err() {
            // As far as it goes: nothing rests on it but what the caller is told.
            let aborted = producer.abort_transaction(ABORT);
            tracing::debug!(%at, ?committed, ?aborted, "a transaction was given up");
            given_up = aborted.is_ok();
        }
        // All records are reported by now, or the last one a moment later; those that aren't are in doubt.
        let reported = Handle::current().block_on(async { tokio::time::timeout(REPORTED, outcome).await });
        let reported = reported.ok().and_then(Result::ok);
        match (committed, reported) {
            (Ok(()), Some(Outcome { offsets, failure: None, .. })) => {
                offset_order(&offsets).ok_or_else(|| doubt("the brokers acknowledged the records out of order".into()))
            }
            // Nobody ever sees what was given up, and again it would be refused.
            (_, Some(Outcome { too_large: Some(failure), .. })) if given_up => Err(refuse(failure.refusal())),
            (_, Some(Outcome { failure: Some(failure), .. })) => Err(doubt(self.access.explain(failure.to_string()))),
            (Err(error), _) => Err(doubt(self.access.explain(format!("the transaction wasn't committed: {error}")))),
            (Ok(()), None) => Err(doubt("the brokers committed records without acknowledging them".into())),
        }
    }

    /// Commits, again while the library says that this helps.
    fn commit(&self, producer: &ThreadedProducer<Reports>) -> Result<(), KafkaError> {
        let began = Instant::now();
        loop {
            let left = self.patience.saturating_sub(began.elapsed()).max(AGAIN);
            match producer.commit_transaction(left) {
                Err(KafkaError::Transaction(error)) if error.is_retriable() && began.elapsed() < self.patience => {
                    std::thread::sleep(AGAIN);
                }
                committed => return committed,
            }
        }
    }

    fn unwritten(&self, at: &TopicPartition, error: &KafkaError) -> AppendError {
        let mut reason = self.access.explain(format!("no transaction can be begun: {error}"));
        if let KafkaError::Transaction(error) = error
            && error.code() == RDKafkaErrorCode::TransactionalIdAuthorizationFailed
        {
            reason.push_str(&format!("; allow this user to write transactional ids that begin with {}", self.prefix));
        }
        AppendError::Refused { at: at.clone(), reason: Refusal::Unavailable(reason) }
    }
}
