//! Sharing the partitions out among replicas: a consumer group that assigns work and shows lag. It is not the fence (R12).
//!
//! ```text
//!              assigned │ revoked                          ┌──────────────┐
//!   ┌────────┐ ────────────────────▶ assignment, new       │ broken: empty│ fatal error │ assigning failed
//!   │ joined │                       generation            │  assignment, │◀──────────────────────────────┐
//!   └────────┘ ◀───────────────────────────────────────────│  back-off    │                               │
//!       │           a new consumer                         └──────────────┘                               │
//!       └─────────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A consumer in a thread of its own subscribes, and polls whatever the rest of the process does, so that it is never taken for
//! dead while others work. Nothing is read through it: each partition is assigned at its end and paused at once. A session that
//! runs out is noticed by the library itself, which revokes all and joins again; a consumer that can't go on (a static member
//! that another one pushed out) is replaced.
//!
//! What is published may be late: two replicas may both think that a partition is theirs. Their claims in the log decide.

use crate::config::{ConfigError, KafkaConfig};
use crate::context::{Access, Context};
use crate::names::partition_number;
use acurast_events::topics::{TopicName, TopicPartition};
use acurast_events::units::Offset;
use acurast_relayer_journal::{Assignment, check_topic};
use rdkafka::ClientConfig;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset as At, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::num::NonZeroU32;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// How long one poll waits; bounds how late a member notices that it shall leave.
const POLL: Duration = Duration::from_millis(100);
/// How often what was applied is committed.
const COMMIT: Duration = Duration::from_secs(1);
/// Shortest and longest pause before a consumer that can't go on is replaced.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));
/// A consumer that lasted so long was well: the next pause is a short one again.
const LASTED: Duration = Duration::from_secs(60);
/// How long leaving is waited for. Brokers that are out of reach notice it by themselves.
const LEAVE: Duration = Duration::from_secs(6);

/// This process's part in the group. When it is dropped, the member leaves in the background.
pub struct Membership {
    shared: Arc<Shared>,
    left: oneshot::Receiver<()>,
}

struct Shared {
    state: Mutex<State>,
    woken: Condvar,
    assignment: watch::Sender<Assignment>,
}

#[derive(Default)]
struct State {
    stop: bool,
    /// The consumer can't go on, and why.
    broken: Option<String>,
    applied: BTreeMap<TopicPartition, Offset>,
    /// What the brokers were told, of partitions that are assigned.
    committed: BTreeMap<TopicPartition, Offset>,
}

impl Membership {
    /// Joins the group for `topics` and stays in it until it is dropped or leaves.
    pub(crate) fn join(kafka: &KafkaConfig, access: Access, prefix: &str, topics: &[(TopicName, NonZeroU32)]) -> Result<Self, ConfigError> {
        let config = member_config(kafka, prefix)?;
        if topics.is_empty() {
            return Err(ConfigError::Client("there is no topic to share out".into()));
        }
        for (topic, partitions) in topics {
            check_topic(topic, *partitions).map_err(|error| ConfigError::Client(error.to_string()))?;
        }
        let (gone, left) = oneshot::channel();
        let shared = Arc::new(Shared { state: Mutex::default(), woken: Condvar::new(), assignment: watch::Sender::default() });
        let member = Member { config, access, topics: topics.iter().cloned().collect(), shared: Arc::clone(&shared) };
        let run = move || {
            member.run();
            // Nobody may wait.
            let _ = gone.send(());
        };
        let thread = std::thread::Builder::new().name("kafka-group".into()).spawn(run);
        thread.map_err(|error| ConfigError::Client(format!("no thread for the group's consumer: {error}")))?;
        Ok(Self { shared, left })
    }

    /// What this replica should own, now and whenever it changes. Starts empty, with generation 0.
    pub fn assignment(&self) -> watch::Receiver<Assignment> {
        self.shared.assignment.subscribe()
    }

    /// Says that `at` is applied up to, and without, `next`. Shown to whoever asks the brokers for the group's lag, about once a
    /// second while the partition is assigned here. Advice: nothing reads it back.
    pub fn applied(&self, at: &TopicPartition, next: Offset) {
        self.shared.state().applied.insert(at.clone(), next);
    }

    /// Leaves the group, so that the others take over at once and needn't wait for the session to run out. A static member's
    /// partitions wait for it nevertheless (`journal.kafka.group.instance`). Returns after seconds when the brokers are out of
    /// reach.
    pub async fn leave(mut self) {
        self.shared.stop();
        if tokio::time::timeout(LEAVE, &mut self.left).await.is_err() {
            tracing::warn!("the brokers didn't confirm that this replica leaves the consumer group; its session runs out");
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Shared {
    // No code panics while it holds the lock; the state is as good as any.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        self.state().stop = true;
        self.woken.notify_all();
    }

    fn gain(&self, gained: BTreeSet<TopicPartition>) {
        if gained.is_empty() {
            return;
        }
        self.publish(|partitions| partitions.extend(gained));
    }

    /// Drops `lost`, or all.
    fn lose(&self, lost: Option<&BTreeSet<TopicPartition>>) {
        {
            let mut state = self.state();
            match lost {
                Some(lost) => state.committed.retain(|at, _| !lost.contains(at)),
                None => state.committed.clear(),
            }
        }
        let empty = match lost {
            Some(lost) => lost.is_empty(),
            None => self.assignment.borrow().partitions.is_empty(),
        };
        if !empty {
            self.publish(|partitions| partitions.retain(|at| lost.is_some_and(|lost| !lost.contains(at))));
        }
    }

    fn publish(&self, change: impl FnOnce(&mut BTreeSet<TopicPartition>)) {
        self.assignment.send_modify(|assignment| {
            change(&mut assignment.partitions);
            assignment.generation = assignment.generation.saturating_add(1);
        });
        let now = self.assignment.borrow();
        tracing::info!(generation = now.generation, partitions = now.partitions.len(), "partitions were assigned to this replica");
    }

    /// What was applied and isn't committed yet, of what is assigned here; marked as committed.
    fn due(&self) -> BTreeMap<TopicPartition, Offset> {
        let assignment = self.assignment.borrow();
        let mut state = self.state();
        let State { applied, committed, .. } = &mut *state;
        let due = applied.iter().filter(|(at, next)| assignment.partitions.contains(*at) && committed.get(*at) != Some(*next));
        let due: BTreeMap<_, _> = due.map(|(at, next)| (at.clone(), *next)).collect();
        committed.extend(due.iter().map(|(at, next)| (at.clone(), *next)));
        due
    }
}

fn member_config(kafka: &KafkaConfig, prefix: &str) -> Result<ClientConfig, ConfigError> {
    let mut config = kafka.client()?;
    let group = &kafka.group;
    config
        .set("group.id", group.id.clone().unwrap_or_else(|| format!("{prefix}relayer")))
        .set("session.timeout.ms", group.session_timeout_ms.to_string())
        .set("heartbeat.interval.ms", group.heartbeat_ms().to_string())
        // Of a change only what moves is taken away: the others settle on meanwhile.
        .set("partition.assignment.strategy", "cooperative-sticky")
        // The polling thread does nothing else, so this is never met; it must not be below the session's.
        .set("max.poll.interval.ms", "600000")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "latest")
        .set("queued.min.messages", "1")
        .set("queued.max.messages.kbytes", "64")
        .set("fetch.message.max.bytes", "1024")
        .set("fetch.max.bytes", "1048576");
    if let Some(instance) = &group.instance {
        config.set("group.instance.id", instance);
    }
    Ok(config)
}

/// The thread's side.
struct Member {
    config: ClientConfig,
    access: Access,
    topics: BTreeMap<TopicName, NonZeroU32>,
    shared: Arc<Shared>,
}

impl Member {
    /// Is a member until it shall stop; replaces a consumer that can't go on.
    fn run(&self) {
        let mut pause = BACK_OFF.0;
        loop {
            let began = Instant::now();
            let outcome = self.take_part();
            // Whatever the brokers think, this replica no longer hears of changes.
            self.shared.lose(None);
            let Err(reason) = outcome else { return };
            if began.elapsed() >= LASTED {
                pause = BACK_OFF.0;
            }
            tracing::warn!(
                reason,
                ?pause,
                "this replica is out of the consumer group and joins again; when another one has the same \
                 journal.kafka.group.instance, give each its own"
            );
            if self.rest(pause) {
                return;
            }
            pause = pause.saturating_mul(2).min(BACK_OFF.1);
        }
    }

    /// Waits; true when it shall stop.
    fn rest(&self, pause: Duration) -> bool {
        let until = |state: &mut State| !state.stop;
        let state = self.shared.state();
        let waited = self.shared.woken.wait_timeout_while(state, pause, until);
        waited.unwrap_or_else(PoisonError::into_inner).0.stop
    }

    /// One consumer's life: ends well when it shall stop, with the reason when it can't go on.
    fn take_part(&self) -> Result<(), String> {
        self.shared.state().broken = None;
        let context =
            GroupContext { inner: Context { access: self.access.clone() }, topics: self.topics.clone(), shared: Arc::clone(&self.shared) };
        let consumer = BaseConsumer::from_config_and_context(&self.config, context).map_err(|error| error.to_string())?;
        let names: Vec<&str> = self.topics.keys().map(TopicName::as_str).collect();
        consumer.subscribe(&names).map_err(|error| error.to_string())?;
        let mut committed = Instant::now();
        loop {
            // A record that came through before its partition was paused is nobody's business, and errors are logged by the context:
            // but for fatal ones the library goes on by itself.
            drop(consumer.poll(POLL));
            if let Some((code, reason)) = consumer.client().fatal_error() {
                return Err(format!("{code}: {reason}"));
            }
            let (stop, broken) = {
                let mut state = self.shared.state();
                (state.stop, state.broken.take())
            };
            if let Some(reason) = broken {
                return Err(reason);
            }
            if stop || committed.elapsed() >= COMMIT {
                committed = Instant::now();
                commit(&consumer, &self.shared.due());
            }
            if stop {
                // Dropping it waits for the commit, gives all back and leaves.
                return Ok(());
            }
        }
    }
}

fn commit(consumer: &BaseConsumer<GroupContext>, due: &BTreeMap<TopicPartition, Offset>) {
    let mut offsets = TopicPartitionList::new();
    for (at, next) in due {
        if let (Some(partition), Ok(next)) = (partition_number(at), i64::try_from(next.0)) {
            // Only a special value would be refused.
            let _ = offsets.add_partition_offset(at.topic.as_str(), partition, At::Offset(next));
        }
    }
    if offsets.count() > 0
        && let Err(error) = consumer.commit(&offsets, CommitMode::Async)
    {
        tracing::debug!(%error, "positions weren't committed; they only show lag");
    }
}

/// Takes assignments; everything else as other clients do.
struct GroupContext {
    inner: Context,
    topics: BTreeMap<TopicName, NonZeroU32>,
    shared: Arc<Shared>,
}

impl GroupContext {
    /// The partitions that are ours to share out.
    fn ours(&self, list: &TopicPartitionList) -> BTreeSet<TopicPartition> {
        let elements = list.elements();
        let ours = elements.iter().filter_map(|element| {
            let (topic, count) = self.topics.get_key_value(&TopicName::new(element.topic()))?;
            let partition = u32::try_from(element.partition()).ok().filter(|partition| *partition < count.get())?;
            Some(topic.partition(partition))
        });
        ours.collect()
    }
}

impl ClientContext for GroupContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = Context::ENABLE_REFRESH_OAUTH_TOKEN;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.inner.log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        self.inner.error(error, reason);
    }
    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.inner.generate_oauth_token(config)
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let cooperative = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let done = if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            let assigned = take(consumer, cooperative, list);
            if assigned.is_ok() {
                self.shared.gain(self.ours(list));
            }
            assigned
        } else {
            // Told before the brokers are: from then on others may be assigned them.
            self.shared.lose(cooperative.then(|| self.ours(list)).as_ref());
            if cooperative { consumer.incremental_unassign(list) } else { consumer.unassign() }
        };
        if let Err(error) = done {
            // The library wants an answer to each change; without one this consumer would never see another.
            self.shared.state().broken = Some(format!("a change of the assignment wasn't taken: {error}"));
        }
    }

    fn commit_callback(&self, outcome: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = outcome {
            tracing::debug!(%error, "positions weren't committed; they only show lag");
            // Once more with the next ones.
            self.shared.state().committed.clear();
        }
    }
}

/// Takes partitions without reading them: at their end, where there is nothing, and paused.
fn take(consumer: &BaseConsumer<GroupContext>, cooperative: bool, list: &mut TopicPartitionList) -> KafkaResult<()> {
    list.set_all_offsets(At::End)?;
    if cooperative {
        consumer.incremental_assign(list)?;
    } else {
        consumer.assign(list)?;
    }
    consumer.pause(list)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shared() -> Shared {
        Shared { state: Mutex::default(), woken: Condvar::new(), assignment: watch::Sender::default() }
    }

    fn partitions(numbers: &[u32]) -> BTreeSet<TopicPartition> {
        numbers.iter().map(|number| TopicName::new("jobs").partition(*number)).collect()
    }

    #[test]
    fn the_generation_grows_when_the_same_partitions_come_back_and_not_when_nothing_happens() {
        let shared = shared();
        let seen = shared.assignment.subscribe();
        let now = || seen.borrow().clone();
        assert_eq!(now(), Assignment::default());
        shared.lose(None);
        shared.gain(BTreeSet::new());
        assert_eq!(now().generation, 0);
        shared.gain(partitions(&[1, 2]));
        shared.gain(partitions(&[3]));
        assert_eq!(now(), Assignment { generation: 2, partitions: partitions(&[1, 2, 3]) });
        shared.lose(Some(&partitions(&[2])));
        assert_eq!(now(), Assignment { generation: 3, partitions: partitions(&[1, 3]) });
        shared.lose(None);
        shared.gain(partitions(&[1, 3]));
        assert_eq!(now(), Assignment { generation: 5, partitions: partitions(&[1, 3]) });
    }

    #[test]
    fn only_what_is_assigned_and_moved_is_committed_and_all_of_it_again_after_it_was_lost() {
        let shared = shared();
        let at = |number| TopicName::new("jobs").partition(number);
        shared.state().applied.extend([(at(1), Offset(5)), (at(2), Offset(6))]);
        assert!(shared.due().is_empty());
        shared.gain(partitions(&[1]));
        assert_eq!(shared.due(), BTreeMap::from([(at(1), Offset(5))]));
        assert!(shared.due().is_empty());
        shared.state().applied.insert(at(1), Offset(9));
        assert_eq!(shared.due(), BTreeMap::from([(at(1), Offset(9))]));
        shared.lose(None);
        shared.gain(partitions(&[1, 2]));
        assert_eq!(shared.due(), BTreeMap::from([(at(1), Offset(9)), (at(2), Offset(6))]));
    }
}
