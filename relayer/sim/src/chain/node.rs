//! What nodes of the chain answer: an honest one, one that lags behind, one whose head is frozen though it answers, and one
//! that tells of a block that is not in the chain.

use super::contract::{Item, NOOP_GAS, TRANSACTION_GAS, root_gas};
use super::{Chain, Tx, block, item};
use acurast_adapter_api::lane::EffectQuery;
use acurast_adapter_api::{Call, Effect, FeeMarket, FinalReport, Inclusion, LaneView, Observation, SendOutcome, Simulation};
use acurast_events::amount::Amount;
use acurast_events::bytes::{Bytes, TxHash};
use acurast_events::lanes::Purpose;
use acurast_events::units::{Gas, Slot};

/// Which node is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// It knows the newest block.
    Honest,
    /// It is so many blocks behind.
    Lagging(usize),
    /// Its head stands at this height, and it answers.
    Frozen(usize),
    /// It tells of transactions that aren't final that they are in blocks which the chain doesn't have.
    Lying,
}

/// Thousandths that a simulation adds to the gas that is used.
const GAS_MARGIN_PERMILLE: u64 = 1_150;

impl Chain {
    fn head_of(&self, node: Node) -> usize {
        match node {
            Node::Honest | Node::Lying => self.height(),
            Node::Lagging(blocks) => self.height().saturating_sub(blocks),
            Node::Frozen(height) => self.height().min(height),
        }
    }

    fn finalized_of(&self, node: Node) -> usize {
        match node {
            // What was final stays so, also while a reorg has left fewer blocks on top of it.
            Node::Honest | Node::Lying => self.finalized,
            Node::Lagging(_) | Node::Frozen(_) => self.finalized.min(self.head_of(node).saturating_sub(self.finality_depth)),
        }
    }

    /// The chain now.
    pub fn view(&self, node: Node) -> LaneView {
        let (head, finalized) = (self.head_of(node), self.finalized_of(node));
        let (top, last) = (&self.blocks[head], &self.blocks[finalized]);
        let contract = &top.after;
        LaneView {
            head: top.at.clone(),
            finalized: last.at.clone(),
            next_slot_head: Slot(contract.next_slot),
            next_slot_final: Slot(last.after.next_slot),
            balance: Amount(self.funds.saturating_sub(contract.paid + contract.paid_foreign)),
            market: FeeMarket { base_fee: Amount(self.base_fee), priority_fee: Amount(self.priority), data_fee: None },
        }
    }

    /// The slot after everything in the pool: what `pending` would tell.
    pub fn pending_slot(&self) -> Slot {
        let mut slot = Slot(self.contract().next_slot);
        while self.pool.contains_key(&slot) {
            slot = slot.next();
        }
        slot
    }

    /// What a call would do on top of the newest block.
    pub fn simulate(&self, call: &Call) -> Simulation {
        let reverts = |item, reason: &str| Simulation::Reverts { item, reason: reason.into() };
        let executes = |gas: u64, bytes: usize| Simulation::Executes {
            gas_limit: Gas(gas * GAS_MARGIN_PERMILLE / 1_000),
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        };
        match call {
            Call::NoOp => executes(NOOP_GAS, 110),
            _ if self.customs.paused => reverts(None, "paused"),
            Call::Root { statement, signatures } => match self.contract().root(statement.batch) {
                Some(root) if root != statement.root => reverts(None, "another root has this number"),
                _ => executes(root_gas(statement.leaves), 300 + 65 * signatures.len()),
            },
            Call::Fulfill(items) => {
                let items: Vec<Item> = items.iter().filter_map(item).collect();
                if let Some((index, reason)) = self.contract().refuses(&items) {
                    return reverts(Some(index), reason);
                }
                if let Some((index, named)) = items.iter().enumerate().find_map(|(index, item)| Some((index, *self.poison.get(&item.id)?)))
                {
                    return reverts(named.then_some(index), "poison");
                }
                let bytes = items.iter().map(|item| 500 + item.payload.0.len()).sum::<usize>();
                executes(TRANSACTION_GAS + items.iter().map(Item::gas).sum::<u64>(), 200 + bytes)
            }
        }
    }

    /// Takes bytes, or says why not.
    pub fn broadcast(&mut self, bytes: &Bytes) -> SendOutcome {
        self.broadcasts += 1;
        let Some(tx) = self.signed.get(bytes).cloned() else { return SendOutcome::Rejected("undecodable".into()) };
        let outcome = self.offer(tx);
        if self.lose_answers > 0 {
            self.lose_answers -= 1;
            return SendOutcome::Indeterminate("timed out".into());
        }
        outcome
    }

    fn offer(&mut self, tx: std::sync::Arc<Tx>) -> SendOutcome {
        let customs = self.customs.clone();
        if tx.items.iter().any(|item| self.reject.contains(&item.id)) {
            return SendOutcome::Rejected("invalid".into());
        }
        if tx.gas > customs.block_gas_max {
            return SendOutcome::Rejected("exceeds block gas limit".into());
        }
        let contract = self.contract();
        if tx.slot.0 < contract.next_slot {
            return if customs.knows_mined && self.places.contains_key(&tx.hash) {
                SendOutcome::AlreadyKnown
            } else {
                SendOutcome::SlotTooLow
            };
        }
        if customs.refuse_gaps && tx.slot > self.pending_slot() {
            return SendOutcome::SlotTooHigh;
        }
        if tx.max_fee * u128::from(tx.gas) > self.funds.saturating_sub(contract.paid + contract.paid_foreign) {
            return SendOutcome::InsufficientFunds;
        }
        if tx.max_fee < customs.pool_min_fee {
            return SendOutcome::FeeTooLow;
        }
        match self.pool.get(&tx.slot) {
            Some(held) if held.hash == tx.hash => return SendOutcome::AlreadyKnown,
            Some(held) => {
                let enough = |new: u128, old: u128| new * 1_000 >= old * customs.replacement_permille;
                if !enough(tx.max_fee, held.max_fee) || !enough(tx.priority, held.priority) {
                    return SendOutcome::FeeTooLow;
                }
            }
            None if self.pool.len() >= customs.pool_slots_max => return SendOutcome::FeeTooLow,
            None => {}
        }
        if !customs.forgetful {
            self.pool.insert(tx.slot, tx);
        }
        SendOutcome::Accepted
    }

    /// Where a transaction is.
    pub fn observe(&self, tx: &TxHash, node: Node) -> Observation {
        match self.places.get(tx) {
            Some((at, index)) if *at <= self.head_of(node) => {
                let (mined, held) = (&self.blocks[*at].mined[*index], &self.blocks[*at].at);
                // What is final is final on every fork.
                let forked = node == Node::Lying && *at > self.finalized;
                let block = if forked { block(held.number.0, 0xfe, held.timestamp.0) } else { held.clone() };
                Observation::Included(Inclusion { block, success: mined.success })
            }
            // A node that is behind still has it in its pool.
            Some(_) => Observation::Pending,
            None if self.pool.values().any(|held| held.hash == *tx) => Observation::Pending,
            None => Observation::NotFound,
        }
    }

    /// What a transaction did; nothing when the node doesn't know it.
    pub fn report(&self, tx: &TxHash) -> Option<FinalReport> {
        let (at, index) = self.places.get(tx)?;
        let (block, mined) = (&self.blocks[*at], &self.blocks[*at].mined[*index]);
        Some(FinalReport {
            inclusion: Inclusion { block: block.at.clone(), success: mined.success },
            gas_used: Gas(mined.gas_used),
            gas_price: Amount(mined.gas_price),
            cost: Amount(mined.gas_price * u128::from(mined.gas_used)),
            items: mined.done.items.clone(),
            charges: mined.done.charges.clone(),
        })
    }

    /// Whether an effect exists at finality.
    pub fn effect(&self, query: &EffectQuery, node: Node) -> Effect {
        let block = &self.blocks[self.finalized_of(node)];
        let contract = &block.after;
        let present = |tx| Effect::Present { success: true, tx, block: block.at.clone() };
        match query {
            EffectQuery::Root(root) if contract.root(root.batch) == Some(root.root) => present(None),
            EffectQuery::Fulfillment { settlement_id, leaf, execution }
                if leaf.bit_of(*execution).is_some_and(|bit| contract.is_settled(bit)) =>
            {
                present(contract.deliveries.iter().find(|delivery| delivery.item.id == *settlement_id).map(|delivery| delivery.tx))
            }
            EffectQuery::Root(_) | EffectQuery::Fulfillment { .. } => Effect::Absent { block: block.at.clone() },
        }
    }

    /// The transaction that took a slot.
    pub fn slot_owner(&self, slot: Slot) -> Option<TxHash> {
        self.mined().map(|(tx, _)| tx).find(|tx| tx.slot == slot).map(|tx| tx.hash)
    }

    /// Whether a no-op is in the pool for this slot.
    pub fn holds_no_op(&self, slot: Slot) -> bool {
        self.pool.get(&slot).is_some_and(|tx| tx.purpose == Purpose::NoOp)
    }
}
