//! How a transaction's cost is split over its items: evenly, the remainder one unit each by ascending settlement id
//! (PROTOCOL §7). The parts sum exactly to the whole, always.

use acurast_events::amount::Amount;
use acurast_events::bytes::SettlementId;

/// The part of each item, in the order of `items`; empty without items.
pub fn split_evenly(total: Amount, items: &[SettlementId]) -> Vec<Amount> {
    let count = items.len() as u128;
    let (Some(each), Some(rest)) = (total.0.checked_div(count), total.0.checked_rem(count)) else {
        return Vec::new();
    };
    let mut ascending: Vec<(&SettlementId, usize)> = items.iter().zip(0..).collect();
    ascending.sort_unstable();
    let mut parts = vec![Amount(each); items.len()];
    for ((_, index), _) in ascending.iter().zip(0..rest) {
        if let Some(part) = parts.get_mut(*index) {
            // `each` is less than the total whenever there is a remainder, so this can't leave 128 bits.
            *part = Amount(part.0.saturating_add(1));
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_remainder_goes_to_the_smallest_ids_wherever_they_stand() {
        let items = [SettlementId([9; 32]), SettlementId([1; 32]), SettlementId([5; 32])];
        assert_eq!(split_evenly(Amount(11), &items), [Amount(3), Amount(4), Amount(4)]);
        assert_eq!(split_evenly(Amount(1), &items), [Amount(0), Amount(1), Amount(0)]);
        assert!(split_evenly(Amount(11), &[]).is_empty());
    }

    proptest! {
        #[test]
        fn parts_sum_to_the_whole_and_differ_by_one_at_most(total in any::<u128>(), ids in prop::collection::btree_set(any::<[u8; 32]>(), 1..40)) {
            let items: Vec<_> = ids.into_iter().map(SettlementId).collect();
            let parts = split_evenly(Amount(total), &items);
            prop_assert_eq!(Amount::checked_sum(parts.iter().copied()), Some(Amount(total)));
            let (least, most) = (parts.iter().min().unwrap(), parts.iter().max().unwrap());
            prop_assert!(most.0 - least.0 <= 1);
        }
    }
}
