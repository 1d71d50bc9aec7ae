//! The settlement contract of the fake chain, as PROTOCOL §4, §6 and §7 have it: roots by quorum, one bitmap for all that is
//! settled, accounts that are charged what was measured. It shares no code with the relayer but hashes and ids.
//!
//! It settles by *bits*, as the real one does: two bits for one execution would deliver it twice, and it would not notice.

use crate::assignments::verifies;
use acurast_events::amount::Amount;
use acurast_events::bytes::{AssignmentId, Bytes, EscrowId, MerkleNode, SettlementId, SignerKey, TxHash};
use acurast_events::eip712::RootStatement;
use acurast_events::lanes::{AccountCharge, ItemFinal, ItemOutcome};
use acurast_events::source::SourceEvent;
use acurast_events::units::{Batch, Bit, Execution};
use std::collections::{BTreeMap, BTreeSet};

/// Gas of a transaction besides its items.
pub const TRANSACTION_GAS: u64 = 50_000;
/// Gas of an item besides its payload.
pub const ITEM_GAS: u64 = 60_000;
/// Gas of posting a root besides its leaves.
pub const ROOT_GAS: u64 = 100_000;
/// Gas of a no-op.
pub const NOOP_GAS: u64 = 21_000;

/// Why the contract passes an item over.
const TOO_LATE: u32 = 1;
const NO_MONEY: u32 = 2;

/// An output within a transaction, with all that the contract checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its settlement.
    pub id: SettlementId,
    /// The assignment.
    pub assignment: AssignmentId,
    /// The execution.
    pub execution: Execution,
    /// The account that pays.
    pub escrow: EscrowId,
    /// The root that its proof is for.
    pub batch: Batch,
    /// Where leaf and proof lead.
    pub proven: MerkleNode,
    /// Its bit.
    pub bit: Bit,
    /// The bit of its leaf's root share.
    pub share_bit: Bit,
    /// Nothing is delivered after this time, ms.
    pub not_after: u64,
    /// What the target gets.
    pub payload: Bytes,
    /// The processor's signature.
    pub signature: Bytes,
    /// The key that the leaf names.
    pub signer: SignerKey,
}

impl Item {
    /// Gas that delivering it takes.
    pub fn gas(&self) -> u64 {
        ITEM_GAS + 16 * self.payload.0.len() as u64
    }
}

/// What was delivered to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// What, with proof and signature.
    pub item: Item,
    /// By which transaction.
    pub tx: TxHash,
}

/// A posted root.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Posted {
    root: MerkleNode,
    /// A leaf's share of what posting it cost, before its account's cap.
    share_gas: u64,
    price: u128,
}

/// An escrow account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// What it holds.
    pub balance: u128,
    /// What ever came in.
    pub locked: u128,
    /// What was charged.
    pub charged: u128,
    /// What went back.
    pub refunded: u128,
    /// Highest price per gas that it is charged.
    pub max_fee: u128,
    /// Highest charge per execution.
    pub max_charge: u128,
}

/// The contract, and what the chain knows of the lane's key.
#[derive(Debug, Clone, Default)]
pub struct Contract {
    /// The key's next slot.
    pub next_slot: u64,
    /// What the key's own transactions cost.
    pub paid: u128,
    /// What the key's foreign transactions cost.
    pub paid_foreign: u128,
    /// Everything that was delivered, in order.
    pub deliveries: Vec<Delivery>,
    /// Accounts.
    pub accounts: BTreeMap<EscrowId, Account>,
    /// Times that an item was carried although it was settled.
    pub resent: u64,
    roots: BTreeMap<Batch, Posted>,
    bits: BTreeSet<u64>,
}

/// What a call did.
#[derive(Debug, Clone, Default)]
pub struct Done {
    /// Per item, in order.
    pub items: Vec<ItemFinal>,
    /// Per account.
    pub charges: Vec<AccountCharge>,
}

impl Contract {
    /// Posts a root; nothing: it reverts.
    pub fn post(&mut self, statement: &RootStatement, price: u128) -> Option<Done> {
        let leaves = u64::from(statement.leaves).max(1);
        match self.roots.get(&statement.batch) {
            Some(posted) if posted.root == statement.root => {}
            Some(_) => return None,
            None => {
                let share_gas = root_gas(statement.leaves) / leaves;
                self.roots.insert(statement.batch, Posted { root: statement.root, share_gas, price });
            }
        }
        Some(Done::default())
    }

    /// The root that stands under a number.
    pub fn root(&self, batch: Batch) -> Option<MerkleNode> {
        self.roots.get(&batch).map(|posted| posted.root)
    }

    /// How many roots were posted.
    pub fn roots(&self) -> usize {
        self.roots.len()
    }

    /// Whether a bit is set.
    pub fn is_settled(&self, bit: Bit) -> bool {
        self.bits.contains(&bit.0)
    }

    /// The first item that makes a whole call revert, with the reason.
    pub fn refuses(&self, items: &[Item]) -> Option<(usize, &'static str)> {
        items.iter().enumerate().find_map(|(index, item)| {
            let known = self.roots.get(&item.batch).is_some_and(|posted| posted.root == item.proven);
            let signed = || verifies(&item.signer, &item.assignment, item.execution, &item.payload, &item.signature);
            match (known, known && signed()) {
                (false, _) => Some((index, "unknown root")),
                (true, false) => Some((index, "bad signature")),
                (true, true) => None,
            }
        })
    }

    /// Delivers what isn't settled, and charges for it; the caller has seen that nothing reverts.
    pub fn fulfill(&mut self, items: &[Item], tx: TxHash, price: u128, now: u64) -> Done {
        let mut done = Done::default();
        for item in items {
            let (outcome, skip_reason, charge, root_share) = self.fulfill_one(item, tx, price, now);
            if charge + root_share > 0 {
                let (charge, root_share) = (Amount(charge), Amount(root_share));
                match done.charges.iter_mut().find(|known| known.escrow_id == item.escrow) {
                    Some(known) => {
                        known.items = Amount(known.items.0 + charge.0);
                        known.root_shares = Amount(known.root_shares.0 + root_share.0);
                    }
                    None => done.charges.push(AccountCharge { escrow_id: item.escrow, items: charge, root_shares: root_share }),
                }
            }
            done.items.push(ItemFinal {
                settlement_id: item.id,
                outcome,
                charge: Amount(charge),
                root_share: Amount(root_share),
                // The lane splits the cost itself.
                cost: Amount::ZERO,
                skip_reason,
                batch: item.batch,
            });
        }
        done
    }

    fn fulfill_one(&mut self, item: &Item, tx: TxHash, price: u128, now: u64) -> (ItemOutcome, Option<u32>, u128, u128) {
        if self.bits.contains(&item.bit.0) {
            self.resent += 1;
            return (ItemOutcome::AlreadySettled, None, 0, 0);
        }
        if now > item.not_after {
            return (ItemOutcome::Skipped, Some(TOO_LATE), 0, 0);
        }
        let Some(account) = self.accounts.get_mut(&item.escrow) else { return (ItemOutcome::Skipped, Some(NO_MONEY), 0, 0) };
        let posted = self.roots.get(&item.batch).filter(|_| !self.bits.contains(&item.share_bit.0));
        let share = posted.map_or(0, |posted| u128::from(posted.share_gas) * posted.price.min(account.max_fee));
        let price = price.min(account.max_fee);
        // Within a hundredth of the cost, and never above it.
        let charge = (u128::from(item.gas()) * price * 995 / 1_000).min(account.max_charge);
        if account.balance < charge + share {
            return (ItemOutcome::Skipped, Some(NO_MONEY), 0, 0);
        }
        account.balance -= charge + share;
        account.charged += charge + share;
        self.bits.insert(item.bit.0);
        self.bits.insert(item.share_bit.0);
        self.deliveries.push(Delivery { item: item.clone(), tx });
        (ItemOutcome::Settled, None, charge, share)
    }

    /// What a consumer does with his account; what doesn't apply is refused without a trace.
    pub fn consume(&mut self, event: &SourceEvent) -> Option<SourceEvent> {
        match event {
            SourceEvent::EscrowOpened(opened) if !self.accounts.contains_key(&opened.escrow_id) => {
                let amount = opened.amount.0;
                let caps = &opened.caps;
                let account = Account {
                    balance: amount,
                    locked: amount,
                    max_fee: caps.max_fee_per_gas.0,
                    max_charge: caps.max_charge.0,
                    ..Account::default()
                };
                self.accounts.insert(opened.escrow_id, account);
                Some(event.clone())
            }
            SourceEvent::EscrowToppedUp(topped) => {
                let account = self.accounts.get_mut(&topped.escrow_id)?;
                account.balance += topped.amount.0;
                account.locked += topped.amount.0;
                Some(event.clone())
            }
            SourceEvent::EscrowCloseRequested(closing) => self.accounts.contains_key(&closing.escrow_id).then(|| event.clone()),
            SourceEvent::EscrowRefunded(refund) => {
                let account = self.accounts.get_mut(&refund.escrow_id).filter(|account| account.balance > 0)?;
                let amount = std::mem::take(&mut account.balance);
                account.refunded += amount;
                let mut refund = refund.clone();
                refund.amount = Amount(amount);
                Some(refund.into())
            }
            _ => None,
        }
    }
}

/// Gas of posting a root.
pub fn root_gas(leaves: u32) -> u64 {
    ROOT_GAS + 3_000 * u64::from(leaves)
}
