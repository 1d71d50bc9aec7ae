//! The settlement contract's escrow events as a source: finalized facts, each block sealed, quiet ranges sealed as one.
//!
//! Heights are read in ranges. Every block that gets a seal of its own, and both ends of every quiet range, are checked to
//! hang together by parent hash, and the last sealed block to be still there: a chain that no longer contains what was
//! sealed is a finality violation and stops the source, whatever the node says now (R7, R8).

use crate::chain::EvmChain;
use crate::contract::Settlement;
use crate::endpoint::RpcError;
use crate::facts::{self, FACT_EVENTS, Fact};
use crate::health::Notice;
use crate::identify::IdentifyError;
use crate::node::{Header, Log, LogFilter};
use crate::pool::Pins;
use crate::witness::Witness;
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
    /// First block that is read at the very first start: the contract's, or an earlier one.
    pub start: BlockNumber,
    /// Hash of block 0 of the chain that the journal was started on.
    pub genesis: Genesis,
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
    config: WatchConfig,
    range: u64,
    /// The last block read, and what was read up to it and not yet handed out.
    last: Option<(u64, BlockHash)>,
    ready: VecDeque<SourceBlock>,
}

/// What is asked of an endpoint: a range of heights that hangs on what was read before.
#[derive(Debug, Clone, Copy)]
struct Range {
    from: u64,
    to: u64,
    parent: Option<BlockHash>,
}

impl EscrowWatch {
    /// A watch that stands at the configured start; nothing is asked. [`Source::resume`] compares chain and contract with
    /// the configuration.
    pub fn new(chain: Arc<EvmChain>, config: WatchConfig) -> Self {
        let range = config.range_max.max(1);
        Self { chain, config, range, last: None, ready: VecDeque::new() }
    }

    async fn identify(&self) -> Result<(), SourceError> {
        let chain = || self.chain.chain().clone();
        let found = self.chain.learn().await.map_err(|error| match error {
            IdentifyError::Rpc(error) => self.unavailable(error),
            IdentifyError::Refused(reason) => SourceError::Refused { chain: chain(), reason },
        })?;
        if found.genesis == self.config.genesis {
            Ok(())
        } else {
            Err(SourceError::OtherChain { chain: chain(), expected: self.config.genesis, found: found.genesis })
        }
    }

    fn unavailable(&self, reason: impl ToString) -> SourceError {
        SourceError::Unavailable { chain: self.chain.chain().clone(), reason: reason.to_string() }
    }

    /// Is the last block that was read still in the chain, by the word that counts? One endpoint of several that has another
    /// block there is set aside, and stops nobody.
    async fn check_last(&self) -> Result<(), SourceError> {
        let Some((number, sealed)) = self.last else {
            return Ok(());
        };
        let header = self.chain.agreed("a sealed block", |witness| witness.header(number)).await;
        let found = header.map_err(|error| self.unavailable(error))?.hash;
        if found == sealed {
            return Ok(());
        }
        let chain = self.chain.chain().clone();
        Err(SourceError::FinalityViolation { chain, number: BlockNumber(number), sealed, found })
    }

    /// Reads the next range, if there is one at finality. What is read is kept whole or not at all.
    async fn fill(&mut self) -> Result<bool, SourceError> {
        let from = match self.last {
            Some((number, _)) => number.checked_add(1).ok_or_else(|| self.unavailable("the chain is at its last height"))?,
            None => self.config.start.0,
        };
        let parent = self.last.map(|(_, hash)| hash);
        let watch = &*self;
        let read = |witness, pins: Pins| watch.read_from(witness, from, parent, pins.finalized);
        let blocks = match watch.chain.agreed_final("escrow events", read).await {
            Ok(Some(blocks)) => blocks,
            // Nothing new, but what was sealed must still be there; a node that is behind says nothing about it.
            Ok(None) => {
                return match self.check_last().await {
                    Err(SourceError::Unavailable { .. }) | Ok(()) => Ok(false),
                    Err(violation) => Err(violation),
                };
            }
            Err(error) => {
                self.check_last().await?;
                // Nodes bound the range or the answer, each in its own words; a smaller question is the answer to all.
                self.range = self.range.checked_div(2).unwrap_or(1).max(1);
                return Err(self.unavailable(error));
            }
        };
        self.range = self.range.saturating_mul(2).min(self.config.range_max.max(1));
        if let Some(last) = blocks.last() {
            self.last = Some((last.number.0, last.hash));
        }
        self.ready.extend(blocks);
        Ok(true)
    }

    /// One endpoint's facts from a height on, at most a range of them; nothing while what is final lies below.
    async fn read_from(
        &self,
        witness: &Witness,
        from: u64,
        parent: Option<BlockHash>,
        finalized: Header,
    ) -> Result<Option<Vec<SourceBlock>>, RpcError> {
        if finalized.number.0 < from {
            return Ok(None);
        }
        let to = finalized.number.0.min(from.saturating_add(self.range.saturating_sub(1)));
        let blocks = self.read_range(witness, Range { from, to, parent }, &finalized).await?;
        witness.endpoint().notice(Notice::Sensible);
        Ok(Some(blocks))
    }

    async fn read_range(&self, witness: &Witness, range: Range, finalized: &Header) -> Result<Vec<SourceBlock>, RpcError> {
        let top = if range.to == finalized.number.0 { finalized.clone() } else { witness.header(range.to).await? };
        let filter = LogFilter { from: range.from, to: range.to, address: *self.chain.settlement(), topics: vec![FACT_EVENTS.to_vec()] };
        let logs = witness.endpoint().logs(&filter).await?;
        let blocks = self.assemble(witness, range, &top, finalized, &logs).await?;
        // The events were asked for by height: they are of this chain only if its top is still the same.
        if witness.header(range.to).await?.hash == top.hash { Ok(blocks) } else { Err(changed(witness)) }
    }

    /// Cuts a range into blocks with facts and quiet ranges between them, and checks that all of it is one chain.
    async fn assemble(
        &self,
        witness: &Witness,
        range: Range,
        top: &Header,
        finalized: &Header,
        logs: &[Log],
    ) -> Result<Vec<SourceBlock>, RpcError> {
        let mut blocks = Vec::new();
        let mut parent = range.parent;
        let mut next = range.from;
        for of_block in logs.chunk_by(|a, b| a.block_number == b.block_number) {
            let Some(number) = of_block.first().map(|log| log.block_number.0) else { continue };
            if let Some(before) = number.checked_sub(1).filter(|before| *before >= next) {
                let last = witness.header(before).await?;
                push(witness, &mut blocks, &mut parent, next, &last, Vec::new()).await?;
            }
            let header = if number == top.number.0 { top.clone() } else { witness.header(number).await? };
            let mut facts = Vec::with_capacity(of_block.len());
            for log in of_block {
                if log.block_hash != header.hash {
                    return Err(changed(witness));
                }
                facts.push(self.fact(witness, log, finalized).await?);
            }
            push(witness, &mut blocks, &mut parent, number, &header, facts).await?;
            next = number.saturating_add(1);
        }
        if next <= top.number.0 {
            push(witness, &mut blocks, &mut parent, next, top, Vec::new()).await?;
        }
        Ok(blocks)
    }

    async fn fact(&self, witness: &Witness, log: &Log, finalized: &Header) -> Result<SourceEvent, RpcError> {
        let fact = facts::read(&self.config.genesis, &self.config.asset, log)
            .map_err(|error| witness.endpoint().malformed("eth_getLogs", error.to_string()))?;
        match fact {
            Fact::Whole(event) => Ok(*event),
            Fact::Revocation { meta, escrow_id, assignment_id } => {
                // An account's owner never changes, so a later final block says the same and isn't pruned.
                let call = Settlement::accountCall { escrowId: B256::from(escrow_id.0) };
                let account = witness.read(&call, Some(&finalized.hash)).await?;
                Ok(Fact::revocation(meta, escrow_id, assignment_id, OwnerKey(account.ownerKey.0)))
            }
        }
    }
}

/// Adds the blocks `first..=last`, which hang on `parent`.
async fn push(
    witness: &Witness,
    blocks: &mut Vec<SourceBlock>,
    parent: &mut Option<BlockHash>,
    first: u64,
    last: &Header,
    facts: Vec<SourceEvent>,
) -> Result<(), RpcError> {
    let bottom = if first == last.number.0 { last.clone() } else { witness.header(first).await? };
    if parent.is_some_and(|parent| parent != bottom.parent_hash) {
        return Err(changed(witness));
    }
    blocks.push(SourceBlock {
        first: BlockNumber(first),
        number: BlockNumber(last.number.0),
        hash: last.hash,
        parent: bottom.parent_hash,
        timestamp: witness.timestamp(last)?,
        spec_version: None,
        facts,
    });
    *parent = Some(last.hash);
    Ok(())
}

/// An endpoint's answers don't form one chain, or hang on another block than the last one read.
fn changed(witness: &Witness) -> RpcError {
    witness.endpoint().malformed("eth_getLogs", "final blocks changed while they were read, or are not those that were read before")
}

#[async_trait]
impl Source for EscrowWatch {
    fn chain(&self) -> &ChainId {
        self.chain.chain()
    }

    fn genesis(&self) -> Genesis {
        self.config.genesis
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
                tokio::time::sleep(self.config.poll).await;
            }
        }
    }
}
