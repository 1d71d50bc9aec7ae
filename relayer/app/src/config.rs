//! The one typed configuration: TOML file plus environment, unknown keys refused (R14).
//!
//! Secrets stand here by reference only (`file` or `env`). Environment variables named `ACURAST_RELAYER__SECTION__KEY`
//! replace single values of the file; lists are set in the file.

mod admin;
mod checkpoints;
mod lanes;
mod signer;

pub use admin::AdminConfig;
pub use checkpoints::CheckpointsConfig;
pub use lanes::EvmLaneConfig;
pub use signer::{SignerConfig, SignerKind};

use acurast_adapter_acurast::NodeUrl;
use acurast_adapter_evm::{EndpointUrl, Finality, SecretReference};
use acurast_events::bytes::{Bytes, EscrowId, Genesis};
use acurast_events::caip::ChainId;
use acurast_events::job_id::MultiOrigin;
use acurast_relayer_journal_kafka::KafkaConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// Everything that can be configured.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where journal and state live. One process at a time.
    pub data_dir: PathBuf,
    /// The event journal.
    #[serde(default)]
    pub journal: JournalConfig,
    /// The Acurast chain.
    pub acurast: AcurastConfig,
    /// EVM destinations, one entry per chain and settlement contract.
    #[serde(default)]
    pub evm: Vec<EvmConfig>,
    /// Which chain jobs of a foreign origin settle on (PROTOCOL §2, rule 2).
    #[serde(default)]
    pub origins: Vec<OriginConfig>,
    /// Where jobs of chosen owners settle (PROTOCOL §2, rule 3).
    #[serde(default)]
    pub routes: Vec<RouteConfig>,
    /// Copies of the state outside of `data_dir`.
    #[serde(default)]
    pub checkpoints: Option<CheckpointsConfig>,
    /// The HTTP interface.
    #[serde(default)]
    pub api: ApiConfig,
    /// The interface for operators' commands.
    #[serde(default)]
    pub admin: AdminConfig,
    /// Logs.
    #[serde(default)]
    pub log: LogConfig,
}

/// The event journal.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JournalConfig {
    /// Which back end keeps it.
    pub kind: JournalKind,
    /// Prefix of every topic name.
    pub prefix: String,
    /// Partitions of `jobs.v1` and `outputs.v1`; fixed once the journal exists.
    pub partitions: NonZeroU32,
    /// Partitions of `lanes.v1`, one per lane; fixed once the journal exists.
    pub lane_partitions: NonZeroU32,
    /// How long after the last record that was read back a transaction may still be sent, in milliseconds (R12).
    pub lease_ms: u64,
    /// The brokers, when `kind` is `kafka`.
    pub kafka: Option<KafkaConfig>,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            kind: JournalKind::Embedded,
            prefix: acurast_events::topics::DEFAULT_PREFIX.to_owned(),
            partitions: NonZeroU32::MIN.saturating_add(3),
            lane_partitions: NonZeroU32::MIN.saturating_add(15),
            lease_ms: 10_000,
            kafka: None,
        }
    }
}

/// Back ends of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JournalKind {
    /// RocksDB in `data_dir`, for one replica.
    Embedded,
    /// Apache Kafka, by `[journal.kafka]`; `topics apply` makes its topics.
    Kafka,
}

/// The Acurast chain: a node, or a recording of one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcurastConfig {
    /// WebSocket URL of an own node. Either this or `recording`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub url: Option<AcurastUrl>,
    /// Genesis hash that the node must have; asked of the node at the first start when absent.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub genesis: Option<Genesis>,
    /// File made by `acurast-relayer record`, replayed instead of a node.
    #[serde(default)]
    pub recording: Option<PathBuf>,
    /// File with the number of the newest block of the recording that may be taken; without it, all of it is there at once.
    #[serde(default)]
    pub pace: Option<PathBuf>,
    /// Where a first start begins: `head`, or a finalized block number.
    #[serde(default)]
    pub start: StartAt,
    /// A node that says nothing new for this long is taken for lost, in milliseconds.
    #[serde(default = "default_stall_ms")]
    pub stall_ms: u64,
    /// Reconciliation from storage happens every so many finalized blocks (R8); 0: never.
    #[serde(default = "default_reconcile_blocks")]
    pub reconcile_every_blocks: u64,
}

fn default_stall_ms() -> u64 {
    60_000
}

fn default_reconcile_blocks() -> u64 {
    600
}

/// Where a first start begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StartAt {
    /// At the finalized head; open jobs are taken from storage.
    #[default]
    Head,
    /// At this finalized block; open jobs are taken from its storage.
    #[serde(untagged)]
    Block(u64),
}

/// A secret by reference: exactly one of the two.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretRef {
    /// File that holds it (0x… hexadecimal for keys), readable by the relayer only.
    pub file: Option<PathBuf>,
    /// Environment variable that holds it.
    pub env: Option<String>,
}

impl SecretRef {
    /// The reference, once exactly one of the two is set.
    pub fn reference(&self) -> Option<SecretReference> {
        match (&self.file, &self.env) {
            (Some(file), None) => Some(SecretReference::File(file.clone())),
            (None, Some(name)) => Some(SecretReference::Env(name.clone())),
            _ => None,
        }
    }
}

/// WebSocket URL of an Acurast node; shows scheme, host and port only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcurastUrl(pub NodeUrl);

impl Serialize for AcurastUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AcurastUrl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        NodeUrl::parse(&String::deserialize(deserializer)?).map(Self).map_err(serde::de::Error::custom)
    }
}

/// An EVM chain with one settlement contract.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvmConfig {
    /// CAIP-2 name, such as `eip155:1`.
    #[schemars(with = "String")]
    pub chain: ChainId,
    /// JSON-RPC endpoints: an own one that is `trusted` among them, or at least three, of which a majority must agree.
    pub endpoints: Vec<EvmEndpoint>,
    /// Address of AcurastSettlement.
    #[schemars(with = "String")]
    pub settlement: Bytes,
    /// First block whose escrow events count; the contract's deployment or earlier.
    #[serde(default)]
    pub start_block: u64,
    /// When a block is final: `finalized`, `safe`, or `{ depth = n }` blocks below the head.
    #[serde(default = "default_finality")]
    #[schemars(with = "serde_json::Value")]
    pub finality: Finality,
    /// How often the chain is looked at, in milliseconds.
    #[serde(default = "default_poll_ms")]
    pub poll_ms: u64,
    /// Usual time between blocks, in milliseconds; a lane looks at the chain that often.
    #[serde(default = "default_block_time_ms")]
    pub block_time_ms: u64,
    /// Time limit of one call, in milliseconds.
    #[serde(default = "default_call_timeout_ms")]
    pub call_timeout_ms: u64,
    /// The lanes, one per signing key; escrow accounts are spread over them.
    pub lanes: Vec<EvmLaneConfig>,
    /// Fees.
    #[serde(default)]
    pub fees: FeeConfig,
    /// Batching.
    #[serde(default)]
    pub batch: BatchConfig,
    /// Keys of attesters that run inside this process. 1-of-1 means that this operator is trusted for assignments.
    #[serde(default)]
    pub attesters: Vec<SignerConfig>,
}

/// One JSON-RPC endpoint of an EVM chain.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvmEndpoint {
    /// Its URL; shown without path, query and user everywhere.
    #[schemars(with = "String")]
    pub url: EndpointUrl,
    /// An own node, which is believed alone. Of others a majority of at least three is believed.
    #[serde(default)]
    pub trusted: bool,
}

/// Least number of endpoints none of which is trusted.
const UNTRUSTED_MIN: usize = acurast_adapter_evm::vote::VOTERS_MIN;

/// What is wrong with a chain's endpoints, if anything.
fn endpoints_fault(endpoints: &[EvmEndpoint]) -> Option<&'static str> {
    let twice =
        |(index, endpoint): (usize, &EvmEndpoint)| endpoints.iter().skip(index.saturating_add(1)).any(|other| other.url == endpoint.url);
    if endpoints.is_empty() {
        Some("needs at least one endpoint")
    } else if endpoints.iter().enumerate().any(twice) {
        Some("has an endpoint twice; it has one voice")
    } else if endpoints.len() < UNTRUSTED_MIN && !endpoints.iter().any(|endpoint| endpoint.trusted) {
        Some("needs an own endpoint with `trusted = true`, or at least three of which a majority is believed")
    } else {
        None
    }
}

fn default_finality() -> Finality {
    Finality::Finalized
}

fn default_poll_ms() -> u64 {
    1_000
}

fn default_block_time_ms() -> u64 {
    12_000
}

fn default_call_timeout_ms() -> u64 {
    10_000
}

/// Limits of what may be paid for inclusion, in wei and thousandths (R5).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FeeConfig {
    /// The operator's highest price per gas, in wei.
    #[schemars(with = "String")]
    pub max_fee_per_gas: acurast_events::amount::Amount,
    /// Highest multiple of a fresh estimate, in thousandths.
    pub estimate_ratio_permille_max: u32,
    /// How long an attempt waits for inclusion before it is replaced, in milliseconds.
    pub replace_after_ms: u64,
}

impl Default for FeeConfig {
    fn default() -> Self {
        Self {
            max_fee_per_gas: acurast_events::amount::Amount(200_000_000_000),
            estimate_ratio_permille_max: 4_000,
            replace_after_ms: 30_000,
        }
    }
}

/// When a batch is closed: at the first limit that it reaches (R9).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BatchConfig {
    /// Most leaves in a root.
    pub root_leaves_max: u32,
    /// Oldest leaf's age at which a root is posted, in milliseconds.
    pub root_age_ms_max: u64,
    /// Most items in one delivery.
    pub items_max: u32,
    /// Oldest item's age at which a delivery is sent, in milliseconds.
    pub item_age_ms_max: u64,
    /// Most gas in one transaction.
    pub gas_max: u64,
    /// How often an item may come back from a final slot without its effect before it becomes a dead letter.
    pub returns_max: u32,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self { root_leaves_max: 256, root_age_ms_max: 3_000, items_max: 32, item_age_ms_max: 1_000, gas_max: 12_000_000, returns_max: 5 }
    }
}

/// Jobs of one foreign origin settle on their own chain.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OriginConfig {
    /// The origin's name: `ethereum20`, `ethereum` or `tezos`.
    pub origin: String,
    /// The chain; one of the configured destinations.
    #[schemars(with = "String")]
    pub chain: ChainId,
}

/// Jobs of one owner settle here.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// The owner, `origin:0x…`.
    #[schemars(with = "String")]
    pub owner: MultiOrigin,
    /// Only jobs with this script (as bytes, `0x…`); absent: all of the owner's.
    #[schemars(with = "Option<String>")]
    pub script: Option<Bytes>,
    /// The chain; one of the configured destinations.
    #[schemars(with = "String")]
    pub chain: ChainId,
    /// The target.
    #[schemars(with = "String")]
    pub target: Bytes,
    /// The account that pays.
    #[schemars(with = "String")]
    pub escrow_id: EscrowId,
    /// How long after the last window delivery may happen, in milliseconds; 0: 24 h.
    #[serde(default)]
    pub deadline_ms: u64,
}

/// The HTTP interface.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Address to listen on.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Longest output payload that is taken, in bytes.
    pub payload_bytes_max: u32,
    /// How long an answer may wait for the record that accepts an output, in milliseconds.
    pub answer_ms_max: u64,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9615)), payload_bytes_max: 65_536, answer_ms_max: 10_000 }
    }
}

/// Logs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Filter in the form of `RUST_LOG`.
    pub filter: String,
    /// Form of the lines.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info,jsonrpsee=warn,subxt=warn".to_owned(), format: LogFormat::Text }
    }
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It does not parse, or has unknown keys.
    #[error("{path}: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It parses and makes no sense.
    #[error("{key}: {reason}")]
    Invalid {
        /// The key at fault.
        key: String,
        /// What is wrong and what to do.
        reason: String,
    },
}

impl Config {
    /// Reads a file and the environment.
    ///
    /// # Errors
    /// When the file can't be read or the configuration makes no sense.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |reason: String| ConfigError::Unreadable { path: path.to_owned(), reason };
        let config: Self = config::Config::builder()
            .add_source(config::File::from(path).format(config::FileFormat::Toml))
            .add_source(config::Environment::with_prefix("ACURAST_RELAYER").prefix_separator("__").separator("__").try_parsing(true))
            .build()
            .and_then(config::Config::try_deserialize)
            .map_err(|error| unreadable(error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// Checks what types can't say.
    ///
    /// # Errors
    /// The first key that makes no sense.
    pub fn check(&self) -> Result<(), ConfigError> {
        let invalid = |key: String, reason: &str| Err(ConfigError::Invalid { key, reason: reason.to_owned() });
        match (&self.acurast.url, &self.acurast.recording) {
            (Some(_), None) | (None, Some(_)) => {}
            _ => return invalid("acurast".into(), "set exactly one of `url` and `recording`"),
        }
        if self.acurast.pace.is_some() && self.acurast.recording.is_none() {
            return invalid("acurast.pace".into(), "is of a `recording` only");
        }
        if self.journal.lease_ms == 0 {
            return invalid("journal.lease_ms".into(), "must be above 0, or nothing is ever sent");
        }
        match (self.journal.kind, &self.journal.kafka) {
            (JournalKind::Kafka, None) => {
                return invalid("journal.kafka".into(), "must say where the brokers are, or set journal.kind to embedded");
            }
            (JournalKind::Embedded, Some(_)) => return invalid("journal.kafka".into(), "is for journal.kind = \"kafka\""),
            (JournalKind::Kafka, Some(kafka)) => {
                kafka.check().map_err(|error| ConfigError::Invalid { key: "journal".into(), reason: error.to_string() })?;
            }
            (JournalKind::Embedded, None) => {}
        }
        if let Some(checkpoints) = &self.checkpoints {
            checkpoints.check()?;
        }
        if let Some((name, reason)) = self.admin.fault(self.api.listen) {
            return invalid(format!("admin.{name}"), reason);
        }
        for (index, evm) in self.evm.iter().enumerate() {
            let key = |name: &str| format!("evm[{index}].{name}");
            if evm.chain.namespace() != "eip155" || evm.chain.reference().parse::<u64>().is_err() {
                return invalid(key("chain"), "must be `eip155:` and a chain id");
            }
            if let Some(fault) = endpoints_fault(&evm.endpoints) {
                return invalid(key("endpoints"), fault);
            }
            if evm.settlement.0.len() != 20 {
                return invalid(key("settlement"), "must be an address of 20 bytes");
            }
            if self.evm.iter().filter(|other| other.chain == evm.chain).count() > 1 {
                return invalid(key("chain"), "is configured twice; one settlement contract per chain");
            }
            let others = self.evm.iter().filter(|other| other.chain != evm.chain);
            let taken: Vec<u32> = others.flat_map(|other| other.lanes.iter().map(|lane| lane.partition)).collect();
            if let Some((name, reason)) = lanes::fault(&evm.lanes, &taken, self.journal.lane_partitions.get()) {
                return invalid(key(&name), reason);
            }
            for attester in &evm.attesters {
                if let Err(reason) = attester.kind() {
                    return invalid(key("attesters"), reason);
                }
            }
            if evm.attesters.is_empty() {
                return invalid(key("attesters"), "needs at least one attester, or no root can be posted");
            }
            let bounds = [
                ("poll_ms", evm.poll_ms),
                ("block_time_ms", evm.block_time_ms),
                ("call_timeout_ms", evm.call_timeout_ms),
                ("batch.items_max", u64::from(evm.batch.items_max)),
                ("batch.root_leaves_max", u64::from(evm.batch.root_leaves_max)),
                ("batch.gas_max", evm.batch.gas_max),
            ];
            if let Some((name, _)) = bounds.into_iter().find(|(_, value)| *value == 0) {
                return invalid(key(name), "must be above 0");
            }
        }
        let known = |chain: &ChainId| self.evm.iter().any(|evm| evm.chain == *chain);
        for (index, origin) in self.origins.iter().enumerate() {
            if !["ethereum20", "ethereum"].contains(&origin.origin.as_str()) {
                return invalid(
                    format!("origins[{index}].origin"),
                    "must be `ethereum20` or `ethereum`; other origins come with their chains",
                );
            }
            if !known(&origin.chain) {
                return invalid(format!("origins[{index}].chain"), "is no configured destination");
            }
            if self.origins.iter().filter(|other| other.origin == origin.origin).count() > 1 {
                return invalid(format!("origins[{index}].origin"), "is mapped twice; each origin has exactly one chain");
            }
        }
        for (index, route) in self.routes.iter().enumerate() {
            if !known(&route.chain) {
                return invalid(format!("routes[{index}].chain"), "is no configured destination");
            }
            if route.target.0.len() != 20 {
                return invalid(format!("routes[{index}].target"), "must be an address of 20 bytes");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn fault(endpoints: &[(&str, bool)]) -> Option<&'static str> {
        let endpoint = |(url, trusted): &(&str, bool)| EvmEndpoint { url: url.parse().unwrap(), trusted: *trusted };
        endpoints_fault(&endpoints.iter().map(endpoint).collect::<Vec<_>>())
    }

    #[test]
    fn a_chain_needs_an_own_endpoint_or_three_different_ones() {
        let [a, b, c] = ["https://a.example/key", "https://b.example", "https://c.example"];
        assert_eq!(fault(&[(a, true)]), None);
        assert_eq!(fault(&[(a, false), (b, true)]), None);
        assert_eq!(fault(&[(a, false), (b, false), (c, false)]), None);
        assert!(fault(&[]).unwrap().contains("at least one"));
        assert!(fault(&[(a, false)]).unwrap().contains("trusted"));
        assert!(fault(&[(a, false), (b, false)]).unwrap().contains("at least three"));
        assert!(fault(&[(a, false), (b, false), (a, false)]).unwrap().contains("twice"), "one voice is no majority");
    }
}
