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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects)]
    use super::*;
    use proptest::prelude::*;

    const GWEI: u128 = 1_000_000_000;

    fn question(market: FeeMarket, last: Option<FeeBid>, items: Option<FeeCap>) -> FeeQuestion {
        FeeQuestion {
            market,
            gas_limit: Gas(100_000),
            last,
            items,
            urgent: false,
            turn: true,
            others_wait: false,
            since_attempt: Millis(u64::MAX),
            since_send: Some(Millis(u64::MAX)),
            replacement_permille_min: 1_125,
        }
    }

    fn market(base: u128, priority: u128) -> FeeMarket {
        FeeMarket { base_fee: Amount(base * GWEI), priority_fee: Amount(priority * GWEI), data_fee: None }
    }

    fn markets() -> impl Strategy<Value = FeeMarket> {
        (0u128..2_000 * GWEI, 0u128..100 * GWEI).prop_map(|(base, priority)| FeeMarket {
            base_fee: Amount(base),
            priority_fee: Amount(priority),
            data_fee: None,
        })
    }

    fn caps() -> impl Strategy<Value = Option<FeeCap>> {
        let cap = (0u128..3_000 * GWEI, 0u128..200 * GWEI);
        prop::option::of(cap.prop_map(|(max_fee, priority)| FeeCap { max_fee: Amount(max_fee), priority: Amount(priority) }))
    }

    #[test]
    fn at_its_items_cap_a_slot_waits_alone_and_makes_room_for_others() {
        let items = Some(FeeCap { max_fee: Amount(22 * GWEI), priority: Amount(2 * GWEI) });
        let policy = FeePolicy::default();
        let first = first_bid(&policy, &market(10, 2), items, Gas(100_000)).unwrap();
        let mut question = question(market(10, 2), Some(first), items);
        assert_eq!(decide(&policy, &question), FeeDecision::Rebroadcast);
        question.others_wait = true;
        assert_eq!(decide(&policy, &question), FeeDecision::Cancel);
    }

    #[test]
    fn at_the_operators_cap_the_same_bytes_are_sent_again() {
        let policy = FeePolicy { max_fee_cap: Amount(22 * GWEI), ..FeePolicy::default() };
        let first = first_bid(&policy, &market(10, 2), None, Gas(100_000)).unwrap();
        let mut question = question(market(10, 2), Some(first), None);
        question.others_wait = true;
        assert_eq!(decide(&policy, &question), FeeDecision::Rebroadcast);
        question.since_send = Some(Millis(0));
        assert_eq!(decide(&policy, &question), FeeDecision::Hold);
    }

    #[test]
    fn no_slot_is_taken_at_a_price_that_can_not_be_mined() {
        let policy = FeePolicy { max_fee_cap: Amount(9 * GWEI), ..FeePolicy::default() };
        assert_eq!(first_bid(&policy, &market(10, 2), None, Gas(1)), None);
        assert!(first_bid(&policy, &market(9, 2), None, Gas(1)).is_some());
    }

    #[test]
    fn after_an_eviction_the_ladder_starts_at_the_market() {
        let policy = FeePolicy::default();
        let FeeDecision::Replace(bid) = decide(&policy, &question(market(10, 2), None, None)) else { panic!("no bid") };
        assert_eq!((bid.max_fee_per_gas, bid.max_priority_fee), (Amount(22 * GWEI), Amount(2 * GWEI)));
    }

    proptest! {
        /// Walks a ladder through changing markets: each bid replaces the one before by the chain's rule and stays under
        /// every cap of its own moment.
        #[test]
        fn bids_rise_within_a_slot_and_never_pass_a_cap(steps in prop::collection::vec((markets(), any::<bool>(), any::<bool>()), 1..30), items in caps()) {
            let policy = FeePolicy::default();
            let mut last: Option<FeeBid> = None;
            for (market, evicted, urgent) in steps {
                let known = last.clone().filter(|_| !evicted);
                let mut question = question(market, known.clone(), items);
                question.urgent = urgent;
                if let FeeDecision::Replace(bid) = decide(&policy, &question) {
                    let cap = items.map_or(operator_cap(&policy, &market), |items| operator_cap(&policy, &market).and(items));
                    prop_assert!(cap.allows(&bid), "{bid:?} over {cap:?}");
                    prop_assert!(bid.max_priority_fee <= bid.max_fee_per_gas);
                    if let Some(before) = known {
                        prop_assert!(bid.max_fee_per_gas.0 * 1_000 >= before.max_fee_per_gas.0 * 1_125);
                        prop_assert!(bid.max_priority_fee.0 * 1_000 >= before.max_priority_fee.0 * 1_125);
                    }
                    last = Some(bid);
                }
            }
        }

        /// Whatever the market does, a slot whose turn it is never waits longer than the longer of the two intervals.
        #[test]
        fn a_slot_makes_progress_within_a_bounded_number_of_ticks(market in markets(), last in (1u128..3_000 * GWEI, 1u128..200 * GWEI), items in caps(), others in any::<bool>(), tick in 1u64..20_000) {
            let policy = FeePolicy::default();
            let fee = FeeBid { max_fee_per_gas: Amount(last.0), max_priority_fee: Amount(last.1.min(last.0)), gas_limit: Gas(1) };
            let ticks_max = policy.bump_after.0.max(policy.rebroadcast_after.0) / tick + 1;
            let progressed = (0..=ticks_max).any(|n| {
                let mut question = question(market, Some(fee.clone()), items);
                question.others_wait = others;
                question.since_attempt = Millis(n * tick);
                question.since_send = Some(Millis(n * tick));
                decide(&policy, &question) != FeeDecision::Hold
            });
            prop_assert!(progressed);
        }

        /// With room under the caps, bumping reaches any price that the market may ask for, in logarithmically many steps.
        #[test]
        fn a_ladder_reaches_the_market(start in 1u128..10, target in 10u128..200) {
            let policy = FeePolicy::default();
            let mut bid = first_bid(&policy, &market(start, 1), None, Gas(1)).unwrap();
            let mut steps = 0;
            while bid.max_fee_per_gas < estimate(&policy, &market(target, 2)).max_fee {
                match decide(&policy, &question(market(target, 2), Some(bid.clone()), None)) {
                    FeeDecision::Replace(next) => bid = next,
                    other => prop_assert!(false, "{other:?}"),
                }
                steps += 1;
                prop_assert!(steps <= 3);
            }
        }
    }
}
