//! Does an effect exist at finality, and who took a slot? Both are read from the chain, whoever caused them (R2, R3).

use crate::contract::Settlement;
use crate::endpoint::RpcError;
use crate::lane::EvmLane;
use crate::node::{Header, LogFilter};
use crate::report::event;
use acurast_adapter_api::lane::EffectQuery;
use acurast_adapter_api::{Effect, LaneError};
use acurast_events::bytes::TxHash;
use acurast_events::eip712::RootStatement;
use acurast_events::leaves::AssignmentLeaf;
use acurast_events::units::{Execution, Slot};
use alloy::sol_types::SolEvent;

impl EvmLane {
    pub(crate) async fn ask_effect(&self, query: &EffectQuery) -> Result<Effect, LaneError> {
        let finalized = self.finalized().await.map_err(|error| self.unknown(error))?;
        match query {
            EffectQuery::Root(statement) => self.root_effect(statement, &finalized).await,
            EffectQuery::Fulfillment { leaf, execution, .. } => self.fulfillment_effect(leaf, *execution, &finalized).await,
        }
    }

    async fn root_effect(&self, statement: &RootStatement, finalized: &Header) -> Result<Effect, LaneError> {
        let call = Settlement::rootOfCall { batch: statement.batch.0 };
        let held = self.chain.read(&call, Some(&finalized.hash)).await.map_err(|error| self.unknown(error))?;
        if held.leaves == 0 {
            return Ok(Effect::Absent);
        }
        // Batch numbers are never used twice: another root under ours means that another writer holds our key.
        if held.root.0 != statement.root.0 || held.leaves != statement.leaves || held.lockedUntil != statement.locked_until.0 {
            return Err(self.refused(format!(
                "the contract holds root {} with {} leaves under batch {}, ours is {} with {}; another relayer uses this key: stop one of them",
                held.root, held.leaves, statement.batch, statement.root, statement.leaves
            )));
        }
        let topics = vec![vec![Settlement::RootPosted::SIGNATURE_HASH.0], vec![word(statement.batch.0)]];
        let tx = self.find_log(finalized, topics, |_| Ok(true)).await.map_err(|error| self.unknown(error))?;
        self.present(true, tx, finalized)
    }

    async fn fulfillment_effect(&self, leaf: &AssignmentLeaf, execution: Execution, finalized: &Header) -> Result<Effect, LaneError> {
        let bit = leaf
            .bit_of(execution)
            .ok_or_else(|| self.refused(format!("leaf {} doesn't cover execution {execution}", leaf.assignment_id)))?;
        let (settled, failed) = (Settlement::isSettledCall { bit: bit.0 }, Settlement::isFailedCall { bit: bit.0 });
        let read =
            async { tokio::try_join!(self.chain.read(&settled, Some(&finalized.hash)), self.chain.read(&failed, Some(&finalized.hash))) };
        let (settled, failed) = read.await.map_err(|error| self.unknown(error))?;
        if !settled {
            return Ok(Effect::Absent);
        }
        let topics = vec![vec![Settlement::Settled::SIGNATURE_HASH.0], vec![leaf.assignment_id.0], vec![leaf.escrow_id.0]];
        let of_execution = |settled: &Settlement::Settled| settled.execution == execution.0;
        let tx = self
            .find_log(finalized, topics, |log| event::<Settlement::Settled>(log).map(|settled| of_execution(&settled)))
            .await
            .map_err(|error| self.unknown(error))?;
        self.present(!failed, tx, finalized)
    }

    fn present(&self, success: bool, tx: Option<TxHash>, finalized: &Header) -> Result<Effect, LaneError> {
        let block = self.chain.block_ref(finalized).map_err(|error| self.unknown(error))?;
        Ok(Effect::Present { success, tx, block })
    }

    /// The transaction of the newest matching event, searched from the final block down, within the configured bound.
    async fn find_log(
        &self,
        finalized: &Header,
        topics: Vec<Vec<[u8; 32]>>,
        matches: impl Fn(&crate::node::Log) -> Result<bool, crate::report::ReportError>,
    ) -> Result<Option<TxHash>, RpcError> {
        let endpoint = self.chain.endpoint();
        for (from, to) in ranges_down(finalized.number.0, self.config.search_blocks_max, self.config.log_range_max) {
            let filter = LogFilter { from, to, address: *self.chain.settlement(), topics: topics.clone() };
            for log in endpoint.logs(&filter).await?.iter().rev() {
                if matches(log).map_err(|error| endpoint.malformed("eth_getLogs", error.to_string()))? {
                    return Ok(Some(log.transaction_hash));
                }
            }
        }
        Ok(None)
    }

    /// The signer's final transaction with this nonce, searched block by block from the final one down.
    ///
    /// Nothing when it lies deeper than the bound, or when an authorization (EIP-7702) took the nonce without a transaction.
    pub(crate) async fn find_slot_owner(&self, slot: Slot) -> Result<Option<TxHash>, LaneError> {
        self.search_slot_owner(slot).await.map_err(|error| self.unknown(error))
    }

    async fn search_slot_owner(&self, slot: Slot) -> Result<Option<TxHash>, RpcError> {
        const METHOD: &str = "eth_getBlockByNumber";
        let (endpoint, signer) = (self.chain.endpoint(), self.key.address());
        let finalized = self.finalized().await?;
        if endpoint.nonce_at(&signer, &finalized.hash).await? <= slot.0 {
            return Ok(None);
        }
        let lowest = finalized.number.0.saturating_sub(self.config.slot_search_blocks_max);
        for number in (lowest..=finalized.number.0).rev() {
            let block = endpoint.full_block(number).await?.ok_or_else(|| endpoint.malformed(METHOD, format!("no block {number}")))?;
            let ours = block.transactions.iter().filter(|transaction| transaction.from == signer);
            let mut passed = false;
            for transaction in ours {
                if transaction.nonce.0 == slot.0 {
                    return Ok(Some(transaction.hash));
                }
                passed |= transaction.nonce.0 < slot.0;
            }
            if passed {
                return Ok(None);
            }
        }
        Ok(None)
    }
}

/// Ranges of at most `range` heights that cover the `bound` heights up to `top`, the highest first.
fn ranges_down(top: u64, bound: u64, range: u64) -> Vec<(u64, u64)> {
    let lowest = top.saturating_sub(bound);
    let step = range.max(1);
    let mut ranges = Vec::new();
    let mut to = top;
    loop {
        let from = to.saturating_sub(step.saturating_sub(1)).max(lowest);
        ranges.push((from, to));
        match from.checked_sub(1) {
            Some(next) if next >= lowest => to = next,
            _ => return ranges,
        }
    }
}

fn word(value: u64) -> [u8; 32] {
    alloy::primitives::U256::from(value).to_be_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_cover_every_height_of_the_bound_once(top in 0_u64..3_000, bound in 0_u64..3_000, range in 0_u64..500) {
            let ranges = ranges_down(top, bound, range);
            let mut expected = top;
            for (index, (from, to)) in ranges.iter().enumerate() {
                prop_assert_eq!(*to, expected);
                prop_assert!(from <= to && to - from < range.max(1));
                if index + 1 < ranges.len() { expected = from - 1; }
            }
            prop_assert_eq!(ranges.last().unwrap().0, top.saturating_sub(bound));
        }
    }
}
