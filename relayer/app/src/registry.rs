//! The one place that knows chain kinds (R13): from configuration to sources, lanes, rules and attesters.

use crate::attester_memory::{AttesterMemory, AttesterMemoryError};
use crate::chain_source::ChainSource;
use crate::config::{AcurastConfig, Config, EvmConfig, EvmEndpoint, EvmLaneConfig, StartAt};
use crate::known::{self, KnownError};
use crate::metrics::Metrics;
use crate::paced::PacedRecording;
use crate::signers::{self, SignersError};
use acurast_adapter_acurast::{AcurastNode, NodeConfig, NodeOracle, RecordedSource, Recording, RecordingError, Start};
use acurast_adapter_api::oracle::{AssignmentOracle, Attester};
use acurast_adapter_api::{DestinationRules, EndpointPool, LaneAdapter, LaneError, Source, SourceError};
use acurast_adapter_evm::{
    AttesterConfig, ChainConfig, EndpointConfig, EndpointError, EndpointLimits, EscrowWatch, EvmChain, EvmEscrowOracle, EvmLane, EvmRules,
    IdentifyError, KnownContract, LaneConfig, LocalAttester, WatchConfig,
};
use acurast_events::bytes::{Bytes, EvmAddress, Genesis};
use acurast_events::caip::{AssetId, CaipError, ChainId};
use acurast_events::ids::owner_key;
use acurast_events::jobs::Mode;
use acurast_events::schedule::DEADLINE_DEFAULT;
use acurast_events::units::{BlockNumber, Gas, LaneNumber, Millis};
use acurast_relayer_core::{OperatorRoute, OriginRoute, Policy, Rules, SettlementPolicy};
use acurast_relayer_lane::{FeePolicy, LanePolicy};
use backon::{BackoffBuilder, ExponentialBuilder};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Gas of posting a root with one leaf, generously: what a leaf can be charged as its share at most.
const ROOT_SHARE_GAS: Gas = Gas(250_000);
/// Escrow events are asked for in ranges of at most so many blocks.
const WATCH_RANGE_MAX: u64 = 1_000;
/// How long a node is asked for its genesis at the first start.
const DISCOVER_MAX: Duration = Duration::from_secs(30);

/// How often a chain that was never reached is asked at a start.
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(15);

/// Why the configured chains can't be served.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A recording can't be read.
    #[error("recording {path}: {reason}")]
    Recording {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The Acurast node can't be asked for its genesis.
    #[error("acurast.url: {0}; start a node, or set acurast.genesis")]
    Genesis(String),
    /// A destination is not what is configured.
    #[error("{chain}: {source}")]
    Identify {
        /// The chain.
        chain: ChainId,
        /// What differs.
        source: Box<IdentifyError>,
    },
    /// A lane's key has no role, or another lane's.
    #[error(transparent)]
    Lane(#[from] LaneError),
    /// What is known of a destination can't be read or kept.
    #[error(transparent)]
    Known(#[from] KnownError),
    /// A source can't be opened.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A signer can't be used.
    #[error(transparent)]
    Signer(#[from] SignersError),
    /// No HTTP client.
    #[error("{chain}: {source}")]
    Endpoint {
        /// The chain.
        chain: ChainId,
        /// Why.
        source: EndpointError,
    },
    /// The attester's memory can't be opened.
    #[error(transparent)]
    Memory(#[from] AttesterMemoryError),
    /// The contract asks for other attesters.
    #[error("{chain}: the contract asks for {needed} of {known:?}; configured attesters are {configured:?}")]
    Attesters {
        /// The chain.
        chain: ChainId,
        /// How many must sign.
        needed: u32,
        /// Those of the contract.
        known: Vec<EvmAddress>,
        /// Those of the configuration.
        configured: Vec<EvmAddress>,
    },
    /// A configured name is malformed.
    #[error("{0}")]
    Name(#[from] CaipError),
    /// A configured value is malformed.
    #[error("{0}")]
    Value(String),
}

/// The pure sides of all destinations.
#[derive(Default)]
pub struct ChainRules(BTreeMap<ChainId, Box<dyn DestinationRules>>);

impl Rules for ChainRules {
    fn destination(&self, chain: &ChainId) -> Option<&dyn DestinationRules> {
        self.0.get(chain).map(AsRef::as_ref)
    }
}

/// One lane, ready to be driven.
pub struct LaneSetup {
    /// The chain.
    pub adapter: Arc<dyn LaneAdapter>,
    /// The operator's choices.
    pub policy: LanePolicy,
    /// Who signs roots, in ascending order of their signers.
    pub attesters: Vec<Arc<dyn Attester>>,
    /// The number that the contract knows the signer by.
    pub number: LaneNumber,
    /// The settlement contract.
    pub settlement: Bytes,
    /// Its partition of `lanes.v1`.
    pub partition: u32,
}

/// Everything that is configured, connected and checked.
pub struct Chains {
    /// Genesis of the Acurast chain.
    pub genesis: Genesis,
    /// All sources: Acurast first, then escrow facts per destination.
    pub sources: Vec<ChainSource>,
    /// The endpoints of each destination, to be watched over.
    pub pools: Vec<Arc<dyn EndpointPool>>,
    /// All lanes, chain by chain.
    pub lanes: Vec<LaneSetup>,
    /// What the attesters signed; to be made whole by `recall` before they are asked.
    pub memories: Vec<Arc<AttesterMemory>>,
    /// Settle's policy.
    pub policy: Policy,
    /// The destinations' pure sides.
    pub rules: ChainRules,
}

/// Connects to every chain and refuses what is not as configured. `state` is where attesters keep what they signed, and
/// where what was learned of each destination is kept: a destination that can't be reached is taken as it was known. One
/// that was never reached is waited for, with an alarm at each try.
///
/// # Errors
/// See [`RegistryError`].
pub async fn connect(config: &Config, state: &Path, metrics: &Metrics) -> Result<Chains, RegistryError> {
    let (acurast, genesis, oracle) = acurast_source(&config.acurast).await?;
    let mut sources = vec![acurast];
    let mut pools = Vec::new();
    let mut lanes = Vec::new();
    let mut memories = Vec::new();
    let mut settlements = Vec::new();
    let mut rules: BTreeMap<ChainId, Box<dyn DestinationRules>> = BTreeMap::new();
    let place = Place { genesis, state, metrics };
    let connecting = config.evm.iter().map(|evm| connect_evm(evm, deadlines(config, &evm.chain), oracle.clone(), &place));
    // Side by side: one that is slow to answer delays no other.
    for (evm, served) in config.evm.iter().zip(futures::future::try_join_all(connecting).await?) {
        rules.insert(evm.chain.clone(), Box::new(EvmRules { chain_id: chain_number(&evm.chain)? }));
        settlements.push(served.policy);
        sources.push(served.watch);
        pools.push(served.pool);
        lanes.extend(served.lanes);
        memories.extend(served.memories);
    }
    let policy = policy(config, genesis, settlements)?;
    Ok(Chains { genesis, sources, pools, lanes, memories, policy, rules: ChainRules(rules) })
}

async fn acurast_source(config: &AcurastConfig) -> Result<(ChainSource, Genesis, Arc<dyn AssignmentOracle>), RegistryError> {
    if let Some(path) = &config.recording {
        let source = RecordedSource::new(Arc::new(read_recording(path)?));
        let (genesis, oracle) = (source.genesis(), source.oracle()?);
        let source = match &config.pace {
            Some(pace) => ChainSource::Paced(PacedRecording::new(source, pace.clone())),
            None => ChainSource::Recorded(source),
        };
        return Ok((source, genesis, Arc::new(oracle)));
    }
    let url = config.url.as_ref().ok_or_else(|| RegistryError::Value("acurast: set `url` or `recording`".into()))?.0.clone();
    let genesis = match config.genesis {
        Some(genesis) => genesis,
        None => NodeConfig::discover_genesis(&url, DISCOVER_MAX).await.map_err(RegistryError::Genesis)?,
    };
    let start = match config.start {
        StartAt::Head => Start::Head,
        StartAt::Block(number) => Start::Block(BlockNumber(number)),
    };
    let mut node = NodeConfig::new(url.clone(), genesis, start);
    node.stall_after = Duration::from_millis(config.stall_ms);
    let oracle = NodeOracle::new(url, genesis, node.request_timeout);
    Ok((ChainSource::Node(Box::new(AcurastNode::new(node))), genesis, Arc::new(oracle)))
}

/// Reads a recording.
///
/// # Errors
/// When the file can't be read or is none.
pub fn read_recording(path: &Path) -> Result<Recording, RegistryError> {
    let failed = |reason: String| RegistryError::Recording { path: path.to_owned(), reason };
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    Recording::read(BufReader::new(file)).map_err(|error: RecordingError| failed(error.to_string()))
}

/// What all destinations share.
struct Place<'a> {
    genesis: Genesis,
    state: &'a Path,
    metrics: &'a Metrics,
}

struct Served {
    policy: SettlementPolicy,
    watch: ChainSource,
    pool: Arc<dyn EndpointPool>,
    lanes: Vec<LaneSetup>,
    memories: Vec<Arc<AttesterMemory>>,
}

/// What the contract is: learned now, or as it was known when the chain can't be reached.
async fn known_contract(chain: &EvmChain, file: &Path, metrics: &Metrics) -> Result<KnownContract, RegistryError> {
    let refused =
        |reason: String| RegistryError::Identify { chain: chain.chain().clone(), source: Box::new(IdentifyError::Refused(reason)) };
    let before = known::read(file)?;
    let mut delays = ExponentialBuilder::default().with_min_delay(RETRY_MIN).with_max_delay(RETRY_MAX).without_max_times().build();
    loop {
        match chain.learn().await {
            Ok(found) => {
                if let Some(before) = &before {
                    before.check_genesis(&found).map_err(refused)?;
                }
                known::write(file, &found)?;
                return Ok(found);
            }
            Err(IdentifyError::Refused(reason)) => return Err(refused(reason)),
            Err(IdentifyError::Rpc(error)) => {
                metrics.alarm(chain.chain().as_str(), "destination_unavailable");
                if let Some(before) = before {
                    tracing::warn!(chain = %chain.chain(), %error, "destination unavailable; it is taken as it was known");
                    return Ok(before);
                }
                tracing::error!(chain = %chain.chain(), %error, "destination unavailable and never reached before; the start waits for it");
                tokio::time::sleep(delays.next().unwrap_or(RETRY_MAX)).await;
            }
        }
    }
}

async fn connect_evm(
    evm: &EvmConfig,
    deadlines: BTreeSet<Millis>,
    oracle: Arc<dyn AssignmentOracle>,
    place: &Place<'_>,
) -> Result<Served, RegistryError> {
    let Place { genesis, state, metrics } = *place;
    let chain_id = chain_number(&evm.chain)?;
    let settlement = EvmAddress::try_from(&evm.settlement.0[..]).map_err(|error| RegistryError::Value(error.to_string()))?;
    let endpoint = |endpoint: &EvmEndpoint| EndpointConfig { url: endpoint.url.clone(), trusted: endpoint.trusted };
    let chain = ChainConfig {
        chain_id,
        settlement,
        endpoints: evm.endpoints.iter().map(endpoint).collect(),
        limits: EndpointLimits { timeout: Duration::from_millis(evm.call_timeout_ms), ..EndpointLimits::default() },
        finality: evm.finality,
        block_time: Millis(evm.block_time_ms),
    };
    let chain = Arc::new(EvmChain::new(chain).map_err(|source| RegistryError::Endpoint { chain: evm.chain.clone(), source })?);
    let asset: AssetId = evm.chain.asset("slip44:60")?;
    let contract = format!("{}-{}", evm.chain.reference(), hex::encode(settlement.0));
    let known = known_contract(&chain, &state.join(format!("destination-{contract}.json")), metrics).await?;

    let escrows = Arc::new(EvmEscrowOracle::new(chain.clone()));
    let mut attesters: BTreeMap<EvmAddress, Arc<dyn Attester>> = BTreeMap::new();
    let mut memories = Vec::new();
    for signer in &evm.attesters {
        let key = signers::open(signer).await?;
        let address = key.address();
        let file = state.join(format!("attester-{contract}-{}", hex::encode(address.0)));
        let memory = Arc::new(AttesterMemory::open(&file, evm.chain.clone(), evm.settlement.clone())?);
        memories.push(memory.clone());
        let config = AttesterConfig { chain_id, settlement, genesis, deadlines: deadlines.clone() };
        attesters.insert(address, Arc::new(LocalAttester::new(config, key, oracle.clone(), escrows.clone(), memory)));
    }
    let needed = known.needed;
    let configured: Vec<EvmAddress> = attesters.keys().copied().collect();
    let enough = u32::try_from(configured.len()).is_ok_and(|count| count >= needed);
    if !enough || !configured.iter().all(|address| known.attesters.contains(address)) {
        return Err(RegistryError::Attesters { chain: evm.chain.clone(), needed, known: known.attesters.clone(), configured });
    }

    let poll = Duration::from_millis(evm.poll_ms);
    let watch =
        WatchConfig { start: BlockNumber(evm.start_block), genesis: known.genesis, asset: asset.clone(), range_max: WATCH_RANGE_MAX, poll };
    let watch = EscrowWatch::new(chain.clone(), watch);
    let attesters: Vec<Arc<dyn Attester>> = attesters.into_values().collect();
    let lanes = open_lanes(evm, &chain, &known, &attesters).await?;
    let policy = SettlementPolicy {
        chain: evm.chain.clone(),
        settlement: evm.settlement.clone(),
        asset,
        lanes: lanes.iter().map(|lane| lane.adapter.lane().clone()).collect(),
        root_share_gas: ROOT_SHARE_GAS,
        attesters_needed: needed,
        attesters: known.count(),
    };
    Ok(Served { policy, watch: ChainSource::Escrow(Box::new(watch)), pool: chain, lanes, memories })
}

/// The chain's lanes in the order of their numbers: which one serves an account depends on that order (R3), and not on the file's.
async fn open_lanes(
    evm: &EvmConfig,
    chain: &Arc<EvmChain>,
    known: &KnownContract,
    attesters: &[Arc<dyn Attester>],
) -> Result<Vec<LaneSetup>, RegistryError> {
    let mut configured: Vec<&EvmLaneConfig> = evm.lanes.iter().collect();
    configured.sort_by_key(|lane| lane.number);
    let mut lanes = Vec::with_capacity(configured.len());
    for lane in configured {
        let number = LaneNumber(lane.number);
        let mut config = LaneConfig::new(number);
        config.items_max = evm.batch.items_max;
        config.transaction_gas_max = Gas(evm.batch.gas_max);
        let adapter = EvmLane::new(chain.clone(), config, signers::open(&lane.signer).await?, known.clone())?;
        match adapter.identify().await {
            // Dispatch asks again before it does anything.
            Ok(()) | Err(LaneError::Unknown { .. }) => {}
            Err(refused @ LaneError::Refused { .. }) => return Err(refused.into()),
        }
        lanes.push(LaneSetup {
            adapter: Arc::new(adapter),
            policy: lane_policy(evm),
            attesters: attesters.to_vec(),
            number,
            settlement: evm.settlement.clone(),
            partition: lane.partition,
        });
    }
    Ok(lanes)
}

fn chain_number(chain: &ChainId) -> Result<u64, RegistryError> {
    chain.reference().parse().map_err(|_| RegistryError::Value(format!("{chain} has no number")))
}

/// The deadlines that destinations on a chain may have: the default, and those of routes.
fn deadlines(config: &Config, chain: &ChainId) -> BTreeSet<Millis> {
    let routes = config.routes.iter().filter(|route| route.chain == *chain && route.deadline_ms > 0);
    routes.map(|route| Millis(route.deadline_ms)).chain([DEADLINE_DEFAULT]).collect()
}

fn lane_policy(evm: &EvmConfig) -> LanePolicy {
    let defaults = LanePolicy::default();
    LanePolicy {
        root_leaves_max: evm.batch.root_leaves_max,
        root_age_max: Millis(evm.batch.root_age_ms_max),
        batch_items_max: evm.batch.items_max,
        batch_age_max: Millis(evm.batch.item_age_ms_max),
        returns_max: evm.batch.returns_max,
        backoff_min: Millis(evm.poll_ms.min(defaults.backoff_min.0)),
        fee: FeePolicy {
            max_fee_cap: evm.fees.max_fee_per_gas,
            estimate_permille_max: evm.fees.estimate_ratio_permille_max,
            bump_after: Millis(evm.fees.replace_after_ms),
            ..defaults.fee
        },
        ..defaults
    }
}

fn policy(config: &Config, genesis: Genesis, settlements: Vec<SettlementPolicy>) -> Result<Policy, RegistryError> {
    let settlement_of = |chain: &ChainId| {
        let served = settlements.iter().find(|served| served.chain == *chain);
        served.map(|served| served.settlement.clone()).ok_or_else(|| RegistryError::Value(format!("{chain} is no configured destination")))
    };
    let mut origin_routes = BTreeMap::new();
    for origin in &config.origins {
        let route = OriginRoute { chain: origin.chain.clone(), settlement: settlement_of(&origin.chain)? };
        origin_routes.insert(origin.origin.clone(), route);
    }
    let mut operator_routes = Vec::new();
    for route in &config.routes {
        operator_routes.push(OperatorRoute {
            owner: owner_key(&genesis, &route.owner),
            script: route.script.clone(),
            chain: route.chain.clone(),
            settlement: settlement_of(&route.chain)?,
            target: route.target.clone(),
            escrow_id: route.escrow_id,
            mode: Mode::Call,
            deadline: (route.deadline_ms > 0).then_some(Millis(route.deadline_ms)),
        });
    }
    Ok(Policy {
        genesis,
        acurast: ChainId::substrate(&genesis),
        origin_routes,
        operator_routes,
        settlements,
        deadline: DEADLINE_DEFAULT,
        payload_bytes_max: config.api.payload_bytes_max,
    })
}
