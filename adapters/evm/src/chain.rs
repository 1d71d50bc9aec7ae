//! One EVM chain with its settlement contract, as seen through all of its endpoints: what lanes, watch and attesters share.
//!
//! What is true of the chain is asked through [`crate::pool`]; what one endpoint says of it is a [`Witness`]'s.

use crate::endpoint::{EndpointError, EndpointLimits, SharedHealth};
use crate::finality::Finality;
use crate::health::PoolHealth;
use crate::url::EndpointUrl;
use crate::witness::Witness;
use acurast_events::bytes::{BlockHash, EvmAddress};
use acurast_events::caip::ChainId;
use acurast_events::units::{Millis, Timestamp};
use std::sync::{Arc, Mutex};

const MILLIS_PER_SECOND: u64 = 1_000;

/// One endpoint of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointConfig {
    /// Where it is.
    pub url: EndpointUrl,
    /// An own node: what it says of the chain counts alone (R8).
    pub trusted: bool,
}

/// Which chain, which contract, by which endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainConfig {
    /// The chain's EIP-155 id.
    pub chain_id: u64,
    /// The settlement contract.
    pub settlement: EvmAddress,
    /// The endpoints: a trusted one among them, or at least three.
    pub endpoints: Vec<EndpointConfig>,
    /// Bounds of their calls.
    pub limits: EndpointLimits,
    /// When a block is final.
    pub finality: Finality,
    /// Usual time between blocks: how quickly a frozen head is noticed.
    pub block_time: Millis,
}

/// What all endpoints are asked about.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) chain: ChainId,
    pub(crate) chain_id: u64,
    pub(crate) settlement: EvmAddress,
    pub(crate) finality: Finality,
    pub(crate) block_time: Millis,
}

/// A chain with its settlement contract.
#[derive(Debug)]
pub struct EvmChain {
    terms: Arc<Terms>,
    witnesses: Vec<Witness>,
    health: SharedHealth,
    /// The highest final block that counted so far: finality doesn't go back, whichever endpoint is asked.
    pub(crate) last_final: Mutex<Option<(u64, BlockHash)>>,
}

impl EvmChain {
    /// The chain of `config`. Nothing is asked yet; see [`Self::learn`](crate::chain::EvmChain::learn).
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(config: ChainConfig) -> Result<Self, EndpointError> {
        let terms = Arc::new(Terms {
            chain: ChainId::evm(config.chain_id),
            chain_id: config.chain_id,
            settlement: config.settlement,
            finality: config.finality,
            block_time: config.block_time,
        });
        let health = SharedHealth::new(PoolHealth::new(config.block_time, config.endpoints.iter().map(|endpoint| endpoint.trusted)));
        let names = names(config.endpoints.iter().map(|endpoint| &endpoint.url));
        let witnesses = config
            .endpoints
            .into_iter()
            .zip(names)
            .enumerate()
            .map(|(index, (endpoint, name))| Witness::new(endpoint, name, config.limits, health.clone(), index, terms.clone()))
            .collect::<Result<_, _>>()?;
        Ok(Self { terms, witnesses, health, last_final: Mutex::new(None) })
    }

    /// What each endpoint says, in the order of the configuration.
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }
    /// CAIP-2 name.
    pub fn chain(&self) -> &ChainId {
        &self.terms.chain
    }
    /// EIP-155 id.
    pub fn chain_id(&self) -> u64 {
        self.terms.chain_id
    }
    /// The settlement contract.
    pub fn settlement(&self) -> &EvmAddress {
        &self.terms.settlement
    }
    /// Usual time between blocks.
    pub fn block_time(&self) -> Millis {
        self.terms.block_time
    }
    /// The endpoints' health and its clock.
    pub(crate) fn health(&self) -> &SharedHealth {
        &self.health
    }
}

/// A name for each endpoint that shows no secret; two at one host and port get their number in the configuration too.
fn names<'a>(urls: impl Iterator<Item = &'a EndpointUrl>) -> Vec<String> {
    let shown: Vec<String> = urls.map(ToString::to_string).collect();
    let name = |(index, name): (usize, &String)| {
        let alone = shown.iter().filter(|other| *other == name).count() == 1;
        if alone { name.clone() } else { format!("{name} #{index}") }
    };
    shown.iter().enumerate().map(name).collect()
}

/// Seconds since the Unix epoch as a timestamp, or nothing past the end of time.
pub fn seconds(seconds: u64) -> Option<Timestamp> {
    seconds.checked_mul(MILLIS_PER_SECOND).map(Timestamp)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_of_one_host_have_names_of_their_own_and_no_secret_in_them() {
        let urls: Vec<EndpointUrl> =
            ["https://a.example/hunter2", "https://b.example", "https://a.example/hunter3"].map(|url| url.parse().unwrap()).into();
        assert_eq!(names(urls.iter()), ["https://a.example/… #0", "https://b.example", "https://a.example/… #2"]);
    }
}
