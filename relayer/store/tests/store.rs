//! Commits, digests, resuming, and the stores that are refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fold;

use acurast_events::bytes::{Bytes, Genesis, WriterId};
use acurast_events::units::{Offset, Sequence};
use acurast_relayer_journal::{AcceptedRecord, EventJournal, Frontier, Halt, PartitionReader, PartitionWriter, SimulatedJournal};
use acurast_relayer_store::{Applied, Identity, PartitionStore, Row, Store, StoreError};
use fold::{COUNT, SCHEMA, SUBJECTS, apply, at, create, draft, fold_all, identity, input, own, progress};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tempfile::TempDir;

struct Bench {
    directory: TempDir,
    simulated: Arc<SimulatedJournal>,
    journal: Arc<dyn EventJournal>,
}

impl Bench {
    async fn new() -> Self {
        let simulated = Arc::new(SimulatedJournal::faultless());
        let journal = Arc::clone(&simulated) as Arc<dyn EventJournal>;
        create(&journal).await;
        Self { directory: tempfile::tempdir().unwrap(), simulated, journal }
    }

    fn open(&self) -> Store {
        Store::open(self.directory.path(), &identity(), SCHEMA).unwrap()
    }

    /// Twelve records in the journal, of which the first `folded` are in the store.
    async fn written(&self, folded: usize) -> Vec<AcceptedRecord> {
        let store = self.open();
        let mut partition = store.partition(&at()).unwrap();
        let mut writer = own(&self.journal, &mut partition, WriterId([1; 16])).await;
        let drafts = (0..12).map(|n: u8| draft(&writer, &[n % 5], n.wrapping_mul(7), u64::from(n))).collect();
        let records = writer.append(drafts).await.unwrap();
        apply(&mut partition, &records[..folded]);
        records
    }
}

/// A fold of the whole journal in a store of its own.
async fn refold(journal: &Arc<dyn EventJournal>, batch: usize) -> (TempDir, Store, PartitionStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &identity(), SCHEMA).unwrap();
    let mut partition = store.partition(&at()).unwrap();
    fold_all(journal, &mut partition, batch).await;
    (directory, store, partition)
}

fn all(partition: &PartitionStore) -> Vec<(u8, Vec<u8>, Vec<u8>)> {
    partition.all_rows().map(Result::unwrap).collect()
}

#[tokio::test]
async fn a_reopened_store_is_as_it_was_and_equals_a_refold_however_it_is_batched() {
    let bench = Bench::new().await;
    let records = bench.written(12).await;
    let store = bench.open();
    let partition = store.partition(&at()).unwrap();
    assert_eq!(partition.position().frontier, records[11].frontier());
    assert_eq!(partition.get(COUNT, b"").unwrap(), Some(12u64.to_be_bytes().to_vec()));
    for batch in [1, 5, 1_000] {
        let (_directory, _store, other) = refold(&bench.journal, batch).await;
        assert_eq!(all(&other), all(&partition));
        assert_eq!(other.position(), partition.position());
        assert_eq!(other.digest().unwrap(), partition.digest().unwrap());
    }
}

#[tokio::test]
async fn a_store_that_lags_catches_up_from_where_it_is() {
    let bench = Bench::new().await;
    let records = bench.written(5).await;
    let store = bench.open();
    let mut partition = store.partition(&at()).unwrap();
    assert_eq!(partition.position().frontier, records[4].frontier());
    fold_all(&bench.journal, &mut partition, 3).await;
    let (_directory, _store, other) = refold(&bench.journal, 100).await;
    assert_eq!(partition.current_digest(), other.current_digest());
    assert_eq!(all(&partition), all(&other));
}

#[tokio::test]
async fn a_store_that_leads_its_journal_is_refused() {
    let bench = Bench::new().await;
    let records = bench.written(12).await;
    bench.simulated.truncate(&at(), Offset(9));
    let store = bench.open();
    let error = store.partition(&at()).unwrap().follow(Arc::clone(&bench.journal)).await.err().unwrap();
    assert!(matches!(error, StoreError::LeadsJournal(Halt::Shortened { end: Offset(9), read: Offset(13), .. })), "{error}");
    // A journal that was started anew and grew is no better.
    let fresh = Bench::new().await;
    let scratch = fresh.open();
    let mut writer = own(&fresh.journal, &mut scratch.partition(&at()).unwrap(), WriterId([9; 16])).await;
    let drafts = (0..20).map(|n| draft(&writer, b"x", 1, n)).collect();
    writer.append(drafts).await.unwrap();
    let error = store.partition(&at()).unwrap().follow(Arc::clone(&fresh.journal)).await.err().unwrap();
    let applied = records[11].hash;
    assert!(matches!(&error, StoreError::LeadsJournal(Halt::Rewritten { applied: hash, .. }) if *hash == applied), "{error}");
}

#[tokio::test]
async fn records_that_do_not_follow_are_refused_and_change_nothing() {
    let bench = Bench::new().await;
    let records = bench.written(5).await;
    let store = bench.open();
    let mut partition = store.partition(&at()).unwrap();
    let before = (partition.position().clone(), all(&partition));
    let row: Vec<Row> = vec![(SUBJECTS, b"x".to_vec(), Some(vec![1]))];
    for wrong in [&records[6..], &records[..5], &records[4..6]] {
        let error = partition.commit(wrong, row.clone(), true).unwrap_err();
        assert!(matches!(error, StoreError::NotNext { expected: Sequence(5), .. }), "{error}");
    }
    let mut forged = records[5].clone();
    forged.record.previous.0[0] ^= 1;
    assert!(matches!(partition.commit(&[forged], row.clone(), true), Err(StoreError::NotNext { .. })));
    assert!(matches!(partition.commit(&[], row, true), Err(StoreError::NoRecord(_))));
    partition.commit(&[], Vec::new(), true).unwrap();
    assert_eq!((partition.position().clone(), all(&partition)), before);
    apply(&mut partition, &records[5..]);
}

#[tokio::test]
async fn answered_inputs_are_known_until_a_progress_passes_them_also_after_reopening() {
    let bench = Bench::new().await;
    let store = bench.open();
    let mut partition = store.partition(&at()).unwrap();
    let mut writer = own(&bench.journal, &mut partition, WriterId([1; 16])).await;
    let subjects = |partition: &PartitionStore, position| -> Vec<Bytes> { partition.answered(&input(position)).into_iter().collect() };
    let (a, b) = (Bytes(b"a".to_vec()), Bytes(b"b".to_vec()));

    let records = writer.append(vec![draft(&writer, b"a", 2, 0), draft(&writer, b"b", 2, 1), draft(&writer, b"a", 2, 1)]).await.unwrap();
    apply(&mut partition, &records);
    assert_eq!(subjects(&partition, 1), [a.clone(), b.clone()]);

    // One commit with a record, a Progress that passes it and earlier ones, and another record.
    let records = writer.append(vec![draft(&writer, b"a", 2, 2), progress(&writer, 2), draft(&writer, b"b", 2, 3)]).await.unwrap();
    apply(&mut partition, &records);
    drop((partition, store));
    let store = bench.open();
    let partition = store.partition(&at()).unwrap();
    assert_eq!(partition.position().progress.inputs[0].next, Offset(2));
    for (position, answered) in [(0, vec![]), (1, vec![]), (2, vec![a]), (3, vec![b]), (4, vec![])] {
        assert_eq!(subjects(&partition, position), answered, "input {position}");
    }
    // Two facts of one position differ by their id.
    let other = acurast_events::record::InputRef { id: acurast_events::bytes::EventId([0xee; 32]), ..input(3) };
    assert_eq!(partition.answered(&other), BTreeSet::new());
}

/// Appends `count` records, and commits each as whole or not as `whole` says.
async fn grow(writer: &mut PartitionWriter, partition: &mut PartitionStore, count: u64, whole: impl Fn(u64) -> bool) {
    let drafts = (0..count).map(|n| draft(writer, b"a", 2, n)).collect();
    for record in writer.append(drafts).await.unwrap() {
        let (records, next) = ([record.clone()], record.frontier().next_sequence.0);
        let rows = fold::rows(partition, &records);
        partition.commit(&records, rows, whole(next)).unwrap();
    }
}

#[tokio::test]
async fn landmarks_are_sparse_lie_where_nothing_is_in_the_making_and_are_known_after_reopening() {
    let bench = Bench::new().await;
    let store = bench.open();
    let mut partition = store.partition(&at()).unwrap();
    let other = at().topic.partition(1);
    assert_eq!(store.landmark(&at(), Sequence(u64::MAX)).unwrap(), Frontier::START);
    let mut writer = own(&bench.journal, &mut partition, WriterId([1; 16])).await;
    grow(&mut writer, &mut partition, 1_100, |next| next % 100 == 0).await;
    let digest = partition.current_digest();
    let known = |store: &Store, below| store.landmark(&at(), Sequence(below)).unwrap().next_sequence.0;
    for (below, expected) in [(0, 0), (299, 0), (300, 300), (599, 300), (600, 600), (899, 600), (900, 900), (u64::MAX, 900)] {
        assert_eq!(known(&store, below), expected, "below {below}");
        assert_eq!(partition.landmark_of(&at(), Sequence(below)).unwrap().next_sequence.0, expected);
    }
    // Of this partition alone, also where another one's keys follow.
    let neighbour = store.partition(&other).unwrap();
    assert_eq!(neighbour.landmark_of(&other, Sequence(u64::MAX)).unwrap(), Frontier::START);
    // A reader that begins there meets exactly what follows.
    let landmark = store.landmark(&at(), Sequence(700)).unwrap();
    let mut reader = PartitionReader::open(Arc::clone(&bench.journal), at(), landmark).await.unwrap();
    assert_eq!(reader.next_batch().await.unwrap().records[0].record.sequence, Sequence(600));
    drop((partition, neighbour, store));

    let store = bench.open();
    let mut partition = store.partition(&at()).unwrap();
    assert_eq!(partition.current_digest(), digest, "landmarks are part of no state");
    let mut writer = own(&bench.journal, &mut partition, WriterId([2; 16])).await;
    grow(&mut writer, &mut partition, 60, |_| true).await;
    assert_eq!(known(&store, u64::MAX), 1_156, "256 after the one at 900");
}

#[tokio::test]
async fn what_is_not_published_is_read_again_from_a_landmark_of_the_partition_itself() {
    let bench = Bench::new().await;
    let store = bench.open();
    let mut partition = store.partition(&at()).unwrap();
    let mut writer = own(&bench.journal, &mut partition, WriterId([1; 16])).await;
    grow(&mut writer, &mut partition, 400, |_| true).await;
    let landmark = partition.landmark_of(&at(), Sequence(390)).unwrap();
    let mut reader = PartitionReader::open(Arc::clone(&bench.journal), at(), landmark).await.unwrap();
    let read: Vec<u64> = reader.next_batch().await.unwrap().records.iter().map(|record| record.record.sequence.0).collect();
    assert_eq!(read, (256..400).collect::<Vec<_>>());
}

#[tokio::test]
async fn rows_are_read_one_by_one_together_and_in_pages() {
    let bench = Bench::new().await;
    let records = bench.written(0).await;
    let store = bench.open();
    let mut partition = store.partition(&at()).unwrap();
    let keys: [&[u8]; 5] = [b"", b"a", b"a\x00", b"ab", b"b"];
    let mut rows: Vec<Row> = keys.iter().map(|key| (9, key.to_vec(), Some(key.to_vec()))).collect();
    rows.extend([(8, b"a".to_vec(), Some(vec![8])), (10, b"a".to_vec(), Some(vec![10])), (8, b"a".to_vec(), Some(vec![88]))]);
    partition.commit(&records[..1], rows, true).unwrap();
    let view = store.view(&at()).unwrap();
    let page = |prefix: &[u8], after: Option<&[u8]>, limit| -> Vec<Vec<u8>> {
        view.scan(9, prefix, after, limit).unwrap().into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(page(b"", None, 100), keys);
    assert_eq!(page(b"", None, 2), keys[..2]);
    assert_eq!(page(b"", Some(b"a"), 2), keys[2..4]);
    assert_eq!(page(b"a", None, 100), keys[1..4]);
    assert_eq!(page(b"a", Some(b""), 100), keys[1..4]);
    assert_eq!(page(b"a", Some(b"ab"), 100), [b""; 0]);
    assert_eq!(view.rows(9).count(), 5);
    let many = view.multi_get([(9, &b"ab"[..]), (9, b"none"), (8, b"a")]).unwrap();
    assert_eq!(many, [Some(b"ab".to_vec()), None, Some(vec![88])]);
    assert!(matches!(store.view(&at().topic.partition(1)), Err(StoreError::NoSuchPartition(_))));
}

#[tokio::test]
async fn partitions_do_not_mix_and_have_one_writer_each() {
    let bench = Bench::new().await;
    let records = bench.written(12).await;
    let store = bench.open();
    let other = at().topic.partition(1);
    let empty = store.partition(&other).unwrap();
    assert_eq!((all(&empty), empty.position()), (vec![], &Applied::NOTHING));
    assert!(matches!(store.partition(&other), Err(StoreError::InUse(used)) if used == other));
    drop(empty);
    let again = store.partition(&other).unwrap();
    assert_eq!(again.digest().unwrap(), again.current_digest());
    assert_eq!(store.partitions(), [at(), other]);
    assert_eq!(store.view(&at()).unwrap().applied().unwrap().frontier, records[11].frontier());
}

#[tokio::test]
async fn another_chain_s_or_topics_store_is_refused() {
    let bench = Bench::new().await;
    bench.written(12).await;
    let path = bench.directory.path();
    let other = Identity { genesis: Genesis([8; 32]), ..identity() };
    for error in [Store::open(path, &other, SCHEMA).err(), Store::open_read_only(path, &other, 99).err()] {
        assert!(matches!(error, Some(StoreError::OtherGenesis { .. })), "{error:?}");
    }
    let other = Identity { prefix: "test.".into(), ..identity() };
    let error = Store::open(path, &other, 99).err().unwrap();
    assert!(matches!(&error, StoreError::OtherTopics { found, .. } if found == "acurast."), "{error}");
    // Refusing changed nothing.
    let store = bench.open();
    assert_eq!(store.refold(), None);
    assert_eq!(store.view(&at()).unwrap().get(COUNT, b"").unwrap(), Some(12u64.to_be_bytes().to_vec()));
}

#[tokio::test]
async fn a_store_of_another_schema_is_emptied_and_folded_again() {
    let bench = Bench::new().await;
    let records = bench.written(12).await;
    let path = bench.directory.path();
    let error = Store::open_read_only(path, &identity(), 2).err().unwrap();
    assert!(matches!(&error, StoreError::OtherSchema { found, wanted, .. } if found == "2.1" && wanted == "2.2"), "{error}");
    let store = Store::open(path, &identity(), 2).unwrap();
    let refold = store.refold().unwrap();
    assert_eq!((refold.found.as_str(), refold.now.as_str()), ("2.1", "2.2"));
    assert_eq!(store.partitions(), []);
    let mut partition = store.partition(&at()).unwrap();
    assert_eq!((all(&partition), partition.position()), (vec![], &Applied::NOTHING));
    assert_eq!(partition.answered(&input(3)), BTreeSet::new());
    fold_all(&bench.journal, &mut partition, 100).await;
    assert_eq!(partition.position().frontier, records[11].frontier());
    drop((partition, store));
    assert_eq!(Store::open(path, &identity(), 2).unwrap().refold(), None);
}

#[tokio::test]
async fn a_second_process_may_read_but_not_write() {
    let bench = Bench::new().await;
    let path = bench.directory.path();
    assert!(matches!(Store::open_read_only(path, &identity(), SCHEMA), Err(StoreError::Missing(_))));
    bench.written(7).await;
    let store = bench.open();
    assert!(matches!(Store::open(path, &identity(), SCHEMA), Err(StoreError::Locked(_))));
    let reading = Store::open_read_only(path, &identity(), SCHEMA).unwrap();
    let view = reading.view(&at()).unwrap();
    assert_eq!(view.digest().unwrap(), store.view(&at()).unwrap().digest().unwrap());
    assert_eq!(view.get(COUNT, b"").unwrap(), Some(7u64.to_be_bytes().to_vec()));
    assert!(matches!(reading.partition(&at()), Err(StoreError::ReadOnly)));
    assert!(matches!(reading.checkpoint(), Err(StoreError::ReadOnly)));
    store.checkpoint().unwrap();
}

/// Changes of one commit: few tables and keys, so that rows are overwritten and removed.
fn commits() -> impl Strategy<Value = Vec<Vec<Row>>> {
    let row = (0..3u8, proptest::collection::vec(0..3u8, 0..3), proptest::option::of(proptest::collection::vec(any::<u8>(), 0..4)));
    proptest::collection::vec(proptest::collection::vec(row, 0..12), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_kept_digest_equals_the_one_computed_from_all_rows(commits in commits(), reopened in any::<u64>()) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let bench = runtime.block_on(Bench::new());
        let records = runtime.block_on(async { bench.written(0).await });
        let mut model: BTreeMap<(u8, Vec<u8>), Vec<u8>> = BTreeMap::new();
        let mut opened: Option<(PartitionStore, Store)> = None;
        for (index, rows) in commits.into_iter().enumerate() {
            if reopened >> index & 1 == 1 {
                opened = None;
            }
            let (partition, _) = opened.get_or_insert_with(|| {
                let store = bench.open();
                (store.partition(&at()).unwrap(), store)
            });
            for (table, key, value) in rows.clone() {
                match value {
                    Some(value) => model.insert((table, key), value),
                    None => model.remove(&(table, key)),
                };
            }
            partition.commit(&records[index..=index], rows, true).unwrap();
            let expected: Vec<_> = model.iter().map(|((table, key), value)| (*table, key.clone(), value.clone())).collect();
            prop_assert_eq!(all(partition), expected);
            prop_assert_eq!(partition.recompute_buckets().unwrap().digest(), partition.current_digest());
            prop_assert_eq!(partition.digest().unwrap(), partition.current_digest());
        }
    }
}
