//! The one place that knows chain kinds (R13): from configuration to sources, lanes, rules and attesters.

use crate::attester_memory::{AttesterMemory, AttesterMemoryError};
use crate::chain_source::ChainSource;
use crate::config::{AcurastConfig, Config, EvmConfig, SecretRef, StartAt};
use crate::paced::PacedRecording;
use acurast_adapter_acurast::{AcurastNode, NodeConfig, NodeOracle, RecordedSource, Recording, RecordingError, Start};
use acurast_adapter_api::oracle::{AssignmentOracle, Attester};
use acurast_adapter_api::{DestinationRules, LaneAdapter, Source, SourceError};
use acurast_adapter_evm::{
    AttesterConfig, ChainConfig, EndpointError, EndpointLimits, EscrowWatch, EvmChain, EvmEscrowOracle, EvmLane, EvmRules, IdentifyError,
    LaneConfig, LocalAttester, LocalKey, SignerError, WatchConfig,
};
use acurast_events::bytes::{Bytes, EvmAddress, Genesis};
use acurast_events::caip::{AssetId, CaipError, ChainId};
use acurast_events::ids::owner_key;
use acurast_events::jobs::Mode;
use acurast_events::schedule::DEADLINE_DEFAULT;
use acurast_events::units::{BlockNumber, Gas, LaneNumber, Millis};
use acurast_relayer_core::{OperatorRoute, OriginRoute, Policy, Rules, SettlementPolicy};
use acurast_relayer_lane::{FeePolicy, LanePolicy};
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
    /// A source can't be opened.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A key can't be loaded.
    #[error(transparent)]
    Signer(#[from] SignerError),
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
    /// All lanes, in the order of the partitions of `lanes.v1`.
    pub lanes: Vec<LaneSetup>,
    /// Settle's policy.
    pub policy: Policy,
    /// The destinations' pure sides.
    pub rules: ChainRules,
}

/// Connects to every chain and refuses what is not as configured. `state` is where attesters keep what they signed.
///
/// # Errors
/// See [`RegistryError`].
pub async fn connect(config: &Config, state: &Path) -> Result<Chains, RegistryError> {
    let (acurast, genesis, oracle) = acurast_source(&config.acurast).await?;
    let mut sources = vec![acurast];
    let mut lanes = Vec::new();
    let mut settlements = Vec::new();
    let mut rules: BTreeMap<ChainId, Box<dyn DestinationRules>> = BTreeMap::new();
    for evm in &config.evm {
        let deadlines = deadlines(config, &evm.chain);
        let served = connect_evm(evm, genesis, &deadlines, oracle.clone(), state).await?;
        rules.insert(evm.chain.clone(), Box::new(EvmRules { chain_id: chain_number(&evm.chain)? }));
        settlements.push(served.policy);
        sources.push(served.watch);
        lanes.push(served.lane);
    }
    let policy = policy(config, genesis, settlements)?;
    Ok(Chains { genesis, sources, lanes, policy, rules: ChainRules(rules) })
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

struct Served {
    policy: SettlementPolicy,
    watch: ChainSource,
    lane: LaneSetup,
}

async fn connect_evm(
    evm: &EvmConfig,
    genesis: Genesis,
    deadlines: &BTreeSet<Millis>,
    oracle: Arc<dyn AssignmentOracle>,
    state: &Path,
) -> Result<Served, RegistryError> {
    let chain_id = chain_number(&evm.chain)?;
    let settlement = EvmAddress::try_from(&evm.settlement.0[..]).map_err(|error| RegistryError::Value(error.to_string()))?;
    let limits = EndpointLimits { timeout: Duration::from_millis(evm.call_timeout_ms), ..EndpointLimits::default() };
    let chain = ChainConfig { chain_id, settlement, url: evm.url.clone(), limits, finality: evm.finality };
    let asset: AssetId = evm.chain.asset("slip44:60")?;

    let mut lane_config = LaneConfig::new(chain.clone(), LaneNumber(evm.lane_number));
    lane_config.block_time = Millis(evm.block_time_ms);
    lane_config.items_max = evm.batch.items_max;
    lane_config.transaction_gas_max = Gas(evm.batch.gas_max);
    let identify = |source| RegistryError::Identify { chain: evm.chain.clone(), source: Box::new(source) };
    let lane = EvmLane::connect(lane_config, key(&evm.signer)?).await.map_err(identify)?;

    let shared = Arc::new(EvmChain::new(chain.clone()).map_err(|source| RegistryError::Endpoint { chain: evm.chain.clone(), source })?);
    let escrows = Arc::new(EvmEscrowOracle::new(shared));
    let mut attesters: BTreeMap<EvmAddress, Arc<dyn Attester>> = BTreeMap::new();
    for secret in &evm.attesters {
        let key = key(secret)?;
        let address = key.address();
        let file = state.join(format!("attester-{}-{}-{}", evm.chain.reference(), hex::encode(settlement.0), hex::encode(address.0)));
        let memory = Arc::new(AttesterMemory::open(&file)?);
        let config = AttesterConfig { chain_id, settlement, genesis, deadlines: deadlines.clone() };
        attesters.insert(address, Arc::new(LocalAttester::new(config, key, oracle.clone(), escrows.clone(), memory)));
    }
    let needed = lane.capabilities().attesters_needed;
    let configured: Vec<EvmAddress> = attesters.keys().copied().collect();
    let enough = u32::try_from(configured.len()).is_ok_and(|count| count >= needed);
    if !enough || !configured.iter().all(|address| lane.attesters().contains(address)) {
        return Err(RegistryError::Attesters { chain: evm.chain.clone(), needed, known: lane.attesters().to_vec(), configured });
    }

    let poll = Duration::from_millis(evm.poll_ms);
    let watch =
        WatchConfig { chain, start: BlockNumber(evm.start_block), genesis: None, asset: asset.clone(), range_max: WATCH_RANGE_MAX, poll };
    let watch = EscrowWatch::connect(watch).await?;
    let capabilities = lane.capabilities().clone();
    let policy = SettlementPolicy {
        chain: evm.chain.clone(),
        settlement: evm.settlement.clone(),
        asset,
        lanes: vec![lane.lane().clone()],
        root_share_gas: ROOT_SHARE_GAS,
        attesters_needed: capabilities.attesters_needed,
        attesters: capabilities.attesters,
    };
    let lane = LaneSetup {
        adapter: Arc::new(lane),
        policy: lane_policy(evm),
        attesters: attesters.into_values().collect(),
        number: LaneNumber(evm.lane_number),
        settlement: evm.settlement.clone(),
        partition: evm.lane_partition,
    };
    Ok(Served { policy, watch: ChainSource::Escrow(Box::new(watch)), lane })
}

fn key(secret: &SecretRef) -> Result<LocalKey, RegistryError> {
    let reference = secret.reference().ok_or_else(|| RegistryError::Value("set exactly one of `file` and `env` for each key".into()))?;
    Ok(LocalKey::load(&reference)?)
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
