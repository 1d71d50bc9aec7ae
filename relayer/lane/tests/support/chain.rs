//! A chain with slots, a pool that replaces and evicts, blocks, reorgs and a settlement contract. It shares no code with
//! the lane.

use super::{START, block};
use acurast_adapter_api::lane::EffectQuery;
use acurast_adapter_api::{Effect, FeeMarket, FinalReport, Inclusion, LaneView, Observation, SendOutcome, SignedAttempt, Simulation};
use acurast_events::amount::Amount;
use acurast_events::bytes::{Bytes, MerkleNode, SettlementId, TxHash};
use acurast_events::ids::sha256;
use acurast_events::jobs::BlockRef;
use acurast_events::lanes::{ItemFinal, ItemOutcome, Purpose};
use acurast_events::units::{Batch, Bit, Gas, Slot, Timestamp};
use acurast_relayer_lane::{CallKey, SignRequest};
use std::collections::{BTreeMap, BTreeSet};

/// What is signed: all that matters of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tx {
    pub hash: TxHash,
    pub slot: Slot,
    pub call: CallKey,
    pub max_fee: u128,
    pub priority: u128,
    pub gas: u64,
    pub foreign: bool,
    /// The root that it posts.
    pub root: Option<(Batch, MerkleNode)>,
    pub items: Vec<TxItem>,
}

/// An output within a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxItem {
    pub id: SettlementId,
    pub batch: Batch,
    /// Where leaf and proof lead.
    pub root: MerkleNode,
    /// The bit that it settles.
    pub bit: Bit,
    /// The bit of its leaf's root share, and the settlement of that.
    pub share: (Bit, SettlementId),
    pub not_after: u64,
}

#[derive(Debug, Clone)]
struct Mined {
    tx: Tx,
    success: bool,
    outcomes: Vec<(SettlementId, ItemOutcome)>,
    gas_price: u128,
    gas_used: u64,
}

#[derive(Debug, Clone)]
struct Block {
    at: BlockRef,
    mined: Vec<Mined>,
}

#[derive(Debug, Clone, Default)]
struct Contract {
    roots: BTreeMap<Batch, MerkleNode>,
    settled: BTreeMap<SettlementId, TxHash>,
    bits: BTreeMap<Bit, SettlementId>,
    next_slot: u64,
}

/// The chain.
#[derive(Debug, Clone)]
pub struct Chain {
    pub now: u64,
    pub base_fee: u128,
    pub priority: u128,
    pub balance: u128,
    pub finality_depth: usize,
    /// The pool takes nothing below this price, whatever it is told.
    pub pool_min_fee: u128,
    /// Miners take nothing below this priority.
    pub mine_priority_min: u128,
    /// Replacements have to offer this many thousandths.
    pub replacement_permille: u128,
    /// Items that make a transaction revert; the flag tells whether the contract names them.
    pub poison: BTreeMap<SettlementId, bool>,
    /// Poison that only works on the chain, not in simulations.
    pub hidden_poison: BTreeSet<SettlementId>,
    /// The contract refuses everything.
    pub paused: bool,
    /// Transactions that the node will never take.
    pub reject: BTreeSet<SettlementId>,
    /// The next so many sends reach the pool although their answer is lost.
    pub lose_answers: u32,
    /// The pool forgets at once what it takes.
    pub forgetful: bool,
    /// The head is frozen: no blocks.
    pub stalled: bool,
    pub pool: BTreeMap<Slot, Tx>,
    /// Times that a settled item was sent again.
    pub skipped_as_settled: u32,
    /// Sends of an item after its `not_after`, by the newest block.
    pub sent_late: u32,
    /// Those of which a view had told that they are late.
    pub sent_late_knowingly: u32,
    /// The time of the newest block that a view told.
    told: u64,
    /// Slots that were ever seen with a gap before them in the pool, at a send.
    pub broadcasts: u32,
    signed: BTreeMap<Bytes, Tx>,
    blocks: Vec<Block>,
    contract: Contract,
    /// Index of the newest final block; never goes back.
    finalized: usize,
    salt: u8,
}

impl Chain {
    pub fn new() -> Self {
        let genesis = Block { at: block(0, 0, Timestamp(START)), mined: Vec::new() };
        Self {
            now: START,
            base_fee: 10 * super::GWEI,
            priority: super::GWEI,
            balance: 10u128.pow(20),
            finality_depth: 4,
            pool_min_fee: 0,
            mine_priority_min: 0,
            replacement_permille: 1_100,
            poison: BTreeMap::new(),
            hidden_poison: BTreeSet::new(),
            paused: false,
            reject: BTreeSet::new(),
            lose_answers: 0,
            forgetful: false,
            stalled: false,
            pool: BTreeMap::new(),
            skipped_as_settled: 0,
            sent_late: 0,
            sent_late_knowingly: 0,
            told: 0,
            broadcasts: 0,
            signed: BTreeMap::new(),
            blocks: vec![genesis],
            contract: Contract::default(),
            finalized: 0,
            salt: 0,
        }
    }

    // ------------------------------------------------------------------------------------ what the adapter does

    pub fn view(&mut self) -> LaneView {
        self.told = self.head().at.timestamp.0;
        let finalized = self.finalized();
        LaneView {
            head: self.head().at.clone(),
            finalized: self.blocks[finalized].at.clone(),
            next_slot_head: Slot(self.contract.next_slot),
            next_slot_final: Slot(self.taken_up_to(finalized)),
            balance: Amount(self.balance),
            market: FeeMarket { base_fee: Amount(self.base_fee), priority_fee: Amount(self.priority), data_fee: None },
        }
    }

    pub fn simulate(&self, key: &CallKey, items: &[TxItem]) -> Simulation {
        let reverts = |item, reason: &str| Simulation::Reverts { item, reason: reason.into() };
        if self.paused {
            return reverts(None, "paused");
        }
        for (index, item) in items.iter().enumerate() {
            if self.contract.roots.get(&item.batch) != Some(&item.root) {
                return reverts(Some(index), "unknown root");
            }
            if let Some(named) = self.poison.get(&item.id) {
                return reverts(named.then_some(index), "poison");
            }
        }
        Simulation::Executes { gas_limit: Gas(100_000 + 120_000 * key.items.len() as u64), bytes: 500 + 400 * key.items.len() as u32 }
    }

    pub fn sign(&mut self, request: &SignRequest, root: Option<(Batch, MerkleNode)>, items: Vec<TxItem>) -> SignedAttempt {
        let hash = TxHash(sha256(&[format!("{:?}", (request.slot, &request.call, &request.fee)).as_bytes()]));
        let tx = Tx {
            hash,
            slot: request.slot,
            call: request.call.clone(),
            max_fee: request.fee.max_fee_per_gas.0,
            priority: request.fee.max_priority_fee.0,
            gas: request.fee.gas_limit.0,
            foreign: false,
            root,
            items,
        };
        let bytes = Bytes(hash.0.to_vec());
        self.signed.insert(bytes.clone(), tx);
        SignedAttempt { tx: hash, bytes }
    }

    pub fn broadcast(&mut self, bytes: &Bytes) -> SendOutcome {
        self.broadcasts += 1;
        let tx = self.signed[bytes].clone();
        let late = |by: u64| tx.items.iter().filter(|item| item.not_after <= by).count() as u32;
        self.sent_late += late(self.head().at.timestamp.0);
        self.sent_late_knowingly += late(self.told);
        let outcome = self.offer(tx);
        if self.lose_answers > 0 {
            self.lose_answers -= 1;
            return SendOutcome::Indeterminate("timed out".into());
        }
        outcome
    }

    fn offer(&mut self, tx: Tx) -> SendOutcome {
        if tx.items.iter().any(|item| self.reject.contains(&item.id)) {
            return SendOutcome::Rejected("invalid".into());
        }
        if tx.slot.0 < self.contract.next_slot {
            return if self.find(&tx.hash).is_some() { SendOutcome::AlreadyKnown } else { SendOutcome::SlotTooLow };
        }
        if tx.max_fee * u128::from(tx.gas) > self.balance {
            return SendOutcome::InsufficientFunds;
        }
        if tx.max_fee < self.pool_min_fee {
            return SendOutcome::FeeTooLow;
        }
        if let Some(held) = self.pool.get(&tx.slot) {
            if held.hash == tx.hash {
                return SendOutcome::AlreadyKnown;
            }
            let enough = |new: u128, old: u128| new * 1_000 >= old * self.replacement_permille;
            if !enough(tx.max_fee, held.max_fee) || !enough(tx.priority, held.priority) {
                return SendOutcome::FeeTooLow;
            }
        }
        self.pool.insert(tx.slot, tx);
        if self.forgetful {
            self.evict();
        }
        SendOutcome::Accepted
    }

    pub fn observe(&self, tx: &TxHash) -> Observation {
        match self.find(tx) {
            Some((block, mined)) => Observation::Included(Inclusion { block: self.blocks[block].at.clone(), success: mined.success }),
            None if self.pool.values().any(|held| held.hash == *tx) => Observation::Pending,
            None => Observation::NotFound,
        }
    }

    pub fn report(&self, tx: &TxHash) -> FinalReport {
        let (block, mined) = self.find(tx).expect("a report is asked for what is included");
        let item = |(id, outcome): &(SettlementId, ItemOutcome)| ItemFinal {
            settlement_id: *id,
            outcome: *outcome,
            charge: Amount(1),
            root_share: Amount(0),
            // Wrong on purpose: the lane splits the cost itself.
            cost: Amount(0),
            skip_reason: None,
            batch: Batch(0),
        };
        FinalReport {
            inclusion: Inclusion { block: self.blocks[block].at.clone(), success: mined.success },
            gas_used: Gas(mined.gas_used),
            gas_price: Amount(mined.gas_price),
            cost: Amount(mined.gas_price * u128::from(mined.gas_used)),
            items: mined.outcomes.iter().map(item).collect(),
            charges: Vec::new(),
        }
    }

    pub fn effect(&self, query: &EffectQuery) -> Effect {
        let finalized = self.finalized();
        let contract = self.contract_up_to(finalized);
        let present = |tx| Effect::Present { success: true, tx, block: self.blocks[finalized].at.clone() };
        match query {
            EffectQuery::Root(root) if contract.roots.get(&root.batch) == Some(&root.root) => present(None),
            EffectQuery::Fulfillment { settlement_id, .. } if contract.settled.contains_key(settlement_id) => {
                present(contract.settled.get(settlement_id).copied())
            }
            EffectQuery::Root(_) | EffectQuery::Fulfillment { .. } => Effect::Absent { block: self.blocks[finalized].at.clone() },
        }
    }

    pub fn slot_owner(&self, slot: Slot) -> Option<TxHash> {
        let mined = self.blocks.iter().flat_map(|block| &block.mined);
        mined.map(|mined| &mined.tx).find(|tx| tx.slot == slot).map(|tx| tx.hash)
    }

    // ------------------------------------------------------------------------------------ what tests do to it

    /// A block later.
    pub fn mine(&mut self) {
        self.now += 1_000;
        if self.stalled {
            return;
        }
        let at = block(self.blocks.len() as u64, self.salt, Timestamp(self.now));
        let mut mined = Vec::new();
        while let Some(tx) = self.pool.get(&Slot(self.contract.next_slot)).cloned() {
            if tx.max_fee < self.base_fee || tx.priority.min(tx.max_fee - self.base_fee) < self.mine_priority_min {
                break;
            }
            self.pool.remove(&tx.slot);
            mined.push(self.execute(tx));
        }
        self.blocks.push(Block { at, mined });
        self.finalized = self.finalized.max((self.blocks.len() - 1).saturating_sub(self.finality_depth));
    }

    fn execute(&mut self, tx: Tx) -> Mined {
        self.contract.next_slot += 1;
        let gas_price = tx.max_fee.min(self.base_fee + tx.priority);
        let gas_used = if tx.call.purpose == Purpose::NoOp { 21_000 } else { tx.gas - tx.gas / 7 };
        self.balance -= gas_price * u128::from(gas_used);
        let bad = |id: &SettlementId| self.poison.contains_key(id) || self.hidden_poison.contains(id);
        let reverts = self.paused && !tx.items.is_empty()
            || tx.items.iter().any(|item| bad(&item.id) || self.contract.roots.get(&item.batch) != Some(&item.root));
        let mut outcomes = Vec::new();
        if !reverts {
            self.contract.roots.extend(tx.root);
            for TxItem { id, bit, share, not_after, .. } in &tx.items {
                for (bit, owner) in [(*bit, *id), *share] {
                    assert_eq!(*self.contract.bits.entry(bit).or_insert(owner), owner, "two effects share a bit");
                }
                let outcome = if self.contract.settled.contains_key(id) {
                    self.skipped_as_settled += 1;
                    ItemOutcome::AlreadySettled
                } else if self.now > *not_after {
                    ItemOutcome::Skipped
                } else {
                    self.contract.settled.insert(*id, tx.hash);
                    ItemOutcome::Settled
                };
                outcomes.push((*id, outcome));
            }
        }
        Mined { tx, success: !reverts, outcomes, gas_price, gas_used }
    }

    /// The newest `depth` blocks are undone, never final ones; their transactions return to the pool, or are lost.
    pub fn reorg(&mut self, depth: usize, keep: bool) {
        self.undo_from(self.blocks.len().saturating_sub(depth).max(self.finalized() + 1), keep);
    }

    /// Like [`Self::reorg`], down to blocks that were final.
    pub fn break_finality(&mut self, depth: usize, keep: bool) {
        let keep_from = self.blocks.len().saturating_sub(depth).max(1);
        self.finalized = self.finalized.min(keep_from - 1);
        self.undo_from(keep_from, keep);
    }

    fn undo_from(&mut self, keep_from: usize, keep: bool) {
        self.salt = self.salt.wrapping_add(1);
        let undone = self.blocks.split_off(keep_from);
        self.contract = self.contract_up_to(self.blocks.len() - 1);
        for mined in undone.into_iter().flat_map(|block| block.mined) {
            self.balance += mined.gas_price * u128::from(mined.gas_used);
            if keep {
                self.pool.entry(mined.tx.slot).or_insert(mined.tx);
            }
        }
    }

    /// The pool forgets everything.
    pub fn evict(&mut self) {
        self.pool.clear();
    }

    /// Somebody else uses our key.
    pub fn foreign(&mut self, slot: u64) -> TxHash {
        let hash = TxHash([0xf0; 32]);
        let call = CallKey { purpose: Purpose::NoOp, batch: None, items: Vec::new() };
        let fee = 10_000 * super::GWEI;
        let tx =
            Tx { hash, slot: Slot(slot), call, max_fee: fee, priority: fee / 2, gas: 21_000, foreign: true, root: None, items: Vec::new() };
        self.pool.insert(Slot(slot), tx);
        hash
    }

    /// Somebody else settles an item.
    pub fn settle_foreign(&mut self, id: SettlementId) {
        self.contract.settled.insert(id, TxHash([0xee; 32]));
        self.blocks.last_mut().unwrap().mined.push(Mined {
            tx: Tx {
                hash: TxHash([0xee; 32]),
                slot: Slot(u64::MAX),
                call: CallKey { purpose: Purpose::Fulfill, batch: None, items: vec![id] },
                max_fee: 0,
                priority: 0,
                gas: 0,
                foreign: true,
                root: None,
                items: Vec::new(),
            },
            success: true,
            outcomes: vec![(id, ItemOutcome::Settled)],
            gas_price: 0,
            gas_used: 0,
        });
    }

    // ------------------------------------------------------------------------------------ what tests read from it

    pub fn settled(&self) -> &BTreeMap<SettlementId, TxHash> {
        &self.contract.settled
    }

    pub fn roots(&self) -> usize {
        self.contract.roots.len()
    }

    pub fn next_slot(&self) -> u64 {
        self.contract.next_slot
    }

    /// What our mined transactions cost.
    pub fn paid(&self) -> u128 {
        let ours = self.blocks.iter().flat_map(|block| &block.mined).filter(|mined| !mined.tx.foreign);
        ours.map(|mined| mined.gas_price * u128::from(mined.gas_used)).sum()
    }

    pub fn transactions(&self) -> Vec<Tx> {
        self.blocks.iter().flat_map(|block| &block.mined).map(|mined| mined.tx.clone()).collect()
    }

    pub fn reverted(&self) -> usize {
        self.blocks.iter().flat_map(|block| &block.mined).filter(|mined| !mined.success).count()
    }

    fn head(&self) -> &Block {
        self.blocks.last().unwrap()
    }

    fn finalized(&self) -> usize {
        self.finalized
    }

    fn taken_up_to(&self, block: usize) -> u64 {
        self.contract_up_to(block).next_slot
    }

    fn contract_up_to(&self, block: usize) -> Contract {
        let mut contract = Contract::default();
        for mined in self.blocks[..=block].iter().flat_map(|block| &block.mined) {
            if mined.tx.slot.0 != u64::MAX {
                contract.next_slot += 1;
            }
            if mined.success {
                contract.roots.extend(mined.tx.root);
                let settled = mined.outcomes.iter().filter(|(_, outcome)| *outcome == ItemOutcome::Settled);
                contract.settled.extend(settled.map(|(id, _)| (*id, mined.tx.hash)));
            }
        }
        contract
    }

    fn find(&self, tx: &TxHash) -> Option<(usize, &Mined)> {
        let place = |(index, block): (usize, &'_ Block)| block.mined.iter().position(|mined| mined.tx.hash == *tx).map(|at| (index, at));
        let (block, at) = self.blocks.iter().enumerate().find_map(place)?;
        Some((block, &self.blocks[block].mined[at]))
    }
}
