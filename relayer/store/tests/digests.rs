//! State digests in the journal: compared by every fold, however it is batched, and a state that differs is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fold;

use acurast_events::bytes::{StateHash, WriterId};
use acurast_events::record::StateDigest;
use acurast_events::units::Sequence;
use acurast_relayer_journal::{AcceptedRecord, EventJournal, PartitionWriter, SimulatedJournal, state_digest_event, state_digest_of};
use acurast_relayer_store::{PartitionStore, Row, Store, StoreError, digest_runs};
use fold::{COUNT, SCHEMA, SUBJECTS, apply, at, create, draft, identity, own, progress, state_digest};
use proptest::prelude::*;
use std::sync::Arc;
use tempfile::TempDir;

/// A journal with records of an owner that records a digest after those for which `digests` says so, and a Progress here
/// and there; and all accepted records.
async fn written(digests: &[bool]) -> (Arc<dyn EventJournal>, Vec<AcceptedRecord>) {
    let journal: Arc<dyn EventJournal> = Arc::new(SimulatedJournal::faultless());
    create(&journal).await;
    let (_folder, _store, mut partition, mut writer) = owner(&journal).await;
    let mut all = Vec::new();
    for (index, recorded) in digests.iter().enumerate() {
        let position = index as u64;
        let mut records = writer.append(vec![draft(&writer, &[position as u8 % 5], (position * 7) as u8, position)]).await.unwrap();
        apply(&mut partition, &records);
        all.append(&mut records);
        for next in [recorded.then(|| state_digest(&writer, &partition)), (index % 3 == 2).then(|| progress(&writer, position))] {
            let Some(draft) = next else { continue };
            let mut records = writer.append(vec![draft]).await.unwrap();
            apply(&mut partition, &records);
            all.append(&mut records);
        }
    }
    (journal, all)
}

async fn owner(journal: &Arc<dyn EventJournal>) -> (TempDir, Store, PartitionStore, PartitionWriter) {
    let (folder, store, mut partition) = empty();
    let writer = own(journal, &mut partition, WriterId([1; 16])).await;
    (folder, store, partition, writer)
}

fn empty() -> (TempDir, Store, PartitionStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), &identity(), SCHEMA).unwrap();
    let partition = store.partition(&at()).unwrap();
    (folder, store, partition)
}

/// Commits in batches of these sizes, the last of which repeats.
fn fold_in(partition: &mut PartitionStore, records: &[AcceptedRecord], sizes: &[usize]) -> Result<(), StoreError> {
    let mut sizes = sizes.iter().copied().chain(std::iter::repeat(*sizes.last().unwrap()));
    let mut rest = records;
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(sizes.next().unwrap().min(rest.len()));
        for run in digest_runs(batch.to_vec()) {
            let rows = fold::rows(partition, &run);
            partition.commit(&run, rows, true)?;
        }
        rest = later;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn digests_hold_however_the_records_are_batched_and_one_changed_row_is_found_at_the_next_digest(
        digests in proptest::collection::vec(any::<bool>(), 1..30),
        sizes in proptest::collection::vec(1usize..9, 1..6),
        changed in any::<prop::sample::Index>(),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (_journal, records) = runtime.block_on(written(&digests));
        let (_folder, _store, mut partition) = empty();
        fold_in(&mut partition, &records, &sizes).unwrap();
        prop_assert_eq!(partition.position().frontier, records.last().unwrap().frontier());

        // A fold that once gets another value of a row that nothing overwrites.
        let changed = changed.index(records.len());
        let (_folder, _store, mut other) = empty();
        fold_in(&mut other, &records[..changed], &sizes).unwrap();
        if fold::is_digest(&records[changed]) {
            return Ok(());
        }
        let mut rows: Vec<Row> = fold::rows(&other, &records[changed..=changed]);
        rows.push((SUBJECTS, b"flipped".to_vec(), Some(vec![1])));
        other.commit(&records[changed..=changed], rows, true).unwrap();
        let next = records[changed..].iter().find(|record| fold::is_digest(record)).map(|record| record.record.sequence);
        match (fold_in(&mut other, &records[changed + 1..], &sizes), next) {
            (Ok(()), None) => {}
            (Err(StoreError::StateDiffers { sequence, recorded, found, .. }), Some(next)) => {
                prop_assert_eq!(sequence, next);
                prop_assert_ne!(recorded, found);
                prop_assert_eq!(other.position().frontier.next_sequence, next, "nothing of it was applied");
            }
            (result, next) => prop_assert!(false, "{:?}, the next digest is at {:?}", result, next),
        }
    }

    #[test]
    fn runs_keep_every_record_in_its_order_and_begin_at_digests(digests in proptest::collection::vec(any::<bool>(), 0..20)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (_journal, records) = runtime.block_on(written(&digests));
        let runs = digest_runs(records.clone());
        prop_assert_eq!(runs.concat(), records.clone());
        let later = runs.iter().flat_map(|run| run.iter().skip(1));
        prop_assert_eq!(later.filter(|record| fold::is_digest(record)).count(), 0);
        let begun = records.iter().skip(1).filter(|record| fold::is_digest(record)).count();
        prop_assert_eq!(runs.len(), begun + usize::from(!records.is_empty()));
    }
}

#[tokio::test]
async fn a_digest_within_a_commit_is_refused_and_so_is_one_that_names_another_sequence() {
    let (journal, records) = written(&[true, false]).await;
    let (_folder, _store, mut partition) = empty();
    let rows = fold::rows(&partition, &records);
    let error = partition.commit(&records, rows, true).unwrap_err();
    assert!(matches!(error, StoreError::DigestNotFirst { sequence: Sequence(1), .. }), "{error}");
    assert_eq!(partition.get(COUNT, b"").unwrap(), None);

    let (_folder, _store, mut partition, mut writer) = owner(&journal).await;
    let wrong = StateDigest { sequence: Sequence(1), ..partition.state_digest() };
    let mut record = draft(&writer, b"", 0, 0);
    (record.input, record.events) = (None, vec![state_digest_event(&wrong)]);
    let records = writer.append(vec![record]).await.unwrap();
    let error = partition.commit(&records, Vec::new(), true).unwrap_err();
    assert!(matches!(&error, StoreError::StateDigest { reason, .. } if reason.contains("sequence 1")), "{error}");
}

#[tokio::test]
async fn a_digest_of_rows_of_another_version_is_passed_over_and_one_of_ours_is_not() {
    let (journal, records) = written(&[false, false]).await;
    let (_folder, _store, mut partition, mut writer) = owner(&journal).await;
    assert_eq!(state_digest_of(&records[0].record), Ok(None));
    let right = partition.state_digest();
    assert_eq!((right.sequence, right.schema), (Sequence(2), SCHEMA));
    let other = StateDigest { digest: StateHash([1; 32]), ..right };
    let mut drafts = Vec::new();
    for (place, schema) in [(0, SCHEMA + 1), (1, SCHEMA)] {
        let digest = StateDigest { sequence: Sequence(2 + place), schema, ..other.clone() };
        let mut draft = draft(&writer, b"", 0, 0);
        (draft.input, draft.events) = (None, vec![state_digest_event(&digest)]);
        drafts.push(draft);
    }
    let records = writer.append(drafts).await.unwrap();
    partition.commit(&records[..1], Vec::new(), true).unwrap();
    let error = partition.commit(&records[1..], Vec::new(), true).unwrap_err();
    assert!(matches!(error, StoreError::StateDiffers { sequence: Sequence(3), .. }), "{error}");
    assert!(error.to_string().contains("state directory"), "{error}");
}
