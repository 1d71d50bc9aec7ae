//! The live node, against the real runtime on the development node.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::arithmetic_side_effects)]

mod support;

use acurast_adapter_acurast::{
    AcurastNode, KnownJobs, NodeConfig, NodeOracle, NodeUrl, RecordedSource, Recorder, Recording, Start, record,
};
use acurast_adapter_api::{AssignmentOracle, OracleError, Source, SourceBlock, SourceError};
use acurast_events::bytes::{BlockHash, Genesis};
use acurast_events::source::SourceEvent;
use acurast_events::units::BlockNumber;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use support::devnode::{CLOCK_MS, DevNode};
use support::{all, names, recorded, recording};

fn config(node: &DevNode, start: Start) -> NodeConfig {
    let url = NodeUrl::parse(&node.url()).unwrap();
    NodeConfig {
        request_timeout: Duration::from_secs(10),
        stall_after: Duration::from_secs(10),
        ..NodeConfig::new(url, recording().genesis, start)
    }
}

fn from(node: &DevNode, number: u64) -> AcurastNode {
    AcurastNode::new(config(node, Start::Block(BlockNumber(number))))
}

/// The next block, calling again while the node is unavailable.
async fn patiently(source: &mut AcurastNode) -> SourceBlock {
    for _ in 0..20 {
        match source.next().await {
            Ok(block) => return block,
            Err(SourceError::Unavailable { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the node never came back");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_chain_gives_the_recorded_blocks_and_facts() {
    let Some(node) = DevNode::start().await else { return };
    let mut source = from(&node, 1);
    source.resume(None).await.unwrap();
    let expected = recorded().await;
    assert_eq!(source.next().await.unwrap(), expected[0]);
    node.play().await;
    for block in &expected[1..] {
        assert_eq!(source.next().await.unwrap(), *block);
    }
    assert_eq!(source.head(), Some(BlockNumber(35)));
    assert_eq!((source.counts().quarantined, source.counts().unknown.len()), (0, 0));
    assert!(source.counts().ignored[&("System".to_owned(), "ExtrinsicSuccess".to_owned())] > 70);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_recorded_replays_to_the_same_blocks_and_facts() {
    let Some(node) = DevNode::start().await else { return };
    node.play().await;
    let mut file = Vec::new();
    let mut seen = Vec::new();
    let url = NodeUrl::parse(&node.url()).unwrap();
    let summary = record(&url, BlockNumber(3), None, &mut file, |block| seen.push(block.clone())).await.unwrap();
    assert_eq!((summary.first, summary.last, summary.genesis), (BlockNumber(3), BlockNumber(35), recording().genesis));
    assert_eq!(names(&seen[0].facts), ["found"; 4]);
    let replayed = all(&mut RecordedSource::new(Arc::new(Recording::read(&file[..]).unwrap()))).await;
    assert_eq!(replayed, seen);
    assert_eq!(summary.facts.0, replayed.iter().map(|block| block.facts.len() as u64).sum::<u64>());
    // A live first start at the same block is no different.
    let mut live = from(&node, 3);
    for block in &replayed {
        assert_eq!(live.next().await.unwrap(), *block);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_writes_what_it_passes_on() {
    let Some(node) = DevNode::start().await else { return };
    node.mine(3).await;
    let mut file = Vec::new();
    let mut recorder = Recorder::new(AcurastNode::until(config(&node, Start::Block(BlockNumber(0))), BlockNumber(4)), &mut file).unwrap();
    recorder.resume(None).await.unwrap();
    let blocks = all(&mut recorder).await;
    assert_eq!(blocks.iter().map(|block| block.number.0).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    drop(recorder);
    assert_eq!(all(&mut RecordedSource::new(Arc::new(Recording::read(&file[..]).unwrap()))).await, blocks);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_source_goes_on_after_the_last_seal() {
    let Some(node) = DevNode::start().await else { return };
    node.play().await;
    let expected = recorded().await;
    let mut source = AcurastNode::new(config(&node, Start::Head));
    source.resume(Some((expected[20].number, expected[20].hash))).await.unwrap();
    for block in &expected[21..] {
        assert_eq!(source.next().await.unwrap(), *block);
    }
    let other = BlockHash([1; 32]);
    let error = source.resume(Some((expected[20].number, other))).await.unwrap_err();
    assert!(matches!(error, SourceError::FinalityViolation { sealed, found, .. } if sealed == other && found == expected[20].hash));
    assert_eq!(source.next().await.unwrap_err(), error, "the source stays stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_at_the_head_finds_the_open_jobs() {
    let Some(node) = DevNode::start().await else { return };
    node.play().await;
    let mut source = AcurastNode::new(config(&node, Start::Head));
    source.resume(None).await.unwrap();
    let block = source.next().await.unwrap();
    assert_eq!(block.number, BlockNumber(35));
    assert_eq!(names(&block.facts), ["found"; 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_backfilled_through_the_same_code() {
    let Some(node) = DevNode::start().await else { return };
    node.play().await;
    let mut backfill = AcurastNode::backfill(config(&node, Start::Head), BlockNumber(5), BlockNumber(9));
    assert_eq!(all(&mut backfill).await, recorded().await[4..9]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_and_comes_back_leaves_no_gap() {
    let Some(mut node) = DevNode::start().await else { return };
    node.mine(3).await;
    let mut source = from(&node, 1);
    source.resume(None).await.unwrap();
    let mut last = source.next().await.unwrap();
    last = {
        let next = source.next().await.unwrap();
        assert_eq!(next.parent, last.hash);
        next
    };
    let port = node.port;
    node.kill();
    assert!(matches!(source.next().await, Err(SourceError::Unavailable { .. })));
    drop(node);
    // The same clock and the same calls: the same chain, longer than before.
    let node = DevNode::start_at(port, CLOCK_MS, "0").await.unwrap();
    node.mine(6).await;
    for number in 3..=7 {
        let next = patiently(&mut source).await;
        assert_eq!((next.number.0, next.parent), (number, last.hash));
        last = next;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_back_with_another_history_is_a_finality_violation() {
    let Some(mut node) = DevNode::start().await else { return };
    node.mine(3).await;
    let mut source = from(&node, 1);
    source.resume(None).await.unwrap();
    let first = source.next().await.unwrap();
    let port = node.port;
    node.kill();
    assert!(matches!(source.next().await, Err(SourceError::Unavailable { .. })));
    drop(node);
    let node = DevNode::start_at(port, "1796000000000", "0").await.unwrap();
    node.mine(6).await;
    let error = source.next().await.unwrap_err();
    assert!(
        matches!(error, SourceError::FinalityViolation { number, sealed, .. } if number == first.number && sealed == first.hash),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_goes_back_behind_its_finality_stops_the_source() {
    let Some(node) = DevNode::start().await else { return };
    node.mine(4).await;
    let mut source = from(&node, 1);
    source.resume(None).await.unwrap();
    let mut blocks = Vec::new();
    for _ in 0..5 {
        blocks.push(source.next().await.unwrap());
    }
    node.call("dev_setHead", &json!([-2])).await;
    node.call("dev_timeTravel", &json!([1_795_000_900_000_u64])).await;
    node.mine(1).await;
    let error = source.next().await.unwrap_err();
    let SourceError::FinalityViolation { number, sealed, .. } = error else { panic!("{error}") };
    assert_eq!((number, sealed), (BlockNumber(4), blocks[3].hash));
    assert!(matches!(source.next().await, Err(SourceError::FinalityViolation { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_announced_again_is_passed_over() {
    let Some(node) = DevNode::start_at(free_port(), CLOCK_MS, "1").await else { return };
    node.mine(5).await;
    let mut source = from(&node, 1);
    source.resume(None).await.unwrap();
    for number in 1..=5 {
        assert_eq!(source.next().await.unwrap().number.0, number);
    }
    // The unfinalized head is mined anew, which announces the finalized block before it once more.
    node.call("dev_setHead", &json!([-1])).await;
    node.mine(2).await;
    assert_eq!(source.next().await.unwrap().number.0, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hangs_is_unavailable_and_nothing_is_skipped_when_it_wakes() {
    let Some(node) = DevNode::start().await else { return };
    node.mine(2).await;
    let mut source =
        AcurastNode::new(NodeConfig { request_timeout: Duration::from_millis(500), ..config(&node, Start::Block(BlockNumber(1))) });
    source.resume(None).await.unwrap();
    let first = source.next().await.unwrap();
    node.freeze();
    let error = source.next().await.unwrap_err();
    assert!(matches!(error, SourceError::Unavailable { .. }), "{error}");
    node.thaw();
    assert_eq!(patiently(&mut source).await.parent, first.hash);
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_chain_is_refused() {
    let Some(node) = DevNode::start().await else { return };
    let expected = Genesis([3; 32]);
    let mut source = AcurastNode::new(NodeConfig { genesis: expected, ..config(&node, Start::Head) });
    let error = source.resume(None).await.unwrap_err();
    assert!(
        matches!(error, SourceError::OtherChain { expected: e, found, .. } if e == expected && found == recording().genesis),
        "{error}"
    );
    assert!(matches!(source.next().await, Err(SourceError::OtherChain { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_advance_is_noticed_and_the_source_goes_on_when_it_does() {
    let Some(node) = DevNode::start().await else { return };
    let mut source = AcurastNode::new(NodeConfig { stall_after: Duration::from_millis(300), ..config(&node, Start::Head) });
    source.resume(None).await.unwrap();
    let first = source.next().await.unwrap();
    let error = source.next().await.unwrap_err().to_string();
    assert!(error.contains("no finalized head after 1"), "{error}");
    node.mine(1).await;
    assert_eq!(patiently(&mut source).await.parent, first.hash);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_where_nothing_listens_is_unavailable_and_shows_no_secret() {
    let url = NodeUrl::parse(&format!("ws://127.0.0.1:{}/secret-key", free_port())).unwrap();
    let mut source = AcurastNode::new(NodeConfig::new(url, Genesis([1; 32]), Start::Head));
    let error = source.resume(None).await.unwrap_err();
    assert!(matches!(error, SourceError::Unavailable { .. }));
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reconciliation_finds_what_no_event_announced() {
    let Some(node) = DevNode::start().await else { return };
    node.play().await;
    let mut source = from(&node, 1);
    source.resume(None).await.unwrap();
    let mut known = KnownJobs::default();
    let mut last = source.next().await.unwrap();
    while last.number < BlockNumber(35) {
        last.facts.iter().for_each(|fact| known.apply(fact));
        last = source.next().await.unwrap();
    }
    // The last block not taken in yet: the job that it opens is missing.
    let facts = source.reconcile(last.number, last.hash, &known).await.unwrap();
    let [SourceEvent::Reconciled(missing)] = &facts[..] else { panic!("{facts:?}") };
    assert_eq!(missing.job.number, 11);
    last.facts.iter().for_each(|fact| known.apply(fact));
    assert_eq!(source.reconcile(last.number, last.hash, &known).await.unwrap(), []);
    // Reconciling moves nothing.
    node.mine(1).await;
    assert_eq!(source.next().await.unwrap().parent, last.hash);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oracle_reads_an_assignment_at_a_pinned_finalized_block() {
    let Some(node) = DevNode::start_at(free_port(), CLOCK_MS, "3").await else { return };
    node.play().await;
    let blocks = recorded().await;
    let at = |number: usize| &blocks[number - 1];
    let fact = at(5).facts.iter().find_map(|fact| if let SourceEvent::Acknowledged(fact) = fact { Some(fact) } else { None }).unwrap();
    let oracle = NodeOracle::new(NodeUrl::parse(&node.url()).unwrap(), recording().genesis, Duration::from_secs(10));
    let attested = oracle.assignment(at(5).hash, &fact.job, &fact.processor).await.unwrap().unwrap();
    assert!(attested.acknowledged);
    assert_eq!(
        (&attested.keys, Some(&attested.slot), Some(&attested.registration)),
        (&fact.keys, fact.slot.as_ref(), fact.registration.as_ref())
    );
    assert!(!oracle.assignment(at(4).hash, &fact.job, &fact.processor).await.unwrap().unwrap().acknowledged);
    assert_eq!(oracle.assignment(at(3).hash, &fact.job, &fact.processor).await.unwrap(), None);
    // Its own keys were replaced later; the oracle says what the pinned block says.
    assert_ne!(oracle.assignment(at(6).hash, &fact.job, &fact.processor).await.unwrap().unwrap().keys, fact.keys);

    oracle.check_finalized(at(32).number, at(32).hash).await.unwrap();
    for (number, hash) in [(at(33).number, at(33).hash), (at(5).number, at(6).hash)] {
        assert_eq!(oracle.check_finalized(number, hash).await, Err(OracleError::NotFinalized { number, hash }));
    }
    assert!(matches!(oracle.assignment(BlockHash([1; 32]), &fact.job, &fact.processor).await, Err(OracleError::Unavailable(_))));
}
