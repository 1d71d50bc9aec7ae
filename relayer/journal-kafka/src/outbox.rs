//! Appends: an idempotent producer, all in-sync replicas, and one outcome per call.
//!
//! ```text
//! append ─ room ─ enqueue all in one go ─▶ librdkafka ─▶ a report per record ─▶ all delivered, offsets consecutive: Ok
//!                                                                            ├▶ none delivered, and provably: Refused
//!                                                                            └▶ anything else: Uncertain
//! ```
//!
//! The records of a call are enqueued under one lock, so they follow each other in the library's queue, and idempotence keeps
//! them so in the log; the offsets that come back are checked all the same. A call that is dropped leaves its records on their
//! way. A producer with a fatal error is replaced; what was in it is uncertain.

use crate::config::{ConfigError, KafkaConfig, message_bytes_max};
use crate::context::{Access, Context};
use crate::names::{after, offset, partition_number};
use acurast_events::topics::TopicPartition;
use acurast_events::units::Offset;
use acurast_relayer_journal::{AppendError, MAX_APPEND_BYTES, MAX_APPEND_RECORDS, NewRecord, Refusal};
use rdkafka::ClientConfig;
use rdkafka::client::{Client, ClientContext, OAuthToken};
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Longest that one question may take.
const QUESTION: Duration = Duration::from_secs(10);
/// Bytes on their way at once, over all partitions, in KiB.
const ROOM_KIB: usize = 48 << 10;
/// What a record costs beyond its bytes, at least, in KiB: so that small records are bounded too.
const RECORD_BYTES: usize = 256;

/// A producer and what it is made of.
pub(crate) struct Outbox {
    config: ClientConfig,
    access: Access,
    producer: Mutex<Arc<ThreadedProducer<Reports>>>,
    room: Arc<Semaphore>,
    /// How long the brokers may take for one question.
    pub(crate) patience: Duration,
}

impl Outbox {
    pub(crate) fn new(kafka: &KafkaConfig, access: Access) -> Result<Self, ConfigError> {
        let mut config = producer_config(kafka)?;
        // A reader's property that decides what this client's questions for a log's end mean: the high watermark, also while
        // somebody else's transaction is open.
        config.set("isolation.level", "read_uncommitted");
        let producer = Mutex::new(Arc::new(producer(&config, access.clone()).map_err(|error| ConfigError::Client(error.to_string()))?));
        Ok(Self { config, access, producer, room: Arc::new(Semaphore::new(ROOM_KIB)), patience: kafka.read_timeout().min(QUESTION) })
    }

    /// The producer in use; a new one when the last had a fatal error.
    fn producer(&self) -> Result<Arc<ThreadedProducer<Reports>>, KafkaError> {
        let mut current = self.current();
        if let Some((code, reason)) = current.client().fatal_error() {
            tracing::warn!(%code, reason, "the Kafka producer had a fatal error and is replaced");
            *current = Arc::new(producer(&self.config, self.access.clone())?);
        }
        Ok(Arc::clone(&current))
    }

    /// Asks the brokers something that blocks, off the async threads.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Client<Reports>) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, KafkaError> {
        let producer = self.producer()?;
        let asked = tokio::task::spawn_blocking(move || question(producer.client()));
        let answer = asked.await.map_err(|_| KafkaError::Canceled)?;
        if answer.is_ok() {
            self.access.granted();
        }
        answer
    }

    /// Appends `records`, of which the bounds were checked, and waits for the outcome.
    pub(crate) async fn append(&self, at: &TopicPartition, records: Vec<NewRecord>) -> Result<Vec<Offset>, AppendError> {
        let refuse = |reason| AppendError::Refused { at: at.clone(), reason };
        let unavailable = |reason: String| refuse(Refusal::Unavailable(reason));
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let Some(partition) = partition_number(at) else { return Err(refuse(Refusal::NoSuchPartition)) };
        let room = Arc::clone(&self.room).acquire_many_owned(cost_kib(&records)).await;
        let room = room.map_err(|error| unavailable(error.to_string()))?;
        let producer = self.producer().map_err(|error| unavailable(format!("no Kafka producer: {error}")))?;
        let (told, outcome) = oneshot::channel();
        let call = Call::new(records.len(), told, Some(room));
        {
            // Short: it only copies into the library's queue. All partitions share the lock; the copying is what takes time.
            let _in_order = self.current();
            enqueue(&producer, at, partition, &records, &call);
        }
        drop(records);
        // What is on its way holds the call; if all of that is dropped, so is the sender.
        drop(call);
        match outcome.await {
            Ok(Outcome { offsets, failure: None, .. }) => consecutive(&offsets).ok_or_else(|| AppendError::Uncertain {
                at: at.clone(),
                reason: "the brokers acknowledged the records at offsets that don't follow each other".into(),
            }),
            Ok(Outcome { offsets, failure: Some(failure), .. }) if offsets.iter().all(Option::is_none) && failure.nothing_written => {
                Err(refuse(failure.refusal()))
            }
            Ok(Outcome { failure: Some(failure), .. }) => {
                Err(AppendError::Uncertain { at: at.clone(), reason: self.access.explain(failure.to_string()) })
            }
            Err(_) => Err(AppendError::Uncertain { at: at.clone(), reason: "the Kafka producer was closed".into() }),
        }
    }

    // No code panics while it holds the lock.
    fn current(&self) -> MutexGuard<'_, Arc<ThreadedProducer<Reports>>> {
        self.producer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all producers have in common.
pub(crate) fn producer_config(kafka: &KafkaConfig) -> Result<ClientConfig, ConfigError> {
    let mut config = kafka.client()?;
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("message.timeout.ms", kafka.delivery_timeout().as_millis().to_string())
        .set("request.timeout.ms", kafka.delivery_timeout().as_millis().min(10_000).to_string())
        .set("message.max.bytes", message_bytes_max().to_string())
        // Long enough that the records of one call usually go as one batch.
        .set("linger.ms", "1")
        .set("retry.backoff.max.ms", "500")
        .set("compression.type", "lz4")
        // More than `room` lets in, so that the library's own bounds are never met.
        .set("queue.buffering.max.kbytes", "131072")
        .set("queue.buffering.max.messages", "1000000");
    Ok(config)
}

/// Copies records into the library's queue; whatever becomes of each is reported to `call`. False when it doesn't take all of them.
pub(crate) fn enqueue(
    producer: &ThreadedProducer<Reports>,
    at: &TopicPartition,
    partition: i32,
    records: &[NewRecord],
    call: &Arc<Call>,
) -> bool {
    for (index, record) in records.iter().enumerate() {
        let mut message = BaseRecord::with_opaque_to(at.topic.as_str(), Box::new(Ticket { index, call: Arc::clone(call) }))
            .partition(partition)
            .key(&record.key)
            .payload(&record.value);
        if !record.attributes.is_empty() {
            let empty = OwnedHeaders::new_with_capacity(record.attributes.len());
            let insert = |headers: OwnedHeaders, (key, value)| headers.insert(Header { key, value: Some(value) });
            message = message.headers(record.attributes.iter().fold(empty, insert));
        }
        if let Err((error, _)) = producer.send(message) {
            // Refused on the spot: it and those after it were never enqueued.
            call.close(index, Failure::of(&error, true));
            return false;
        }
    }
    true
}

pub(crate) fn producer(config: &ClientConfig, access: Access) -> Result<ThreadedProducer<Reports>, KafkaError> {
    ThreadedProducer::from_config_and_context(config, Reports(Context { access }))
}

fn cost_kib(records: &[NewRecord]) -> u32 {
    let bytes = records.iter().fold(0usize, |sum, record| sum.saturating_add(record.size_bytes()).saturating_add(RECORD_BYTES));
    // The bounds of one append keep it below all there is.
    let most = MAX_APPEND_BYTES.saturating_add(MAX_APPEND_RECORDS.saturating_mul(RECORD_BYTES)).div_ceil(1 << 10);
    u32::try_from(bytes.div_ceil(1 << 10).clamp(1, most)).unwrap_or(1)
}

/// The offsets, if each is the one after the one before.
fn consecutive(offsets: &[Option<Offset>]) -> Option<Vec<Offset>> {
    let offsets: Vec<Offset> = offsets.iter().copied().collect::<Option<_>>()?;
    let follow = offsets.iter().zip(offsets.iter().skip(1)).all(|(one, next)| after(*one) == *next);
    follow.then_some(offsets)
}

/// One append under way.
pub(crate) struct Call {
    state: Mutex<CallState>,
}

struct CallState {
    offsets: Vec<Option<Offset>>,
    failure: Option<Failure>,
    too_large: Option<Failure>,
    /// Records without a report.
    left: usize,
    told: Option<oneshot::Sender<Outcome>>,
    /// Given back when all is reported, also when nobody waits any more.
    room: Option<OwnedSemaphorePermit>,
}

/// What became of a call's records.
pub(crate) struct Outcome {
    pub(crate) offsets: Vec<Option<Offset>>,
    pub(crate) failure: Option<Failure>,
    /// That a record was too large for the topic, whatever became of the others.
    pub(crate) too_large: Option<Failure>,
}

impl CallState {
    fn fail(&mut self, failure: Failure) {
        if failure.code == Some(RDKafkaErrorCode::MessageSizeTooLarge) {
            self.too_large.get_or_insert_with(|| failure.clone());
        }
        let Some(earlier) = &mut self.failure else {
            self.failure = Some(failure);
            return;
        };
        // One that leaves doubt stands for all; of its like the first is what to act on, but what was merely given up along with
        // others only adds its doubt.
        let doubt = !earlier.nothing_written || !failure.nothing_written;
        let tells_more =
            if earlier.is_purge() == failure.is_purge() { earlier.nothing_written && !failure.nothing_written } else { earlier.is_purge() };
        if tells_more {
            *earlier = failure;
        }
        earlier.nothing_written = !doubt;
    }

    fn tell_if_done(&mut self) {
        if self.left > 0 {
            return;
        }
        self.room = None;
        if let Some(told) = self.told.take() {
            // Nobody may wait any more.
            let (offsets, failure, too_large) = (std::mem::take(&mut self.offsets), self.failure.take(), self.too_large.take());
            let _ = told.send(Outcome { offsets, failure, too_large });
        }
    }
}

impl Call {
    /// A call of so many records, of which `told` hears when all are reported.
    pub(crate) fn new(records: usize, told: oneshot::Sender<Outcome>, room: Option<OwnedSemaphorePermit>) -> Arc<Self> {
        let state = CallState { offsets: vec![None; records], failure: None, too_large: None, left: records, told: Some(told), room };
        Arc::new(Self { state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, CallState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, index: usize, outcome: Result<Offset, Failure>) {
        let mut state = self.state();
        match outcome {
            Ok(offset) => {
                if let Some(place) = state.offsets.get_mut(index) {
                    *place = Some(offset);
                }
            }
            Err(failure) => state.fail(failure),
        }
        state.left = state.left.saturating_sub(1);
        state.tell_if_done();
    }

    /// The records from `index` on will get no report.
    fn close(&self, index: usize, failure: Failure) {
        let mut state = self.state();
        let unsent = state.offsets.len().saturating_sub(index);
        state.fail(failure);
        state.left = state.left.saturating_sub(unsent);
        state.tell_if_done();
    }
}

/// Why a record wasn't delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Failure {
    code: Option<RDKafkaErrorCode>,
    reason: String,
    /// Surely none of it is in the log or will be.
    pub(crate) nothing_written: bool,
}

impl Failure {
    fn of(error: &KafkaError, unsent: bool) -> Self {
        let code = error.rdkafka_error_code();
        // Too large is judged before anything is written, on each attempt alike. Every other answer may follow an attempt that
        // was written and whose acknowledgement was lost; the library's own word for that (message status) isn't passed on.
        let nothing_written = unsent || code == Some(RDKafkaErrorCode::MessageSizeTooLarge);
        Self { code, reason: code.map_or_else(|| error.to_string(), |code| code.to_string()), nothing_written }
    }

    fn is_purge(&self) -> bool {
        matches!(self.code, Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight))
    }

    pub(crate) fn refusal(self) -> Refusal {
        use RDKafkaErrorCode as Code;
        match self.code {
            Some(Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition) => Refusal::NoSuchPartition,
            Some(Code::MessageSizeTooLarge) => Refusal::Unavailable(format!(
                "{}; the topic's max.message.bytes is below {}: run `topics apply`",
                self.reason,
                message_bytes_max()
            )),
            _ => Refusal::Unavailable(self.reason),
        }
    }
}

/// What a record carries through the library, back to its call.
pub(crate) struct Ticket {
    index: usize,
    call: Arc<Call>,
}

/// Takes delivery reports.
pub(crate) struct Reports(Context);

impl ClientContext for Reports {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = Context::ENABLE_REFRESH_OAUTH_TOKEN;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.0.generate_oauth_token(config)
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Self::DeliveryOpaque) {
        let outcome = match result {
            Ok(message) => offset(message.offset()).ok_or_else(|| Failure {
                code: None,
                reason: "a record was acknowledged without an offset".into(),
                nothing_written: false,
            }),
            Err((error, _)) => Err(Failure::of(error, false)),
        };
        ticket.call.report(ticket.index, outcome);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use acurast_relayer_journal::Attributes;

    fn call(records: usize) -> (Arc<Call>, oneshot::Receiver<Outcome>, Arc<Semaphore>) {
        let room = Arc::new(Semaphore::new(1));
        let permit = Arc::clone(&room).try_acquire_owned().unwrap();
        let (told, outcome) = oneshot::channel();
        (Call::new(records, told, Some(permit)), outcome, room)
    }

    fn failure(code: RDKafkaErrorCode) -> Failure {
        Failure::of(&KafkaError::MessageProduction(code), false)
    }

    #[test]
    fn a_call_ends_with_its_last_report_and_gives_its_room_back() {
        let (call, mut outcome, room) = call(2);
        call.report(1, Ok(Offset(8)));
        assert!(outcome.try_recv().is_err());
        assert_eq!(room.available_permits(), 0);
        call.report(0, Ok(Offset(7)));
        let outcome = outcome.try_recv().unwrap();
        assert_eq!(consecutive(&outcome.offsets), Some(vec![Offset(7), Offset(8)]));
        assert_eq!(room.available_permits(), 1);
    }

    #[test]
    fn room_comes_back_when_nobody_waits_any_more() {
        let (call, outcome, room) = call(1);
        drop(outcome);
        call.report(0, Err(failure(RDKafkaErrorCode::MessageTimedOut)));
        assert_eq!(room.available_permits(), 1);
    }

    #[test]
    fn one_doubtful_record_leaves_the_whole_call_in_doubt() {
        for order in [[0, 1], [1, 0]] {
            let failures = [failure(RDKafkaErrorCode::MessageSizeTooLarge), failure(RDKafkaErrorCode::MessageTimedOut)];
            let (call, mut outcome, _room) = call(2);
            for (index, which) in order.into_iter().enumerate() {
                call.report(index, Err(failures[which].clone()));
            }
            assert!(!outcome.try_recv().unwrap().failure.unwrap().nothing_written);
        }
    }

    #[test]
    fn what_is_given_up_along_with_others_does_not_hide_why() {
        for order in [[0, 1], [1, 0]] {
            let failures = [failure(RDKafkaErrorCode::MessageSizeTooLarge), failure(RDKafkaErrorCode::PurgeQueue)];
            let (call, mut outcome, _room) = call(2);
            for (index, which) in order.into_iter().enumerate() {
                call.report(index, Err(failures[which].clone()));
            }
            let told = outcome.try_recv().unwrap();
            let failure = told.failure.unwrap();
            assert_eq!(failure.code, Some(RDKafkaErrorCode::MessageSizeTooLarge));
            assert!(!failure.nothing_written, "{failure:?}");
        }
    }

    #[test]
    fn that_a_record_was_too_large_is_told_whatever_became_of_the_others() {
        for order in [[0, 1], [1, 0]] {
            let (call, mut outcome, _room) = call(2);
            let failures = [failure(RDKafkaErrorCode::MessageSizeTooLarge), failure(RDKafkaErrorCode::MessageTimedOut)];
            for (index, which) in order.into_iter().enumerate() {
                call.report(index, Err(failures[which].clone()));
            }
            let told = outcome.try_recv().unwrap();
            assert_eq!(told.too_large, Some(failures[0].clone()));
            assert_eq!(told.failure.unwrap().code, Some(RDKafkaErrorCode::MessageTimedOut));
        }
    }

    #[test]
    fn records_that_were_never_enqueued_need_no_report() {
        let (call, mut outcome, _room) = call(3);
        call.report(0, Ok(Offset(1)));
        call.close(1, Failure::of(&KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), true));
        let outcome = outcome.try_recv().unwrap();
        assert_eq!(outcome.offsets, [Some(Offset(1)), None, None]);
        assert!(outcome.failure.is_some());
    }

    #[test]
    fn offsets_that_do_not_follow_each_other_are_noticed() {
        let some = |offsets: &[u64]| offsets.iter().map(|offset| Some(Offset(*offset))).collect::<Vec<_>>();
        assert!(consecutive(&some(&[4, 5, 6])).is_some());
        for broken in [&[4, 6][..], &[5, 4], &[4, 4]] {
            assert_eq!(consecutive(&some(broken)), None, "{broken:?}");
        }
    }

    #[test]
    fn the_largest_append_fits_the_room() {
        let records =
            vec![
                NewRecord { key: vec![], value: vec![0; MAX_APPEND_BYTES / MAX_APPEND_RECORDS], attributes: Attributes::default() };
                MAX_APPEND_RECORDS
            ];
        assert!(usize::try_from(cost_kib(&records)).unwrap() <= ROOM_KIB);
    }
}
