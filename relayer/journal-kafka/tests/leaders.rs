//! Three brokers of which one is lost, and leaders that move while we write.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code, unused_macros, unused_imports)]

#[path = "../../journal/tests/contract/mod.rs"]
mod contract;
mod faults_support;
mod support;

use acurast_events::topics::TopicPartition;
use acurast_relayer_journal::EventJournal;
use acurast_relayer_journal_kafka::{GroupConfig, KafkaConfig, KafkaJournal};
use contract::{partition, read_all, subjects, topic};
use faults_support::leaders::{elect_preferred, leader, reassign};
use faults_support::{Persistent, eventually};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{Brokers, ready};

/// Each decision once and in order, nothing acknowledged lost, and the same to a follower that read all the while.
async fn nothing_lost_nothing_doubled(journal: &Arc<dyn EventJournal>, at: &TopicPartition, acknowledged: &[String], follower: Persistent) {
    let (accepted, _) = read_all(journal, at).await;
    let accepted = subjects(&accepted);
    let expected: Vec<String> = (0..accepted.len()).map(|number| number.to_string()).collect();
    assert_eq!(accepted, expected, "each decision once, in order");
    assert!(acknowledged.iter().all(|subject| subject.parse::<usize>().unwrap() < accepted.len()), "nothing acknowledged is lost");
    assert_eq!(follower.until(accepted.len()).await, expected, "a follower saw the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_that_move_and_a_broker_that_is_lost_lose_nothing_and_double_nothing() {
    if !ready() {
        return;
    }
    let brokers = Brokers::start(3);
    let group = GroupConfig { session_timeout_ms: 6_000, ..GroupConfig::default() };
    let config = KafkaConfig { group, delivery_timeout_ms: 10_000, read_timeout_ms: 60_000, ..brokers.config() };
    let kafka = Arc::new(KafkaJournal::open(&config, "acurast.").unwrap());
    let journal = Arc::clone(&kafka) as Arc<dyn EventJournal>;
    let at = partition(&journal).await;
    let membership = kafka.join(&[(topic(), NonZeroU32::MIN)]).unwrap();
    let assignment = membership.assignment();
    let assigned = || async { eventually(|| async { (assignment.borrow().partitions.len() == 1).then_some(()) }).await };
    assigned().await;

    // The leader moves around, twice, while somebody writes and somebody reads.
    let follower = Persistent::follow(Arc::clone(&journal), at.clone());
    let writer = Persistent::write(Arc::clone(&journal), at.clone());
    writer.grow_by(50).await;
    for to in [2, 3, 1, 2, 3, 1] {
        let rest = [1, 2, 3].into_iter().filter(|id| *id != to);
        let replicas: Vec<i32> = std::iter::once(to).chain(rest).collect();
        reassign(&brokers.addresses[0], &at, &replicas);
        let (address, addresses) = (&brokers.addresses[0], &brokers.addresses);
        eventually(|| async {
            elect_preferred(address, &at);
            (leader(addresses, &at) == Some(to)).then_some(())
        })
        .await;
        writer.grow_by(50).await;
    }
    let acknowledged = writer.stop().await;
    nothing_lost_nothing_doubled(&journal, &at, &acknowledged, follower).await;

    // Its leader is lost: kill -9. The other two go on; the group's coordinator may be gone with it.
    let before = acknowledged.len();
    let follower = Persistent::follow(Arc::clone(&journal), at.clone());
    let writer = Persistent::write(Arc::clone(&journal), at.clone());
    writer.grow_by(50).await;
    assert_eq!(leader(&brokers.addresses, &at), Some(1));
    brokers.act("kill", 1);
    let began = Instant::now();
    writer.grow_by(200).await;
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assigned().await;
    let new = leader(&brokers.addresses[1..], &at);
    assert!(matches!(new, Some(2 | 3)), "{new:?}");
    brokers.act("revive", 1);
    // And back, once it is in sync again.
    let (address, addresses) = (&brokers.addresses[0], &brokers.addresses);
    eventually(|| async {
        elect_preferred(address, &at);
        (leader(addresses, &at) == Some(1)).then_some(())
    })
    .await;
    writer.grow_by(50).await;
    let acknowledged = writer.stop().await;
    nothing_lost_nothing_doubled(&journal, &at, &acknowledged, follower).await;
    assert!(acknowledged[0].parse::<usize>().unwrap() >= before, "it went on where the first one stopped");
    assigned().await;
    membership.leave().await;
}
