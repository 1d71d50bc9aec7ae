//! The operator's choices for a lane. What the chain imposes is in [`acurast_adapter_api::Capabilities`] instead.

use acurast_events::amount::Amount;
use acurast_events::units::Millis;

/// Fee choices on a market of EIP-1559's kind. Amounts are per unit of gas, in the chain's smallest unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeePolicy {
    /// A fresh bid covers this many thousandths of the base fee (2000: it survives six full blocks).
    pub base_fee_permille: u32,
    /// Least priority fee that is worth offering.
    pub priority_min: Amount,
    /// The operator's absolute cap of the price per gas.
    pub max_fee_cap: Amount,
    /// The operator's absolute cap of the priority fee.
    pub priority_cap: Amount,
    /// No bid exceeds this many thousandths of a fresh estimate, on either field.
    pub estimate_permille_max: u32,
    /// A replacement offers this many thousandths of what it replaces; the chain's own minimum binds as well.
    pub bump_permille: u32,
    /// A transaction that isn't mined after this time is replaced.
    pub bump_after: Millis,
    /// Bytes that aren't mined are sent again after this time.
    pub rebroadcast_after: Millis,
}

impl Default for FeePolicy {
    fn default() -> Self {
        Self {
            base_fee_permille: 2_000,
            priority_min: Amount(1_000_000),
            max_fee_cap: Amount(500_000_000_000),
            priority_cap: Amount(50_000_000_000),
            estimate_permille_max: 3_000,
            bump_permille: 1_200,
            bump_after: Millis(45_000),
            rebroadcast_after: Millis(30_000),
        }
    }
}

/// The operator's choices for one lane. Every bound of the lane's work is here or in the capabilities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LanePolicy {
    /// Most leaves of one root.
    pub root_leaves_max: u32,
    /// A leaf waits at most this long for others to share a root with.
    pub root_age_max: Millis,
    /// A root is planned this long before the first start of its leaves.
    pub root_lead: Millis,
    /// A root that no quorum signed for so long is given up, and its leaves are planned anew, at the newest source block
    /// that is known.
    pub unattested_max: Millis,
    /// Most outputs of one transaction; the chain's own bound binds as well.
    pub batch_items_max: u32,
    /// An output waits at most this long for others to share a transaction with.
    pub batch_age_max: Millis,
    /// Nothing is put into a new transaction that late before its `not_after`; covers the time until inclusion.
    pub expiry_margin: Millis,
    /// How often an intent may come back from a slot without its effect before it is given up.
    pub returns_max: u32,
    /// How often an item may revert in a simulation of its own before it is given up; also, how often a root's
    /// simulation may revert before it gets another number.
    pub strikes_max: u32,
    /// After so many transactions of a slot that the node will never take, the slot is filled with a no-op.
    pub rejections_max: u32,
    /// Most transactions prepared for one slot; from then on they are only sent again.
    pub attempts_max: u32,
    /// A transaction that the node does not know, so many times in a row, counts as evicted.
    pub not_found_max: u32,
    /// First pause after a failure; doubles.
    pub backoff_min: Millis,
    /// Longest pause after a failure.
    pub backoff_max: Millis,
    /// How often the chain is looked at while nothing is in flight and only start times are waited for.
    pub quiet_view_every: Millis,
    /// Most expiries written in one record.
    pub expiries_max: u32,
    /// Fees.
    pub fee: FeePolicy,
}

impl Default for LanePolicy {
    fn default() -> Self {
        Self {
            root_leaves_max: 256,
            root_age_max: Millis(30_000),
            root_lead: Millis(60_000),
            unattested_max: Millis(120_000),
            batch_items_max: 32,
            batch_age_max: Millis(1_000),
            expiry_margin: Millis(30_000),
            returns_max: 3,
            strikes_max: 4,
            rejections_max: 3,
            attempts_max: 64,
            not_found_max: 3,
            backoff_min: Millis(1_000),
            backoff_max: Millis(60_000),
            quiet_view_every: Millis(15_000),
            expiries_max: 128,
            fee: FeePolicy::default(),
        }
    }
}

impl LanePolicy {
    /// The pause after the `count`-th failure in a row (from 1): doubles from `backoff_min` to `backoff_max`.
    pub fn backoff(&self, count: u32) -> Millis {
        let factor = 1u64.checked_shl(count.saturating_sub(1)).unwrap_or(u64::MAX);
        Millis(self.backoff_min.0.saturating_mul(factor).min(self.backoff_max.0))
    }
}
