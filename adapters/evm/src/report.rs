//! What a final transaction did, read from its receipt alone: outcome, charge, root share and cost per item.
//!
//! The contract emits for every item `Settled` or `Skipped`, and `Charged` once per account. Whatever doesn't add up is an
//! error and no report: money is never guessed. Sums are exact: charges per account, and costs over all items (PROTOCOL §7).

use crate::contract::{SKIPPED_SETTLED, Settlement};
use crate::node::{Log, Receipt};
use acurast_adapter_api::FulfillItem;
use acurast_events::amount::Amount;
use acurast_events::bytes::{AssignmentId, EscrowId, EvmAddress, SettlementId};
use acurast_events::lanes::{AccountCharge, ItemFinal, ItemOutcome};
use acurast_events::units::{Batch, Execution};
use alloy::primitives::{B256, U256};
use alloy::sol_types::SolEvent;
use std::collections::BTreeMap;

/// What the receipt says of the items and accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deeds {
    /// What the signer paid.
    pub cost: Amount,
    /// Per item, in the attempt's order.
    pub items: Vec<ItemFinal>,
    /// Per account charged, in the order of the events.
    pub charges: Vec<AccountCharge>,
}

/// Why a receipt is no basis for a report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// An event of the contract that isn't one of its interface's, or holds more than 128 bits of money.
    #[error("event {index} does not decode: {reason}")]
    Event {
        /// Log index in the block.
        index: u64,
        /// Why.
        reason: String,
    },
    /// Events and items don't fit each other.
    #[error("the receipt contradicts itself: {0}")]
    Contradiction(String),
}

/// The contract's events of one transaction, by what they are about.
#[derive(Debug, Default)]
struct Events {
    settled: BTreeMap<(AssignmentId, Execution), (EscrowId, bool)>,
    skipped: BTreeMap<(AssignmentId, Execution), u8>,
    shares: BTreeMap<AssignmentId, (EscrowId, Amount)>,
    charged: Vec<(EscrowId, u64, Amount, Amount)>,
    roots: Vec<Batch>,
}

/// A log's topics in alloy's type.
pub(crate) fn topics(log: &Log) -> Vec<B256> {
    log.topics.iter().map(|topic| B256::from(topic.0)).collect()
}

/// An event of type `E`, checked strictly.
pub(crate) fn event<E: SolEvent>(log: &Log) -> Result<E, ReportError> {
    E::decode_raw_log_validate(topics(log), &log.data.0)
        .map_err(|error| ReportError::Event { index: log.log_index.0, reason: format!("{}: {error}", E::SIGNATURE) })
}

/// An amount of the contract; it can't hold more than 128 bits of wei.
pub(crate) fn amount(log: &Log, value: U256) -> Result<Amount, ReportError> {
    u128::try_from(value)
        .map(Amount)
        .map_err(|_| ReportError::Event { index: log.log_index.0, reason: format!("{value} wei exceeds 128 bits") })
}

fn contradiction<T>(reason: impl Into<String>) -> Result<T, ReportError> {
    Err(ReportError::Contradiction(reason.into()))
}

impl Events {
    fn read(logs: &[Log], settlement: &EvmAddress) -> Result<Self, ReportError> {
        let mut events = Self::default();
        // Events of targets stand between the contract's own.
        for log in logs.iter().filter(|log| log.address == *settlement) {
            events.take(log)?;
        }
        Ok(events)
    }

    fn take(&mut self, log: &Log) -> Result<(), ReportError> {
        let Some(signature) = log.topics.first().map(|topic| topic.0) else {
            return Ok(());
        };
        if signature == Settlement::Settled::SIGNATURE_HASH.0 {
            let settled: Settlement::Settled = event(log)?;
            let key = (AssignmentId(settled.assignmentId.0), Execution(settled.execution));
            if self.settled.insert(key, (EscrowId(settled.escrowId.0), settled.success)).is_some() {
                return contradiction(format!("execution {} of {} settled twice", key.1, key.0));
            }
        } else if signature == Settlement::Skipped::SIGNATURE_HASH.0 {
            let skipped: Settlement::Skipped = event(log)?;
            self.skipped.insert((AssignmentId(skipped.assignmentId.0), Execution(skipped.execution)), skipped.reason);
        } else if signature == Settlement::RootShareCharged::SIGNATURE_HASH.0 {
            let share: Settlement::RootShareCharged = event(log)?;
            let assignment = AssignmentId(share.assignmentId.0);
            let value = (EscrowId(share.escrowId.0), amount(log, share.amount)?);
            if self.shares.insert(assignment, value).is_some() {
                return contradiction(format!("two root shares of {assignment}"));
            }
        } else if signature == Settlement::Charged::SIGNATURE_HASH.0 {
            let charged: Settlement::Charged = event(log)?;
            let items = u64::try_from(charged.items)
                .map_err(|_| ReportError::Event { index: log.log_index.0, reason: format!("{} items", charged.items) })?;
            self.charged.push((EscrowId(charged.escrowId.0), items, amount(log, charged.itemsAmount)?, amount(log, charged.rootShares)?));
        } else if signature == Settlement::RootPosted::SIGNATURE_HASH.0 {
            let posted: Settlement::RootPosted = event(log)?;
            self.roots.push(Batch(posted.batch));
        }
        Ok(())
    }
}

/// `total` split evenly over settlements: equal parts, and one unit more for the first by settlement id (PROTOCOL §7).
///
/// The parts sum exactly to `total`. Nothing when there is nobody to split over.
pub fn split(total: Amount, over: &[SettlementId]) -> Option<BTreeMap<SettlementId, Amount>> {
    let count = u128::try_from(over.len()).ok()?;
    let each = total.0.checked_div(count)?;
    let mut remainder = total.0.checked_rem(count)?;
    let mut sorted = over.to_vec();
    sorted.sort_unstable();
    sorted
        .into_iter()
        .map(|id| {
            let extra = u128::from(remainder > 0);
            remainder = remainder.saturating_sub(1);
            Some((id, Amount(each.checked_add(extra)?)))
        })
        .collect()
}

/// Reads what a transaction did for `items` (in their order) or for the posting of `root`.
///
/// # Errors
/// When the receipt's events don't decode or don't fit the items; then nothing of it may be booked.
pub fn read(receipt: &Receipt, settlement: &EvmAddress, items: &[FulfillItem], root: Option<Batch>) -> Result<Deeds, ReportError> {
    let Some(cost) = receipt.effective_gas_price.amount().checked_mul(receipt.gas_used.0.into()) else {
        return contradiction(format!("{} gas at {} wei exceeds 128 bits", receipt.gas_used.0, receipt.effective_gas_price.0));
    };
    let ids: Vec<SettlementId> = items.iter().map(|item| item.intent.settlement_id).collect();
    let costs = split(cost, &ids).unwrap_or_default();
    if costs.len() != items.len() {
        return contradiction("an item twice in one attempt");
    }
    if receipt.status.0 == 0 {
        if !receipt.logs.is_empty() {
            return contradiction("a reverted transaction with events");
        }
        let items = items.iter().map(|item| ItemFinal { cost: cost_of(&costs, item), ..without_effect(item) }).collect();
        return Ok(Deeds { cost, items, charges: Vec::new() });
    }
    let events = Events::read(&receipt.logs, settlement)?;
    if let Some(batch) = root
        && !events.roots.contains(&batch)
    {
        return contradiction(format!("it executed and did not post root {batch}"));
    }
    let charges = charges(&events)?;
    let mut parts = charge_parts(&events, items)?;
    let mut shares = events.shares.clone();
    let mut finals = Vec::with_capacity(items.len());
    for item in items {
        let key = (item.intent.assignment_id, item.intent.execution);
        let mut last = ItemFinal { cost: cost_of(&costs, item), ..without_effect(item) };
        match (events.settled.get(&key), events.skipped.get(&key)) {
            (Some((_, success)), None) => {
                last.outcome = if *success { ItemOutcome::Settled } else { ItemOutcome::SettledFailed };
                last.charge = parts.remove(&item.intent.settlement_id).unwrap_or_default();
                // The contract takes the share with the first delivered item of the leaf.
                last.root_share = shares.remove(&key.0).map(|(_, share)| share).unwrap_or_default();
            }
            (None, Some(reason)) => {
                last.outcome = if *reason == SKIPPED_SETTLED { ItemOutcome::AlreadySettled } else { ItemOutcome::Skipped };
                last.skip_reason = Some((*reason).into());
            }
            (Some(_), Some(_)) => return contradiction(format!("execution {} of {} settled and skipped", key.1, key.0)),
            (None, None) => return contradiction(format!("execution {} of {} neither settled nor skipped", key.1, key.0)),
        }
        finals.push(last);
    }
    if let Some((assignment, _)) = shares.pop_first() {
        return contradiction(format!("a root share of {assignment}, which the attempt did not deliver"));
    }
    Ok(Deeds { cost, items: finals, charges })
}

fn cost_of(costs: &BTreeMap<SettlementId, Amount>, item: &FulfillItem) -> Amount {
    costs.get(&item.intent.settlement_id).copied().unwrap_or_default()
}

fn without_effect(item: &FulfillItem) -> ItemFinal {
    ItemFinal {
        settlement_id: item.intent.settlement_id,
        outcome: ItemOutcome::NoEffect,
        charge: Amount::ZERO,
        root_share: Amount::ZERO,
        cost: Amount::ZERO,
        skip_reason: None,
        batch: item.batch,
    }
}

/// The accounts' charges; their root shares are the sum of the leaves' or the receipt is none.
fn charges(events: &Events) -> Result<Vec<AccountCharge>, ReportError> {
    let mut charges: Vec<AccountCharge> = Vec::with_capacity(events.charged.len());
    for (escrow_id, _, items, root_shares) in &events.charged {
        let of_leaves = events.shares.values().filter(|(escrow, _)| escrow == escrow_id).map(|(_, share)| *share);
        if Amount::checked_sum(of_leaves) != Some(*root_shares) {
            return contradiction(format!("root shares of {escrow_id} don't sum to {root_shares}"));
        }
        if charges.iter().any(|charge| charge.escrow_id == *escrow_id) {
            return contradiction(format!("{escrow_id} charged twice"));
        }
        charges.push(AccountCharge { escrow_id: *escrow_id, items: *items, root_shares: *root_shares });
    }
    if let Some((escrow, _)) = events.shares.values().find(|(escrow, _)| !charges.iter().any(|charge| charge.escrow_id == *escrow)) {
        return contradiction(format!("a root share of {escrow}, which was not charged"));
    }
    Ok(charges)
}

/// Each settled item's part of what its account was charged for items.
fn charge_parts(events: &Events, items: &[FulfillItem]) -> Result<BTreeMap<SettlementId, Amount>, ReportError> {
    let mut parts = BTreeMap::new();
    let mut delivered = 0_usize;
    for (escrow_id, count, amount, _) in &events.charged {
        let ids: Vec<SettlementId> = items
            .iter()
            .filter(|item| {
                let settled = events.settled.get(&(item.intent.assignment_id, item.intent.execution));
                settled.is_some_and(|(escrow, _)| escrow == escrow_id)
            })
            .map(|item| item.intent.settlement_id)
            .collect();
        if u64::try_from(ids.len()) != Ok(*count) {
            return contradiction(format!("{escrow_id} charged for {count} items, {} of them ours", ids.len()));
        }
        delivered = delivered.saturating_add(ids.len());
        parts.extend(split(*amount, &ids).unwrap_or_default());
    }
    if delivered == events.settled.len() { Ok(parts) } else { contradiction("an item was settled and its account not charged") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use crate::quantity::{Quantity, Quantity64};
    use acurast_events::bytes::{BlockHash, Bytes, SignerKey, TxHash};
    use acurast_events::ids::fulfillment_settlement_id;
    use acurast_events::jobs::FulfillmentPlanned;
    use acurast_events::leaves::{AssignmentLeaf, JobNumber, KeyType};
    use acurast_events::source::EscrowCaps;
    use acurast_events::units::{Bit, Count, Gas, Timestamp};
    use proptest::prelude::*;

    const CONTRACT: EvmAddress = EvmAddress([0x42; 20]);

    fn item(assignment: u8, execution: u64, escrow: u8) -> FulfillItem {
        let (assignment_id, escrow_id, execution) = (AssignmentId([assignment; 32]), EscrowId([escrow; 32]), Execution(execution));
        let intent = FulfillmentPlanned {
            settlement_id: fulfillment_settlement_id(&assignment_id, execution),
            lane: "eip155:31337:0x01".parse().unwrap(),
            assignment_id,
            execution,
            payload: Bytes(vec![1]),
            signature: Bytes(vec![2]),
            escrow_id,
            caps: EscrowCaps {
                max_fee_per_gas: Amount(1),
                max_priority_fee: Amount(1),
                call_gas_limit: Gas(1),
                max_payload: 1,
                max_charge: Amount(1),
                modes: 1,
            },
            not_after: Timestamp(1),
            reserved: Amount(1),
            requeued: 0,
        };
        let leaf = AssignmentLeaf {
            assignment_id,
            escrow_id,
            job_number: JobNumber(1),
            key_type: KeyType::Secp256k1,
            signer_key: SignerKey([1; 32]),
            first_execution: Execution(0),
            executions: Count(10),
            not_after: Timestamp(1),
            bit: Bit(0),
        };
        FulfillItem { intent, batch: Batch(7), leaf, proof: Vec::new() }
    }

    fn log(event: &impl SolEvent) -> Log {
        let data = event.encode_log_data();
        Log {
            address: CONTRACT,
            topics: data.topics().iter().map(|topic| BlockHash(topic.0)).collect(),
            data: Bytes(data.data.to_vec()),
            block_number: Quantity64(1),
            block_hash: BlockHash([1; 32]),
            transaction_hash: TxHash([2; 32]),
            transaction_index: Quantity64(0),
            log_index: Quantity64(0),
            removed: false,
        }
    }

    fn receipt(status: u64, logs: Vec<Log>) -> Receipt {
        Receipt {
            transaction_hash: TxHash([2; 32]),
            block_number: Quantity64(1),
            block_hash: BlockHash([1; 32]),
            from: EvmAddress([3; 20]),
            to: Some(CONTRACT),
            status: Quantity64(status),
            gas_used: Quantity64(100_001),
            effective_gas_price: Quantity(7),
            logs,
        }
    }

    fn settled(item: &FulfillItem, success: bool) -> Log {
        log(&Settlement::Settled {
            assignmentId: B256::from(item.intent.assignment_id.0),
            escrowId: B256::from(item.intent.escrow_id.0),
            execution: item.intent.execution.0,
            success,
            payloadHash: B256::ZERO,
        })
    }

    fn skipped(item: &FulfillItem, reason: u8) -> Log {
        log(&Settlement::Skipped { assignmentId: B256::from(item.intent.assignment_id.0), execution: item.intent.execution.0, reason })
    }

    fn share(item: &FulfillItem, amount: u64) -> Log {
        log(&Settlement::RootShareCharged {
            assignmentId: B256::from(item.intent.assignment_id.0),
            escrowId: B256::from(item.intent.escrow_id.0),
            amount: U256::from(amount),
        })
    }

    fn charged(item: &FulfillItem, items: u64, amount: u64, shares: u64) -> Log {
        log(&Settlement::Charged {
            escrowId: B256::from(item.intent.escrow_id.0),
            items: U256::from(items),
            itemsAmount: U256::from(amount),
            rootShares: U256::from(shares),
        })
    }

    #[test]
    fn charges_shares_and_costs_fall_on_the_items_and_sum_exactly() {
        let items = [item(1, 0, 9), item(1, 1, 9), item(2, 0, 9), item(3, 0, 8)];
        let logs = vec![
            share(&items[0], 50),
            skipped(&items[1], 0),
            skipped(&items[3], 3),
            settled(&items[0], true),
            settled(&items[2], false),
            charged(&items[0], 2, 101, 50),
        ];
        let deeds = read(&receipt(1, logs), &CONTRACT, &items, None).unwrap();
        let outcomes: Vec<_> = deeds.items.iter().map(|item| item.outcome).collect();
        use ItemOutcome::{AlreadySettled, Settled, SettledFailed, Skipped};
        assert_eq!(outcomes, [Settled, AlreadySettled, SettledFailed, Skipped]);
        assert_eq!(deeds.items[3].skip_reason, Some(3));
        assert_eq!(deeds.items[0].root_share, Amount(50));
        assert_eq!(deeds.items.iter().map(|item| item.root_share.0).sum::<u128>(), 50);
        assert_eq!(deeds.items.iter().map(|item| item.charge.0).sum::<u128>(), 101);
        assert_eq!(deeds.items.iter().map(|item| item.cost.0).sum::<u128>(), 700_007);
        assert_eq!(deeds.cost, Amount(700_007));
        assert_eq!(deeds.charges, [AccountCharge { escrow_id: EscrowId([9; 32]), items: Amount(101), root_shares: Amount(50) }]);
        // One unit more for the smaller settlement id.
        let (first, second) = (&deeds.items[0], &deeds.items[2]);
        let more = if first.settlement_id < second.settlement_id { first } else { second };
        assert_eq!(more.charge, Amount(51));
    }

    #[test]
    fn a_reverted_transaction_has_no_effects_and_its_cost_is_split_all_the_same() {
        let items = [item(1, 0, 9), item(2, 0, 9)];
        let deeds = read(&receipt(0, Vec::new()), &CONTRACT, &items, None).unwrap();
        assert!(deeds.items.iter().all(|item| item.outcome == ItemOutcome::NoEffect && item.charge == Amount::ZERO));
        assert_eq!(deeds.items.iter().map(|item| item.cost.0).sum::<u128>(), 700_007);
    }

    #[test]
    fn events_of_targets_are_not_the_contracts() {
        let items = [item(1, 0, 9)];
        let mut foreign = settled(&items[0], true);
        foreign.address = EvmAddress([0x66; 20]);
        let error = read(&receipt(1, vec![foreign]), &CONTRACT, &items, None).unwrap_err();
        assert!(error.to_string().contains("neither settled nor skipped"), "{error}");
    }

    #[test]
    fn whatever_does_not_add_up_is_no_report() {
        let items = [item(1, 0, 9), item(2, 0, 9)];
        let (a, b) = (&items[0], &items[1]);
        let both = || vec![settled(a, true), settled(b, true)];
        let cases: Vec<(&str, Vec<Log>)> = vec![
            ("not charged", both()),
            ("charged for 1 items", [both(), vec![charged(a, 1, 10, 0)]].concat()),
            ("charged for 3 items", [both(), vec![charged(a, 3, 10, 0)]].concat()),
            ("charged twice", [both(), vec![charged(a, 2, 10, 0), charged(a, 2, 10, 0)]].concat()),
            ("don't sum", [both(), vec![charged(a, 2, 10, 1)]].concat()),
            ("don't sum", [both(), vec![share(a, 2), charged(a, 2, 10, 1)]].concat()),
            ("two root shares", [both(), vec![share(a, 2), share(a, 2), charged(a, 2, 10, 4)]].concat()),
            ("settled twice", vec![settled(a, true), settled(a, true)]),
            ("settled and skipped", [both(), vec![skipped(a, 0), charged(a, 2, 10, 0)]].concat()),
            ("neither settled nor skipped", vec![settled(a, true), charged(a, 1, 10, 0)]),
            ("did not deliver", vec![skipped(a, 1), skipped(b, 1), share(a, 1), charged(a, 0, 0, 1)]),
        ];
        for (reason, logs) in cases {
            let error = read(&receipt(1, logs), &CONTRACT, &items, None).unwrap_err().to_string();
            assert!(error.contains(reason), "expected {reason:?}, got {error:?}");
        }
        let error = read(&receipt(1, Vec::new()), &CONTRACT, &[], Some(Batch(7))).unwrap_err().to_string();
        assert!(error.contains("did not post root 7"), "{error}");
        let error = read(&receipt(0, both()), &CONTRACT, &items, None).unwrap_err().to_string();
        assert!(error.contains("reverted transaction with events"), "{error}");
    }

    #[test]
    fn money_beyond_128_bits_and_malformed_events_are_refused() {
        let items = [item(1, 0, 9)];
        let rich = log(&Settlement::Charged {
            escrowId: B256::from(items[0].intent.escrow_id.0),
            items: U256::from(1),
            itemsAmount: U256::MAX,
            rootShares: U256::ZERO,
        });
        let error = read(&receipt(1, vec![settled(&items[0], true), rich]), &CONTRACT, &items, None).unwrap_err().to_string();
        assert!(error.contains("exceeds 128 bits"), "{error}");
        let mut cut = settled(&items[0], true);
        cut.data.0.truncate(40);
        let error = read(&receipt(1, vec![cut]), &CONTRACT, &items, None).unwrap_err().to_string();
        assert!(error.contains("does not decode"), "{error}");
        let expensive = Receipt { effective_gas_price: Quantity(u128::MAX), ..receipt(1, Vec::new()) };
        assert!(read(&expensive, &CONTRACT, &[], None).is_err());
    }

    proptest! {
        #[test]
        fn parts_sum_to_the_whole_and_differ_by_one_unit(total: u128, count in 1_u8..60) {
            let ids: Vec<_> = (0..count).map(|n| SettlementId([n; 32])).rev().collect();
            let parts = split(Amount(total), &ids).unwrap();
            prop_assert_eq!(Amount::checked_sum(parts.values().copied()), Some(Amount(total)));
            let values: Vec<u128> = parts.values().map(|part| part.0).collect();
            prop_assert!(values.windows(2).all(|pair| pair[0] >= pair[1]), "ascending ids get the remainder first");
            prop_assert!(values[0] - values[values.len() - 1] <= 1);
        }
    }
}
