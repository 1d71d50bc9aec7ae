//! The settlement contract's escrow events as a source: finalized facts, each block sealed, quiet ranges sealed as one.
//!
//! Heights are read in ranges. Every block that gets a seal of its own, and both ends of every quiet range, are checked to
//! hang together by parent hash, and the last sealed block to be still there: a chain that no longer contains what was
//! sealed is a finality violation and stops the source, whatever the node says now (R7, R8).

use crate::chain::{ChainConfig, EvmChain};
use crate::contract::Settlement;
use crate::endpoint::RpcError;
use crate::facts::{self, FACT_EVENTS, Fact};
use crate::identify::IdentifyError;
use crate::node::{BlockTag, Header, Log, LogFilter};
use acurast_adapter_api::{Source, SourceBlock, SourceError};
use acurast_events::bytes::{BlockHash, Genesis, OwnerKey};
use acurast_events::caip::{AssetId, ChainId};
use acurast_events::source::SourceEvent;
use acurast_events::units::BlockNumber;
use alloy::primitives::B256;
use async_trait::async_trait;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// What a watch is configured with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchConfig {
    /// Chain and contract.
    pub chain: ChainConfig,
    /// First block that is read at the very first start: the contract's, or an earlier one.
    pub start: BlockNumber,
    /// Hash of block 0 that the journal was started on, once there is one.
    pub genesis: Option<Genesis>,
    /// The asset that accounts hold, such as `eip155:1/slip44:60`.
    pub asset: AssetId,
    /// Most blocks in one query.
    pub range_max: u64,
    /// How long to wait before asking for a newer final block.
    pub poll: Duration,
}

/// The escrow facts of one settlement contract.
#[derive(Debug)]
pub struct EscrowWatch {
    chain: Arc<EvmChain>,
    genesis: Genesis,
    start: u64,
    asset: AssetId,
    range_max: u64,
    range: u64,
    poll: Duration,
    /// The last block read, and what was read up to it and not yet handed out.
    last: Option<(u64, BlockHash)>,
    ready: VecDeque<SourceBlock>,
}

impl EscrowWatch {
    /// Connects, and refuses a wrong chain or contract. The watch stands at the configured start.
    ///
    /// # Errors
    /// `Unavailable` when the node can't be asked, `OtherChain` or `Refused` when it is not the configured one.
    pub async fn connect(config: WatchConfig) -> Result<Self, SourceError> {
        let name = ChainId::evm(config.chain.chain_id);
        let chain = EvmChain::new(config.chain).map_err(|error| SourceError::Refused { chain: name, reason: error.to_string() })?;
        let genesis = genesis(&chain).await?;
        let range_max = config.range_max.max(1);
        let watch = Self {
            chain: Arc::new(chain),
            genesis: config.genesis.unwrap_or(genesis),
            start: config.start.0,
            asset: config.asset,
            range_max,
            range: range_max,
            poll: config.poll,
            last: None,
            ready: VecDeque::new(),
        };
        watch.identify().await?;
        Ok(watch)
    }

    /// The chain, for sharing its endpoint and watching its health.
    pub fn evm(&self) -> &Arc<EvmChain> {
        &self.chain
    }

    async fn identify(&self) -> Result<(), SourceError> {
        let found = genesis(&self.chain).await?;
        if found != self.genesis {
            return Err(SourceError::OtherChain { chain: self.chain.chain().clone(), expected: self.genesis, found });
        }
        self.chain.identify_contract().await.map_err(|error| match error {
            IdentifyError::Rpc(error) => self.unavailable(error),
            IdentifyError::Refused(reason) => SourceError::Refused { chain: self.chain.chain().clone(), reason },
        })
    }

    fn unavailable(&self, reason: impl ToString) -> SourceError {
        unavailable(&self.chain, reason)
    }

    async fn header(&self, number: u64) -> Result<Header, SourceError> {
        let header = self.chain.endpoint().header(BlockTag::Number(number)).await.map_err(|error| self.unavailable(error))?;
        header.ok_or_else(|| self.unavailable(format!("the node has no block {number}")))
    }

    /// Is the last block that was read still in the node's chain?
    async fn check_last(&self) -> Result<(), SourceError> {
        let Some((number, sealed)) = self.last else {
            return Ok(());
        };
        let found = self.header(number).await?.hash;
        if found == sealed {
            return Ok(());
        }
        let chain = self.chain.chain().clone();
        Err(SourceError::FinalityViolation { chain, number: BlockNumber(number), sealed, found })
    }

    /// Reads the next range, if there is one at finality. What is read is kept whole or not at all.
    async fn fill(&mut self) -> Result<bool, SourceError> {
        let (_, finalized) = self.chain.heads().await.map_err(|error| self.unavailable(error))?;
        let from = match self.last {
            Some((number, _)) => number.checked_add(1).ok_or_else(|| self.unavailable("the chain is at its last height"))?,
            None => self.start,
        };
        let Some(finalized) = finalized.filter(|finalized| finalized.number.0 >= from) else {
            // Nothing new, but what was sealed must still be there; a node that is behind says nothing about it.
            return match self.check_last().await {
                Err(SourceError::Unavailable { .. }) | Ok(()) => Ok(false),
                Err(violation) => Err(violation),
            };
        };
        let to = finalized.number.0.min(from.saturating_add(self.range.saturating_sub(1)));
        let top = if to == finalized.number.0 { finalized.clone() } else { self.header(to).await? };
        let filter = LogFilter { from, to, address: *self.chain.settlement(), topics: vec![FACT_EVENTS.to_vec()] };
        let logs = match self.chain.endpoint().logs(&filter).await {
            Ok(logs) => logs,
            Err(error) => {
                // Nodes bound the range or the answer, each in its own words; a smaller question is the answer to all.
                self.range = self.range.checked_div(2).unwrap_or(1).max(1);
                return Err(self.unavailable(error));
            }
        };
        let blocks = self.assemble(from, &top, &finalized, &logs).await?;
        self.range = self.range.saturating_mul(2).min(self.range_max);
        self.last = Some((to, top.hash));
        self.ready.extend(blocks);
        self.chain.endpoint().regain_health();
        Ok(true)
    }

    /// Cuts a range into blocks with facts and quiet ranges between them, and checks that all of it is one chain.
    async fn assemble(&self, from: u64, top: &Header, finalized: &Header, logs: &[Log]) -> Result<Vec<SourceBlock>, SourceError> {
        let mut blocks = Vec::new();
        let mut parent = self.last.map(|(_, hash)| hash);
        let mut next = from;
        for of_block in logs.chunk_by(|a, b| a.block_number == b.block_number) {
            let Some(number) = of_block.first().map(|log| log.block_number.0) else { continue };
            if let Some(before) = number.checked_sub(1).filter(|before| *before >= next) {
                let last = self.header(before).await?;
                self.push(&mut blocks, &mut parent, next, &last, Vec::new()).await?;
            }
            let header = if number == top.number.0 { top.clone() } else { self.header(number).await? };
            let mut facts = Vec::with_capacity(of_block.len());
            for log in of_block {
                if log.block_hash != header.hash {
                    return Err(self.changed().await);
                }
                facts.push(self.fact(log, finalized).await?);
            }
            self.push(&mut blocks, &mut parent, number, &header, facts).await?;
            next = number.saturating_add(1);
        }
        if next <= top.number.0 {
            self.push(&mut blocks, &mut parent, next, top, Vec::new()).await?;
        }
        // The events were asked for by height: they are of this chain only if its top is still the same.
        if self.header(top.number.0).await?.hash == top.hash { Ok(blocks) } else { Err(self.changed().await) }
    }

    /// Adds the blocks `first..=last`, which hang on `parent`.
    async fn push(
        &self,
        blocks: &mut Vec<SourceBlock>,
        parent: &mut Option<BlockHash>,
        first: u64,
        last: &Header,
        facts: Vec<SourceEvent>,
    ) -> Result<(), SourceError> {
        let bottom = if first == last.number.0 { last.clone() } else { self.header(first).await? };
        if parent.is_some_and(|parent| parent != bottom.parent_hash) {
            return Err(self.changed().await);
        }
        blocks.push(SourceBlock {
            first: BlockNumber(first),
            number: BlockNumber(last.number.0),
            hash: last.hash,
            parent: bottom.parent_hash,
            timestamp: self.chain.timestamp(last).map_err(|error| self.unavailable(error))?,
            spec_version: None,
            facts,
        });
        *parent = Some(last.hash);
        Ok(())
    }

    /// The node's answers don't form one chain: a violation if the last sealed block is gone, else a chain that moved meanwhile.
    async fn changed(&self) -> SourceError {
        match self.check_last().await {
            Ok(()) => self.unavailable(self.chain.endpoint().malformed("eth_getLogs", "final blocks changed while they were read")),
            Err(error) => error,
        }
    }

    async fn fact(&self, log: &Log, finalized: &Header) -> Result<SourceEvent, SourceError> {
        let endpoint = self.chain.endpoint();
        let fact = facts::read(&self.genesis, &self.asset, log)
            .map_err(|error| self.unavailable(endpoint.malformed("eth_getLogs", error.to_string())))?;
        match fact {
            Fact::Whole(event) => Ok(*event),
            Fact::Revocation { meta, escrow_id, assignment_id } => {
                // An account's owner never changes, so a later final block says the same and isn't pruned.
                let call = Settlement::accountCall { escrowId: B256::from(escrow_id.0) };
                let account = self.chain.read(&call, Some(&finalized.hash)).await.map_err(|error| self.unavailable(error))?;
                Ok(Fact::revocation(meta, escrow_id, assignment_id, OwnerKey(account.ownerKey.0)))
            }
        }
    }
}

fn unavailable(chain: &EvmChain, reason: impl ToString) -> SourceError {
    SourceError::Unavailable { chain: chain.chain().clone(), reason: reason.to_string() }
}

async fn genesis(chain: &EvmChain) -> Result<Genesis, SourceError> {
    let header = chain.endpoint().header(BlockTag::Number(0)).await.map_err(|error| unavailable(chain, error))?;
    header.map(|header| Genesis(header.hash.0)).ok_or_else(|| {
        let error: RpcError = chain.endpoint().malformed("eth_getBlockByNumber", "no block 0");
        unavailable(chain, error)
    })
}

#[async_trait]
impl Source for EscrowWatch {
    fn chain(&self) -> &ChainId {
        self.chain.chain()
    }

    fn genesis(&self) -> Genesis {
        self.genesis
    }

    async fn resume(&mut self, after: Option<(BlockNumber, BlockHash)>) -> Result<(), SourceError> {
        self.ready.clear();
        self.last = after.map(|(number, hash)| (number.0, hash));
        self.identify().await?;
        self.check_last().await
    }

    async fn next(&mut self) -> Result<SourceBlock, SourceError> {
        loop {
            if let Some(block) = self.ready.pop_front() {
                return Ok(block);
            }
            // Plain HTTP has no notices: asking again is the only way to hear of a new block.
            if !self.fill().await? {
                tokio::time::sleep(self.poll).await;
            }
        }
    }
}
