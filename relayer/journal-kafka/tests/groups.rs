//! Replicas that share partitions out by a consumer group, on a real broker: who has what, and that nothing rests on it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code, unused_macros, unused_imports)]

#[path = "../../journal/tests/contract/mod.rs"]
mod contract;
mod faults_support;
mod support;

use acurast_events::topics::{TopicName, TopicPartition};
use acurast_events::units::Offset;
use acurast_relayer_journal::{Assignment, EventJournal};
use acurast_relayer_journal_kafka::{GroupConfig, KafkaConfig, KafkaJournal, Membership};
use contract::{append_raw, read_all, subjects};
use faults_support::{Persistent, eventually};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset as At, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use support::{Brokers, ready};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Shorter sessions than brokers allow by default.
const SHORT_SESSIONS: &str = "group.min.session.timeout.ms=1000";
const SESSION: Duration = Duration::from_secs(6);

/// One broker for the tests that don't stop it; its holder ends when the process does.
fn shared() -> Option<KafkaConfig> {
    static BROKER: OnceLock<Option<Brokers>> = OnceLock::new();
    BROKER.get_or_init(|| ready().then(|| Brokers::start_with(1, SHORT_SESSIONS, ""))).as_ref().map(|brokers| sharing(brokers.config()))
}

fn sharing(config: KafkaConfig) -> KafkaConfig {
    let session_timeout_ms = u64::try_from(SESSION.as_millis()).unwrap();
    KafkaConfig { group: GroupConfig { session_timeout_ms, ..GroupConfig::default() }, ..config }
}

fn topics(prefix: &str, partitions: [u32; 2]) -> [(TopicName, NonZeroU32); 2] {
    let topic = |name: &str, count| (TopicName::new(format!("{prefix}{name}.v1")), NonZeroU32::new(count).unwrap());
    [topic("jobs", partitions[0]), topic("lanes", partitions[1])]
}

fn all(topics: &[(TopicName, NonZeroU32)]) -> BTreeSet<TopicPartition> {
    topics.iter().flat_map(|(topic, count)| (0..count.get()).map(|number| topic.partition(number))).collect()
}

async fn create(config: &KafkaConfig, prefix: &str, topics: &[(TopicName, NonZeroU32)]) {
    let journal = KafkaJournal::open(config, prefix).unwrap();
    for (topic, count) in topics {
        journal.create(topic, *count).await.unwrap();
    }
}

struct Member {
    journal: KafkaJournal,
    membership: Membership,
    assignment: watch::Receiver<Assignment>,
}

impl Member {
    fn join(config: &KafkaConfig, prefix: &str, topics: &[(TopicName, NonZeroU32)]) -> Self {
        let journal = KafkaJournal::open(config, prefix).unwrap();
        let membership = journal.join(topics).unwrap();
        let assignment = membership.assignment();
        Self { journal, membership, assignment }
    }

    fn now(&self) -> Assignment {
        self.assignment.borrow().clone()
    }
}

/// Waits until the members have all partitions, none twice, and each its share.
async fn settled(members: &[&Member], wanted: &BTreeSet<TopicPartition>) {
    eventually(|| async {
        let held: Vec<TopicPartition> = members.iter().flat_map(|member| member.now().partitions).collect();
        let shared = members.iter().all(|member| member.now().partitions.len() >= wanted.len() / members.len());
        (shared && held.len() == wanted.len() && held.iter().cloned().collect::<BTreeSet<_>>() == *wanted).then_some(())
    })
    .await;
}

/// What the brokers were told of the group's progress.
fn committed(config: &KafkaConfig, group: &str, at: &TopicPartition) -> At {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", config.brokers.join(",")).set("group.id", group);
    let asking: BaseConsumer = client.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(at.topic.as_str(), i32::try_from(at.partition).unwrap());
    asking.committed_offsets(list, Duration::from_secs(10)).unwrap().elements()[0].offset()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_share_twelve_partitions_and_whoever_leaves_hands_over_at_once() {
    let Some(config) = shared() else { return };
    let topics = topics("three.", [9, 3]);
    let all = all(&topics);
    create(&config, "three.", &topics).await;
    let join = || Member::join(&config, "three.", &topics);
    let first = join();
    assert_eq!(first.now(), Assignment::default());
    settled(&[&first], &all).await;
    let alone = first.now().generation;
    let (second, third) = (join(), join());
    settled(&[&first, &second, &third], &all).await;
    let sizes = [&first, &second, &third].map(|member| member.now().partitions.len());
    assert_eq!(sizes, [4; 3], "evenly");
    assert!(first.now().generation > alone);

    // Lag is shown, under the group's default name, of what is assigned.
    let mine = first.now().partitions.first().cloned().unwrap();
    let others = second.now().partitions.first().cloned().unwrap();
    first.membership.applied(&mine, Offset(7));
    first.membership.applied(&others, Offset(8));
    eventually(|| async { (committed(&config, "three.relayer", &mine) == At::Offset(7)).then_some(()) }).await;
    assert_eq!(committed(&config, "three.relayer", &others), At::Invalid);

    // One leaves: nobody waits for its session to run out.
    let began = Instant::now();
    third.membership.leave().await;
    settled(&[&first, &second], &all).await;
    assert!(began.elapsed() < SESSION - Duration::from_secs(1), "{:?}", began.elapsed());
    // One is dropped, and leaves just so.
    let began = Instant::now();
    drop(second.membership);
    settled(&[&first], &all).await;
    assert!(began.elapsed() < SESSION - Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_read_through_the_group() {
    let Some(config) = shared() else { return };
    let topics = topics("unread.", [1, 1]);
    create(&config, "unread.", &topics).await;
    let member = Member::join(&config, "unread.", &topics);
    settled(&[&member], &all(&topics)).await;
    // Records before and after the assignment are read by whoever asks, from the start, whatever the group was told.
    let at = topics[0].0.partition(0);
    member.membership.applied(&at, Offset(100));
    eventually(|| async { (committed(&config, "unread.relayer", &at) == At::Offset(100)).then_some(()) }).await;
    let journal: Arc<dyn EventJournal> = Arc::new(KafkaJournal::open(&config, "unread.").unwrap());
    append_raw(&journal, &at, vec![vec![1]; 3]).await;
    assert_eq!(contract::read_raw(&journal, &at).await.len(), 3);
    assert_eq!(member.journal.consumers(), 0);
}

/// Run in a process of its own by the next test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a part of another test"]
async fn a_member_until_it_is_killed() {
    let Ok(broker) = std::env::var("TEST_MEMBER_OF") else { return };
    let config =
        sharing(KafkaConfig { topics: acurast_relayer_journal_kafka::TopicSettings::default(), ..KafkaConfig::plain(vec![broker]) });
    let _member = Member::join(&config, "killed.", &topics("killed.", [9, 3]));
    std::future::pending().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_partitions_of_a_member_that_is_killed_go_to_the_others() {
    let Some(config) = shared() else { return };
    let topics = topics("killed.", [9, 3]);
    let all = all(&topics);
    create(&config, "killed.", &topics).await;
    let members = [Member::join(&config, "killed.", &topics), Member::join(&config, "killed.", &topics)];
    let [first, second] = &members;
    settled(&[first, second], &all).await;
    let mut third = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "a_member_until_it_is_killed"])
        .env("TEST_MEMBER_OF", &config.brokers[0])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    eventually(|| async { (first.now().partitions.len() + second.now().partitions.len() == 8).then_some(()) }).await;
    let before = [first.now().generation, second.now().generation];
    third.kill().unwrap();
    third.wait().unwrap();
    let began = Instant::now();
    settled(&[first, second], &all).await;
    assert!(began.elapsed() < SESSION + Duration::from_secs(6), "{:?}", began.elapsed());
    assert!([first.now().generation, second.now().generation] > before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_static_member_that_another_one_pushes_out_owns_nothing_and_comes_back_when_that_one_is_gone() {
    let Some(config) = shared() else { return };
    let topics = topics("static.", [3, 1]);
    let all = all(&topics);
    create(&config, "static.", &topics).await;
    let group = GroupConfig { instance: Some("a".into()), ..config.group.clone() };
    let config = KafkaConfig { group, ..config };
    let first = Member::join(&config, "static.", &topics);
    settled(&[&first], &all).await;
    let before = first.now().generation;
    let second = Member::join(&config, "static.", &topics);
    eventually(|| async {
        let now = first.now();
        (now.generation > before && now.partitions.is_empty()).then_some(())
    })
    .await;
    drop(second);
    settled(&[&first], &all).await;
    assert!(first.now().generation >= before + 2, "the same partitions, under another generation");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_was_away_longer_than_a_session_finds_members_without_partitions_that_join_again() {
    if !ready() {
        return;
    }
    let brokers = Brokers::start_with(1, SHORT_SESSIONS, "");
    let mut config = sharing(brokers.config());
    config.group.session_timeout_ms = 3_000;
    let topics = topics("away.", [9, 3]);
    let all = all(&topics);
    create(&config, "away.", &topics).await;
    let [first, second] = [Member::join(&config, "away.", &topics), Member::join(&config, "away.", &topics)];
    settled(&[&first, &second], &all).await;
    let before = [first.now(), second.now()];
    brokers.act("kill", 1);
    eventually(|| async { [&first, &second].iter().all(|member| member.now().partitions.is_empty()).then_some(()) }).await;
    // Leaving brokers that aren't there takes seconds, not for ever.
    let third = Member::join(&config, "away.", &topics);
    let began = Instant::now();
    third.membership.leave().await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    brokers.act("revive", 1);
    settled(&[&first, &second], &all).await;
    for (member, before) in [&first, &second].iter().zip(before) {
        assert!(member.now().generation >= before.generation + 2, "{:?}", member.now());
    }
}

/// A relayer of which only the owning is left: writes to what is assigned to it, and stops when that is taken away.
struct Replica {
    leave: CancellationToken,
    task: tokio::task::JoinHandle<BTreeMap<TopicPartition, Vec<String>>>,
}

impl Replica {
    fn start(config: &KafkaConfig, topics: &[(TopicName, NonZeroU32)]) -> Self {
        let leave = CancellationToken::new();
        let member = Member::join(config, "storm.", topics);
        Self { leave: leave.clone(), task: tokio::spawn(Self::run(member, leave)) }
    }

    async fn run(member: Member, leave: CancellationToken) -> BTreeMap<TopicPartition, Vec<String>> {
        let Member { journal, membership, mut assignment } = member;
        let journal: Arc<dyn EventJournal> = Arc::new(journal);
        let mut writers: BTreeMap<TopicPartition, Persistent> = BTreeMap::new();
        let mut acknowledged: BTreeMap<TopicPartition, Vec<String>> = BTreeMap::new();
        loop {
            let wanted = if leave.is_cancelled() { BTreeSet::new() } else { assignment.borrow_and_update().partitions.clone() };
            let gone: Vec<TopicPartition> = writers.keys().filter(|at| !wanted.contains(*at)).cloned().collect();
            for at in gone {
                let written = writers.remove(&at).unwrap().stop().await;
                acknowledged.entry(at).or_default().extend(written);
            }
            if leave.is_cancelled() {
                membership.leave().await;
                return acknowledged;
            }
            for at in wanted {
                membership.applied(&at, Offset(0));
                writers.entry(at.clone()).or_insert_with(|| Persistent::write(Arc::clone(&journal), at));
            }
            tokio::select! {
                changed = assignment.changed() => changed.unwrap(),
                () = leave.cancelled() => {}
            }
        }
    }

    async fn leave(self) -> BTreeMap<TopicPartition, Vec<String>> {
        self.leave.cancel();
        self.task.await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_rebalances_under_writers_leaves_each_decision_once_and_the_work_shared_out() {
    let Some(config) = shared() else { return };
    let topics = topics("storm.", [4, 2]);
    let all = all(&topics);
    create(&config, "storm.", &topics).await;
    let mut replicas: Vec<Option<Replica>> = vec![Some(Replica::start(&config, &topics)), None, None];
    let mut acknowledged: BTreeMap<TopicPartition, Vec<String>> = BTreeMap::new();
    let mut state = 5u64;
    let began = Instant::now();
    let mut changes = 0;
    while began.elapsed() < Duration::from_secs(15) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let slot = usize::try_from(state >> 33).unwrap() % replicas.len();
        match replicas[slot].take() {
            None => replicas[slot] = Some(Replica::start(&config, &topics)),
            Some(replica) => {
                for (at, written) in replica.leave().await {
                    acknowledged.entry(at).or_default().extend(written);
                }
            }
        }
        changes += 1;
        tokio::time::sleep(Duration::from_millis(200 + (state >> 50) % 1_000)).await;
    }
    assert!(changes > 5, "{changes}");
    // The storm is over: whoever is in the group shares all of it.
    let quiet = Member::join(&config, "storm.", &topics);
    for replica in replicas.into_iter().flatten() {
        for (at, written) in replica.leave().await {
            acknowledged.entry(at).or_default().extend(written);
        }
    }
    let others = [Member::join(&config, "storm.", &topics), Member::join(&config, "storm.", &topics)];
    settled(&[&quiet, &others[0], &others[1]], &all).await;

    let journal: Arc<dyn EventJournal> = Arc::new(KafkaJournal::open(&config, "storm.").unwrap());
    for at in &all {
        let (accepted, reader) = read_all(&journal, at).await;
        let accepted = subjects(&accepted);
        let expected: Vec<String> = (0..accepted.len()).map(|number| number.to_string()).collect();
        assert_eq!(accepted, expected, "{at}: each decision once, in order");
        let written = acknowledged.remove(at).unwrap_or_default();
        assert!(!written.is_empty(), "{at}: nobody wrote");
        let distinct: BTreeSet<&String> = written.iter().collect();
        assert_eq!(distinct.len(), written.len(), "{at}: no decision was acknowledged to two owners");
        assert!(written.iter().all(|subject| subject.parse::<usize>().unwrap() < accepted.len()), "{at}: nothing acknowledged is lost");
        assert!(reader.partition() == at);
    }
}
