//! One lane of an EVM destination: chain, settlement contract and signing key, behind the contract of [`LaneAdapter`].
//!
//! Thin by design: each question is a few JSON-RPC calls in a file of its own, each judgement a pure function beside it.
//! Nothing here chooses a slot or a fee, repeats a call, or sends what it was not told to send.

use crate::chain::EvmChain;
use crate::combine;
use crate::identify::{IdentifyError, KnownContract};
use crate::outcomes;
use crate::pool::gather;
use crate::signer::Signer;
use crate::transaction::{self, Unsigned};
use crate::witness::Witness;
use acurast_adapter_api::lane::EffectQuery;
use acurast_adapter_api::{
    Call, Capabilities, Effect, FinalReport, FulfillItem, LaneAdapter, LaneError, LaneView, Observation, SendOutcome, SignedAttempt,
    Simulation,
};
use acurast_events::bytes::{Bytes, EvmAddress, TxHash};
use acurast_events::caip::{AccountId, CaipError};
use acurast_events::ids::keccak;
use acurast_events::lanes::FeeBid;
use acurast_events::units::{Batch, Gas, LaneNumber, Slot};
use async_trait::async_trait;
use std::sync::Arc;

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
    /// The lane number that the contract knows the key by.
    pub number: LaneNumber,
    /// How many slots may wait for inclusion at once.
    pub slots_in_flight_max: u32,
    /// Most items in one transaction.
    pub items_max: u32,
    /// Most gas of one transaction; the chain's own limits hold beside it.
    pub transaction_gas_max: Gas,
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
    /// The usual bounds for this lane number.
    pub fn new(number: LaneNumber) -> Self {
        Self {
            number,
            slots_in_flight_max: 4,
            items_max: 64,
            transaction_gas_max: Gas(TRANSACTION_GAS_MAX),
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
    pub(crate) chain: Arc<EvmChain>,
    pub(crate) config: LaneConfig,
    pub(crate) key: Signer,
    lane: AccountId,
    capabilities: Capabilities,
    known: KnownContract,
}

impl EvmLane {
    /// A lane of a contract that is known; nothing is asked. [`LaneAdapter::identify`] compares it with the chain, which
    /// need not be reachable before.
    ///
    /// # Errors
    /// When the signer's address makes no account name.
    pub fn new(chain: Arc<EvmChain>, config: LaneConfig, key: impl Into<Signer>, known: KnownContract) -> Result<Self, CaipError> {
        let key = key.into();
        let lane = chain.chain().account(&key.address().to_string())?;
        let capabilities = Capabilities {
            slots_in_flight_max: config.slots_in_flight_max,
            transaction_gas_max: Gas(config.transaction_gas_max.0.min(TRANSACTION_GAS_MAX).min(known.block_gas.0)),
            transaction_bytes_max: TRANSACTION_BYTES_MAX,
            items_max: config.items_max,
            attempt_ttl: None,
            block_time: chain.block_time(),
            replacement_permille_min: REPLACEMENT_PERMILLE_MIN,
            noop_gas: Gas(NOOP_GAS),
            remote_signer: key.is_remote(),
            attesters_needed: known.needed,
            attesters: known.count(),
        };
        Ok(Self { chain, config, key, lane, capabilities, known })
    }

    /// A lane of a contract that is learned now, and whose role is checked.
    ///
    /// # Errors
    /// `Rpc` when it can't be told (ask again), `Refused` when anything differs from the configuration (stop).
    pub async fn connect(chain: Arc<EvmChain>, config: LaneConfig, key: impl Into<Signer>) -> Result<Self, IdentifyError> {
        let known = chain.learn().await?;
        let lane = Self::new(chain, config, key, known).map_err(|error| IdentifyError::Refused(error.to_string()))?;
        lane.chain.identify_lane(&lane.signer(), lane.config.number).await?;
        Ok(lane)
    }

    /// The chain.
    pub fn chain(&self) -> &Arc<EvmChain> {
        &self.chain
    }
    /// The contract's attesters.
    pub fn attesters(&self) -> &[EvmAddress] {
        &self.known.attesters
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

    /// Hands signed bytes to one endpoint, once.
    async fn send(&self, witness: &Witness, bytes: &Bytes) -> SendOutcome {
        const METHOD: &str = "eth_sendRawTransaction";
        // Asked before: after a refusal it would be too late to ask whose words these are.
        let family = match witness.family().await {
            Ok(family) => family,
            Err(error) => return SendOutcome::Indeterminate(format!("not sent: {error}")),
        };
        match witness.endpoint().send_raw(bytes).await {
            Ok(tx) if tx.0 == keccak(&[&bytes.0]) => SendOutcome::Accepted,
            Ok(tx) => {
                let error = witness.endpoint().malformed(METHOD, format!("accepted {tx}, which is another transaction"));
                SendOutcome::Indeterminate(error.to_string())
            }
            Err(error) => outcomes::read(family, &error),
        }
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
        let found = self.chain.learn().await.map_err(|error| judge(&self.lane, error))?;
        self.known.check(&found).map_err(|reason| self.refused(reason))?;
        self.chain.identify_lane(&self.key.address(), self.config.number).await.map_err(|error| judge(&self.lane, error))
    }

    async fn view(&self) -> Result<LaneView, LaneError> {
        self.agreed_view().await.map_err(|error| self.unknown(error))
    }

    async fn simulate(&self, call: &Call) -> Result<Simulation, LaneError> {
        self.agreed_simulation(call).await.map_err(|error| self.unknown(error))
    }

    async fn sign(&self, slot: Slot, call: &Call, fee: &FeeBid) -> Result<SignedAttempt, LaneError> {
        let (to, calldata) = transaction::encode(call, &self.key.address(), self.chain.settlement());
        let unsigned = Unsigned::new(self.chain.chain_id(), slot, &to, calldata, fee);
        let signature = self.key.sign(&unsigned.message()).await.map_err(|error| error.of_lane(&self.lane))?;
        Ok(unsigned.with_signature(signature))
    }

    async fn broadcast(&self, bytes: &Bytes) -> SendOutcome {
        let asked = self.chain.listeners().into_iter().map(|witness| (witness, async move { Ok(self.send(witness, bytes).await) }));
        let taken = |outcome: &SendOutcome| matches!(outcome, SendOutcome::Accepted | SendOutcome::AlreadyKnown);
        let answers = gather(asked, |answers| answers.iter().any(|(_, outcome)| outcome.as_ref().is_ok_and(taken))).await;
        combine::outcomes(&answers.into_iter().filter_map(|(_, outcome)| outcome.ok()).collect::<Vec<_>>())
    }

    async fn observe(&self, tx: &TxHash) -> Observation {
        self.look_for(tx).await
    }

    async fn report(&self, tx: &TxHash, items: &[FulfillItem], root: Option<Batch>) -> Result<FinalReport, LaneError> {
        self.agreed_report(tx, items, root).await.map_err(|error| self.unknown(error))
    }

    async fn effect(&self, query: &EffectQuery) -> Result<Effect, LaneError> {
        self.ask_effect(query).await
    }

    async fn slot_owner(&self, slot: Slot) -> Result<Option<TxHash>, LaneError> {
        self.find_slot_owner(slot).await.map_err(|error| self.unknown(error))
    }
}
