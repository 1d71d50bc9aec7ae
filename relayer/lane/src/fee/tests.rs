//! The policy's properties over three shapes of market, and examples on the one that EVM chains have.
#![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects)]
use super::*;
use acurast_adapter_api::{DataFee, FeeMarket};
use proptest::prelude::*;
use std::fmt::Debug;

const GWEI: u128 = 1_000_000_000;
const WORK: Gas = Gas(100_000);

/// A rate per virtual byte under BIP-125: a replacement pays the replaced fee and the relay rate for its own bytes on top.
#[derive(Debug, Clone, Copy)]
struct RateMarket {
    rate: Amount,
    relay_rate: Amount,
}

impl FeeRules for RateMarket {
    fn estimate(&self, _: &FeePolicy) -> FeeCap {
        FeeCap { max_fee: self.rate, priority: self.rate }
    }
    fn floor(&self) -> Amount {
        self.relay_rate
    }
    fn least_replacement(&self, _: &FeePolicy, last: &FeeBid, work: Gas, _: u32) -> FeeCap {
        let paid = last.max_fee_per_gas.0.saturating_mul(u128::from(last.gas_limit.0));
        let rate = Amount(paid.div_ceil(u128::from(work.0.max(1))).saturating_add(self.relay_rate.0.max(1)));
        FeeCap { max_fee: rate, priority: rate }
    }
    fn data_fee(&self, _: u32) -> Amount {
        Amount::ZERO
    }
}

/// A fee per unit of gas above a node's minimum, replaced at 5 % more: the shape of an Octez pool.
#[derive(Debug, Clone, Copy)]
struct MinimumMarket {
    minimum: Amount,
}

impl FeeRules for MinimumMarket {
    fn estimate(&self, _: &FeePolicy) -> FeeCap {
        let fee = permille(self.minimum, 1_100);
        FeeCap { max_fee: fee, priority: fee }
    }
    fn floor(&self) -> Amount {
        self.minimum
    }
    fn least_replacement(&self, _: &FeePolicy, last: &FeeBid, _: Gas, _: u32) -> FeeCap {
        let fee = permille(last.max_fee_per_gas, 1_050).max(Amount(last.max_fee_per_gas.0.saturating_add(1)));
        FeeCap { max_fee: fee, priority: fee }
    }
    fn data_fee(&self, _: u32) -> Amount {
        Amount::ZERO
    }
}

fn question<M>(market: M, last: Option<FeeBid>, items: Option<FeeCap>) -> FeeQuestion<M> {
    FeeQuestion {
        market,
        gas_limit: WORK,
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
    let data_fee = prop::option::of((0..GWEI, 0..GWEI).prop_map(|(base, byte)| DataFee { base: Amount(base), per_byte: Amount(byte) }));
    (0u128..2_000 * GWEI, 0u128..100 * GWEI, data_fee).prop_map(|(base, priority, data_fee)| FeeMarket {
        base_fee: Amount(base),
        priority_fee: Amount(priority),
        data_fee,
    })
}

fn rates() -> impl Strategy<Value = RateMarket> {
    (0u128..2_000, 0u128..10).prop_map(|(rate, relay)| RateMarket { rate: Amount(rate + relay), relay_rate: Amount(relay) })
}

fn minima() -> impl Strategy<Value = MinimumMarket> {
    (0u128..1_000_000).prop_map(|minimum| MinimumMarket { minimum: Amount(minimum) })
}

fn caps() -> impl Strategy<Value = Option<FeeCap>> {
    let cap = (0u128..3_000 * GWEI, 0u128..200 * GWEI);
    prop::option::of(cap.prop_map(|(max_fee, priority)| FeeCap { max_fee: Amount(max_fee), priority: Amount(priority) }))
}

fn flat_caps() -> impl Strategy<Value = Option<FeeCap>> {
    prop::option::of((0u128..2_000_000).prop_map(|fee| FeeCap { max_fee: Amount(fee), priority: Amount(fee) }))
}

#[test]
fn at_its_items_cap_a_slot_waits_alone_and_makes_room_for_others() {
    let items = Some(FeeCap { max_fee: Amount(22 * GWEI), priority: Amount(2 * GWEI) });
    let policy = FeePolicy::default();
    let first = first_bid(&policy, &market(10, 2), items, WORK).unwrap();
    let mut question = question(market(10, 2), Some(first), items);
    assert_eq!(decide(&policy, &question), FeeDecision::Rebroadcast);
    question.others_wait = true;
    assert_eq!(decide(&policy, &question), FeeDecision::Cancel);
}

#[test]
fn at_the_operators_cap_the_same_bytes_are_sent_again() {
    let policy = FeePolicy { max_fee_cap: Amount(22 * GWEI), ..FeePolicy::default() };
    let first = first_bid(&policy, &market(10, 2), None, WORK).unwrap();
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

#[test]
fn a_strict_pool_takes_every_step_on_both_fields() {
    let policy = FeePolicy { bump_permille: 1_000, ..FeePolicy::default() };
    let last = FeeBid { max_fee_per_gas: Amount(7), max_priority_fee: Amount(1), gas_limit: WORK };
    let least = market(0, 0).least_replacement(&policy, &last, WORK, 1_125);
    assert_eq!(least, FeeCap { max_fee: Amount(8), priority: Amount(2) }, "12.5 % more, rounded up, and never the same");
}

#[test]
fn a_data_fee_changes_no_bid_and_grows_with_the_bytes() {
    let policy = FeePolicy::default();
    let rollup = FeeMarket { data_fee: Some(DataFee { base: Amount(5), per_byte: Amount(3) }), ..market(10, 2) };
    assert_eq!(first_bid(&policy, &rollup, None, WORK), first_bid(&policy, &market(10, 2), None, WORK));
    assert_eq!((rollup.data_fee(100), market(10, 2).data_fee(100)), (Amount(305), Amount::ZERO));
}

#[test]
fn a_replacement_under_bip_125_pays_for_what_it_replaces_and_for_its_own_relay() {
    let market = RateMarket { rate: Amount(20), relay_rate: Amount(1) };
    let last = FeeBid { max_fee_per_gas: Amount(20), max_priority_fee: Amount(20), gas_limit: Gas(1_000) };
    let mut question = question(market, Some(last), None);
    question.gas_limit = Gas(500);
    let FeeDecision::Replace(bid) = decide(&FeePolicy::default(), &question) else { panic!("no bid") };
    assert!(bid.max_fee_per_gas.0 * 500 >= 20 * 1_000 + 500);
}

/// Walks a ladder through changing markets: each bid replaces the one before by the chain's rule and stays under every
/// cap of its own moment.
fn climb<M: FeeRules + Copy + Debug>(steps: Vec<(M, bool, bool)>, items: Option<FeeCap>) -> Result<(), TestCaseError> {
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
                let least = market.least_replacement(&policy, &before, WORK, 1_125);
                prop_assert!(bid.max_fee_per_gas >= least.max_fee && bid.max_priority_fee >= least.priority);
                prop_assert!(bid.max_fee_per_gas > before.max_fee_per_gas);
            }
            last = Some(bid);
        }
    }
    Ok(())
}

/// Whatever the market does, a slot whose turn it is never waits longer than the longer of the two intervals.
fn progress<M: FeeRules + Copy>(market: M, last: &FeeBid, items: Option<FeeCap>, others: bool, tick: u64) -> bool {
    let policy = FeePolicy::default();
    let ticks_max = policy.bump_after.0.max(policy.rebroadcast_after.0) / tick + 1;
    (0..=ticks_max).any(|n| {
        let mut question = question(market, Some(last.clone()), items);
        question.others_wait = others;
        question.since_attempt = Millis(n * tick);
        question.since_send = Some(Millis(n * tick));
        decide(&policy, &question) != FeeDecision::Hold
    })
}

proptest! {
    #[test]
    fn bids_rise_within_a_slot_and_never_pass_a_cap(steps in prop::collection::vec((markets(), any::<bool>(), any::<bool>()), 1..30), items in caps()) {
        climb(steps, items)?;
    }

    #[test]
    fn so_they_do_under_a_rate_per_byte(steps in prop::collection::vec((rates(), any::<bool>(), any::<bool>()), 1..30), items in flat_caps()) {
        climb(steps, items)?;
    }

    #[test]
    fn so_they_do_above_a_nodes_minimum(steps in prop::collection::vec((minima(), any::<bool>(), any::<bool>()), 1..30), items in flat_caps()) {
        climb(steps, items)?;
    }

    #[test]
    fn a_strict_pool_takes_every_replacement(last in (1u128..500 * GWEI, 1u128..50 * GWEI), market in markets()) {
        let before = FeeBid { max_fee_per_gas: Amount(last.0), max_priority_fee: Amount(last.1.min(last.0)), gas_limit: WORK };
        if let FeeDecision::Replace(bid) = decide(&FeePolicy::default(), &question(market, Some(before.clone()), None)) {
            prop_assert!(bid.max_fee_per_gas.0 * 1_000 >= before.max_fee_per_gas.0 * 1_125);
            prop_assert!(bid.max_priority_fee.0 * 1_000 >= before.max_priority_fee.0 * 1_125);
        }
    }

    #[test]
    fn a_slot_makes_progress_within_a_bounded_number_of_ticks(
        market in markets(), rate in rates(), minimum in minima(),
        last in (1u128..3_000 * GWEI, 1u128..200 * GWEI), items in caps(), others in any::<bool>(), tick in 1u64..20_000,
    ) {
        let fee = FeeBid { max_fee_per_gas: Amount(last.0), max_priority_fee: Amount(last.1.min(last.0)), gas_limit: Gas(1) };
        prop_assert!(progress(market, &fee, items, others, tick));
        prop_assert!(progress(rate, &fee, items, others, tick));
        prop_assert!(progress(minimum, &fee, items, others, tick));
    }

    /// With room under the caps, bumping reaches any price that the market may ask for, in logarithmically many steps.
    #[test]
    fn a_ladder_reaches_the_market(start in 1u128..10, target in 10u128..200) {
        let policy = FeePolicy::default();
        let mut bid = first_bid(&policy, &market(start, 1), None, Gas(1)).unwrap();
        let mut steps = 0;
        while bid.max_fee_per_gas < market(target, 2).estimate(&policy).max_fee {
            match decide(&policy, &question(market(target, 2), Some(bid.clone()), None)) {
                FeeDecision::Replace(next) => bid = next,
                other => prop_assert!(false, "{other:?}"),
            }
            steps += 1;
            prop_assert!(steps <= 3);
        }
    }
}
