//! Is this the chain and the contract that the configuration means? Asked before anything is believed or sent.

use crate::chain::EvmChain;
use crate::contract::{Settlement, VERSION_MAJOR, address, evm_address};
use crate::endpoint::RpcError;
use crate::node::Header;
use crate::witness::Witness;
use acurast_events::bytes::{EvmAddress, Genesis};
use acurast_events::eip712::domain_separator;
use acurast_events::units::{Gas, LaneNumber};
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::time::Duration;

/// So many refusals in a row are believed.
const REFUSALS: u32 = 3;
/// Between two of them; a wrong configuration is told a moment later for it.
const REFUSAL_PAUSE: Duration = Duration::from_millis(200);

/// Why an endpoint or a contract is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentifyError {
    /// It could not be asked; ask again.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// It is not what the configuration means: stop.
    #[error("{0}")]
    Refused(String),
}

/// Contracts that charge for data beside gas, by where rollups of each kind have them. A settlement contract measures gas
/// only, so on such a chain it would charge less than a transaction costs (PROTOCOL §7).
const DATA_FEE_ORACLES: [(&str, [u8; 20]); 3] = [
    ("OP stack", [0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0f]),
    ("Arbitrum", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x6c]),
    ("Scroll", [0x53, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02]),
];

/// What is learned of a chain and its settlement contract, and kept for starts at which the chain can't be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownContract {
    /// Hash of block 0.
    pub genesis: Genesis,
    /// The contract's version.
    pub version: String,
    /// How many attesters must sign a root.
    pub needed: u32,
    /// The attesters, in the contract's order.
    pub attesters: Vec<EvmAddress>,
    /// Gas of a block, when it was learned.
    pub block_gas: Gas,
}

impl KnownContract {
    /// The number of attesters.
    pub fn count(&self) -> u32 {
        u32::try_from(self.attesters.len()).unwrap_or(u32::MAX)
    }

    /// Whether what was `found` now is of the same chain.
    ///
    /// # Errors
    /// What differs and what to do.
    pub fn check_genesis(&self, found: &Self) -> Result<(), String> {
        if found.genesis == self.genesis {
            return Ok(());
        }
        Err(format!(
            "the chain's genesis is {}, it was {}; set endpoints of the chain that the data directory belongs to, or use another directory",
            found.genesis, self.genesis
        ))
    }

    /// Whether what was `found` now is what lanes and policy were made from. A block's gas, and a version of the same
    /// behaviour, may change.
    ///
    /// # Errors
    /// What differs and what to do.
    pub fn check(&self, found: &Self) -> Result<(), String> {
        self.check_genesis(found)?;
        if (found.needed, &found.attesters) == (self.needed, &self.attesters) {
            return Ok(());
        }
        Err(format!(
            "the contract asks for {} of {:?}, before it asked for {} of {:?}; restart to take the change over",
            found.needed, found.attesters, self.needed, self.attesters
        ))
    }
}

/// An answer, or a refusal; both count only by the rules of [`crate::pool`].
type Judged<T> = Result<T, String>;

fn judged<T>(result: Result<T, IdentifyError>) -> Result<Judged<T>, RpcError> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(IdentifyError::Refused(reason)) => Ok(Err(reason)),
        Err(IdentifyError::Rpc(error)) => Err(error),
    }
}

impl EvmChain {
    /// Checks chain id, data fee, contract code, version and EIP-712 domain, and reads what lanes and policy are made from.
    ///
    /// # Errors
    /// `Rpc` when it can't be told (ask again); `Refused` with what to do when it is not what is configured. Another chain id
    /// is refused here and a lost endpoint everywhere else.
    pub async fn learn(&self) -> Result<KnownContract, IdentifyError> {
        convinced(|| self.learn_once()).await
    }

    async fn learn_once(&self) -> Result<KnownContract, IdentifyError> {
        let found = self.agreed("the chain id", |witness| witness.endpoint().chain_id()).await?;
        if found != self.chain_id() {
            return Err(IdentifyError::Refused(format!(
                "its endpoints serve chain {found}, configured is {}; set endpoints of the right chain",
                self.chain_id()
            )));
        }
        let ask = |witness, pins: crate::pool::Pins| async move { judged(learn(witness, &pins.finalized).await) };
        self.agreed_final("the contract", ask).await?.map_err(IdentifyError::Refused)
    }

    /// Checks that `signer` holds the role, with this lane number.
    ///
    /// # Errors
    /// `Rpc` when it can't be told, `Refused` with what to do.
    pub async fn identify_lane(&self, signer: &EvmAddress, number: LaneNumber) -> Result<(), IdentifyError> {
        let ask = |witness| async move { judged(identify_lane(witness, signer, number).await) };
        convinced(|| async { self.agreed("the signer's role", ask).await?.map_err(IdentifyError::Refused) }).await
    }
}

/// A refusal ends the process, and where one trusted endpoint alone answers it rests on one answer: it counts only when it
/// is given so many times in a row. Everything else is the caller's to ask again.
async fn convinced<T, Fut>(ask: impl Fn() -> Fut) -> Result<T, IdentifyError>
where
    Fut: Future<Output = Result<T, IdentifyError>>,
{
    let mut refusals = 1_u32;
    loop {
        match ask().await {
            Err(IdentifyError::Refused(reason)) if refusals < REFUSALS => {
                tracing::warn!(reason, refusals, "refused; asking again before it is believed");
                refusals = refusals.saturating_add(1);
                tokio::time::sleep(REFUSAL_PAUSE).await;
            }
            answer => return answer,
        }
    }
}

async fn learn(witness: &Witness, finalized: &Header) -> Result<KnownContract, IdentifyError> {
    let endpoint = witness.endpoint();
    let (contract, chain_id) = (witness.settlement(), witness.terms().chain_id);
    for (kind, oracle) in DATA_FEE_ORACLES {
        if !endpoint.code(&EvmAddress(oracle)).await?.0.is_empty() {
            return Err(IdentifyError::Refused(format!(
                "chain {chain_id} charges for data beside gas ({kind}), which this version can't account for; it can't be a destination yet"
            )));
        }
    }
    if endpoint.code(contract).await?.0.is_empty() {
        return Err(IdentifyError::Refused(format!(
            "no contract at {contract} on chain {chain_id}; set the settlement contract's address"
        )));
    }
    let version = contract_view(witness, &Settlement::VERSIONCall {}, "VERSION").await?;
    if !version.starts_with(VERSION_MAJOR) {
        return Err(IdentifyError::Refused(format!(
            "the contract at {contract} has version {version:?}, this relayer speaks {VERSION_MAJOR}x; use a contract or a relayer of the other's version"
        )));
    }
    let separator = contract_view(witness, &Settlement::domainSeparatorCall {}, "domainSeparator").await?;
    if separator.0 != domain_separator(chain_id, contract) {
        return Err(IdentifyError::Refused(format!(
            "the contract at {contract} has EIP-712 domain {separator}, not that of an Acurast settlement contract at this address; check the address"
        )));
    }
    let attesters = contract_view(witness, &Settlement::attestersCall {}, "attesters").await?;
    let needed = contract_view(witness, &Settlement::thresholdCall {}, "threshold").await?;
    if needed == 0 || usize::from(needed) > attesters.len() {
        return Err(IdentifyError::Refused(format!("{contract} asks for {needed} of {} attesters", attesters.len())));
    }
    let genesis = Genesis(witness.header(0).await?.hash.0);
    Ok(KnownContract {
        genesis,
        version,
        needed: needed.into(),
        attesters: attesters.iter().map(evm_address).collect(),
        block_gas: Gas(finalized.gas_limit.0),
    })
}

async fn identify_lane(witness: &Witness, signer: &EvmAddress, number: LaneNumber) -> Result<(), IdentifyError> {
    let contract = witness.settlement();
    let held = contract_view(witness, &Settlement::laneOfCall { relayer: address(signer) }, "laneOf").await?;
    if !held.granted {
        return Err(IdentifyError::Refused(format!(
            "{signer} is no relayer of {contract}; the contract's admin grants it with grantRelayer({signer}, {})",
            number.0
        )));
    }
    if held.lane != number.0 {
        return Err(IdentifyError::Refused(format!(
            "{signer} has lane {} in {contract}, configured is {}; a key keeps its lane for ever: set the number, or use another key",
            held.lane, number.0
        )));
    }
    Ok(())
}

/// A view that every settlement contract has: an error of the node, or a senseless answer, says that this is none.
async fn contract_view<C: alloy::sol_types::SolCall>(witness: &Witness, call: &C, name: &str) -> Result<C::Return, IdentifyError> {
    let (contract, chain_id) = (witness.settlement(), witness.terms().chain_id);
    let answer = match witness.endpoint().eth_call(None, contract, &call.abi_encode(), None).await {
        Ok(answer) => answer,
        Err(error @ RpcError::Node { .. }) if crate::revert::is_revert(&error) => {
            return Err(IdentifyError::Refused(format!(
                "the contract at {contract} on chain {chain_id} doesn't answer {name}() as a settlement contract does; set the right address"
            )));
        }
        Err(error) => return Err(error.into()),
    };
    // Not through `read`: a contract of another kind takes no health from the endpoint.
    C::abi_decode_returns_validate(&answer.0).map_err(|error| {
        IdentifyError::Refused(format!(
            "the contract at {contract} on chain {chain_id} answers {name}() with {answer} ({error}), as no settlement contract does; set the right address"
        ))
    })
}
