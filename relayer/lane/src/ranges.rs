//! A set of numbers kept as disjoint ranges: which executions of an assignment have ended. Executions end nearly in
//! order, so millions of them need a handful of ranges.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The set; each entry is `first → last`, both included, with a gap between any two.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Whether `n` is in the set.
    pub(crate) fn contains(&self, n: u64) -> bool {
        self.0.range(..=n).next_back().is_some_and(|(_, last)| *last >= n)
    }

    /// Adds `n`.
    pub(crate) fn insert(&mut self, n: u64) {
        if self.contains(n) {
            return;
        }
        let (mut first, mut last) = (n, n);
        let before = self.0.range(..n).next_back().map(|(first, last)| (*first, *last));
        if let Some((before, _)) = before.filter(|(_, end)| end.checked_add(1) == Some(n)) {
            self.0.remove(&before);
            first = before;
        }
        if let Some(end) = n.checked_add(1).and_then(|after| self.0.remove(&after)) {
            last = end;
        }
        self.0.insert(first, last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn the_set_holds_exactly_what_was_added_in_as_few_ranges_as_possible(numbers in prop::collection::vec(0u64..40, 0..60)) {
            let mut ranges = Ranges::default();
            for n in &numbers {
                ranges.insert(*n);
            }
            let expected: BTreeSet<u64> = numbers.into_iter().collect();
            for n in 0..45 {
                prop_assert_eq!(ranges.contains(n), expected.contains(&n));
            }
            let runs = expected.iter().filter(|n| !n.checked_sub(1).is_some_and(|before| expected.contains(&before))).count();
            prop_assert_eq!(ranges.0.len(), runs);
        }
    }
}
