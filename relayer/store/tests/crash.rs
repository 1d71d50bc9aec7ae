//! kill -9 of a process that appends and folds in a loop, at random moments: whatever it left, the store that catches up
//! equals a fold of the whole journal, and nothing that was acknowledged is gone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fold;

use acurast_relayer_journal::{EmbeddedJournal, EventJournal, fresh_writer_id};
use acurast_relayer_store::Store;
use fold::{COUNT, SCHEMA, apply, at, create, draft, fold_all, identity, own, progress, state_digest};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const KILLS: u32 = 24;
/// Set in the child: the directory that it works in.
const DIRECTORY: &str = "STORE_CRASH_DIRECTORY";

fn journal(directory: &Path) -> Arc<dyn EventJournal> {
    Arc::new(EmbeddedJournal::open(&directory.join("journal")).unwrap())
}

fn store(directory: &Path) -> Store {
    Store::open(&directory.join("store"), &identity(), SCHEMA).unwrap()
}

/// The child's life: claim, catch up, then decide and fold until killed. Says how many records were acknowledged.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let (journal, store) = (journal(&directory), store(&directory));
        create(&journal).await;
        let mut partition = store.partition(&at()).unwrap();
        let mut writer = own(&journal, &mut partition, fresh_writer_id()).await;
        let mut rng = StdRng::from_os_rng();
        loop {
            let next = partition.position().frontier.next_sequence.0;
            let mut drafts: Vec<_> =
                (0..rng.random_range(1..20)).map(|n| draft(&writer, &[rng.random_range(0..40)], rng.random(), next + n)).collect();
            if rng.random_range(0..5) == 0 {
                drafts.push(progress(&writer, next));
            }
            let records = writer.append(drafts).await.unwrap();
            println!("acknowledged {}", writer.frontier().next_sequence);
            std::io::stdout().flush().unwrap();
            for part in records.chunks(rng.random_range(1..8)) {
                apply(&mut partition, part);
            }
            if rng.random_range(0..10) == 0 {
                let digest = state_digest(&writer, &partition);
                let records = writer.append(vec![digest]).await.unwrap();
                apply(&mut partition, &records);
            }
            if rng.random_range(0..20) == 0 {
                store.checkpoint().unwrap();
            }
        }
    });
}

/// Starts the child, and forwards each number that it says.
fn start(directory: &Path) -> (Child, Receiver<u64>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            // The test harness writes to the same stream; a line may begin with its words.
            if let Some((_, count)) = line.split_once("acknowledged ") {
                sender.send(count.parse().unwrap()).ok();
            }
        }
    });
    (child, receiver)
}

#[test]
fn after_kill_9_at_any_moment_the_fold_equals_a_refold_and_no_acknowledged_record_is_gone() {
    let seed = std::env::var("SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut lagged, mut total) = (0, 0);
    for kill in 0..KILLS {
        let (mut child, acknowledged) = start(directory.path());
        // Its first word, so that the kill hits its work and not its start; every fourth hits the start as well.
        let mut told = 0;
        if kill % 4 != 3 {
            told = acknowledged.recv_timeout(Duration::from_secs(60)).expect("the child works");
        }
        std::thread::sleep(Duration::from_millis(rng.random_range(0..60)));
        child.kill().unwrap();
        child.wait().unwrap();
        told = acknowledged.iter().last().unwrap_or(told).max(total);

        let (journal, store) = (journal(directory.path()), store(directory.path()));
        runtime.block_on(async {
            create(&journal).await;
            let mut partition = store.partition(&at()).unwrap();
            let left = partition.position().frontier.next_sequence.0;
            assert_eq!(partition.recompute_buckets().unwrap().digest(), partition.current_digest(), "kill {kill}: as it was left");
            fold_all(&journal, &mut partition, 1_000).await;
            total = partition.position().frontier.next_sequence.0;
            assert!(total >= told, "kill {kill}: {told} records were acknowledged, {total} are there");
            lagged += u32::from(left < total);

            let fresh = tempfile::tempdir().unwrap();
            let refolded = Store::open(fresh.path(), &identity(), SCHEMA).unwrap();
            let mut refolded = refolded.partition(&at()).unwrap();
            fold_all(&journal, &mut refolded, 1_000).await;
            assert_eq!(partition.position(), refolded.position(), "kill {kill}");
            assert_eq!(partition.current_digest(), refolded.current_digest(), "kill {kill}");
            assert!(partition.all_rows().map(Result::unwrap).eq(refolded.all_rows().map(Result::unwrap)), "kill {kill}");
            assert_eq!(partition.get(COUNT, b"").unwrap().map_or(0, |count| u64::from_be_bytes(count.try_into().unwrap())), total);
            // Both folds compared theirs with every digest that the child recorded.
            for position in 0..total {
                let input = fold::input(position);
                assert_eq!(partition.answered(&input), refolded.answered(&input), "kill {kill}: input {position}");
            }
        });
    }
    println!("{KILLS} kills, {total} records, the store lagged {lagged} times");
    assert!(total > u64::from(KILLS), "the child got no work done");
}
