//! What a majority of a chain's endpoints says (R8). Pure: who said what goes in, what counts and who contradicts comes out.
//!
//! A majority is one of all *configured* endpoints, of which there must be at least three: one that is silent, behind or
//! set aside counts as if it had said nothing, never as if it had agreed.

/// Least number of endpoints whose majority counts.
pub const VOTERS_MIN: usize = 3;

/// How many of `configured` endpoints must say the same; nothing where they are too few for any majority to count.
pub fn needed(configured: usize) -> Option<usize> {
    let half = configured.checked_div(2)?;
    (configured >= VOTERS_MIN).then(|| half.saturating_add(1))
}

/// A decided vote; endpoints by their index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Those that say the same.
    pub agree: Vec<usize>,
    /// Those that say something else.
    pub contradict: Vec<usize>,
}

/// Counts answers that are equal by their key; nothing while no majority of `configured` endpoints says the same.
pub fn decide<K: PartialEq>(configured: usize, answers: &[(usize, K)]) -> Option<Decision> {
    let needed = needed(configured)?;
    answers.iter().find_map(|(_, key)| {
        let (agree, contradict): (Vec<_>, Vec<_>) = answers.iter().partition(|(_, other)| other == key);
        let indices = |answers: Vec<&(usize, K)>| answers.into_iter().map(|(index, _)| *index).collect::<Vec<_>>();
        (agree.len() >= needed).then(|| Decision { agree: indices(agree), contradict: indices(contradict) })
    })
}

/// Heights that a majority may have in common, the best first, given the newest that each endpoint named.
///
/// The best is the highest that enough of them have reached by their own word. One of those may be invented, and then the
/// others need not have it yet; so the next lower ones follow.
pub fn common_heights(configured: usize, named: &[u64]) -> Vec<u64> {
    let Some(needed) = needed(configured) else { return Vec::new() };
    let mut heights = named.to_vec();
    heights.sort_unstable_by(|a, b| b.cmp(a));
    let mut common: Vec<u64> = heights.into_iter().skip(needed.saturating_sub(1)).collect();
    common.dedup();
    common
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_majority_is_one_of_all_configured_and_of_at_least_three() {
        assert_eq!([1, 2, 3, 4, 5, 6].map(needed), [None, None, Some(2), Some(3), Some(3), Some(4)]);
        assert_eq!(decide(2, &[(0, "a"), (1, "a")]), None);
        assert_eq!(decide(3, &[(0, "a")]), None, "two say nothing");
        assert_eq!(decide(3, &[(0, "a"), (1, "b")]), None);
        assert_eq!(decide(3, &[(2, "b"), (0, "a"), (1, "b")]), Some(Decision { agree: vec![2, 1], contradict: vec![0] }));
        assert_eq!(decide(4, &[(0, "a"), (1, "a"), (2, "b"), (3, "b")]), None);
    }

    #[test]
    fn the_common_height_is_one_that_enough_endpoints_named_and_an_invented_one_is_got_past() {
        assert_eq!(common_heights(3, &[15, 15, 15]), [15]);
        assert_eq!(common_heights(3, &[14, 16, 15]), [15, 14]);
        assert_eq!(common_heights(3, &[u64::MAX, 15, 14]), [15, 14], "15 may be known to one honest endpoint only");
        assert_eq!(common_heights(3, &[0, 15, 14]), [14, 0]);
        assert_eq!(common_heights(3, &[15]), [0_u64; 0]);
        assert_eq!(common_heights(2, &[15, 15]), [0_u64; 0]);
    }

    proptest! {
        #[test]
        fn a_minority_of_liars_neither_wins_nor_prevents_the_truth(configured in 3_usize..10, first_liar in 0_usize..10, lies in proptest::collection::vec(1_u8..5, 10)) {
            let liars = (configured - 1) / 2;
            let first_liar = first_liar % configured;
            let is_liar = |index: usize| (index + configured - first_liar) % configured < liars;
            let answers: Vec<(usize, u8)> = (0..configured).map(|index| (index, if is_liar(index) { lies[index] } else { 0 })).collect();
            let decision = decide(configured, &answers).unwrap();
            prop_assert!(decision.agree.iter().all(|index| !is_liar(*index)));
            prop_assert!(decision.contradict.iter().all(|index| is_liar(*index)));
            prop_assert_eq!(decision.contradict.len(), liars);
        }
    }
}
