//! Is this the chain and the contract that the configuration means? Asked before anything is believed or sent.

use crate::chain::EvmChain;
use crate::contract::{Settlement, VERSION_MAJOR, address, evm_address};
use crate::endpoint::RpcError;
use acurast_events::bytes::EvmAddress;
use acurast_events::eip712::domain_separator;
use acurast_events::units::LaneNumber;

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

/// How many of how many attesters the contract asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quorum {
    /// k.
    pub needed: u32,
    /// n.
    pub attesters: u32,
}

impl EvmChain {
    /// Checks chain id, data fee, contract code, version and EIP-712 domain.
    ///
    /// # Errors
    /// `Refused` with what to do; another chain id is refused here and a lost endpoint everywhere else.
    pub async fn identify_contract(&self) -> Result<(), IdentifyError> {
        let endpoint = self.endpoint();
        let contract = self.settlement();
        let found = endpoint.chain_id().await?;
        if found != self.chain_id() {
            return Err(IdentifyError::Refused(format!(
                "{} serves chain {found}, configured is {}; set the endpoint of the right chain",
                endpoint.url(),
                self.chain_id()
            )));
        }
        for (kind, oracle) in DATA_FEE_ORACLES {
            if !endpoint.code(&EvmAddress(oracle)).await?.0.is_empty() {
                return Err(IdentifyError::Refused(format!(
                    "chain {found} charges for data beside gas ({kind}), which this version can't account for; it can't be a destination yet"
                )));
            }
        }
        if endpoint.code(contract).await?.0.is_empty() {
            return Err(IdentifyError::Refused(format!(
                "no contract at {contract} on chain {found}; set the settlement contract's address"
            )));
        }
        let version = self.contract_view(&Settlement::VERSIONCall {}, "VERSION").await?;
        if !version.starts_with(VERSION_MAJOR) {
            return Err(IdentifyError::Refused(format!(
                "the contract at {contract} has version {version:?}, this relayer speaks {VERSION_MAJOR}x; use a contract or a relayer of the other's version"
            )));
        }
        let separator = self.contract_view(&Settlement::domainSeparatorCall {}, "domainSeparator").await?;
        if separator.0 != domain_separator(self.chain_id(), contract) {
            return Err(IdentifyError::Refused(format!(
                "the contract at {contract} has EIP-712 domain {separator}, not that of an Acurast settlement contract at this address; check the address"
            )));
        }
        Ok(())
    }

    /// Checks that `signer` holds the role, with this lane number.
    ///
    /// # Errors
    /// `Refused` with what to do.
    pub async fn identify_lane(&self, signer: &EvmAddress, number: LaneNumber) -> Result<(), IdentifyError> {
        let contract = self.settlement();
        let held = self.contract_view(&Settlement::laneOfCall { relayer: address(signer) }, "laneOf").await?;
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

    /// The contract's attesters and threshold; the attesters in the contract's order.
    ///
    /// # Errors
    /// `Refused` when they make no sense together.
    pub async fn quorum(&self) -> Result<(Quorum, Vec<EvmAddress>), IdentifyError> {
        let attesters = self.contract_view(&Settlement::attestersCall {}, "attesters").await?;
        let needed = self.contract_view(&Settlement::thresholdCall {}, "threshold").await?;
        let count = u32::try_from(attesters.len()).unwrap_or(u32::MAX);
        if needed == 0 || u32::from(needed) > count {
            return Err(IdentifyError::Refused(format!("{} asks for {needed} of {count} attesters", self.settlement())));
        }
        Ok((Quorum { needed: needed.into(), attesters: count }, attesters.iter().map(evm_address).collect()))
    }

    /// A view that every settlement contract has: an error of the node, or a senseless answer, says that this is none.
    async fn contract_view<C: alloy::sol_types::SolCall>(&self, call: &C, name: &str) -> Result<C::Return, IdentifyError> {
        let refused = |reason: &RpcError| {
            IdentifyError::Refused(format!(
                "the contract at {} on chain {} doesn't answer {name}() as a settlement contract does ({reason}); set the right address",
                self.settlement(),
                self.chain_id()
            ))
        };
        let answer = match self.endpoint().eth_call(None, self.settlement(), &call.abi_encode(), None).await {
            Ok(answer) => answer,
            Err(error @ RpcError::Node { .. }) if crate::revert::is_revert(&error) => return Err(refused(&error)),
            Err(error) => return Err(error.into()),
        };
        // Not through `read`: a contract of another kind takes no health from the endpoint.
        C::abi_decode_returns_validate(&answer.0).map_err(|error| {
            IdentifyError::Refused(format!(
                "the contract at {} on chain {} answers {name}() with {answer} ({error}), as no settlement contract does; set the right address",
                self.settlement(),
                self.chain_id()
            ))
        })
    }
}
