//! Checkpoints outside the volume: taken while commits go on, shipped, pruned, brought back, and refused when they aren't
//! what they say. Each on a directory and on a bucket of moto's S3, a server of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fold;
mod moto;

use acurast_events::bytes::{Genesis, StateHash, WriterId};
use acurast_events::units::{Sequence, Timestamp};
use acurast_relayer_journal::{EventJournal, PartitionWriter, SimulatedJournal};
use acurast_relayer_store::checkpoint::{
    CheckpointPlace, ContentHash, DirectoryPlace, KnownFiles, Manifest, PlaceError, RestoreError, candidates, fetch, ship, verify,
};
use acurast_relayer_store::{Identity, PartitionStore, Store, StoreError};
use async_trait::async_trait;
use fold::{COUNT, SCHEMA, apply, at, create, draft, fold_all, identity, own, progress, state_digest};
use moto::Moto;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tempfile::TempDir;

/// A relayer's volume, and its journal elsewhere.
struct Bench {
    volume: TempDir,
    journal: Arc<dyn EventJournal>,
    store: Option<(Store, PartitionStore, PartitionWriter)>,
    known: KnownFiles,
    written: u64,
}

impl Bench {
    async fn new() -> Self {
        let journal: Arc<dyn EventJournal> = Arc::new(SimulatedJournal::faultless());
        create(&journal).await;
        let mut bench = Self { volume: tempfile::tempdir().unwrap(), journal, store: None, known: KnownFiles::default(), written: 0 };
        bench.start().await;
        bench
    }

    async fn start(&mut self) {
        let store = Store::open(&self.volume.path().join("state"), &identity(), SCHEMA).unwrap();
        let mut partition = store.partition(&at()).unwrap();
        let writer = own(&self.journal, &mut partition, WriterId([1; 16])).await;
        self.store = Some((store, partition, writer));
    }

    /// Writes so many records of a kilobyte and folds them, with a Progress and the owner's digest behind them.
    async fn write(&mut self, count: u64) {
        let (_, partition, writer) = self.store.as_mut().unwrap();
        for n in self.written..self.written + count {
            let mut drafts = vec![draft(writer, &n.to_be_bytes(), (n * 7) as u8 | 2, n)];
            // Incompressible, so that files have the size that they look like.
            drafts[0].events[0].0.splice(3..3, noise(n));
            let length = drafts[0].events[0].0.len() - 3;
            drafts[0].events[0].0.splice(2..3, [(length & 0x7f) as u8 | 0x80, (length >> 7) as u8]);
            let records = writer.append(drafts).await.unwrap();
            apply(partition, &records);
        }
        self.written += count;
        let drafts = vec![progress(writer, self.written)];
        let records = writer.append(drafts).await.unwrap();
        apply(partition, &records);
        let drafts = vec![state_digest(writer, partition)];
        let records = writer.append(drafts).await.unwrap();
        apply(partition, &records);
    }

    /// Takes a checkpoint into the volume.
    fn take(&mut self, taken: u64) -> Manifest {
        let (store, ..) = self.store.as_ref().unwrap();
        store.take_checkpoint(&self.folder(), Timestamp(taken), &mut self.known).unwrap()
    }

    async fn keep(&mut self, place: &dyn CheckpointPlace, taken: u64) -> Manifest {
        let manifest = self.take(taken);
        ship(place, &self.folder(), &manifest, keep(3)).await.unwrap();
        manifest
    }

    fn folder(&self) -> std::path::PathBuf {
        self.volume.path().join("checkpoint")
    }
}

/// A kilobyte that doesn't compress, made of `n`.
fn noise(n: u64) -> Vec<u8> {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..1_000)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

fn keep(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap()
}

/// The newest checkpoint that fits, in a directory of its own.
async fn bring_back(place: &dyn CheckpointPlace) -> (TempDir, Manifest) {
    let (fit, _) = candidates(place, &identity(), SCHEMA).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bytes = AtomicU64::new(0);
    let into = folder.path().join("state");
    fetch(place, &fit[0].manifest, &into, &|count| {
        bytes.fetch_add(count, Ordering::Relaxed);
    })
    .await
    .unwrap();
    assert_eq!(bytes.into_inner(), fit[0].manifest.bytes());
    verify(&into, &identity(), SCHEMA, &fit[0].manifest).unwrap();
    (folder, fit[0].manifest.clone())
}

/// Both kinds of place; the bucket only where its server is.
async fn places(folder: &Path) -> Vec<(Box<dyn CheckpointPlace>, Option<Moto>)> {
    let mut places: Vec<(Box<dyn CheckpointPlace>, Option<Moto>)> = vec![(Box::new(DirectoryPlace::new(folder.join("place"))), None)];
    if let Some(moto) = Moto::start().await {
        places.push((Box::new(moto.place("replica-0/")), Some(moto)));
    }
    places
}

#[tokio::test]
async fn a_lost_volume_comes_back_from_the_newest_checkpoint_and_the_tail_meets_the_owner_s_digests() {
    let elsewhere = tempfile::tempdir().unwrap();
    for (place, _server) in places(elsewhere.path()).await {
        let mut bench = Bench::new().await;
        bench.write(40).await;
        bench.keep(place.as_ref(), 1_000).await;
        bench.write(30).await;
        let newest = bench.keep(place.as_ref(), 2_000).await;
        assert_eq!(newest.partitions[0].next_sequence, Sequence(74));
        bench.write(20).await;
        let (_, partition, _) = bench.store.take().unwrap();
        let (digest, position) = (partition.current_digest(), partition.position().clone());
        drop(partition);

        let (folder, manifest) = bring_back(place.as_ref()).await;
        assert_eq!(manifest, newest);
        let store = Store::open(&folder.path().join("state"), &identity(), SCHEMA).unwrap();
        let mut restored = store.partition(&at()).unwrap();
        assert_eq!(restored.position().frontier.next_sequence, Sequence(74));
        fold_all(&bench.journal, &mut restored, 7).await;
        assert_eq!((restored.current_digest(), restored.position()), (digest, &position), "{}", place.describe());
        // And it goes on as any store does.
        let mut writer = own(&bench.journal, &mut restored, WriterId([2; 16])).await;
        let records = writer.append(vec![draft(&writer, b"x", 1, 90)]).await.unwrap();
        apply(&mut restored, &records);
    }
}

#[tokio::test]
async fn files_that_are_there_are_not_sent_again_and_old_checkpoints_go_with_the_files_that_nobody_names() {
    let elsewhere = tempfile::tempdir().unwrap();
    for (place, _server) in places(elsewhere.path()).await {
        let mut bench = Bench::new().await;
        let mut sent = Vec::new();
        for round in 1..=3 {
            bench.write(20).await;
            let manifest = bench.take(round * 1_000);
            let shipped = ship(place.as_ref(), &bench.folder(), &manifest, keep(2)).await.unwrap();
            assert_eq!(shipped.pruned, usize::from(round > 2));
            sent.push((manifest, shipped));
        }
        let tables = |manifest: &Manifest| manifest.files.iter().filter(|file| file.name.ends_with(".sst")).count();
        let (last, shipped) = sent.last().unwrap();
        assert!(tables(last) >= 3 && shipped.files + 2 <= last.files.len(), "{shipped:?} of {} files", last.files.len());
        assert_eq!(place.names().await.unwrap(), ["00000000000000002000.json", "00000000000000003000.json"]);
        let named: std::collections::BTreeSet<ContentHash> =
            sent[1..].iter().flat_map(|(manifest, _)| manifest.files.iter().map(|file| file.sha256)).collect();
        let there: std::collections::BTreeSet<ContentHash> = place.files().await.unwrap().into_iter().collect();
        assert_eq!(there, named, "{}", place.describe());
        bring_back(place.as_ref()).await;
    }
}

#[tokio::test]
async fn a_checkpoint_is_of_one_moment_while_commits_go_on() {
    let mut bench = Bench::new().await;
    bench.write(10).await;
    let manifest = bench.take(1_000);
    bench.write(50).await;
    // What was linked is not what the store became.
    verify(&bench.folder(), &identity(), SCHEMA, &manifest).unwrap();
    let copy = Store::open_read_only(&bench.folder(), &identity(), SCHEMA).unwrap();
    assert_eq!(copy.view(&at()).unwrap().get(COUNT, b"").unwrap(), Some(12u64.to_be_bytes().to_vec()));
    // Taken again, the folder is the new one's.
    let again = bench.take(2_000);
    assert_eq!(again.partitions[0].next_sequence, Sequence(64));
}

#[tokio::test]
async fn a_damaged_file_a_shorter_one_and_a_missing_one_are_found() {
    let elsewhere = tempfile::tempdir().unwrap();
    let place = DirectoryPlace::new(elsewhere.path().to_owned());
    let mut bench = Bench::new().await;
    bench.write(40).await;
    let manifest = bench.keep(&place, 1_000).await;
    let table = manifest.files.iter().find(|file| file.name.ends_with(".sst")).unwrap();
    let path = elsewhere.path().join("files").join(table.sha256.to_string());
    let whole = std::fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [flipped, whole[..whole.len() - 1].to_vec(), [&whole[..], b"more"].concat()] {
        std::fs::write(&path, damaged).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let error = fetch(&place, &manifest, &folder.path().join("state"), &|_| {}).await.unwrap_err();
        assert!(matches!(&error, RestoreError::Damaged { name, .. } if *name == table.name), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
    let error = fetch(&place, &manifest, &elsewhere.path().join("state"), &|_| {}).await.unwrap_err();
    assert!(matches!(error, RestoreError::Place(_)), "{error}");
    // The next checkpoint brings it again.
    let shipped = ship(&place, &bench.folder(), &manifest, keep(3)).await.unwrap();
    assert_eq!(shipped.files, 1);
    bring_back(&place).await;
}

#[tokio::test]
async fn a_state_that_is_not_what_its_manifest_says_is_refused() {
    let mut bench = Bench::new().await;
    bench.write(10).await;
    let manifest = bench.take(1_000);
    let check = |manifest: &Manifest| verify(&bench.folder(), &identity(), SCHEMA, manifest);
    let mut other = manifest.clone();
    other.partitions[0].digest = StateHash([9; 32]);
    let error = check(&other).unwrap_err();
    assert!(matches!(&error, RestoreError::Differs(reason) if reason.contains("digest")), "{error}");
    let mut other = manifest.clone();
    other.partitions[0].next_sequence = Sequence(3);
    assert!(matches!(check(&other), Err(RestoreError::Differs(_))));
    let mut other = manifest.clone();
    other.partitions[0].partition = 4;
    assert!(matches!(check(&other), Err(RestoreError::Differs(_))));
    other.partitions.clear();
    assert!(matches!(check(&other), Err(RestoreError::Differs(_))));
    let another = Identity { genesis: Genesis([1; 32]), ..identity() };
    assert!(matches!(verify(&bench.folder(), &another, SCHEMA, &manifest), Err(RestoreError::Store(StoreError::OtherGenesis { .. }))));
    check(&manifest).unwrap();
}

#[tokio::test]
async fn rows_that_do_not_add_up_to_the_kept_digest_are_found() {
    // A store whose rows were changed behind its digest's back, as a fault of memory or disk below RocksDB's checksums would.
    let mut bench = Bench::new().await;
    bench.write(10).await;
    let manifest = bench.take(1_000);
    {
        let mut options = rocksdb::Options::default();
        options.set_compression_type(rocksdb::DBCompressionType::Lz4);
        let db = rocksdb::DB::open(&options, bench.folder()).unwrap();
        let row = db.iterator(rocksdb::IteratorMode::From(&[6], rocksdb::Direction::Forward)).next().unwrap().unwrap();
        assert_eq!(row.0[0], 6, "a state row");
        db.put(row.0, b"flipped").unwrap();
    }
    let error = verify(&bench.folder(), &identity(), SCHEMA, &manifest).unwrap_err();
    assert!(matches!(&error, RestoreError::Differs(reason) if reason.contains("1 buckets differ")), "{error}");
}

#[tokio::test]
async fn checkpoints_of_others_and_manifests_that_cannot_be_read_are_passed_over_with_the_reason() {
    let elsewhere = tempfile::tempdir().unwrap();
    for (place, _server) in places(elsewhere.path()).await {
        let mut bench = Bench::new().await;
        bench.write(5).await;
        bench.keep(place.as_ref(), 1_000).await;
        let mut other = bench.take(2_000);
        other.schema = "9.9".into();
        place.put_manifest("00000000000000002000.json", other.encode().unwrap()).await.unwrap();
        place.put_manifest("00000000000000003000.json", b"{".to_vec()).await.unwrap();
        let (fit, unfit) = candidates(place.as_ref(), &identity(), SCHEMA).await.unwrap();
        assert_eq!(fit.iter().map(|candidate| candidate.name.as_str()).collect::<Vec<_>>(), ["00000000000000001000.json"]);
        assert!(unfit[0].reason.contains("no manifest") && unfit[1].reason.contains("schema"), "{unfit:?}");
        // A manifest that can't be read may be a newer version's: pruning leaves every file alone.
        let before = place.files().await.unwrap();
        bench.write(30).await;
        let manifest = bench.take(4_000);
        ship(place.as_ref(), &bench.folder(), &manifest, keep(2)).await.unwrap();
        let after = place.files().await.unwrap();
        assert!(before.iter().all(|hash| after.contains(hash)));
    }
}

/// A place that fails at its `fails`-th write.
struct Failing<'a> {
    place: &'a dyn CheckpointPlace,
    writes: AtomicUsize,
    fails: usize,
}

impl Failing<'_> {
    fn write(&self) -> Result<(), PlaceError> {
        if self.writes.fetch_add(1, Ordering::Relaxed) == self.fails {
            return Err(PlaceError { place: self.describe(), what: "writing".into(), reason: "interrupted".into() });
        }
        Ok(())
    }
}

#[async_trait]
impl CheckpointPlace for Failing<'_> {
    fn describe(&self) -> String {
        self.place.describe()
    }
    async fn names(&self) -> Result<Vec<String>, PlaceError> {
        self.place.names().await
    }
    async fn manifest(&self, name: &str) -> Result<Vec<u8>, PlaceError> {
        self.place.manifest(name).await
    }
    async fn put_manifest(&self, name: &str, bytes: Vec<u8>) -> Result<(), PlaceError> {
        self.write()?;
        self.place.put_manifest(name, bytes).await
    }
    async fn remove_manifest(&self, name: &str) -> Result<(), PlaceError> {
        self.write()?;
        self.place.remove_manifest(name).await
    }
    async fn files(&self) -> Result<Vec<ContentHash>, PlaceError> {
        self.place.files().await
    }
    async fn has_file(&self, hash: ContentHash, bytes: u64) -> Result<bool, PlaceError> {
        self.place.has_file(hash, bytes).await
    }
    async fn put_file(&self, hash: ContentHash, bytes: u64, from: &Path) -> Result<(), PlaceError> {
        self.write()?;
        self.place.put_file(hash, bytes, from).await
    }
    async fn get_file(&self, hash: ContentHash, bytes: u64, to: &Path, told: &(dyn Fn(u64) + Send + Sync)) -> Result<(), PlaceError> {
        self.place.get_file(hash, bytes, to, told).await
    }
    async fn remove_file(&self, hash: ContentHash) -> Result<(), PlaceError> {
        self.write()?;
        self.place.remove_file(hash).await
    }
}

#[tokio::test]
async fn an_upload_that_is_interrupted_at_any_write_leaves_every_named_checkpoint_whole_and_is_finished_by_the_next_one() {
    let elsewhere = tempfile::tempdir().unwrap();
    let place = DirectoryPlace::new(elsewhere.path().to_owned());
    let mut bench = Bench::new().await;
    bench.write(20).await;
    bench.keep(&place, 1_000).await;
    let mut interrupted = 0;
    for fails in 0.. {
        bench.write(10).await;
        let manifest = bench.take(2_000 + fails as u64);
        let failing = Failing { place: &place, writes: AtomicUsize::new(0), fails };
        let shipped = ship(&failing, &bench.folder(), &manifest, keep(2)).await;
        for name in place.names().await.unwrap() {
            let kept = Manifest::parse(&place.manifest(&name).await.unwrap()).unwrap();
            let folder = tempfile::tempdir().unwrap();
            fetch(&place, &kept, &folder.path().join("state"), &|_| {}).await.expect("what has a manifest is whole");
        }
        match shipped {
            Err(_) => interrupted += 1,
            Ok(_) => break,
        }
    }
    assert!(interrupted > 4, "files, manifest and pruning: {interrupted}");
    assert_eq!(place.names().await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_a_crash_left_half_written_in_a_directory_counts_for_nothing_and_is_cleared_away() {
    let elsewhere = tempfile::tempdir().unwrap();
    let place = DirectoryPlace::new(elsewhere.path().to_owned());
    let mut bench = Bench::new().await;
    bench.write(5).await;
    bench.keep(&place, 1_000).await;
    for left in ["files/abc.tmp", "checkpoints/00000000000000009000.tmp"] {
        std::fs::write(elsewhere.path().join(left), b"half").unwrap();
    }
    assert_eq!(place.names().await.unwrap(), ["00000000000000001000.json"]);
    bench.keep(&place, 2_000).await;
    assert!(!elsewhere.path().join("files/abc.tmp").exists());
    bring_back(&place).await;
}

#[tokio::test]
async fn a_long_file_goes_into_a_bucket_in_parts_and_comes_back_the_same() {
    let Some(moto) = Moto::start().await else { return };
    let place = moto.place("");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long");
    let content: Vec<u8> = (0..20_000u64).flat_map(noise).collect();
    std::fs::write(&path, &content).unwrap();
    let (hash, bytes) = ContentHash::of_file(&path).unwrap();
    assert!(!place.has_file(hash, bytes).await.unwrap());
    place.put_file(hash, bytes, &path).await.unwrap();
    assert!(place.has_file(hash, bytes).await.unwrap());
    assert!(!place.has_file(hash, bytes + 1).await.unwrap());
    let back = folder.path().join("back");
    place.get_file(hash, bytes, &back, &|_| {}).await.unwrap();
    assert!(std::fs::read(&back).unwrap() == content);
    let error = place.get_file(hash, bytes - 1, &back, &|_| {}).await.unwrap_err();
    assert!(error.to_string().contains("longer"), "{error}");
    place.remove_file(hash).await.unwrap();
    assert!(!place.has_file(hash, bytes).await.unwrap());
    place.remove_file(hash).await.unwrap();
    // More names than one page of a listing has.
    for n in 0..1_003u32 {
        place.put_manifest(&format!("{n:020}.json"), vec![0; 3]).await.unwrap();
    }
    let names = place.names().await.unwrap();
    assert_eq!((names.len(), names[1_002].as_str()), (1_003, "00000000000000001002.json"));
}

#[tokio::test]
async fn a_bucket_that_is_not_there_a_dead_service_and_missing_credentials_are_errors_that_show_no_secret() {
    let Some(moto) = Moto::start().await else { return };
    let mut dead = moto.config("");
    dead.endpoint = "http://127.0.0.1:9/hidden-path".parse().unwrap();
    let mut absent = moto.config("");
    absent.bucket = "absent".into();
    let mut locked = moto.config("");
    locked.secrets = Arc::new(|| Err("file /etc/key: permission denied".into()));
    for (config, reason) in [(dead, "after 5 repetitions"), (absent, "no such bucket"), (locked, "permission denied")] {
        let place = acurast_relayer_store::checkpoint::S3Place::new(config).unwrap();
        let error = place.names().await.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        for secret in [moto::ID, moto::SECRET, "X-Amz-Signature", "hidden-path"] {
            assert!(!error.contains(secret), "{error}");
        }
    }
}
