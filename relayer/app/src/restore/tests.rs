//! A source's state that is gone, beside its journal: what comes back, from which checkpoint, and when the start is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::checkpoints::Checkpoints;
use crate::fold::{Fold, fold_all};
use crate::folds::SourceFold;
use crate::membership::Membership;
use crate::metrics::Metrics;
use crate::owned::Owned;
use crate::storage::Storage;
use crate::tenure::Ground;
use acurast_events::bytes::{BlockHash, Bytes, EventId, Genesis, ProcessorId};
use acurast_events::caip::ChainId;
use acurast_events::job_id::{JobId, MultiOrigin};
use acurast_events::source::{Acknowledged, BlockSealed, FactMeta, SourceEvent, facts_root};
use acurast_events::topics::Topic;
use acurast_events::units::{BlockNumber, Count, Sequence, Timestamp};
use acurast_events::wire::Message;
use acurast_relayer_journal::Draft;
use acurast_relayer_store::checkpoint::Manifest;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const GENESIS: Genesis = Genesis([7; 32]);

/// A relayer's data directory, and a place for its checkpoints on another volume.
struct Site {
    volume: TempDir,
    elsewhere: TempDir,
}

impl Site {
    fn new() -> Self {
        Self { volume: tempfile::tempdir().unwrap(), elsewhere: tempfile::tempdir().unwrap() }
    }

    fn config(&self, checkpoints: bool) -> Config {
        let kept = format!("[checkpoints]\nplace = {{ directory = {:?} }}\n", self.elsewhere.path());
        let text = format!(
            "data_dir = {:?}\n[acurast]\nrecording = 'none'\n{}",
            self.volume.path().join("data"),
            if checkpoints { kept } else { String::new() }
        );
        let path = self.volume.path().join("relayer.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&path).unwrap()
    }

    fn at(&self) -> TopicPartition {
        Topic::Source(ChainId::substrate(&GENESIS)).name("acurast.").partition(0)
    }

    fn state(&self) -> std::path::PathBuf {
        self.volume.path().join("data/state")
    }

    fn lose_state(&self) {
        std::fs::remove_dir_all(self.state()).unwrap();
    }

    async fn open(&self, checkpoints: bool) -> Storage {
        let storage = Storage::open(&self.config(checkpoints), GENESIS).await.unwrap();
        storage.backend.prepare(&[(self.at().topic, std::num::NonZeroU32::MIN)]).await.unwrap();
        storage
    }

    /// Owns the source, and seals these blocks with a fact in each; the first is followed by the state's digest.
    /// `spoils`: the fold gets a row of its own, which no record causes.
    async fn work(&self, blocks: Range<u64>, spoils: bool) -> Storage {
        let storage = self.open(false).await;
        let store = storage.store.partition(&self.at()).unwrap();
        let mut state = SourceFold::load(&store).unwrap();
        let ground = Ground {
            journal: storage.backend.journal(),
            store: storage.store.clone(),
            lease: Duration::from_secs(30),
            membership: Arc::new(Membership::join(&storage.backend, &self.at().topic, std::num::NonZeroU32::MIN).unwrap()),
            metrics: Metrics::default(),
        };
        let reader = store.follow(storage.backend.journal()).await.unwrap();
        let mut owned = Owned::take_over(reader, store, ground, &mut state).await.unwrap();
        for number in blocks {
            let at = owned.stamp();
            let events = vec![Bytes(fact(number).encode()), Bytes(seal(number).encode())];
            let subject = Bytes(b"polkadot".to_vec());
            let draft = Draft { key: subject.0.clone(), at, input: None, subject, traceparent: None, events };
            let records = owned.append(vec![draft]).await.unwrap();
            let mut rows = fold_all(&self.at(), &mut state, &records).unwrap();
            if spoils {
                // A job that no fact named.
                rows.push((2, JobId { origin: MultiOrigin::Acurast([1; 32]), number: 999 }.scale(), Some(vec![0])));
            }
            owned.commit(&records, rows, state.is_whole()).unwrap();
            if !spoils {
                owned.digest_if_due().await.unwrap();
            }
        }
        storage
    }

    /// Keeps a checkpoint of an open storage.
    async fn keep(&self, storage: &Storage) -> Manifest {
        let config = self.config(true);
        let mut checkpoints = Checkpoints::new(config.checkpoints.as_ref().unwrap(), &config.data_dir, storage.store.clone()).unwrap();
        let shipped = checkpoints.once().await.unwrap();
        // Names are of milliseconds; the next one must be later.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let place = config.checkpoints.as_ref().unwrap().open().unwrap();
        Manifest::parse(&place.manifest(&shipped.name).await.unwrap()).unwrap()
    }

    /// Damages the first table file that this checkpoint names and the other doesn't.
    fn damage(&self, manifest: &Manifest, other: Option<&Manifest>) {
        let shared = |hash| other.is_some_and(|other| other.files.iter().any(|file| file.sha256 == hash));
        let file = manifest.files.iter().find(|file| file.name.ends_with(".sst") && !shared(file.sha256)).unwrap();
        let path = self.elsewhere.path().join("files").join(file.sha256.to_string());
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }

    async fn restore(&self) -> Result<(), RestoreFailed> {
        let config = self.config(true);
        let backend = Backend::open(&config).unwrap();
        restore(&config, &Identity { genesis: GENESIS, prefix: "acurast.".into() }, &backend).await
    }

    /// Sequence and digest of the state; nothing where there is none.
    fn found(&self) -> Option<(Sequence, String)> {
        if !self.state().join("CURRENT").exists() {
            return None;
        }
        let store = Storage::store_read_only(&self.config(true).data_dir).unwrap();
        let view = store.view(&self.at()).unwrap();
        Some((view.applied().unwrap().frontier.next_sequence, view.digest().unwrap().to_string()))
    }
}

fn fact(number: u64) -> SourceEvent {
    SourceEvent::from(Acknowledged {
        meta: FactMeta { id: EventId([number as u8; 32]), index: 0, extrinsic: None },
        job: JobId { origin: MultiOrigin::Acurast([7; 32]), number: number.into() },
        processor: ProcessorId([9; 32]),
        slot: None,
        keys: Vec::new(),
        registration: None,
    })
}

fn seal(number: u64) -> SourceEvent {
    SourceEvent::from(BlockSealed {
        first: BlockNumber(number),
        number: BlockNumber(number),
        hash: BlockHash([number as u8; 32]),
        parent: BlockHash::ZERO,
        timestamp: Timestamp(number),
        fact_count: Count(1),
        facts_root: facts_root(&[EventId([number as u8; 32])]),
        spec_version: None,
    })
}

#[tokio::test]
async fn a_lost_state_comes_back_from_the_newest_checkpoint_with_the_journal_s_tail_folded() {
    let site = Site::new();
    let storage = site.work(1..20, false).await;
    site.keep(&storage).await;
    drop(storage);
    drop(site.work(20..40, false).await);
    let before = site.found().unwrap();
    // Nothing is touched while there is a state.
    site.restore().await.unwrap();
    site.lose_state();
    site.restore().await.unwrap();
    assert_eq!(site.found(), Some(before.clone()));
    assert!(!site.volume.path().join("data/state.restoring").exists());
    // And the next owner goes on from it.
    drop(site.work(40..41, false).await);
    assert_eq!(site.found().unwrap().0, Sequence(before.0.0 + 2), "a block and a digest");
}

#[tokio::test]
async fn of_a_damaged_checkpoint_the_next_older_one_is_taken_and_without_any_the_state_is_folded_from_the_start() {
    let site = Site::new();
    let storage = site.work(1..20, false).await;
    let older = site.keep(&storage).await;
    drop(storage);
    let storage = site.work(20..40, false).await;
    let newer = site.keep(&storage).await;
    drop(storage);
    let before = site.found().unwrap();
    site.damage(&newer, Some(&older));
    site.lose_state();
    site.restore().await.unwrap();
    assert_eq!(site.found(), Some(before.clone()), "by the older one");

    site.damage(&older, None);
    site.lose_state();
    site.restore().await.unwrap();
    assert_eq!(site.found(), None, "neither is whole");
    assert!(!site.volume.path().join("data/state.restoring").exists());
    drop(site.work(40..40, false).await);
    assert_eq!(site.found().unwrap(), before, "folded from the journal's start");
}

#[tokio::test]
async fn a_checkpoint_whose_tail_meets_another_digest_of_the_owner_is_set_aside_for_the_next_older_one() {
    let site = Site::new();
    let storage = site.work(1..20, false).await;
    site.keep(&storage).await;
    drop(storage);
    // Its own rows and digest agree; only the owner's digest in the journal tells.
    let storage = site.work(20..22, true).await;
    let spoilt = site.keep(&storage).await;
    drop(storage);
    site.lose_state();
    drop(site.work(22..30, false).await);
    let right = site.found().unwrap();
    site.lose_state();
    site.restore().await.unwrap();
    assert_eq!(site.found(), Some(right));
    assert!(spoilt.partitions[0].next_sequence > Sequence(20));
}

#[tokio::test]
async fn a_checkpoint_that_leads_the_journal_refuses_the_start() {
    let site = Site::new();
    let storage = site.work(1..20, false).await;
    site.keep(&storage).await;
    drop(storage);
    site.lose_state();
    std::fs::remove_dir_all(site.volume.path().join("data/journal")).unwrap();
    let error = site.restore().await.unwrap_err();
    assert!(matches!(error, RestoreFailed::LeadsJournal { .. }), "{error}");
    // A journal that was begun anew is no better.
    let config = site.config(false);
    let backend = Backend::open(&config).unwrap();
    backend.prepare(&[(site.at().topic, std::num::NonZeroU32::MIN)]).await.unwrap();
    drop(backend);
    let error = site.restore().await.unwrap_err();
    assert!(matches!(&error, RestoreFailed::LeadsJournal { reason, .. } if reason.contains("ends")), "{error}");
    assert!(error.to_string().contains("restore the journal"), "{error}");
    assert_eq!(site.found(), None);
}

#[tokio::test]
async fn what_an_interrupted_restore_left_is_begun_again() {
    let site = Site::new();
    let storage = site.work(1..20, false).await;
    site.keep(&storage).await;
    drop(storage);
    let before = site.found().unwrap();
    site.lose_state();
    // Killed while files were copied, and while RocksDB made its directory.
    let restoring = site.volume.path().join("data/state.restoring");
    std::fs::create_dir_all(&restoring).unwrap();
    std::fs::write(restoring.join("CURRENT"), b"half").unwrap();
    std::fs::create_dir_all(site.state()).unwrap();
    std::fs::write(site.state().join("LOG"), b"").unwrap();
    site.restore().await.unwrap();
    assert_eq!(site.found(), Some(before));
}
