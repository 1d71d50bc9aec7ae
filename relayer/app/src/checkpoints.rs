//! Takes checkpoints of the state now and then, and ships them out of the volume. Whatever fails here is an alarm and is tried
//! again: the journal is the truth, and a relayer without checkpoints is only slower to come back.

use crate::clock::now_ms;
use crate::config::CheckpointsConfig;
use crate::metrics::Metrics;
use acurast_events::units::Timestamp;
use acurast_relayer_store::Store;
use acurast_relayer_store::checkpoint::{CheckpointPlace, KnownFiles, PlaceError, Shipped, TakeError, ship};
use std::convert::Infallible;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// After a failure it is tried again so soon.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Why a checkpoint failed.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It couldn't be taken.
    #[error(transparent)]
    Take(#[from] TakeError),
    /// It couldn't be shipped.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The task that takes it ended.
    #[error("{0}; this is a defect, please report it")]
    Ended(String),
}

/// Takes and ships checkpoints of one store.
pub struct Checkpoints {
    store: Store,
    place: Arc<dyn CheckpointPlace>,
    every: Duration,
    keep: NonZeroU32,
    folder: PathBuf,
    known: KnownFiles,
}

impl Checkpoints {
    /// Of `store`, which is in `data_dir`.
    ///
    /// # Errors
    /// When the place makes no sense.
    pub fn new(config: &CheckpointsConfig, data_dir: &Path, store: Store) -> Result<Self, PlaceError> {
        // Hard links need the file system of the state.
        let folder = data_dir.join("checkpoint.taking");
        Ok(Self { store, place: config.open()?, every: config.every(), keep: config.keep, folder, known: KnownFiles::default() })
    }

    /// Runs until `stop`. A checkpoint that is under way then is none.
    ///
    /// # Errors
    /// Never.
    pub async fn run(mut self, metrics: Metrics, stop: CancellationToken) -> Result<(), Infallible> {
        let place = self.place.describe();
        tracing::info!(place, every_ms = self.every.as_millis(), "checkpoints are kept");
        let mut pause = self.first_pause().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
            let shipped = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                shipped = self.once() => shipped,
            };
            pause = match shipped {
                Ok(shipped) => {
                    tracing::info!(place, name = shipped.name, files = shipped.files, bytes = shipped.bytes, "checkpoint kept");
                    metrics.beat("checkpoint", &place, now_ms());
                    self.every
                }
                Err(error) => {
                    tracing::error!(%error, "no checkpoint; trying again");
                    metrics.alarm(&place, "checkpoint_failed");
                    self.every.min(RETRY_AFTER)
                }
            };
        }
    }

    /// Takes one and ships it.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub async fn once(&mut self) -> Result<Shipped, CheckpointError> {
        let (store, folder, mut known) = (self.store.clone(), self.folder.clone(), std::mem::take(&mut self.known));
        let taken = tokio::task::spawn_blocking(move || {
            let manifest = store.take_checkpoint(&folder, Timestamp(now_ms()), &mut known);
            (manifest, known)
        });
        let (manifest, known) = taken.await.map_err(|error| CheckpointError::Ended(error.to_string()))?;
        self.known = known;
        let shipped = ship(self.place.as_ref(), &self.folder, &manifest?, self.keep).await;
        // Its links keep files that the store has no use for any more. One that stays is removed by the next checkpoint.
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::debug!(%error, folder = %self.folder.display(), "not removed");
        }
        Ok(shipped?)
    }

    /// How long until the first one, going by the newest that is there: a relayer that restarts often takes them all the same.
    async fn first_pause(&self) -> Duration {
        let newest = match self.place.names().await {
            Ok(names) => names.last().and_then(|name| name.strip_suffix(".json")?.parse::<u64>().ok()),
            Err(error) => {
                tracing::warn!(%error, "checkpoints can't be listed");
                None
            }
        };
        let age = newest.map_or(Duration::MAX, |taken| Duration::from_millis(now_ms().saturating_sub(taken)));
        self.every.saturating_sub(age)
    }
}
