//! The fee policy: a pure function from market, bids so far, caps and ages to what to do (R5).
//!
//! [`decide`] knows no market. What differs between them (what a fresh bid is, what replaces an earlier one, what is never
//! mined) is behind [`FeeRules`]: [`eip1559`] for EVM chains, with and without a data fee. A market with one price (a rate
//! per virtual byte, a fee per unit of gas) uses [`FeeCap::max_fee`] alone; its absolute rules, such as BIP-125's, see the
//! amount of work of both transactions. The tests run the same properties over markets of those two shapes.
//!
//! Invariants, each a property test: bids of a slot rise from one to the next until an eviction; no bid exceeds the
//! operator's cap, the ratio to a fresh estimate, or what its items allow; whatever the market, a slot whose turn it is
//! gets a replacement or its bytes again within a bounded number of ticks.

mod eip1559;

use crate::policy::FeePolicy;
use acurast_events::amount::Amount;
use acurast_events::lanes::FeeBid;
use acurast_events::units::{Gas, Millis};

/// Highest prices per unit of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeeCap {
    /// Of the whole price.
    pub max_fee: Amount,
    /// Of the priority fee; on a market without one it equals the whole price.
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

/// What one kind of market imposes; an implementor is the market's state now.
pub trait FeeRules {
    /// What a fresh transaction offers if nothing caps it.
    fn estimate(&self, policy: &FeePolicy) -> FeeCap;
    /// Below this price nothing is mined now, whoever waits.
    fn floor(&self) -> Amount;
    /// The least that replaces `last` by a transaction of so much work, on both fields; also for a chain whose rule
    /// (`replacement_permille_min`) is laxer than the operator's. Above `last` on both fields.
    fn least_replacement(&self, policy: &FeePolicy, last: &FeeBid, work: Gas, replacement_permille_min: u32) -> FeeCap;
    /// The most that so many bytes cost besides what is bid.
    fn data_fee(&self, bytes: u32) -> Amount;
}

/// What is known of a slot when its fee is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeeQuestion<M> {
    /// The market now.
    pub market: M,
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

/// The operator's cap: absolute, and in ratio to a fresh estimate.
pub fn operator_cap(policy: &FeePolicy, market: &impl FeeRules) -> FeeCap {
    let fresh = market.estimate(policy);
    let ratio = policy.estimate_permille_max.max(1_000);
    FeeCap { max_fee: policy.max_fee_cap, priority: policy.priority_cap }
        .and(FeeCap { max_fee: permille(fresh.max_fee, ratio), priority: permille(fresh.priority, ratio) })
}

/// The first bid of a ladder, or nothing while the caps don't reach the market's floor: then it is better to wait than to
/// occupy a slot with what can't be mined.
pub fn first_bid(policy: &FeePolicy, market: &impl FeeRules, items: Option<FeeCap>, gas_limit: Gas) -> Option<FeeBid> {
    let operator = operator_cap(policy, market);
    let cap = items.map_or(operator, |items| operator.and(items));
    let bid = market.estimate(policy).and(cap);
    (bid.max_fee >= market.floor()).then(|| bid_of(bid, gas_limit))
}

/// Decides what to do with a slot.
pub fn decide<M: FeeRules>(policy: &FeePolicy, question: &FeeQuestion<M>) -> FeeDecision {
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
    let needed = question.market.least_replacement(policy, last, question.gas_limit, question.replacement_permille_min);
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
    let fresh = question.market.estimate(policy).and(cap);
    let raised = FeeCap { max_fee: needed.max_fee.max(fresh.max_fee), priority: needed.priority.max(fresh.priority) };
    FeeDecision::Replace(bid_of(raised, question.gas_limit))
}

/// The ladder begins anew: nothing of this slot is in a pool any more.
fn restart<M: FeeRules>(policy: &FeePolicy, question: &FeeQuestion<M>) -> FeeDecision {
    let bid = |items| first_bid(policy, &question.market, items, question.gas_limit);
    match bid(question.items) {
        Some(fresh) => FeeDecision::Replace(fresh),
        // The operator could afford what the items can't: others must not wait for the items.
        None if question.others_wait && question.items.is_some() && bid(None).is_some() => FeeDecision::Cancel,
        None => FeeDecision::Hold,
    }
}

/// A priority fee above the whole price is refused by nodes.
fn bid_of(price: FeeCap, gas_limit: Gas) -> FeeBid {
    FeeBid { max_fee_per_gas: price.max_fee, max_priority_fee: price.priority.min(price.max_fee), gas_limit }
}

#[cfg(test)]
mod tests;
