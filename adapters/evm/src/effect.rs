//! Does an effect exist at finality, and who took a slot? Both are read from the chain, whoever caused them (R2, R3).

use crate::contract::Settlement;
use crate::endpoint::RpcError;
use crate::lane::EvmLane;
use crate::node::{Header, LogFilter};
use crate::report::event;
use crate::witness::Witness;
use acurast_adapter_api::lane::EffectQuery;
use acurast_adapter_api::{Effect, LaneError};
use acurast_events::bytes::TxHash;
use acurast_events::eip712::RootStatement;
use acurast_events::leaves::AssignmentLeaf;
use acurast_events::units::{Bit, Execution, Slot};
use alloy::sol_types::SolEvent;

/// What an endpoint says of an effect, or why the contract can't be the lane's.
type Found = Result<Effect, String>;

impl EvmLane {
    pub(crate) async fn ask_effect(&self, query: &EffectQuery) -> Result<Effect, LaneError> {
        let what = "an effect";
        let found = match query {
            EffectQuery::Root(statement) => {
                self.chain.agreed_final(what, |witness, pins| self.root_effect(witness, statement, pins.finalized)).await
            }
            EffectQuery::Fulfillment { leaf, execution, .. } => {
                let (id, execution) = (leaf.assignment_id, *execution);
                let bit = leaf.bit_of(execution).ok_or_else(|| self.refused(format!("leaf {id} doesn't cover execution {execution}")))?;
                self.chain.agreed_final(what, |witness, pins| self.fulfillment_effect(witness, leaf, execution, bit, pins.finalized)).await
            }
        };
        found.map_err(|error| self.unknown(error))?.map_err(|reason| self.refused(reason))
    }

    async fn root_effect(&self, witness: &Witness, statement: &RootStatement, finalized: Header) -> Result<Found, RpcError> {
        let held = witness.read(&Settlement::rootOfCall { batch: statement.batch.0 }, Some(&finalized.hash)).await?;
        if held.leaves == 0 {
            return Ok(Ok(Effect::Absent { block: witness.block_ref(&finalized)? }));
        }
        // Batch numbers are never used twice: another root under ours means that another writer holds our key.
        if held.root.0 != statement.root.0 || held.leaves != statement.leaves || held.lockedUntil != statement.locked_until.0 {
            return Ok(Err(format!(
                "the contract holds root {} with {} leaves under batch {}, ours is {} with {}; another relayer uses this key: stop one of them",
                held.root, held.leaves, statement.batch, statement.root, statement.leaves
            )));
        }
        let topics = vec![vec![Settlement::RootPosted::SIGNATURE_HASH.0], vec![word(statement.batch.0)]];
        let tx = self.find_log(witness, &finalized, topics, |_| Ok(true)).await?;
        present(witness, true, tx, &finalized)
    }

    async fn fulfillment_effect(
        &self,
        witness: &Witness,
        leaf: &AssignmentLeaf,
        execution: Execution,
        bit: Bit,
        finalized: Header,
    ) -> Result<Found, RpcError> {
        let (settled, failed) = (Settlement::isSettledCall { bit: bit.0 }, Settlement::isFailedCall { bit: bit.0 });
        let at = Some(&finalized.hash);
        let (settled, failed) = tokio::try_join!(witness.read(&settled, at), witness.read(&failed, at))?;
        if !settled {
            return Ok(Ok(Effect::Absent { block: witness.block_ref(&finalized)? }));
        }
        let topics = vec![vec![Settlement::Settled::SIGNATURE_HASH.0], vec![leaf.assignment_id.0], vec![leaf.escrow_id.0]];
        let of_execution = |settled: &Settlement::Settled| settled.execution == execution.0;
        let matches = |log: &crate::node::Log| event::<Settlement::Settled>(log).map(|settled| of_execution(&settled));
        let tx = self.find_log(witness, &finalized, topics, matches).await?;
        present(witness, !failed, tx, &finalized)
    }

    /// The transaction of the newest matching event, searched from the final block down, within the configured bound.
    async fn find_log(
        &self,
        witness: &Witness,
        finalized: &Header,
        topics: Vec<Vec<[u8; 32]>>,
        matches: impl Fn(&crate::node::Log) -> Result<bool, crate::report::ReportError>,
    ) -> Result<Option<TxHash>, RpcError> {
        let endpoint = witness.endpoint();
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
    pub(crate) async fn find_slot_owner(&self, slot: Slot) -> Result<Option<TxHash>, RpcError> {
        let search = |witness, pins: crate::pool::Pins| self.search_slot_owner(witness, slot, pins.finalized);
        self.chain.agreed_final("a slot's owner", search).await
    }

    async fn search_slot_owner(&self, witness: &Witness, slot: Slot, finalized: Header) -> Result<Option<TxHash>, RpcError> {
        let (endpoint, signer) = (witness.endpoint(), self.key.address());
        if endpoint.nonce_at(&signer, &finalized.hash).await? <= slot.0 {
            return Ok(None);
        }
        let lowest = finalized.number.0.saturating_sub(self.config.slot_search_blocks_max);
        for number in (lowest..=finalized.number.0).rev() {
            let block = endpoint.full_block(number).await?.ok_or_else(|| endpoint.missing(format!("it has no block {number}")))?;
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

fn present(witness: &Witness, success: bool, tx: Option<TxHash>, finalized: &Header) -> Result<Found, RpcError> {
    Ok(Ok(Effect::Present { success, tx, block: witness.block_ref(finalized)? }))
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
