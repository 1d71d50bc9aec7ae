//! One lane of an EVM destination: chain, settlement contract and signing key, behind the contract of [`LaneAdapter`].
//!
//! Thin by design: each question is a few JSON-RPC calls in a file of its own, each judgement a pure function beside it.
//! Nothing here chooses a slot or a fee, repeats a call, or sends what it was not told to send.

use crate::chain::{ChainConfig, EvmChain};
use crate::endpoint::RpcError;
use crate::identify::IdentifyError;
use crate::node::Header;
use crate::outcomes::{self, Family};
use crate::signer::Signer;
use crate::transaction::{self, Unsigned};
use acurast_adapter_api::lane::EffectQuery;
use acurast_adapter_api::{
    Call, Capabilities, Effect, FinalReport, FulfillItem, LaneAdapter, LaneError, LaneView, Observation, SendOutcome, SignedAttempt,
    Simulation,
};
use acurast_events::bytes::{BlockHash, Bytes, EvmAddress, TxHash};
use acurast_events::caip::AccountId;
use acurast_events::ids::keccak;
use acurast_events::lanes::FeeBid;
use acurast_events::units::{Batch, Gas, LaneNumber, Millis, Slot};
use async_trait::async_trait;
use std::sync::{Mutex, PoisonError};

/// Gas of a transfer of nothing.
pub(crate) const NOOP_GAS: u64 = 21_000;
/// No chain that follows mainnet's rules takes a transaction of more gas (EIP-7825).
const TRANSACTION_GAS_MAX: u64 = 1 << 24;
/// What mainnet's nodes pass on.
const TRANSACTION_BYTES_MAX: u32 = 128 << 10;
/// Mainnet's clients ask +10 % for a replacement; 2.5 % more covers their rounding.
const REPLACEMENT_PERMILLE_MIN: u32 = 1_125;

/// What a lane is configured with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneConfig {
    /// Chain and contract.
    pub chain: ChainConfig,
    /// The lane number that the contract knows the key by.
    pub number: LaneNumber,
    /// How many slots may wait for inclusion at once.
    pub slots_in_flight_max: u32,
    /// Most items in one transaction.
    pub items_max: u32,
    /// Most gas of one transaction; the chain's own limits hold beside it.
    pub transaction_gas_max: Gas,
    /// Usual time between blocks.
    pub block_time: Millis,
    /// Gas limits are this many thousandths of the estimate: the state may change until the block.
    pub gas_margin_permille: u32,
    /// Events are searched this many blocks back at most.
    pub search_blocks_max: u64,
    /// Who took a slot is searched this many blocks back at most, block by block.
    pub slot_search_blocks_max: u64,
    /// Most blocks in one `eth_getLogs`.
    pub log_range_max: u64,
}

impl LaneConfig {
    /// The usual bounds for this chain and lane number.
    pub fn new(chain: ChainConfig, number: LaneNumber) -> Self {
        Self {
            chain,
            number,
            slots_in_flight_max: 4,
            items_max: 64,
            transaction_gas_max: Gas(TRANSACTION_GAS_MAX),
            block_time: Millis(12_000),
            gas_margin_permille: 1_200,
            search_blocks_max: 20_000,
            slot_search_blocks_max: 1_000,
            log_range_max: 1_000,
        }
    }
}

/// A lane of an EVM chain.
#[derive(Debug)]
pub struct EvmLane {
    pub(crate) chain: EvmChain,
    pub(crate) config: LaneConfig,
    pub(crate) key: Signer,
    lane: AccountId,
    capabilities: Capabilities,
    family: Family,
    attesters: Vec<EvmAddress>,
    /// The highest final block that this endpoint has named: finality doesn't go back.
    last_final: Mutex<Option<(u64, BlockHash)>>,
}

impl EvmLane {
    /// Identifies chain, contract and role, and reads what the lane's limits depend on.
    ///
    /// # Errors
    /// `Rpc` when the node can't be asked (ask again), `Refused` when anything differs from the configuration (stop).
    pub async fn connect(config: LaneConfig, key: impl Into<Signer>) -> Result<Self, IdentifyError> {
        let key = key.into();
        let refused = |reason: String| IdentifyError::Refused(reason);
        let chain = EvmChain::new(config.chain.clone()).map_err(|error| refused(error.to_string()))?;
        let lane = chain.chain().account(&key.address().to_string()).map_err(|error| refused(error.to_string()))?;
        chain.identify_contract().await?;
        chain.identify_lane(&key.address(), config.number).await?;
        let (quorum, attesters) = chain.quorum().await?;
        let family = Family::of(&chain.endpoint().client_version().await?);
        if family == Family::Unknown {
            tracing::warn!(endpoint = %chain.endpoint().url(), "no recorded answers of this client: what it refuses counts as indeterminate");
        }
        let block_gas = chain.head().await?.gas_limit.0;
        let capabilities = Capabilities {
            slots_in_flight_max: config.slots_in_flight_max,
            transaction_gas_max: Gas(config.transaction_gas_max.0.min(TRANSACTION_GAS_MAX).min(block_gas)),
            transaction_bytes_max: TRANSACTION_BYTES_MAX,
            items_max: config.items_max,
            attempt_ttl: None,
            block_time: config.block_time,
            replacement_permille_min: REPLACEMENT_PERMILLE_MIN,
            noop_gas: Gas(NOOP_GAS),
            remote_signer: key.is_remote(),
            attesters_needed: quorum.needed,
            attesters: quorum.attesters,
        };
        Ok(Self { chain, config, key, lane, capabilities, family, attesters, last_final: Mutex::new(None) })
    }

    /// The chain, for watching its endpoint's health.
    pub fn chain(&self) -> &EvmChain {
        &self.chain
    }
    /// The contract's attesters.
    pub fn attesters(&self) -> &[EvmAddress] {
        &self.attesters
    }
    /// The signer's address.
    pub fn signer(&self) -> EvmAddress {
        self.key.address()
    }

    pub(crate) fn unknown(&self, reason: impl ToString) -> LaneError {
        LaneError::Unknown { lane: self.lane.clone(), reason: reason.to_string() }
    }

    pub(crate) fn refused(&self, reason: impl ToString) -> LaneError {
        LaneError::Refused { lane: self.lane.clone(), reason: reason.to_string() }
    }

    /// Head and newest final block. The final one must not lie behind, or differ from, what was final when it was asked for;
    /// questions run side by side, so what another one learned meanwhile is no measure.
    pub(crate) async fn heads(&self) -> Result<(Header, Header), RpcError> {
        const METHOD: &str = "eth_getBlockByNumber";
        let before = *self.last_final();
        let endpoint = self.chain.endpoint();
        let (head, finalized) = self.chain.heads().await?;
        let finalized = finalized.ok_or_else(|| self.chain.no_final_block())?;
        let found = (finalized.number.0, finalized.hash);
        match before {
            Some((number, _)) if found.0 < number => {
                return Err(endpoint.malformed(METHOD, format!("finality went back from block {number} to {}", found.0)));
            }
            Some((number, hash)) if found.0 == number && found.1 != hash => {
                return Err(endpoint.malformed(METHOD, format!("finality violation at block {number}: {hash} was final, now {}", found.1)));
            }
            _ => {}
        }
        let mut last = self.last_final();
        if last.is_none_or(|(number, _)| number <= found.0) {
            *last = Some(found);
        }
        drop(last);
        Ok((head, finalized))
    }

    fn last_final(&self) -> std::sync::MutexGuard<'_, Option<(u64, BlockHash)>> {
        self.last_final.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest final block, checked.
    pub(crate) async fn finalized(&self) -> Result<Header, RpcError> {
        self.heads().await.map(|(_, finalized)| finalized)
    }
}

fn judge(lane: &AccountId, error: IdentifyError) -> LaneError {
    match error {
        IdentifyError::Rpc(error) => LaneError::Unknown { lane: lane.clone(), reason: error.to_string() },
        IdentifyError::Refused(reason) => LaneError::Refused { lane: lane.clone(), reason },
    }
}

#[async_trait]
impl LaneAdapter for EvmLane {
    fn lane(&self) -> &AccountId {
        &self.lane
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn identify(&self) -> Result<(), LaneError> {
        self.chain.identify_contract().await.map_err(|error| judge(&self.lane, error))?;
        self.chain.identify_lane(&self.key.address(), self.config.number).await.map_err(|error| judge(&self.lane, error))
    }

    async fn view(&self) -> Result<LaneView, LaneError> {
        self.read_view().await.map_err(|error| self.unknown(error))
    }

    async fn simulate(&self, call: &Call) -> Result<Simulation, LaneError> {
        self.try_call(call).await
    }

    async fn sign(&self, slot: Slot, call: &Call, fee: &FeeBid) -> Result<SignedAttempt, LaneError> {
        let (to, calldata) = transaction::encode(call, &self.key.address(), self.chain.settlement());
        let unsigned = Unsigned::new(self.chain.chain_id(), slot, &to, calldata, fee);
        let signature = self.key.sign(&unsigned.message()).await.map_err(|error| error.of_lane(&self.lane))?;
        Ok(unsigned.with_signature(signature))
    }

    async fn broadcast(&self, bytes: &Bytes) -> SendOutcome {
        match self.chain.endpoint().send_raw(bytes).await {
            Ok(tx) if tx.0 == keccak(&[&bytes.0]) => SendOutcome::Accepted,
            Ok(tx) => {
                let error =
                    self.chain.endpoint().malformed("eth_sendRawTransaction", format!("accepted {tx}, which is another transaction"));
                SendOutcome::Indeterminate(error.to_string())
            }
            Err(error) => outcomes::read(self.family, &error),
        }
    }

    async fn observe(&self, tx: &TxHash) -> Observation {
        self.look_for(tx).await.unwrap_or_else(|error| Observation::Unknown(error.to_string()))
    }

    async fn report(&self, tx: &TxHash, items: &[FulfillItem], root: Option<Batch>) -> Result<FinalReport, LaneError> {
        self.read_report(tx, items, root).await
    }

    async fn effect(&self, query: &EffectQuery) -> Result<Effect, LaneError> {
        self.ask_effect(query).await
    }

    async fn slot_owner(&self, slot: Slot) -> Result<Option<TxHash>, LaneError> {
        self.find_slot_owner(slot).await
    }
}
