//! One EVM chain with its settlement contract, as seen through one endpoint: what lane, watch and attester share.

use crate::endpoint::{Endpoint, EndpointError, EndpointLimits, RpcError};
use crate::finality::Finality;
use crate::node::{BlockTag, Header};
use crate::url::EndpointUrl;
use acurast_events::bytes::{BlockHash, EvmAddress};
use acurast_events::caip::ChainId;
use acurast_events::jobs::BlockRef;
use acurast_events::units::{BlockNumber, Timestamp};
use alloy::sol_types::SolCall;

const MILLIS_PER_SECOND: u64 = 1_000;

/// Which chain, which contract, by which endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainConfig {
    /// The chain's EIP-155 id.
    pub chain_id: u64,
    /// The settlement contract.
    pub settlement: EvmAddress,
    /// The endpoint.
    pub url: EndpointUrl,
    /// Bounds of its calls.
    pub limits: EndpointLimits,
    /// When a block is final.
    pub finality: Finality,
}

/// A chain with its settlement contract.
#[derive(Debug)]
pub struct EvmChain {
    endpoint: Endpoint,
    chain: ChainId,
    chain_id: u64,
    settlement: EvmAddress,
    finality: Finality,
}

impl EvmChain {
    /// The chain of `config`. Nothing is asked yet; see [`Self::identify_contract`](crate::chain::EvmChain::identify_contract).
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(config: ChainConfig) -> Result<Self, EndpointError> {
        Ok(Self {
            endpoint: Endpoint::new(config.url, config.limits)?,
            chain: ChainId::evm(config.chain_id),
            chain_id: config.chain_id,
            settlement: config.settlement,
            finality: config.finality,
        })
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
    /// CAIP-2 name.
    pub fn chain(&self) -> &ChainId {
        &self.chain
    }
    /// EIP-155 id.
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }
    /// The settlement contract.
    pub fn settlement(&self) -> &EvmAddress {
        &self.settlement
    }

    /// Head and newest final block; the final one is nothing while the chain has none.
    ///
    /// # Errors
    /// When the node has no head, or see [`RpcError`].
    pub async fn heads(&self) -> Result<(Header, Option<Header>), RpcError> {
        let head = self.head().await?;
        let finalized = self.finality.block(&self.endpoint, &head).await?;
        Ok((head, finalized))
    }

    /// The newest block.
    ///
    /// # Errors
    /// When the node has none, or see [`RpcError`].
    pub async fn head(&self) -> Result<Header, RpcError> {
        let head = self.endpoint.header(BlockTag::Latest).await?;
        head.ok_or_else(|| self.endpoint.malformed("eth_getBlockByNumber", "no newest block"))
    }

    /// The newest final block.
    ///
    /// # Errors
    /// When there is none yet, or see [`RpcError`].
    pub async fn finalized(&self) -> Result<Header, RpcError> {
        let (_, finalized) = self.heads().await?;
        finalized.ok_or_else(|| self.no_final_block())
    }

    /// Nothing can be said at finality yet; ask again.
    pub(crate) fn no_final_block(&self) -> RpcError {
        RpcError::Unreachable {
            endpoint: self.endpoint.url().to_string(),
            method: "eth_getBlockByNumber",
            reason: "the chain has no final block yet".into(),
        }
    }

    /// Refuses answers of another chain: the endpoint loses its health.
    ///
    /// # Errors
    /// When the chain id differs, or see [`RpcError`].
    pub async fn check_chain_id(&self) -> Result<(), RpcError> {
        let found = self.endpoint.chain_id().await?;
        if found == self.chain_id {
            Ok(())
        } else {
            Err(self.endpoint.malformed("eth_chainId", format!("chain {found} instead of {}", self.chain_id)))
        }
    }

    /// A view of the settlement contract on top of `block`, or of the newest block.
    ///
    /// # Errors
    /// See [`RpcError`]; also when the answer is not of the function's type.
    pub async fn read<C: SolCall>(&self, call: &C, block: Option<&BlockHash>) -> Result<C::Return, RpcError> {
        let answer = self.endpoint.eth_call(None, &self.settlement, &call.abi_encode(), block).await?;
        C::abi_decode_returns_validate(&answer.0).map_err(|error| self.endpoint.malformed("eth_call", format!("{}: {error}", C::SIGNATURE)))
    }

    /// The people's form of a header.
    ///
    /// # Errors
    /// When its time is beyond the end of time.
    pub fn block_ref(&self, header: &Header) -> Result<BlockRef, RpcError> {
        Ok(BlockRef {
            chain: self.chain.clone(),
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
        seconds(header.timestamp.0)
            .ok_or_else(|| self.endpoint.malformed("eth_getBlockByNumber", format!("timestamp {} s", header.timestamp.0)))
    }
}

/// Seconds since the Unix epoch as a timestamp, or nothing past the end of time.
pub fn seconds(seconds: u64) -> Option<Timestamp> {
    seconds.checked_mul(MILLIS_PER_SECOND).map(Timestamp)
}
