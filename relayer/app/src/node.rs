//! The relayer as a whole: opens storage, connects to the chains, follows every partition, and owns those that are its own.

use crate::api::{self, ApiState, admin};
use crate::attester_memory::AttesterMemory;
use crate::backend;
use crate::checkpoints::Checkpoints;
use crate::config::Config;
use crate::dispatch::DispatchRole;
use crate::endpoints;
use crate::ingest::IngestRole;
use crate::mandate::Mandates;
use crate::membership::{Membership, MembershipError};
use crate::metrics::Metrics;
use crate::publish::Publisher;
use crate::query::SettleHandle;
use crate::registry::{self, ChainRules, Chains, LaneSetup, RegistryError};
use crate::settle::SettleRole;
use crate::storage::{Storage, StorageError};
use crate::supervisor::{StopReason, Supervisor};
use crate::tenure::{self, Ground, Role};
use acurast_adapter_api::Source;
use acurast_events::caip::{AccountId, ChainId};
use acurast_events::lanes::LaneOpened;
use acurast_events::partition::partition_of;
use acurast_events::topics::{Topic, TopicPartition};
use acurast_relayer_core::Policy;
use acurast_relayer_journal::TopicError;
use acurast_relayer_store::checkpoint::PlaceError;
use acurast_relayer_store::{Store, StoreError};
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
    /// A topic can't be made, or isn't as it must be.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The place of checkpoints makes no sense.
    #[error(transparent)]
    Checkpoints(#[from] PlaceError),
    /// This replica can't be told what to own.
    #[error(transparent)]
    Membership(#[from] MembershipError),
    /// The admin interface's token can't be read.
    #[error(transparent)]
    Admin(#[from] admin::TokenError),
}

/// A relayer that is connected and checked, and ready to run.
pub struct Node {
    group: Supervisor,
    membership: Arc<Membership>,
}

impl Node {
    /// Opens, connects, checks, and joins the other replicas. Nothing is followed, claimed or sent before [`Self::run`].
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: &Config, stop: CancellationToken) -> Result<Self, StartError> {
        std::fs::create_dir_all(&config.data_dir).map_err(|reason| StorageError::Io { path: config.data_dir.clone(), reason })?;
        let (metrics, prometheus) = Metrics::new();
        let chains = registry::connect(config, &config.data_dir, &metrics).await?;
        let storage = Storage::open(config, chains.genesis).await?;
        let Chains { sources, pools, lanes, memories, policy, rules, .. } = chains;
        let chain_names: Vec<ChainId> = sources.iter().map(|source| source.chain().clone()).collect();
        let topics = backend::topics(config, &chain_names);
        storage.backend.prepare(&topics).await?;

        let places = Places {
            prefix: config.journal.prefix.clone(),
            partitions: config.journal.partitions,
            lane_partitions: config.journal.lane_partitions,
        };
        let source_places: Vec<_> = chain_names.iter().map(|chain| (chain.clone(), places.source(chain))).collect();
        let lane_places: Vec<_> = lanes.iter().map(|lane| (lane.adapter.lane().clone(), places.lane(lane.partition))).collect();
        let jobs = Topic::Jobs.name(&config.journal.prefix);
        let membership = Arc::new(Membership::join(&storage.backend, &jobs, config.journal.partitions)?);

        let store = storage.store;
        let journal = storage.backend.journal();
        let lease = Duration::from_millis(config.journal.lease_ms);
        let mandates = Mandates::new(membership.assignment(), membership.reclaim_after(lease), stop.clone());
        let ground =
            Ground { journal: journal.clone(), store: store.clone(), lease, membership: membership.clone(), metrics: metrics.clone() };
        let mut parts = Parts { group: Supervisor::new(stop.clone()), ground, mandates, places };

        for source in sources {
            let (chain, at) = (source.chain().clone(), parts.places.source(source.chain()));
            let span = tracing::info_span!("ingest", %chain);
            let ingest = IngestRole { source, reconcile_every: config.acurast.reconcile_every_blocks, metrics: metrics.clone() };
            let seat = parts.places.seat_of_source(&chain);
            parts.add(format!("ingest {chain}"), at, seat, ingest, span);
        }
        for pool in pools {
            let span = tracing::info_span!("endpoints", chain = %pool.chain());
            parts
                .group
                .spawn(format!("endpoints {}", pool.chain()), endpoints::watch(pool, metrics.clone(), stop.clone()).instrument(span));
        }
        for lane in lanes {
            let (name, at) = (lane.adapter.lane().to_string(), parts.places.lane(lane.partition));
            let seat = parts.places.seat_of_lane(lane.partition);
            let span = tracing::info_span!("dispatch", lane = name);
            let dispatch = parts.dispatch(lane, &memories);
            parts.add(format!("dispatch {name}"), at, seat, dispatch, span);
        }
        let (policy, rules) = (Arc::new(policy), Arc::new(rules));
        let mut handles = Vec::new();
        for index in 0..config.journal.partitions.get() {
            let (settle, handle) = parts.settle(index, &source_places, &lane_places, policy.clone(), rules.clone());
            handles.push(handle);
            let at = parts.places.jobs(index);
            parts.add(format!("settle {index}"), at.clone(), at, settle, tracing::info_span!("settle", partition = index));
        }
        let state = Arc::new(ApiState {
            settle: handles,
            journal,
            outputs: Topic::Outputs.name(&config.journal.prefix),
            control: Topic::Control.name(&config.journal.prefix),
            payload_bytes_max: config.api.payload_bytes_max,
            answer_max: Duration::from_millis(config.api.answer_ms_max),
            metrics,
            registry: prometheus,
        });
        if let Some(token) = &config.admin.token {
            let token = admin::Token::read(token)?;
            let router = admin::router(state.clone(), token);
            parts.group.spawn("admin", api::serve(config.admin.listen, router, stop.clone()));
        }
        parts.group.spawn("http", api::serve(config.api.listen, api::router(state), stop.clone()));
        if let Some(checkpoints) = &config.checkpoints {
            let checkpoints = Checkpoints::new(checkpoints, &config.data_dir, store.clone())?;
            parts.group.spawn("checkpoints", checkpoints.run(parts.ground.metrics.clone(), stop.clone()));
        }
        parts.group.spawn("store", synced(store, stop));
        Ok(Self { group: parts.group, membership })
    }

    /// Runs until stopped, or until any of the loops ends; leaves the group then, so that others take over at once.
    ///
    /// # Errors
    /// What ended first.
    pub async fn run(self) -> Result<(), StopReason> {
        let ended = self.group.run().await;
        // All tasks are gone, and with them what they had of it.
        if let Some(membership) = Arc::into_inner(self.membership) {
            membership.leave().await;
        }
        ended
    }
}

/// How often folds are synced; between, a loss of power costs reading the journal again.
const SYNC_EVERY: Duration = Duration::from_secs(30);

/// Syncs the folds now and then, and at the end.
async fn synced(store: Store, stop: CancellationToken) -> Result<(), StoreError> {
    loop {
        let stopped = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(SYNC_EVERY) => false,
        };
        store.checkpoint()?;
        if stopped {
            return Ok(());
        }
    }
}

/// Names of partitions.
struct Places {
    prefix: String,
    partitions: NonZeroU32,
    lane_partitions: NonZeroU32,
}

impl Places {
    fn source(&self, chain: &ChainId) -> TopicPartition {
        Topic::Source(chain.clone()).name(&self.prefix).partition(0)
    }

    fn lane(&self, partition: u32) -> TopicPartition {
        Topic::Lanes.name(&self.prefix).partition(partition)
    }

    fn jobs(&self, partition: u32) -> TopicPartition {
        Topic::Jobs.name(&self.prefix).partition(partition)
    }

    /// The partition of `jobs.v1` whose owner a lane's partition goes with; alike for all replicas.
    fn seat_of_lane(&self, partition: u32) -> TopicPartition {
        self.jobs(partition.checked_rem(self.partitions.get()).unwrap_or(0))
    }

    /// The same for a source.
    fn seat_of_source(&self, chain: &ChainId) -> TopicPartition {
        self.jobs(partition_of(chain.as_str().as_bytes(), self.partitions))
    }

    fn all_jobs(&self) -> impl Iterator<Item = TopicPartition> {
        (0..self.partitions.get()).map(|partition| self.jobs(partition))
    }
}

/// The relayer in the making.
struct Parts {
    group: Supervisor,
    ground: Ground,
    mandates: Mandates,
    places: Places,
}

impl Parts {
    fn add<R: Role + 'static>(&mut self, name: String, at: TopicPartition, seat: TopicPartition, role: R, span: tracing::Span) {
        self.group.spawn(name, tenure::run(role, self.ground.clone(), self.mandates.of(at, seat)).instrument(span));
    }

    fn dispatch(&self, setup: LaneSetup, memories: &[Arc<AttesterMemory>]) -> DispatchRole {
        let lane = setup.adapter.lane().clone();
        DispatchRole {
            identity: LaneOpened { lane, number: u32::from(setup.number.0), settlement: setup.settlement },
            policy: setup.policy,
            adapter: setup.adapter,
            attesters: setup.attesters,
            memories: memories.to_vec(),
            lanes: (0..self.places.lane_partitions.get()).map(|partition| self.places.lane(partition)).collect(),
            journal: self.ground.journal.clone(),
            jobs: self.places.all_jobs().collect(),
            metrics: self.ground.metrics.clone(),
        }
    }

    fn settle(
        &self,
        index: u32,
        sources: &[(ChainId, TopicPartition)],
        lanes: &[(AccountId, TopicPartition)],
        policy: Arc<Policy>,
        rules: Arc<ChainRules>,
    ) -> (SettleRole, SettleHandle) {
        let Places { prefix, partitions, .. } = &self.places;
        let publisher = Publisher {
            journal: self.ground.journal.clone(),
            prefix: prefix.clone(),
            partitions: *partitions,
            genesis: policy.genesis,
            at: self.places.jobs(index),
        };
        let (handle, queries, announce) = SettleHandle::new(index);
        let settle = SettleRole {
            index,
            partitions: *partitions,
            journal: self.ground.journal.clone(),
            sources: sources.to_vec(),
            lanes: lanes.to_vec(),
            outputs: Topic::Outputs.name(prefix).partition(index),
            control: Topic::Control.name(prefix).partition(index),
            policy,
            rules,
            publisher,
            queries,
            announce,
            metrics: self.ground.metrics.clone(),
        };
        (settle, handle)
    }
}
