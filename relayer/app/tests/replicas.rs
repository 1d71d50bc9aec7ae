//! Three replicas of the relayer's process on one real broker, the real Acurast runtime and a real EVM node: who owns what, who
//! takes over from whom, and that nothing is lost or done twice on the way (R12).
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use support::{Assignment, PATIENCE, World, world_of};

const REPLICAS: usize = 3;
/// Of `jobs.v1`, the lane's, and the sources of both chains.
const PARTITIONS: usize = 4 + 1 + 2;

/// Which replica owns each partition, of those that run; more than one where they don't agree yet.
async fn owners(world: &World, running: &[usize]) -> BTreeMap<String, BTreeSet<usize>> {
    let mut owners: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for replica in running {
        for (partition, owned) in world.gauge(*replica, "owned").await {
            let of = owners.entry(partition).or_default();
            if owned == 1 {
                of.insert(*replica);
            }
        }
    }
    owners
}

/// Waits until each partition has exactly one owner among `running`.
async fn shared_out(world: &World, running: &[usize]) -> BTreeMap<String, usize> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let owners = owners(world, running).await;
        if owners.len() == PARTITIONS && owners.values().all(|of| of.len() == 1) {
            return owners.into_iter().map(|(partition, of)| (partition, of.into_iter().next().unwrap())).collect();
        }
        assert!(Instant::now() < deadline, "{owners:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Starts what doesn't run, and waits until all is shared out among all.
async fn all_up(world: &mut World) -> BTreeMap<String, usize> {
    for replica in 0..REPLICAS {
        world.start_replica(replica);
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let owners = shared_out(world, &[0, 1, 2]).await;
        let of_jobs = |(partition, owner): (&String, &usize)| partition.contains("jobs").then_some(*owner);
        if owners.iter().filter_map(of_jobs).collect::<BTreeSet<_>>().len() == REPLICAS {
            return owners;
        }
        assert!(Instant::now() < deadline, "one has nothing: {owners:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn until_settled(world: &mut World, assignment: &Assignment) {
    let deadline = Instant::now() + PATIENCE;
    while world.settled(assignment, 0) == 0 {
        assert!(Instant::now() < deadline, "not settled within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Waits until a replica says how the first execution ended.
async fn until_ended(world: &World, replica: usize, assignment: &Assignment) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let job = world.job_of(replica, assignment).await;
        if !job["assignments"][0]["known"][0]["outcome"].is_null() {
            return job;
        }
        assert!(Instant::now() < deadline, "no outcome: {job:#}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// All accepted records of a topic's partition with term and sequence, and the claims between them, in the log's order.
fn log_of(world: &World, partition: &str) -> Vec<Value> {
    let (topic, number) = partition.rsplit_once('/').unwrap();
    let number: u64 = number.parse().unwrap();
    let records = world.records(topic).into_iter().map(|line| serde_json::from_str::<Value>(&line).unwrap());
    records.filter(|record| record["partition"] == number).collect()
}

fn owned_by(owners: &BTreeMap<String, usize>, topic: &str) -> (String, usize) {
    let (partition, owner) = owners.iter().find(|(partition, _)| partition.contains(topic)).unwrap();
    (partition.clone(), *owner)
}

async fn settled_once_whoever_is_asked(world: &mut World) {
    all_up(world).await;
    let assignment = world.assign();
    let output = world.sign(&assignment, 0, b"to whoever listens");
    let mut answers = Vec::new();
    for replica in 0..REPLICAS {
        let answer = world.submit_to(replica, &output).await;
        assert_eq!(answer.status, 200, "replica {replica}: {answer:?}");
        answers.push(answer.body["settlement_id"].clone());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    until_settled(world, &assignment).await;
    for replica in 0..REPLICAS {
        until_ended(world, replica, &assignment).await;
    }
    assert_eq!(world.settled(&assignment, 0), 1);
}

async fn killed_owners_are_replaced(world: &mut World) {
    for topic in ["lanes", "jobs", "source.polkadot"] {
        let before = all_up(world).await;
        let (partition, owner) = owned_by(&before, topic);
        let assignment = world.assign();
        let output = world.sign(&assignment, 0, topic.as_bytes());
        let others: Vec<usize> = (0..REPLICAS).filter(|replica| *replica != owner).collect();
        assert_eq!(world.submit_to(others[0], &output).await.status, 200);
        assert_eq!(world.end_replica(owner, "SIGKILL"), None);
        let after = shared_out(world, &others).await;
        assert_ne!(after[&partition], owner);
        until_settled(world, &assignment).await;
        until_ended(world, others[1], &assignment).await;
        assert_eq!(world.settled(&assignment, 0), 1, "killed: the owner of {partition}");
    }
}

/// The owner of the lane sleeps past its lease and its session; when it wakes, somebody else is the owner.
async fn a_sleeper_stands_down(world: &mut World) {
    let before = all_up(world).await;
    let (lane, sleeper) = owned_by(&before, "lanes");
    let others: Vec<usize> = (0..REPLICAS).filter(|replica| *replica != sleeper).collect();
    world.signal(sleeper, "SIGSTOP");
    let assignment = world.assign();
    let output = world.sign(&assignment, 0, b"while one sleeps");
    assert_eq!(world.submit_to(others[0], &output).await.status, 200);
    let after = shared_out(world, &others).await;
    until_settled(world, &assignment).await;
    world.signal(sleeper, "SIGCONT");
    // It finds out by itself, and follows from then on.
    let again = shared_out(world, &[0, 1, 2]).await;
    let (runs, log) = world.state(sleeper);
    assert!(runs, "it stands down in place: {}", &log[log.len().saturating_sub(3_000)..]);
    until_ended(world, sleeper, &assignment).await;
    assert_eq!(world.settled(&assignment, 0), 1);

    // In the log nothing of the sleeper's term counts after its successor's claim, by the rule that every reader applies; and
    // each transaction that left was prepared by whoever owned the lane when it was.
    let entries = log_of(world, &lane);
    let claims: Vec<u64> = entries.iter().filter_map(|entry| entry["record"]["claim"]["term"].as_str()?.parse().ok()).collect();
    assert!(claims.windows(2).all(|pair| pair[0] < pair[1]), "{claims:?}");
    let (mut term, mut stale) = (0, 0);
    for entry in &entries {
        if let Some(claimed) = entry["record"]["claim"]["term"].as_str() {
            term = claimed.parse().unwrap();
        } else if entry["record"]["record"]["term"].as_str().is_some_and(|of| of.parse::<u64>().unwrap() != term) {
            let prepared = entry.to_string().contains("attempt_prepared");
            assert!(!prepared, "a zombie prepared a transaction after the claim of term {term}: {entry}");
            stale += 1;
        }
    }
    eprintln!("{lane}: {} entries, claims {claims:?}, {stale} of stale terms; owners {before:?}, {after:?}, {again:?}", entries.len());
}

async fn a_lost_volume_is_folded_again(world: &mut World) {
    all_up(world).await;
    assert_eq!(world.end_replica(1, "SIGKILL"), None);
    world.lose_volume(1);
    let assignment = world.assign();
    let output = world.sign(&assignment, 0, b"after a loss");
    world.start_replica(1);
    shared_out(world, &[0, 1, 2]).await;
    assert_eq!(world.submit_to(1, &output).await.status, 200);
    until_settled(world, &assignment).await;
    until_ended(world, 1, &assignment).await;
    assert_eq!(world.settled(&assignment, 0), 1);
}

async fn a_rolling_restart_loses_nothing(world: &mut World) {
    all_up(world).await;
    let mut assignments = Vec::new();
    for replica in 0..REPLICAS {
        let assignment = world.assign();
        let output = world.sign(&assignment, 0, &[u8::try_from(replica).unwrap()]);
        assert_eq!(world.submit_to(replica, &output).await.status, 200);
        assert_eq!(world.end_replica(replica, "SIGTERM"), Some(0));
        let others: Vec<usize> = (0..REPLICAS).filter(|other| *other != replica).collect();
        let left = Instant::now();
        shared_out(world, &others).await;
        eprintln!("replica {replica} left; its partitions were taken over after {:?}", left.elapsed());
        world.start_replica(replica);
        assignments.push(assignment);
    }
    shared_out(world, &[0, 1, 2]).await;
    for assignment in &assignments {
        until_settled(world, assignment).await;
        assert_eq!(world.settled(assignment, 0), 1);
    }
}

/// Every replica folded the same, and so does a replay from the first record.
async fn all_digests_are_equal(world: &mut World) {
    all_up(world).await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut applied = Vec::new();
        for replica in 0..REPLICAS {
            applied.push(world.gauge(replica, "applied_sequence").await);
        }
        if applied.iter().all(|of| *of == applied[0]) {
            break;
        }
        assert!(Instant::now() < deadline, "{applied:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for replica in 0..REPLICAS {
        assert_eq!(world.end_replica(replica, "SIGTERM"), Some(0));
        let replayed = world.cli_of(replica, &["replay"]);
        let said = String::from_utf8(replayed.stdout).unwrap();
        assert!(replayed.status.success() && said.contains("all digests equal"), "replica {replica}: {said}");
    }
    assert!(!world.ok(&["journal", "verify"]).contains("BROKEN"));
}

/// One program of several chapters: replicas and their broker take long to start, and each chapter begins where the last ended.
#[tokio::test]
async fn three_replicas_share_the_work_and_survive_each_others_deaths_sleeps_and_losses_without_losing_or_doubling_anything() {
    let Some(mut world) = world_of(REPLICAS).await else { return };
    let world = world.as_mut().unwrap();
    settled_once_whoever_is_asked(world).await;
    killed_owners_are_replaced(world).await;
    a_sleeper_stands_down(world).await;
    a_lost_volume_is_folded_again(world).await;
    a_rolling_restart_loses_nothing(world).await;
    all_digests_are_equal(world).await;
}
