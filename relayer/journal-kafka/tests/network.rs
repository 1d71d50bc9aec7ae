//! A network between relayer and broker that stops, breaks and heals: all connections really go through a proxy, since the broker
//! names the proxy's address to its clients.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code, unused_macros, unused_imports)]

#[path = "../../journal/tests/contract/mod.rs"]
mod contract;
mod faults_support;
mod support;

use acurast_events::topics::TopicName;
use acurast_relayer_journal::EventJournal;
use acurast_relayer_journal_kafka::{GroupConfig, KafkaConfig, KafkaJournal};
use contract::{partition, read_all, subjects};
use faults_support::proxy::Proxy;
use faults_support::{Persistent, eventually};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use support::{Brokers, free_ports, ready};

/// A broker whose clients reach it through a proxy, and one address beside it.
fn behind_proxy() -> (Brokers, Proxy, String) {
    let proxied = free_ports(1);
    let proxy = Proxy::start(proxied);
    let properties = format!(
        "listeners=PLAINTEXT://127.0.0.1:@PORT@,PROXIED://127.0.0.1:{proxied},CONTROLLER://127.0.0.1:@CONTROLLER@\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:@PORT@,PROXIED://127.0.0.1:{}\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT\n\
         group.min.session.timeout.ms=1000",
        proxy.port
    );
    let brokers = Brokers::start_with(1, &properties, "");
    let address = format!("127.0.0.1:{}", proxy.port);
    (brokers, proxy, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_breaks_and_heals_loses_nothing_doubles_nothing_and_hands_the_work_to_who_is_in_sight() {
    if !ready() {
        return;
    }
    let (brokers, proxy, address) = behind_proxy();
    let direct = KafkaConfig {
        group: GroupConfig { session_timeout_ms: 3_000, ..GroupConfig::default() },
        delivery_timeout_ms: 2_000,
        ..brokers.config()
    };
    let proxied = KafkaConfig { brokers: vec![address], ..direct.clone() };
    let open = |config: &KafkaConfig| Arc::new(KafkaJournal::open(config, "acurast.").unwrap());
    let near = open(&direct);
    let at = partition(&(Arc::clone(&near) as Arc<dyn EventJournal>)).await;
    let lanes = (TopicName::new("acurast.lanes.v1"), NonZeroU32::new(4).unwrap());
    near.create(&lanes.0, lanes.1).await.unwrap();
    let far = open(&proxied);
    let journal = Arc::clone(&far) as Arc<dyn EventJournal>;

    // Two members, one of them behind the proxy.
    let members = [near.join(std::slice::from_ref(&lanes)).unwrap(), far.join(std::slice::from_ref(&lanes)).unwrap()];
    let [here, there] = [members[0].assignment(), members[1].assignment()];
    let shares = |wanted: [usize; 2]| {
        let (here, there) = (here.clone(), there.clone());
        async move {
            eventually(|| async { ([here.borrow().partitions.len(), there.borrow().partitions.len()] == wanted).then_some(()) }).await;
        }
    };
    shares([2, 2]).await;
    let generation = there.borrow().generation;

    let follower = Persistent::follow(Arc::clone(&journal), at.clone());
    let writer = Persistent::write(Arc::clone(&journal), at.clone());
    writer.grow_by(100).await;
    // Connections break again and again, and are made anew at once.
    for _ in 0..5 {
        proxy.reset();
        writer.grow_by(20).await;
    }
    // Nothing gets through, and nobody is told. Whoever is in sight takes over; whoever isn't knows it.
    proxy.stall();
    shares([4, 0]).await;
    let stands = writer.acknowledged();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(writer.acknowledged(), stands, "what nobody got is not acknowledged");
    assert!(there.borrow().generation > generation);
    proxy.heal();
    writer.grow_by(100).await;
    // Nobody is there to talk to.
    proxy.refuse();
    tokio::time::sleep(Duration::from_secs(3)).await;
    proxy.heal();
    writer.grow_by(100).await;
    shares([2, 2]).await;

    let acknowledged = writer.stop().await;
    // Read past the proxy, so that what it may have kept doesn't matter.
    let (accepted, _) = read_all(&(near as Arc<dyn EventJournal>), &at).await;
    let accepted = subjects(&accepted);
    let expected: Vec<String> = (0..accepted.len()).map(|number| number.to_string()).collect();
    assert_eq!(accepted, expected, "each decision once, in order");
    assert!(acknowledged.iter().all(|subject| subject.parse::<usize>().unwrap() < accepted.len()), "nothing acknowledged is lost");
    assert_eq!(follower.until(accepted.len()).await, expected, "a follower behind the same network saw the same");
    assert!(proxy.connections() > 10, "{} connections went through the proxy", proxy.connections());
}
