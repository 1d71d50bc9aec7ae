//! A chain with slots, a pool that replaces and evicts, blocks, reorgs of any depth and nodes that lag, freeze and lie.
//!
//! It is the world's side of the lane: nothing here is shared with the relayer but types, hashes and ids. What was mined is
//! kept block by block with the contract after it, so that a reorg is a cut.

pub mod contract;
mod node;

use crate::random::Random;
use acurast_adapter_api::{Call, FulfillItem, SignedAttempt};
use acurast_events::bytes::{BlockHash, Bytes, EscrowId, MerkleNode, SettlementId, TxHash};
use acurast_events::caip::ChainId;
use acurast_events::eip712::RootStatement;
use acurast_events::ids::sha256;
use acurast_events::jobs::BlockRef;
use acurast_events::lanes::{FeeBid, Purpose};
use acurast_events::merkle::process_proof;
use acurast_events::source::SourceEvent;
use acurast_events::units::{Batch, Bit, BlockNumber, Slot, Timestamp};
use contract::{Contract, Done, Item, NOOP_GAS, TRANSACTION_GAS, root_gas};
pub use node::Node;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One gwei.
pub const GWEI: u128 = 1_000_000_000;

/// The chain's id.
pub fn chain_id() -> ChainId {
    ChainId::evm(1337)
}

/// A signed transaction, all that matters of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tx {
    /// Its hash.
    pub hash: TxHash,
    /// Its slot.
    pub slot: Slot,
    /// What it does.
    pub purpose: Purpose,
    /// Highest price per gas, wei.
    pub max_fee: u128,
    /// Highest priority fee per gas, wei.
    pub priority: u128,
    /// Gas limit.
    pub gas: u64,
    /// Somebody else signed it with our key.
    pub foreign: bool,
    /// The root that it posts.
    pub statement: Option<RootStatement>,
    /// Its outputs.
    pub items: Vec<Item>,
}

/// A transaction in a block.
#[derive(Debug, Clone)]
struct Mined {
    tx: Arc<Tx>,
    success: bool,
    done: Done,
    gas_price: u128,
    gas_used: u64,
}

#[derive(Debug, Clone)]
struct Block {
    at: BlockRef,
    mined: Vec<Mined>,
    /// What consumers did, as the contract's events say.
    facts: Vec<SourceEvent>,
    after: Arc<Contract>,
}

/// The pool's and the miners' customs.
#[derive(Debug, Clone)]
pub struct Customs {
    /// The pool takes nothing below this price, whatever it is told.
    pub pool_min_fee: u128,
    /// Miners take nothing below this priority.
    pub mine_priority_min: u128,
    /// Replacements have to offer this many thousandths on both fields.
    pub replacement_permille: u128,
    /// Most of our transactions in the pool.
    pub pool_slots_max: usize,
    /// The pool refuses a slot when one before it is missing.
    pub refuse_gaps: bool,
    /// A node knows a mined transaction when it is sent again; most only say that its slot is used.
    pub knows_mined: bool,
    /// The pool forgets at once what it takes.
    pub forgetful: bool,
    /// Most gas of a block.
    pub block_gas_max: u64,
    /// No blocks.
    pub stalled: bool,
    /// The contract refuses everything.
    pub paused: bool,
}

impl Default for Customs {
    fn default() -> Self {
        Self {
            pool_min_fee: 0,
            mine_priority_min: 0,
            replacement_permille: 1_125,
            pool_slots_max: 16,
            refuse_gaps: false,
            knows_mined: false,
            forgetful: false,
            block_gas_max: 30_000_000,
            stalled: false,
            paused: false,
        }
    }
}

/// The chain.
#[derive(Clone)]
pub struct Chain {
    /// Wei per gas.
    pub base_fee: u128,
    /// What others offer.
    pub priority: u128,
    /// What the key was given; what it paid comes off.
    pub funds: u128,
    /// Blocks until one is final.
    pub finality_depth: usize,
    /// How pool and miners behave.
    pub customs: Customs,
    /// Items that make a transaction revert; the flag tells whether the contract names them.
    pub poison: BTreeMap<SettlementId, bool>,
    /// Poison that only works on the chain, not in simulations.
    pub hidden_poison: BTreeSet<SettlementId>,
    /// Items whose transactions the node will never take.
    pub reject: BTreeSet<SettlementId>,
    /// The next so many sends reach the pool although their answer is lost.
    pub lose_answers: u32,
    /// Transactions that were sent, ours.
    pub broadcasts: u64,
    /// Roots that attesters signed: others are not taken.
    pub attested: BTreeSet<(Batch, MerkleNode)>,
    pool: BTreeMap<Slot, Arc<Tx>>,
    signed: BTreeMap<Bytes, Arc<Tx>>,
    consumers: Vec<SourceEvent>,
    blocks: Vec<Block>,
    places: BTreeMap<TxHash, (usize, usize)>,
    finalized: usize,
    now: u64,
    salt: u8,
}

impl Chain {
    /// A chain whose first block is of `now`.
    pub fn new(now: u64) -> Self {
        let genesis = Block { at: block(0, 0, now), mined: Vec::new(), facts: Vec::new(), after: Arc::new(Contract::default()) };
        Self {
            base_fee: 10 * GWEI,
            priority: GWEI,
            funds: 10u128.pow(21),
            finality_depth: 4,
            customs: Customs::default(),
            poison: BTreeMap::new(),
            hidden_poison: BTreeSet::new(),
            reject: BTreeSet::new(),
            lose_answers: 0,
            broadcasts: 0,
            attested: BTreeSet::new(),
            pool: BTreeMap::new(),
            signed: BTreeMap::new(),
            consumers: Vec::new(),
            blocks: vec![genesis],
            places: BTreeMap::new(),
            finalized: 0,
            now,
            salt: 0,
        }
    }

    /// Signs a call: the adapter's side of the key. The same arguments give the same bytes.
    pub fn sign(&mut self, slot: Slot, call: &Call, fee: &FeeBid) -> SignedAttempt {
        let (purpose, statement, items) = match call {
            Call::NoOp => (Purpose::NoOp, None, Vec::new()),
            Call::Root { statement, .. } => (Purpose::Root, Some(statement.clone()), Vec::new()),
            Call::Fulfill(items) => (Purpose::Fulfill, None, items.iter().filter_map(item).collect()),
        };
        let mut content: Vec<u8> = slot.0.to_be_bytes().to_vec();
        content.push(purpose as u8);
        content.extend(fee.max_fee_per_gas.0.to_be_bytes());
        content.extend(fee.max_priority_fee.0.to_be_bytes());
        content.extend(fee.gas_limit.0.to_be_bytes());
        if let Some(statement) = &statement {
            content.extend(statement.batch.0.to_be_bytes());
            content.extend(statement.root.0);
        }
        for item in &items {
            content.extend(item.id.0);
            content.extend(item.batch.0.to_be_bytes());
        }
        let hash = TxHash(sha256(&[&content]));
        let (max_fee, priority, gas) = (fee.max_fee_per_gas.0, fee.max_priority_fee.0, fee.gas_limit.0);
        let tx = Tx { hash, slot, purpose, max_fee, priority, gas, foreign: false, statement, items };
        let bytes = Bytes(hash.0.to_vec());
        self.signed.insert(bytes.clone(), Arc::new(tx));
        SignedAttempt { tx: hash, bytes }
    }

    /// The transaction that these bytes are, if they were ever signed.
    pub fn signed(&self, bytes: &Bytes) -> Option<&Arc<Tx>> {
        self.signed.get(bytes)
    }

    /// A block at `now`, of what the pool holds that pays enough. Nothing while the chain is stalled.
    pub fn mine(&mut self, now: u64) {
        self.now = now;
        if self.customs.stalled {
            return;
        }
        let index = self.blocks.len();
        let before = self.contract();
        let mut contract: Option<Contract> = None;
        let (mut mined, mut facts, mut gas) = (Vec::new(), Vec::new(), 0);
        for event in std::mem::take(&mut self.consumers) {
            facts.extend(contract.get_or_insert_with(|| (*before).clone()).consume(&event));
        }
        let mut next = before.next_slot;
        while let Some(tx) = self.pool.get(&Slot(next)).cloned() {
            let tip = tx.priority.min(tx.max_fee.saturating_sub(self.base_fee));
            let pays = tx.max_fee >= self.base_fee && tip >= self.customs.mine_priority_min;
            if !pays || gas + tx.gas > self.customs.block_gas_max {
                break;
            }
            gas += tx.gas;
            self.pool.remove(&tx.slot);
            let contract = contract.get_or_insert_with(|| (*before).clone());
            let done = self.execute(contract, tx, now);
            self.places.insert(done.tx.hash, (index, mined.len()));
            mined.push(done);
            next += 1;
        }
        let at = block(index as u64, self.salt, now);
        self.blocks.push(Block { at, mined, facts, after: contract.map_or(before, Arc::new) });
        self.finalized = self.finalized.max(index.saturating_sub(self.finality_depth));
    }

    fn execute(&self, contract: &mut Contract, tx: Arc<Tx>, now: u64) -> Mined {
        contract.next_slot += 1;
        let gas_price = tx.max_fee.min(self.base_fee + tx.priority);
        let bad = |item: &Item| self.poison.contains_key(&item.id) || self.hidden_poison.contains(&item.id);
        let done = match (tx.purpose, &tx.statement) {
            (Purpose::NoOp, _) => Some(Done::default()),
            _ if self.customs.paused => None,
            (Purpose::Root, Some(statement)) if self.attested.contains(&(statement.batch, statement.root)) => {
                contract.post(statement, gas_price)
            }
            (Purpose::Root, _) => None,
            (Purpose::Fulfill, _) if tx.items.iter().any(bad) || contract.refuses(&tx.items).is_some() => None,
            (Purpose::Fulfill, _) => Some(contract.fulfill(&tx.items, tx.hash, gas_price, now)),
        };
        let gas_used = gas_of(&tx).min(tx.gas);
        let cost = gas_price * u128::from(gas_used);
        if tx.foreign {
            contract.paid_foreign += cost;
        } else {
            contract.paid += cost;
        }
        let success = done.is_some();
        Mined { tx, success, done: done.unwrap_or_default(), gas_price, gas_used }
    }

    /// The newest `depth` blocks are undone, never final ones; their transactions return to the pool, or are lost.
    pub fn reorg(&mut self, depth: usize, keep: bool) {
        let keep_from = self.blocks.len().saturating_sub(depth).max(self.finalized + 1);
        self.cut(keep_from, keep);
    }

    /// The newest `depth` blocks are undone, final ones too.
    pub fn break_finality(&mut self, depth: usize) {
        let keep_from = self.blocks.len().saturating_sub(depth).max(1);
        self.finalized = self.finalized.min(keep_from - 1);
        self.cut(keep_from, false);
    }

    fn cut(&mut self, keep_from: usize, keep: bool) {
        self.salt = self.salt.wrapping_add(1);
        for block in self.blocks.split_off(keep_from.min(self.blocks.len())) {
            for fact in block.facts {
                self.consumers.push(fact);
            }
            for mined in block.mined {
                self.places.remove(&mined.tx.hash);
                if keep {
                    self.pool.entry(mined.tx.slot).or_insert(mined.tx);
                }
            }
        }
    }

    /// The pool forgets everything.
    pub fn evict(&mut self) {
        self.pool.clear();
    }

    /// The pool forgets what offers less than this.
    pub fn evict_below(&mut self, max_fee: u128) {
        self.pool.retain(|_, tx| tx.max_fee >= max_fee);
    }

    /// Our transactions in the pool.
    pub fn pooled(&self) -> usize {
        self.pool.len()
    }

    /// Somebody else uses our key at this slot, at any price; returns the transaction.
    pub fn foreign(&mut self, slot: u64) -> TxHash {
        let hash = TxHash(sha256(&[b"foreign", &slot.to_be_bytes()]));
        let fee = 1_000_000 * GWEI;
        let tx = Tx {
            hash,
            slot: Slot(slot),
            purpose: Purpose::NoOp,
            max_fee: fee,
            priority: fee / 2,
            gas: NOOP_GAS,
            foreign: true,
            statement: None,
            items: Vec::new(),
        };
        self.pool.insert(Slot(slot), Arc::new(tx));
        hash
    }

    /// Somebody else delivers an item of the newest block's contract by a transaction of his own key.
    pub fn deliver_foreign(&mut self, item: &Item) {
        let tx = TxHash(sha256(&[b"deliverer", &item.id.0]));
        let now = self.now;
        if let Some(last) = self.blocks.last_mut() {
            let mut contract = (*last.after).clone();
            contract.fulfill(std::slice::from_ref(item), tx, 0, now);
            last.after = Arc::new(contract);
        }
    }

    /// A consumer's transaction waits for the next block.
    pub fn consume(&mut self, event: SourceEvent) {
        self.consumers.push(event);
    }

    /// The contract after the newest block.
    pub fn contract(&self) -> Arc<Contract> {
        self.blocks.last().map(|block| block.after.clone()).unwrap_or_default()
    }

    /// How many of each settlement were delivered.
    pub fn deliveries(&self) -> BTreeMap<SettlementId, usize> {
        let mut counts = BTreeMap::new();
        for delivery in &self.contract().deliveries {
            *counts.entry(delivery.item.id).or_insert(0) += 1;
        }
        counts
    }

    /// What an account holds.
    pub fn account(&self, escrow: &EscrowId) -> Option<contract::Account> {
        self.contract().accounts.get(escrow).cloned()
    }

    /// The final blocks from height `from` on, with what consumers did in them.
    pub fn final_facts(&self, from: usize) -> impl Iterator<Item = (&BlockRef, &[SourceEvent])> {
        self.blocks.get(from..=self.finalized).unwrap_or_default().iter().map(|block| (&block.at, &block.facts[..]))
    }

    /// Hash of the block before height `of`.
    pub fn parent(&self, of: usize) -> BlockHash {
        of.checked_sub(1).and_then(|before| self.blocks.get(before)).map_or(BlockHash::ZERO, |block| block.at.hash)
    }

    /// Transactions of the chain in order: slot, purpose, hash, whether it executed.
    pub fn mined(&self) -> impl Iterator<Item = (&Tx, bool)> {
        self.blocks.iter().flat_map(|block| &block.mined).map(|mined| (&*mined.tx, mined.success))
    }

    /// Height of the newest block.
    pub fn height(&self) -> usize {
        self.blocks.len() - 1
    }

    /// Whether everything that consumers sent is in a final block.
    pub fn is_quiet(&self) -> bool {
        let open = self.blocks.get(self.finalized + 1..).unwrap_or_default();
        self.consumers.is_empty() && open.iter().all(|block| block.facts.is_empty() && block.mined.is_empty())
    }

    /// Draws a price spike or its end.
    pub fn reprice(&mut self, random: &mut Random) {
        self.base_fee = u128::from(random.between(5, 40)) * GWEI;
    }
}

/// Gas that a transaction uses.
fn gas_of(tx: &Tx) -> u64 {
    match (tx.purpose, &tx.statement) {
        (Purpose::NoOp, _) => NOOP_GAS,
        (Purpose::Root, statement) => root_gas(statement.as_ref().map_or(0, |statement| statement.leaves)),
        (Purpose::Fulfill, _) => TRANSACTION_GAS + tx.items.iter().map(Item::gas).sum::<u64>(),
    }
}

/// A block of the chain, or of another one when the salt differs.
fn block(number: u64, salt: u8, now: u64) -> BlockRef {
    let mut hash = [salt; 32];
    for (to, from) in hash.iter_mut().zip(number.to_be_bytes()) {
        *to = from;
    }
    BlockRef { chain: chain_id(), number: BlockNumber(number), hash: BlockHash(hash), timestamp: Timestamp(now) }
}

/// An item as the contract sees it; nothing when its leaf doesn't cover its execution, which no adapter encodes.
pub fn item(item: &FulfillItem) -> Option<Item> {
    let intent = &item.intent;
    let bit: Bit = item.leaf.bit_of(intent.execution)?;
    Some(Item {
        id: intent.settlement_id,
        assignment: intent.assignment_id,
        execution: intent.execution,
        escrow: item.leaf.escrow_id,
        batch: item.batch,
        proven: process_proof(&item.leaf.hash(), &item.proof),
        bit,
        share_bit: item.leaf.share_bit()?,
        not_after: item.leaf.not_after.0,
        payload: intent.payload.clone(),
        signature: intent.signature.clone(),
        signer: item.leaf.signer_key,
    })
}
