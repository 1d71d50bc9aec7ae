//! The fee policy of EIP-1559 markets: a pure function from market, bids so far, caps and ages to what to do (R5).
//!
//! Invariants, each a property test: bids of a slot rise from one to the next until an eviction; no bid exceeds the
//! operator's cap, the ratio to a fresh estimate, or what its items allow; whatever the market, a slot whose turn it is
//! gets a replacement or its bytes again within a bounded number of ticks. Another kind of market gets a file of its own.

use crate::policy::FeePolicy;
use acurast_adapter_api::FeeMarket;
use acurast_events::amount::Amount;
use acurast_events::lanes::FeeBid;
use acurast_events::units::{Gas, Millis};

/// Highest prices per gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeeCap {
    /// Of the whole price.
    pub max_fee: Amount,
    /// Of the priority fee.
    pub priority: Amount,
}

impl FeeCap {
    /// The tighter of both, field by field.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { max_fee: self.max_fee.min(other.max_fee), priority: self.priority.min(other.priority) }
    }

    /// Whether a bid stays within.
    pub fn allows(&self, bid: &FeeBid) -> bool {
        bid.max_fee_per_gas <= self.max_fee && bid.max_priority_fee <= self.priority
    }
}

/// What is known of a slot when its fee is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeeQuestion {
    /// The market now.
    pub market: FeeMarket,
    /// Gas limit of the transaction.
    pub gas_limit: Gas,
    /// The highest bid that may be in a pool; nothing for a new slot, and after an eviction, when the ladder restarts.
    pub last: Option<FeeBid>,
    /// What the items allow, reservation included; nothing for a root or a no-op, which the operator alone pays for.
    pub items: Option<FeeCap>,
    /// Replace without waiting: the pool refused the last bid as too low, or something has to leave the transaction.
    pub urgent: bool,
    /// Whether every earlier slot is mined: only then does a higher bid help.
    pub turn: bool,
    /// Whether something else waits behind this slot.
    pub others_wait: bool,
    /// Age of the last bid.
    pub since_attempt: Millis,
    /// Time since its bytes were last sent; nothing when they weren't since the start.
    pub since_send: Option<Millis>,
    /// A replacement offers at least so many thousandths of the last bid: the chain's own rule.
    pub replacement_permille_min: u32,
}

/// What to do with a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeeDecision {
    /// Nothing now.
    Hold,
    /// Send the last bytes again.
    Rebroadcast,
    /// Sign anew with this bid.
    Replace(FeeBid),
    /// The items' cap binds while others wait: leave those items out, at worst all of them.
    Cancel,
}

/// `value · permille / 1000`, rounded up; saturates, and is compared with caps afterwards.
fn permille(value: Amount, permille: u32) -> Amount {
    Amount(value.0.saturating_mul(u128::from(permille)).div_ceil(1_000))
}

/// What a fresh transaction would offer if nothing capped it.
pub fn estimate(policy: &FeePolicy, market: &FeeMarket) -> FeeCap {
    let priority = market.priority_fee.max(policy.priority_min);
    let base = permille(market.base_fee, policy.base_fee_permille.max(1_000));
    FeeCap { max_fee: Amount(base.0.saturating_add(priority.0)), priority }
}

/// The operator's cap: absolute, and in ratio to a fresh estimate.
pub fn operator_cap(policy: &FeePolicy, market: &FeeMarket) -> FeeCap {
    let fresh = estimate(policy, market);
    let ratio = policy.estimate_permille_max.max(1_000);
    FeeCap { max_fee: policy.max_fee_cap, priority: policy.priority_cap }
        .and(FeeCap { max_fee: permille(fresh.max_fee, ratio), priority: permille(fresh.priority, ratio) })
}

/// The first bid of a ladder, or nothing while the caps don't reach the base fee: then it is better to wait than to
/// occupy a slot with what can't be mined.
pub fn first_bid(policy: &FeePolicy, market: &FeeMarket, items: Option<FeeCap>, gas_limit: Gas) -> Option<FeeBid> {
    let operator = operator_cap(policy, market);
    let cap = items.map_or(operator, |items| operator.and(items));
    let bid = estimate(policy, market).and(cap);
    (bid.max_fee >= market.base_fee).then(|| FeeBid {
        max_fee_per_gas: bid.max_fee,
        max_priority_fee: bid.priority.min(bid.max_fee),
        gas_limit,
    })
}

/// The least that replaces `last`, on both fields; also for a chain whose rule is laxer than the operator's.
pub fn least_replacement(policy: &FeePolicy, last: &FeeBid, replacement_permille_min: u32) -> FeeCap {
    let step = policy.bump_permille.max(replacement_permille_min).max(1_001);
    let raise = |value: Amount| permille(value, step).max(Amount(value.0.saturating_add(1)));
    FeeCap { max_fee: raise(last.max_fee_per_gas), priority: raise(last.max_priority_fee) }
}

/// Decides what to do with a slot.
pub fn decide(policy: &FeePolicy, question: &FeeQuestion) -> FeeDecision {
    let Some(last) = &question.last else {
        return restart(policy, question);
    };
    let wait = match question.since_send {
        Some(since) if since < policy.rebroadcast_after => FeeDecision::Hold,
        Some(_) | None => FeeDecision::Rebroadcast,
    };
    if !question.urgent && (!question.turn || question.since_attempt < policy.bump_after) {
        return wait;
    }
    let needed = least_replacement(policy, last, question.replacement_permille_min);
    let operator = operator_cap(policy, &question.market);
    let within = |cap: &FeeCap| needed.max_fee <= cap.max_fee && needed.priority <= cap.priority;
    if !within(&operator) {
        return wait;
    }
    let cap = match question.items {
        Some(items) if !within(&items) => return if question.others_wait { FeeDecision::Cancel } else { wait },
        Some(items) => operator.and(items),
        None => operator,
    };
    let fresh = estimate(policy, &question.market);
    let max_fee = needed.max_fee.max(fresh.max_fee.min(cap.max_fee));
    FeeDecision::Replace(FeeBid {
        max_fee_per_gas: max_fee,
        max_priority_fee: needed.priority.max(fresh.priority.min(cap.priority)).min(max_fee),
        gas_limit: question.gas_limit,
    })
}

/// The ladder begins anew: nothing of this slot is in a pool any more.
fn restart(policy: &FeePolicy, question: &FeeQuestion) -> FeeDecision {
    let bid = |items| first_bid(policy, &question.market, items, question.gas_limit);
    match bid(question.items) {
        Some(fresh) => FeeDecision::Replace(fresh),
        // The operator could afford what the items can't: others must not wait for the items.
        None if question.others_wait && question.items.is_some() && bid(None).is_some() => FeeDecision::Cancel,
        None => FeeDecision::Hold,
    }
}
