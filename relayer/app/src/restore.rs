//! A state that is gone: brought back from the newest checkpoint that can be proved, and caught up with the journal.
//!
//! ```text
//! newest that fits ─▶ files, hashes ─▶ rows, digests ─▶ fold the tail, meeting the owners' digests ─▶ rename to state/
//!        ▲                  │                │                        │
//!        └── next older ◀───┴────────────────┴── differs: set aside ──┘          none left: folded from the journal's start
//! ```
//!
//! Crash argument: everything happens in `state.restoring/`; only a state that was folded up to the journal's end, and synced,
//! is renamed to `state/`, in one step. Crash before it: there is no state, and the next start begins again.

use crate::backend::Backend;
use crate::config::Config;
use crate::fold::fold_into;
use crate::folds::SCHEMA;
use crate::owned::OwnedError;
use crate::storage::{StorageError, fold_of};
use crate::tally::Tally;
use acurast_events::topics::TopicPartition;
use acurast_relayer_journal::{EventJournal, FollowError, Halt, PartitionReader, ReadError, state_digest_of};
use acurast_relayer_store::checkpoint::{Candidate, CheckpointPlace, RestoreError, candidates, fetch, verify};
use acurast_relayer_store::{Identity, Store, StoreError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a relayer without a state can't start.
#[derive(Debug, thiserror::Error)]
pub enum RestoreFailed {
    /// A local file can't be written.
    #[error("{path}: {reason}; is the volume full?")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The place makes no sense.
    #[error(transparent)]
    Place(#[from] acurast_relayer_store::checkpoint::PlaceError),
    /// The journal lacks what the checkpoint is a fold of (R11).
    #[error(
        "checkpoint {name} in {place} was taken of records that the journal doesn't have: {reason}. The journal lost records \
         that were acknowledged, or it is another one: restore the journal. Only if this relayer really begins with a new \
         journal, with new lane keys and numbers, name another place for its checkpoints"
    )]
    LeadsJournal {
        /// The checkpoint.
        name: String,
        /// Where it is.
        place: String,
        /// What the journal lacks.
        reason: String,
    },
    /// The journal can't be read.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The tail can't be folded.
    #[error("{0}")]
    Storage(Box<StorageError>),
}

/// Why one checkpoint wasn't restored.
enum Refused {
    /// It isn't what it should be; an older one may be.
    SetAside(String),
    /// No other one helps.
    Fatal(RestoreFailed),
}

/// Brings the state in `data_dir` back, if there is none and checkpoints are kept. To be called before the store is opened.
///
/// # Errors
/// See [`RestoreFailed`]. A place that can't be read is an error in the log only: the state is folded from the journal.
pub async fn restore(config: &Config, identity: &Identity, backend: &Backend) -> Result<(), RestoreFailed> {
    let state = config.data_dir.join("state");
    let Some(checkpoints) = config.checkpoints.as_ref().filter(|_| !state.join("CURRENT").exists()) else { return Ok(()) };
    let place = checkpoints.open()?;
    let fit = match candidates(place.as_ref(), identity, SCHEMA).await {
        Ok((fit, unfit)) => {
            if fit.is_empty() && unfit.is_empty() {
                tracing::info!(place = place.describe(), "no checkpoint is kept yet");
                return Ok(());
            }
            for checkpoint in unfit {
                tracing::warn!(name = checkpoint.name, reason = checkpoint.reason, "checkpoint passed over");
            }
            fit
        }
        Err(error) => {
            tracing::error!(%error, "checkpoints can't be read; the state is folded from the journal's start");
            return Ok(());
        }
    };
    let restoring = config.data_dir.join("state.restoring");
    for candidate in fit {
        match restore_one(config, identity, backend, place.as_ref(), &candidate, &restoring).await {
            Ok(()) => {
                exchange(&restoring, &state)?;
                tracing::info!(name = candidate.name, place = place.describe(), "state restored from a checkpoint");
                return Ok(());
            }
            Err(Refused::SetAside(reason)) => {
                tracing::error!(name = candidate.name, place = place.describe(), reason, "checkpoint set aside; trying the next older one");
            }
            Err(Refused::Fatal(error)) => return Err(error),
        }
    }
    match std::fs::remove_dir_all(&restoring) {
        Err(reason) if reason.kind() != std::io::ErrorKind::NotFound => return Err(RestoreFailed::Io { path: restoring, reason }),
        _ => {}
    }
    tracing::warn!(place = place.describe(), "no checkpoint can be used; the state is folded from the journal's start");
    Ok(())
}

/// Puts the restored state where the store is opened.
fn exchange(restoring: &Path, state: &Path) -> Result<(), RestoreFailed> {
    let io = |reason| RestoreFailed::Io { path: state.to_owned(), reason };
    match std::fs::remove_dir_all(state) {
        Err(reason) if reason.kind() != std::io::ErrorKind::NotFound => return Err(io(reason)),
        // Without its `CURRENT` it was no store, only what was left of making one.
        _ => {}
    }
    std::fs::rename(restoring, state).map_err(io)?;
    let folder = state.parent().unwrap_or(Path::new("."));
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
}

async fn restore_one(
    config: &Config,
    identity: &Identity,
    backend: &Backend,
    place: &dyn CheckpointPlace,
    candidate: &Candidate,
    into: &Path,
) -> Result<(), Refused> {
    let manifest = &candidate.manifest;
    let bytes = Arc::new(Tally::bytes("restoring a checkpoint", manifest.bytes()));
    fetch(place, manifest, into, &{
        let bytes = bytes.clone();
        move |count| bytes.add(count)
    })
    .await
    .map_err(refused)?;
    bytes.done();
    let checked = tokio::task::spawn_blocking({
        let (into, identity, manifest) = (into.to_owned(), identity.clone(), manifest.clone());
        move || verify(&into, &identity, SCHEMA, &manifest)
    });
    checked.await.map_err(|error| Refused::SetAside(error.to_string()))?.map_err(refused)?;
    let store = Store::open(into, identity, SCHEMA).map_err(|error| Refused::SetAside(error.to_string()))?;
    let met = catch_up(config, &store, &backend.journal()).await.map_err(|error| of_tail(error, place, candidate))?;
    tracing::info!(name = candidate.name, digests = met, "the journal's tail was folded; every digest in it was met");
    store.checkpoint().map_err(|error| Refused::SetAside(error.to_string()))
}

fn refused(error: RestoreError) -> Refused {
    match error {
        RestoreError::Io { path, reason } => Refused::Fatal(RestoreFailed::Io { path, reason }),
        RestoreError::Place(_) | RestoreError::Damaged { .. } | RestoreError::Differs(_) | RestoreError::Store(_) => {
            Refused::SetAside(error.to_string())
        }
    }
}

/// What an error at the tail means for the checkpoint.
fn of_tail(error: StorageError, place: &dyn CheckpointPlace, candidate: &Candidate) -> Refused {
    let leads =
        |reason: String| Refused::Fatal(RestoreFailed::LeadsJournal { name: candidate.name.clone(), place: place.describe(), reason });
    match error {
        StorageError::Owned(OwnedError::Store(error)) => of_tail(StorageError::Store(error), place, candidate),
        StorageError::Store(error @ (StoreError::StateDiffers { .. } | StoreError::Damaged { .. })) => Refused::SetAside(error.to_string()),
        StorageError::Store(StoreError::LeadsJournal(halt)) => leads(halt.to_string()),
        StorageError::Follow(FollowError::Halt(halt @ (Halt::Shortened { .. } | Halt::Rewritten { .. }))) => leads(halt.to_string()),
        StorageError::Store(StoreError::Journal(error @ ReadError::NoSuchPartition(_)))
        | StorageError::Follow(FollowError::Read(error @ ReadError::NoSuchPartition(_))) => leads(error.to_string()),
        // A row that doesn't load is the checkpoint's fault; a record that doesn't fold would be the same after any of them.
        StorageError::Version(reason) => Refused::SetAside(reason),
        other => Refused::Fatal(RestoreFailed::Storage(Box::new(other))),
    }
}

/// Folds every partition of `store` up to the journal's end, telling how far it is. Returns how many owners' digests were met.
///
/// # Errors
/// [`StoreError::StateDiffers`] at the first digest that isn't met; when a partition can't be read or folded.
pub async fn catch_up(config: &Config, store: &Store, journal: &Arc<dyn EventJournal>) -> Result<u64, StorageError> {
    let mut partitions = store.partitions();
    // Sources first, as they are written: only for whoever watches.
    partitions.sort_unstable_by(|one, other| other.topic.as_str().cmp(one.topic.as_str()).then(one.partition.cmp(&other.partition)));
    let mut lag = 0u64;
    for at in &partitions {
        let from = store.view(at)?.applied()?.frontier.next_offset;
        let end = journal.end(at).await.map_err(FollowError::from)?;
        lag = lag.saturating_add(end.0.saturating_sub(from.0));
    }
    let tally = Tally::records("folding the journal's tail", lag);
    let mut met = 0u64;
    for at in &partitions {
        met = met.saturating_add(fold_tail(config, store, journal, at, &tally).await?);
    }
    tally.done();
    Ok(met)
}

async fn fold_tail(
    config: &Config,
    store: &Store,
    journal: &Arc<dyn EventJournal>,
    at: &TopicPartition,
    tally: &Tally,
) -> Result<u64, StorageError> {
    let mut fold = store.partition(at)?;
    let Some(mut state) = fold_of(config, &fold)? else { return Ok(0) };
    let mut reader: PartitionReader = fold.follow(Arc::clone(journal)).await?;
    let mut met = 0u64;
    loop {
        let from = reader.next_offset().0;
        let batch = reader.next_batch().await?;
        let digests = batch.records.iter().filter(|record| matches!(state_digest_of(&record.record), Ok(Some(_)))).count();
        fold_into(&mut fold, state.as_mut(), batch.records)?;
        met = met.saturating_add(u64::try_from(digests).unwrap_or(u64::MAX));
        tally.add(reader.next_offset().0.saturating_sub(from));
        if batch.caught_up {
            return Ok(met);
        }
    }
}

#[cfg(test)]
mod tests;
