//! A place in one partition from where records are fetched: a consumer of the client library in a thread of its own.
//!
//! The thread polls and fills the [`Window`]; it never waits for a reader's work, only for room, and then the library's own
//! bounded queue fills and fetching pauses. A cursor is assigned once and never sought elsewhere, so nothing that was fetched
//! for another place can be taken for this one. It ends when it fails, when it is dropped, or when nobody used it for a while.

use crate::context::{Access, Context};
use crate::names::{offset, partition_number};
use crate::window::{Hole, Spacing, Window};
use acurast_events::topics::TopicPartition;
use acurast_events::units::{Offset, Timestamp};
use acurast_relayer_journal::{Attributes, LogRecord, ReadLimits};
use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset as At, TopicPartitionList};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long one poll waits; bounds how late an unused thread ends.
const POLL: Duration = Duration::from_millis(500);
/// Most records, and bytes after which no further one is added, that are taken before readers are told.
const BATCH_MAX: ReadLimits = ReadLimits { records_max: 512, bytes_max: 2 << 20 };
/// A cursor that nobody used for so long is closed.
const IDLE: Duration = Duration::from_secs(120);

/// What a cursor takes of a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taking {
    pub(crate) spacing: Spacing,
    /// Whether the records' attributes too, which cost as much as all the rest.
    pub(crate) attributes: bool,
}

/// Why a cursor fetches no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Nobody used it.
    Idle,
    /// Records are missing in the log.
    Hole(Hole),
    /// The log has nothing at this place: it was shortened, its begin was deleted, or it is gone.
    Lost(String),
    /// The consumer can't be made or goes on no more.
    Failed(String),
}

/// How far a cursor got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) next: Offset,
    pub(crate) ended: Option<Ended>,
}

struct Shared {
    state: Mutex<State>,
    room: Condvar,
    reached: watch::Sender<Reached>,
    waiting: AtomicUsize,
}

struct State {
    window: Window,
    used: Instant,
    stop: bool,
}

impl Shared {
    // No code panics while it holds the lock; the state is as good as any.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, why: Ended) {
        self.reached.send_modify(|reached| reached.ended = Some(why));
    }
}

/// The readers' side.
pub(crate) struct Cursor {
    shared: Arc<Shared>,
}

impl Cursor {
    /// Starts to fetch at `from`.
    pub(crate) fn start(config: &ClientConfig, access: Access, at: &TopicPartition, from: Offset, taking: Taking) -> Result<Self, String> {
        let Taking { spacing, attributes } = taking;
        let shared = Arc::new(Shared {
            state: Mutex::new(State { window: Window::new(from, spacing), used: Instant::now(), stop: false }),
            room: Condvar::new(),
            reached: watch::Sender::new(Reached { next: from, ended: None }),
            waiting: AtomicUsize::new(0),
        });
        let thread = std::thread::Builder::new().name("kafka-cursor".into());
        let (config, at, shared_) = (consumer_config(config, spacing), at.clone(), Arc::clone(&shared));
        let run = move || {
            if let Err(why) = fetch(&config, access, &at, from, attributes, &shared_) {
                tracing::debug!(%at, ?why, "a Kafka cursor ended");
                shared_.end(why);
            }
        };
        thread.spawn(run).map_err(|error| format!("no thread for a consumer: {error}"))?;
        Ok(Self { shared })
    }

    /// How far it got.
    pub(crate) fn reached(&self) -> Reached {
        self.shared.reached.borrow().clone()
    }

    /// Records from `from` on, as far as they are here.
    pub(crate) fn take(&self, from: Offset, limits: ReadLimits) -> Vec<LogRecord> {
        let mut state = self.shared.state();
        state.used = Instant::now();
        let taken = state.window.take(from, limits);
        drop(state);
        self.shared.room.notify_one();
        taken
    }

    /// Whether it has the record at `from`.
    pub(crate) fn holds(&self, from: Offset) -> bool {
        self.shared.state().window.holds(from)
    }

    /// Waits until it passed `from`, or ended. May be cancelled.
    pub(crate) async fn wait_beyond(&self, from: Offset) -> Reached {
        let _waiting = Waiting::new(&self.shared, from);
        let mut reached = self.shared.reached.subscribe();
        let seen = reached.wait_for(|reached| reached.next > from || reached.ended.is_some()).await.map(|reached| reached.clone());
        // The sender lives in `shared`, as long as this cursor.
        seen.unwrap_or_else(|_| self.reached())
    }

    /// Whether somebody waits for it.
    pub(crate) fn is_awaited(&self) -> bool {
        self.shared.waiting.load(Ordering::Relaxed) > 0
    }

    /// When it was last used.
    pub(crate) fn used(&self) -> Instant {
        self.shared.state().used
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.shared.state().stop = true;
        self.shared.room.notify_one();
    }
}

/// Counts a reader that waits, also when its future is dropped.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn new(shared: &'a Shared, from: Offset) -> Self {
        shared.waiting.fetch_add(1, Ordering::Relaxed);
        let mut state = shared.state();
        state.used = Instant::now();
        state.window.ask(from);
        drop(state);
        shared.room.notify_one();
        Self(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().used = Instant::now();
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How records of such a log are fetched.
pub(crate) fn consumer_config(common: &ClientConfig, spacing: Spacing) -> ClientConfig {
    let mut config = common.clone();
    let isolation = match spacing {
        // The high watermark, not the last stable offset: recovery must see everything that counts.
        Spacing::Dense => "read_uncommitted",
        // What a transaction that was given up left behind was never published.
        Spacing::Sparse => "read_committed",
    };
    config
        // The library wants a name to assign partitions; no group is joined and nothing committed.
        .set("group.id", "acurast-relayer-reader")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // A place that the log doesn't have is an error here, not a reason to jump elsewhere.
        .set("auto.offset.reset", "error")
        .set("isolation.level", isolation)
        .set("check.crcs", "true")
        .set("fetch.min.bytes", "1")
        .set("fetch.wait.max.ms", "500")
        .set("fetch.error.backoff.ms", "100")
        .set("fetch.queue.backoff.ms", "10")
        .set("fetch.message.max.bytes", "4194304")
        .set("fetch.max.bytes", "16777216")
        .set("queued.max.messages.kbytes", "16384");
    config
}

/// A consumer that was told to begin at `from`.
pub(crate) fn consumer_at(
    config: &ClientConfig,
    access: Access,
    at: &TopicPartition,
    from: Offset,
) -> Result<BaseConsumer<Context>, Ended> {
    let failed = |error: KafkaError| Ended::Failed(error.to_string());
    let consumer = BaseConsumer::from_config_and_context(config, Context { access }).map_err(failed)?;
    let mut place = TopicPartitionList::new();
    let (Some(partition), Ok(start)) = (partition_number(at), i64::try_from(from.0)) else {
        return Err(Ended::Lost("no log has such a partition or offset".into()));
    };
    place.add_partition_offset(at.topic.as_str(), partition, At::Offset(start)).map_err(failed)?;
    consumer.assign(&place).map_err(failed)?;
    Ok(consumer)
}

/// Whether a log shows any record at `from` or after it now; nothing when the brokers don't answer in time. Blocks.
///
/// The client library tells that it is at the end, and not at which offset. A consumer of its own, made after the question came
/// up, can't mistake an earlier end for this one.
pub(crate) fn shows_any(
    config: &ClientConfig,
    access: Access,
    at: &TopicPartition,
    from: Offset,
    spacing: Spacing,
    patience: Duration,
) -> Result<Option<bool>, Ended> {
    let mut config = consumer_config(config, spacing);
    config.set("enable.partition.eof", "true").set("fetch.wait.max.ms", "10").set("queued.min.messages", "1");
    let began = Instant::now();
    let consumer = consumer_at(&config, access, at, from)?;
    while let Some(left) = patience.checked_sub(began.elapsed()) {
        match consumer.poll(left.min(POLL)) {
            None => {}
            Some(Ok(_)) => return Ok(Some(true)),
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(Some(false)),
            Some(Err(error)) => {
                if let Some(why) = ended_by(&error) {
                    return Err(why);
                }
            }
        }
    }
    Ok(None)
}

fn fetch(config: &ClientConfig, access: Access, at: &TopicPartition, from: Offset, attributes: bool, shared: &Shared) -> Result<(), Ended> {
    let consumer = consumer_at(config, access, at, from)?;
    loop {
        if !wait_for_room(shared)? {
            return Ok(());
        }
        let Some(polled) = consumer.poll(POLL) else { continue };
        let mut batch = Vec::new();
        let mut bytes = 0usize;
        let mut next = Some(polled);
        let mut ended = None;
        // What is already here comes along, so that readers wake once per batch.
        while let Some(polled) = next {
            match polled {
                Ok(message) => match record_of(&message, attributes) {
                    Ok(record) => {
                        bytes = bytes.saturating_add(record.size_bytes());
                        batch.push(record);
                    }
                    Err(why) => ended = Some(why),
                },
                Err(error) => ended = ended_by(&error),
            }
            next = if ended.is_none() && BATCH_MAX.admit(batch.len(), bytes) { consumer.poll(Duration::ZERO) } else { None };
        }
        hand_out(shared, batch)?;
        if let Some(why) = ended {
            return Err(why);
        }
    }
}

/// Waits until the window takes more; false when the cursor was dropped.
fn wait_for_room(shared: &Shared) -> Result<bool, Ended> {
    let mut state = shared.state();
    loop {
        if state.stop {
            return Ok(false);
        }
        if shared.waiting.load(Ordering::Relaxed) == 0 && state.used.elapsed() > IDLE {
            return Err(Ended::Idle);
        }
        if state.window.has_room() {
            return Ok(true);
        }
        state = shared.room.wait_timeout(state, POLL).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// Puts a batch into the window. A batch may pass the window's bounds: what was polled is here anyway, and it is bounded itself.
fn hand_out(shared: &Shared, batch: Vec<LogRecord>) -> Result<(), Ended> {
    if batch.is_empty() {
        return Ok(());
    }
    let mut state = shared.state();
    let outcome = batch.into_iter().try_for_each(|record| state.window.push(record));
    let next = state.window.next();
    drop(state);
    shared.reached.send_modify(|reached| reached.next = next);
    outcome.map_err(Ended::Hole)
}

fn record_of(message: &BorrowedMessage<'_>, attributes: bool) -> Result<LogRecord, Ended> {
    let lost = |what: &str| Ended::Failed(format!("the client library returned {what}"));
    let offset = offset(message.offset()).ok_or_else(|| lost("a record without an offset"))?;
    // The library panics on a name that isn't UTF-8, which others may write. Attributes decide nothing, so they are left out then.
    let taken = || std::panic::catch_unwind(AssertUnwindSafe(|| attributes_of(message))).unwrap_or_default();
    let attributes = if attributes { taken() } else { Attributes::default() };
    let at = message.timestamp().to_millis().and_then(|at| u64::try_from(at).ok()).unwrap_or_default();
    Ok(LogRecord {
        offset,
        key: message.key().unwrap_or_default().to_vec(),
        value: message.payload().unwrap_or_default().to_vec(),
        attributes,
        at: Timestamp(at),
    })
}

fn attributes_of(message: &BorrowedMessage<'_>) -> Attributes {
    let headers = message.headers();
    headers.iter().flat_map(|headers| headers.iter()).map(|header| (header.key, header.value.unwrap_or_default())).collect()
}

/// What an error means for the cursor; nothing when the library goes on by itself.
fn ended_by(error: &KafkaError) -> Option<Ended> {
    use RDKafkaErrorCode as Code;
    if let KafkaError::MessageConsumptionFatal(code) = error {
        return Some(Ended::Failed(code.to_string()));
    }
    match error.rdkafka_error_code() {
        Some(
            code @ (Code::OffsetOutOfRange
            | Code::AutoOffsetReset
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicId
            | Code::NoOffset
            | Code::LogTruncation),
        ) => Some(Ended::Lost(code.to_string())),
        Some(
            code @ (Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::BadMessage
            | Code::InvalidMessage),
        ) => Some(Ended::Failed(code.to_string())),
        // Brokers that are down or slow: the library connects again.
        _ => None,
    }
}
