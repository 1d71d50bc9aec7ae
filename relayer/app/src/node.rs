//! The relayer as a whole: opens storage, connects to the chains, takes every partition over, and runs the loops.

use crate::api::{self, ApiState, admin};
use crate::backend;
use crate::config::Config;
use crate::dispatch::{Dispatch, JobsFollower};
use crate::endpoints;
use crate::folds::{LaneFold, SourceFold};
use crate::ingest::Ingest;
use crate::metrics::Metrics;
use crate::owned::{Owned, OwnedError};
use crate::publish::{PublishError, Publisher};
use crate::query::SettleHandle;
use crate::registry::{self, ChainRules, Chains, LaneSetup, RegistryError};
use crate::settle::{LaneFollower, Settle, SourceFollower};
use crate::storage::{Storage, StorageError, load_partition};
use crate::supervisor::{StopReason, Supervisor};
use acurast_adapter_api::Source;
use acurast_events::caip::{AccountId, ChainId};
use acurast_events::lanes::LaneOpened;
use acurast_events::topics::{Topic, TopicPartition};
use acurast_relayer_core::Policy;
use acurast_relayer_journal::{EventJournal, FollowError, Frontier, InputError, InputReader, PartitionReader, SealedBlocks, TopicError};
use acurast_relayer_lane::{Lane, LaneCoreError};
use acurast_relayer_store::{PartitionStore, StoreError};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// Why the relayer can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A chain is not as configured.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The data directory can't be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A topic can't be made, or has another number of partitions.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// A partition can't be taken over.
    #[error(transparent)]
    Owned(#[from] OwnedError),
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A topic can't be followed.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// An input topic can't be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A lane's rows can't be loaded.
    #[error(transparent)]
    Lane(#[from] LaneCoreError),
    /// The admin interface's token can't be read.
    #[error(transparent)]
    Admin(#[from] admin::TokenError),
    /// Derived records can't be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A row is of another version.
    #[error("{0}")]
    Version(String),
    /// The partition of a lane has another lane's history.
    #[error(
        "partition {partition} of lanes.v1 belongs to lane {found}, not {configured}; a new signing key needs a `partition` of its own"
    )]
    OtherLane {
        /// The partition.
        partition: u32,
        /// The lane in the journal.
        found: AccountId,
        /// The lane that is configured.
        configured: AccountId,
    },
}

/// A relayer that took its partitions over and is ready to run.
pub struct Node {
    group: Supervisor,
}

struct Parts {
    journal: Arc<dyn EventJournal>,
    storage: Storage,
    prefix: String,
    partitions: NonZeroU32,
    lease: Duration,
    metrics: Metrics,
    stop: CancellationToken,
}

impl Node {
    /// Opens, connects, checks and takes over. Nothing is sent before [`Self::run`].
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: &Config, stop: CancellationToken) -> Result<Self, StartError> {
        std::fs::create_dir_all(&config.data_dir).map_err(|reason| StorageError::Io { path: config.data_dir.clone(), reason })?;
        let (metrics, prometheus) = Metrics::new();
        let chains = registry::connect(config, &config.data_dir, &metrics).await?;
        let storage = Storage::open(config, chains.genesis)?;
        let parts = Parts {
            journal: storage.backend.journal(),
            storage,
            prefix: config.journal.prefix.clone(),
            partitions: config.journal.partitions,
            lease: Duration::from_millis(config.journal.lease_ms),
            metrics: metrics.clone(),
            stop: stop.clone(),
        };
        let mut group = Supervisor::new(stop.clone());
        let Chains { sources, pools, lanes, policy, rules, .. } = chains;
        let chain_names: Vec<ChainId> = sources.iter().map(|source| source.chain().clone()).collect();
        let lane_partitions: Vec<(u32, AccountId)> = lanes.iter().map(|lane| (lane.partition, lane.adapter.lane().clone())).collect();
        parts.storage.backend.prepare(&backend::topics(config, &chain_names)).await?;

        for source in sources {
            let at = Topic::Source(source.chain().clone()).name(&parts.prefix).partition(0);
            let store = parts.storage.store.partition(&at)?;
            let mut state = SourceFold::load(&store).map_err(StartError::Version)?;
            let owned = parts.take_over(store, &mut state).await?;
            let name = format!("ingest {}", source.chain());
            let ingest = Ingest { source, owned, state, reconcile_every: config.acurast.reconcile_every_blocks, metrics: metrics.clone() };
            let span = tracing::info_span!("ingest", chain = %ingest.source.chain());
            group.spawn(name, ingest.run(stop.clone()).instrument(span));
        }
        for pool in pools {
            let span = tracing::info_span!("endpoints", chain = %pool.chain());
            group.spawn(format!("endpoints {}", pool.chain()), endpoints::watch(pool, metrics.clone(), stop.clone()).instrument(span));
        }
        for lane in lanes {
            let name = format!("dispatch {}", lane.adapter.lane());
            let span = tracing::info_span!("dispatch", lane = %lane.adapter.lane());
            let dispatch = parts.dispatch(lane).await?;
            group.spawn(name, dispatch.run(stop.clone()).instrument(span));
        }
        let (policy, rules) = (Arc::new(policy), Arc::new(rules));
        let mut handles = Vec::new();
        for partition in 0..config.journal.partitions.get() {
            let (settle, handle) = parts.settle(partition, &chain_names, &lane_partitions, policy.clone(), rules.clone()).await?;
            handles.push(handle);
            let span = tracing::info_span!("settle", partition);
            group.spawn(format!("settle {partition}"), settle.run(stop.clone()).instrument(span));
        }
        let state = Arc::new(ApiState {
            settle: handles,
            journal: parts.journal.clone(),
            outputs: Topic::Outputs.name(&parts.prefix),
            control: Topic::Control.name(&parts.prefix),
            payload_bytes_max: config.api.payload_bytes_max,
            answer_max: Duration::from_millis(config.api.answer_ms_max),
            metrics,
            registry: prometheus,
        });
        if let Some(token) = &config.admin.token {
            let token = admin::Token::read(token)?;
            group.spawn("admin", api::serve(config.admin.listen, admin::router(state.clone(), token), stop.clone()));
        }
        group.spawn("http", api::serve(config.api.listen, api::router(state), stop.clone()));
        group.spawn("checkpoint", parts.checkpoints());
        Ok(Self { group })
    }

    /// Runs until stopped, or until any of the loops ends.
    ///
    /// # Errors
    /// What ended first.
    pub async fn run(self) -> Result<(), StopReason> {
        self.group.run().await
    }
}

/// How often folds are synced; between, a loss of power costs reading the journal again.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);

impl Parts {
    async fn take_over(&self, store: PartitionStore, state: &mut (dyn crate::owned::Fold + Send)) -> Result<Owned, StartError> {
        Ok(Owned::take_over(self.journal.clone(), store, self.lease, state).await?)
    }

    async fn follow(&self, owned: &Owned, at: TopicPartition) -> Result<PartitionReader, StartError> {
        let frontier = owned.input_frontier(&at)?;
        Ok(PartitionReader::open(self.journal.clone(), at, frontier).await?)
    }

    async fn dispatch(&self, setup: LaneSetup) -> Result<Dispatch, StartError> {
        let at = Topic::Lanes.name(&self.prefix).partition(setup.partition);
        let configured = setup.adapter.lane().clone();
        let identity = LaneOpened { lane: configured.clone(), number: u32::from(setup.number.0), settlement: setup.settlement };
        let store = self.storage.store.partition(&at)?;
        let rows: Vec<_> = store.all_rows().collect::<Result<_, _>>()?;
        let lane = if rows.is_empty() {
            None
        } else {
            Some(Lane::load(identity.clone(), rows.iter().map(|(table, key, value)| (*table, &key[..], &value[..])))?)
        };
        let mut fold = LaneFold(lane);
        let owned = self.take_over(store, &mut fold).await?;
        let lane = fold.0.unwrap_or_else(|| Lane::new(identity.clone()));
        if lane.identity() != &identity {
            return Err(StartError::OtherLane { partition: setup.partition, found: lane.identity().lane.clone(), configured });
        }
        let mut jobs = Vec::new();
        for partition in 0..self.partitions.get() {
            let at = Topic::Jobs.name(&self.prefix).partition(partition);
            let next = owned.input_next(&at);
            jobs.push(JobsFollower { reader: self.follow(&owned, at).await?, next });
        }
        let (policy, adapter, attesters) = (setup.policy, setup.adapter, setup.attesters);
        Ok(Dispatch { lane, policy, adapter, attesters, owned, jobs, metrics: self.metrics.clone() })
    }

    async fn settle(
        &self,
        index: u32,
        chains: &[ChainId],
        lanes: &[(u32, AccountId)],
        policy: Arc<Policy>,
        rules: Arc<ChainRules>,
    ) -> Result<(Settle, SettleHandle), StartError> {
        let at = Topic::Jobs.name(&self.prefix).partition(index);
        let store = self.storage.store.partition(&at)?;
        let mut partition = load_partition(&store, index, self.partitions)?;
        let mut owned = self.take_over(store, &mut partition).await?;
        let mut sources = Vec::new();
        for chain in chains {
            let at = Topic::Source(chain.clone()).name(&self.prefix).partition(0);
            let next = owned.input_next(&at);
            let reader = self.follow(&owned, at.clone()).await?;
            let blocks = SealedBlocks::new(at, reader.frontier());
            sources.push(SourceFollower { chain: chain.clone(), reader, blocks, next });
        }
        let mut followers = Vec::new();
        for (partition, lane) in lanes {
            let at = Topic::Lanes.name(&self.prefix).partition(*partition);
            let next = owned.input_next(&at);
            followers.push(LaneFollower { lane: lane.clone(), reader: self.follow(&owned, at).await?, next });
        }
        let outputs_at = Topic::Outputs.name(&self.prefix).partition(index);
        let outputs = InputReader::open(self.journal.clone(), outputs_at.clone(), owned.input_next(&outputs_at)).await?;
        let control_at = Topic::Control.name(&self.prefix).partition(index);
        let control = InputReader::open(self.journal.clone(), control_at.clone(), owned.input_next(&control_at)).await?;
        let publisher = Publisher {
            journal: self.journal.clone(),
            prefix: self.prefix.clone(),
            partitions: self.partitions,
            genesis: policy.genesis,
            at: at.clone(),
        };
        if !owned.is_published() {
            // Only after a crash between a record and its publication.
            let unpublished = PartitionReader::open(self.journal.clone(), at, Frontier::START).await?;
            publisher.catch_up(&mut owned, unpublished).await?;
        }
        let (handle, queries, announce) = SettleHandle::new(index);
        let settle = Settle {
            partition,
            policy,
            rules,
            owned,
            sources,
            lanes: followers,
            outputs,
            control,
            publisher,
            queries,
            announce,
            metrics: self.metrics.clone(),
        };
        Ok((settle, handle))
    }

    /// Syncs the folds now and then, and at the end.
    async fn checkpoints(self) -> Result<(), StoreError> {
        loop {
            let stopped = tokio::select! {
                () = self.stop.cancelled() => true,
                () = tokio::time::sleep(CHECKPOINT_EVERY) => false,
            };
            self.storage.store.checkpoint()?;
            if stopped {
                return Ok(());
            }
        }
    }
}
