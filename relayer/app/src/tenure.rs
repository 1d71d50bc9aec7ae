//! The life of one authoritative partition in this replica: follower, owner, follower again (R12).
//!
//! ```text
//!            ┌────────────────────────── rebuild: load the stored state, read the log from there ◀──────────────┐
//!            ▼                                                                                                   │
//!        follower ── mandate, log read to its end ──▶ claim ── read up to the claim ──▶ owner ── released ───────┤
//!            │           (state is warm)                │                                 │    superseded: stand  │
//!            │                                          └── superseded, in doubt ─────────┴──  down · in doubt ───┘
//!            └── the process stops ──▶ end                                                └── anything else ──▶ the process ends
//! ```
//!
//! A follower folds and answers questions, and acts on nothing. *Crash argument.* Whatever an owner held in memory beyond
//! what it read back is dropped with it: every turn of the circle begins with the stored state, which is a fold of accepted
//! records alone, and reads the log from there.

use crate::fold::{Fold, fold_into};
use crate::mandate::Mandate;
use crate::membership::Membership;
use crate::metrics::{Metrics, PartitionLabels};
use crate::owned::{Owned, OwnedError};
use crate::setback::{Recoverable, Setback};
use acurast_relayer_journal::{AcceptedRecord, EventJournal, PartitionReader};
use acurast_relayer_store::{PartitionStore, PartitionView, Store};
use async_trait::async_trait;
use backon::{BackoffBuilder, ExponentialBuilder};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Pauses between attempts to rebuild.
const REBUILD_MIN: Duration = Duration::from_millis(100);
const REBUILD_MAX: Duration = Duration::from_secs(10);
/// A tenure that lasted so long ends a series of attempts.
const STEADY: Duration = Duration::from_secs(30);

/// What a kind of partition does beyond folding: ingest, settle and dispatch.
#[async_trait]
pub trait Role: Send {
    /// The fold.
    type State: Fold + Send + Sync;
    /// Why it can't go on.
    type Error: std::error::Error + Recoverable + From<OwnedError> + Send;

    /// Name of the loop in metrics: `ingest`, `settle` or `dispatch`.
    fn stage(&self) -> &'static str;

    /// The state as it was stored.
    ///
    /// # Errors
    /// When a row is of another version.
    fn load(&self, view: &PartitionView) -> Result<Self::State, Self::Error>;

    /// Called by a follower with each batch before it is folded, and with nothing once the store stands after it.
    fn following(&mut self, _store: &PartitionStore, _records: &[AcceptedRecord]) {}

    /// Answers what was asked of a follower meanwhile, without waiting.
    ///
    /// # Errors
    /// When the store can't be read.
    fn serve(&mut self, _state: &Self::State, _view: &PartitionView) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Waits for a question to a follower and answers it; for ever where nobody asks. Waiting may be cancelled.
    ///
    /// # Errors
    /// When the store can't be read.
    async fn attend(&mut self, _state: &Self::State, _view: &PartitionView) -> Result<(), Self::Error> {
        std::future::pending().await
    }

    /// Works as the owner until the mandate ends, and leaves in order then: a last Progress, nothing under way.
    ///
    /// # Errors
    /// What ended it; see [`Recoverable`].
    async fn own(&mut self, owned: Owned, state: Self::State, mandate: &mut Mandate) -> Result<(), Self::Error>;
}

/// Where a partition's records and rows are.
#[derive(Clone)]
pub struct Ground {
    /// The journal.
    pub journal: Arc<dyn EventJournal>,
    /// The folds.
    pub store: Store,
    /// How long an owner may send after reading back a record of its own.
    pub lease: Duration,
    /// This replica among its peers.
    pub membership: Arc<Membership>,
    /// Where progress is told.
    pub metrics: Metrics,
}

/// Follows and owns a partition until the process stops.
///
/// # Errors
/// What this process can't recover from.
pub async fn run<R: Role>(mut role: R, ground: Ground, mut mandate: Mandate) -> Result<(), R::Error> {
    let labels = PartitionLabels { partition: mandate.partition().to_string() };
    let pauses =
        || ExponentialBuilder::default().with_min_delay(REBUILD_MIN).with_max_delay(REBUILD_MAX).without_max_times().with_jitter().build();
    let mut delays = pauses();
    while !mandate.stopped() {
        let began = Instant::now();
        let ended = turn(&mut role, &ground, &mut mandate).await;
        ground.metrics.owned.get_or_create(&labels).set(0);
        let Err(error) = ended else { continue };
        let at = mandate.partition();
        match error.setback() {
            None => return Err(error),
            Some(Setback::Superseded(by)) => {
                tracing::warn!(partition = %at, %by, "stood down");
                mandate.stand_down();
            }
            Some(Setback::Rebuild) => {
                tracing::warn!(partition = %at, %error, "rebuilding from the journal");
                ground.metrics.alarm(&labels.partition, "partition_rebuilt");
            }
        }
        if began.elapsed() > STEADY {
            delays = pauses();
        }
        mandate.rest(delays.next().unwrap_or(REBUILD_MAX)).await;
    }
    Ok(())
}

/// From the stored state to the end of a tenure, or of the process.
async fn turn<R: Role>(role: &mut R, ground: &Ground, mandate: &mut Mandate) -> Result<(), R::Error> {
    let mut store = ground.store.partition(mandate.partition()).map_err(OwnedError::from)?;
    let mut state = role.load(&store.view())?;
    let Some(reader) = follow(role, ground, mandate, &mut store, &mut state).await? else { return Ok(()) };
    let owned = Owned::take_over(reader, store, ground.clone(), &mut state).await?;
    ground.metrics.owned.get_or_create(&PartitionLabels { partition: mandate.partition().to_string() }).set(1);
    role.own(owned, state, mandate).await?;
    tracing::info!(partition = %mandate.partition(), "released");
    Ok(())
}

/// Folds what others write until this replica is to own the partition; nothing: the process stops. A mandate counts only once
/// the log was read to its end, so that a takeover has little left to read.
async fn follow<R: Role>(
    role: &mut R,
    ground: &Ground,
    mandate: &mut Mandate,
    store: &mut PartitionStore,
    state: &mut R::State,
) -> Result<Option<PartitionReader>, R::Error> {
    let mut reader = store.follow(ground.journal.clone()).await.map_err(OwnedError::from)?;
    role.following(store, &[]);
    // Nobody is answered from a state that lags behind from the start.
    let mut current = false;
    loop {
        if mandate.stopped() {
            return Ok(None);
        }
        let batch = reader.next_batch().await.map_err(OwnedError::from)?;
        if !batch.records.is_empty() {
            role.following(store, &batch.records);
            fold_into(store, state, batch.records)?;
            role.following(store, &[]);
        }
        ground.metrics.applied(store.position().frontier.next_sequence, store.partition());
        ground.metrics.beat(role.stage(), &store.partition().to_string(), crate::clock::now_ms());
        current |= batch.caught_up;
        if current {
            role.serve(state, store)?;
        }
        if !batch.caught_up {
            continue;
        }
        if mandate.holds() {
            return Ok(Some(reader));
        }
        tokio::select! {
            () = mandate.changed() => {}
            waited = reader.wait() => waited.map_err(OwnedError::from)?,
            attended = role.attend(state, store) => attended?,
        }
    }
}
