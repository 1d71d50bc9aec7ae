//! One endpoint's word about the chain. Nothing here is believed by itself: [`crate::pool`] asks a trusted witness, or
//! several, and decides.

use crate::chain::{EndpointConfig, Terms, seconds};
use crate::endpoint::{Endpoint, EndpointError, EndpointLimits, RpcError, SharedHealth};
use crate::health::Notice;
use crate::node::{BlockTag, Header};
use crate::outcomes::Family;
use acurast_events::bytes::{BlockHash, EvmAddress};
use acurast_events::jobs::BlockRef;
use acurast_events::units::{BlockNumber, Timestamp};
use alloy::sol_types::SolCall;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

const BLOCK_METHOD: &str = "eth_getBlockByNumber";

/// The chain's two ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// The newest block.
    pub head: Header,
    /// The newest final block.
    pub finalized: Header,
}

/// An endpoint and what it is asked about.
#[derive(Debug)]
pub struct Witness {
    endpoint: Endpoint,
    index: usize,
    trusted: bool,
    terms: Arc<Terms>,
    /// The highest final block that this endpoint has named: finality doesn't go back.
    last_final: Mutex<Option<(u64, BlockHash)>>,
    family: OnceLock<Family>,
}

impl Witness {
    pub(crate) fn new(
        config: EndpointConfig,
        name: String,
        limits: EndpointLimits,
        health: SharedHealth,
        index: usize,
        terms: Arc<Terms>,
    ) -> Result<Self, EndpointError> {
        let endpoint = Endpoint::member(config.url, name, limits, health, index)?;
        Ok(Self { endpoint, index, trusted: config.trusted, terms, last_final: Mutex::new(None), family: OnceLock::new() })
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
    /// Its place in the configuration.
    pub fn index(&self) -> usize {
        self.index
    }
    /// Whether its word counts alone.
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }
    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// It contradicted a trusted endpoint or a majority.
    pub(crate) fn contradicts(&self, what: impl Into<String>) {
        self.endpoint.notice(Notice::Contradicts(what.into()));
    }

    /// The program that answers, asked once.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub async fn family(&self) -> Result<Family, RpcError> {
        if let Some(family) = self.family.get() {
            return Ok(*family);
        }
        let family = Family::of(&self.endpoint.client_version().await?);
        if self.family.set(family).is_ok() && family == Family::Unknown {
            tracing::warn!(endpoint = self.endpoint.name(), "no known answers of this client: what it refuses counts as indeterminate");
        }
        Ok(family)
    }

    /// Head and newest final block of the configured chain. The final one must not lie behind, or differ from, what was
    /// final when it was asked for; questions run side by side, so what another one learned meanwhile is no measure.
    ///
    /// # Errors
    /// When the endpoint serves another chain, or contradicts itself, or see [`RpcError`].
    pub async fn sight(&self) -> Result<Sight, RpcError> {
        let before = *self.last_final();
        // One after the other: while a breaker probes, only one call passes.
        self.check_chain_id().await?;
        let head = self.head().await?;
        let finalized = self.terms.finality.block(&self.endpoint, &head).await?;
        let finalized = finalized.ok_or_else(|| self.endpoint.missing("the chain has no final block yet"))?;
        let found = (finalized.number.0, finalized.hash);
        if let Some(reason) = broken_finality(before, found) {
            return Err(self.endpoint.malformed(BLOCK_METHOD, reason));
        }
        let mut last = self.last_final();
        if last.is_none_or(|(number, _)| number <= found.0) {
            *last = Some(found);
        }
        drop(last);
        Ok(Sight { head, finalized })
    }

    fn last_final(&self) -> MutexGuard<'_, Option<(u64, BlockHash)>> {
        self.last_final.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn head(&self) -> Result<Header, RpcError> {
        let head = self.endpoint.header(BlockTag::Latest).await?;
        head.ok_or_else(|| self.endpoint.malformed(BLOCK_METHOD, "no newest block"))
    }

    /// The block at this height of the endpoint's chain, which others have.
    ///
    /// # Errors
    /// `Missing` when it has none, or see [`RpcError`].
    pub async fn header(&self, number: u64) -> Result<Header, RpcError> {
        let header = self.endpoint.header(BlockTag::Number(number)).await?;
        header.ok_or_else(|| self.endpoint.missing(format!("it has no block {number}")))
    }

    /// The same, for a height that it may have named itself.
    pub(crate) async fn header_in(&self, sight: &Sight, number: u64) -> Result<Header, RpcError> {
        match [&sight.finalized, &sight.head].into_iter().find(|header| header.number.0 == number) {
            Some(header) => Ok(header.clone()),
            None => self.header(number).await,
        }
    }

    async fn check_chain_id(&self) -> Result<(), RpcError> {
        let found = self.endpoint.chain_id().await?;
        if found == self.terms.chain_id {
            Ok(())
        } else {
            Err(self.endpoint.malformed("eth_chainId", format!("chain {found} instead of {}", self.terms.chain_id)))
        }
    }

    /// A view of the settlement contract on top of `block`, or of the newest block.
    ///
    /// # Errors
    /// See [`RpcError`]; also when the answer is not of the function's type.
    pub async fn read<C: SolCall>(&self, call: &C, block: Option<&BlockHash>) -> Result<C::Return, RpcError> {
        let answer = self.endpoint.eth_call(None, self.settlement(), &call.abi_encode(), block).await?;
        C::abi_decode_returns_validate(&answer.0).map_err(|error| self.endpoint.malformed("eth_call", format!("{}: {error}", C::SIGNATURE)))
    }

    pub(crate) fn settlement(&self) -> &EvmAddress {
        &self.terms.settlement
    }

    /// The people's form of a header.
    ///
    /// # Errors
    /// When its time is beyond the end of time.
    pub fn block_ref(&self, header: &Header) -> Result<BlockRef, RpcError> {
        Ok(BlockRef {
            chain: self.terms.chain.clone(),
            number: BlockNumber(header.number.0),
            hash: header.hash,
            timestamp: self.timestamp(header)?,
        })
    }

    /// A header's time in milliseconds.
    ///
    /// # Errors
    /// When it is beyond the end of time.
    pub fn timestamp(&self, header: &Header) -> Result<Timestamp, RpcError> {
        seconds(header.timestamp.0).ok_or_else(|| self.endpoint.malformed(BLOCK_METHOD, format!("timestamp {} s", header.timestamp.0)))
    }
}

/// What is wrong with a final block after the one that was final before, if anything.
pub(crate) fn broken_finality(before: Option<(u64, BlockHash)>, found: (u64, BlockHash)) -> Option<String> {
    match before {
        Some((number, _)) if found.0 < number => Some(format!("finality went back from block {number} to {}", found.0)),
        Some((number, hash)) if found.0 == number && found.1 != hash => {
            Some(format!("finality violation at block {number}: {hash} was final, now {}", found.1))
        }
        _ => None,
    }
}
