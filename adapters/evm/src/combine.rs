//! One answer from those of several endpoints, for the two questions in which all of them are asked at once: where is a
//! transaction, and did anybody take these bytes? Pure tables (R4, R6).

use crate::vote;
use acurast_adapter_api::{Inclusion, Observation, SendOutcome};

/// What one endpoint saw of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Its word counts alone.
    pub trusted: bool,
    /// It is healthy: its head is no later than others'.
    pub healthy: bool,
    /// What it says.
    pub seen: Observation,
}

/// Where a transaction is, by what the asked of `configured` endpoints saw.
///
/// * *Included* only by the word of a trusted endpoint, or the same by a majority; several trusted that name different
///   blocks leave it unknown.
/// * Else *pending* when anybody knows of it: one that claims an inclusion that others don't see has at least the bytes.
///   Different claimed blocks without a word that counts leave it unknown.
/// * Else *not found* when a healthy endpoint said so. One that is behind can't know, one without an answer says nothing.
pub fn sightings(configured: usize, sightings: &[Sighting]) -> Observation {
    let claims: Vec<(usize, &Inclusion, bool)> = sightings
        .iter()
        .enumerate()
        .filter_map(|(index, sighting)| match &sighting.seen {
            Observation::Included(inclusion) => Some((index, inclusion, sighting.trusted)),
            Observation::NotFound | Observation::Pending | Observation::Unknown(_) => None,
        })
        .collect();
    let differ = |claims: &[(usize, &Inclusion, bool)]| claims.windows(2).any(|pair| pair[0].1 != pair[1].1);
    let trusted: Vec<_> = claims.iter().filter(|(_, _, trusted)| *trusted).copied().collect();
    if differ(&trusted) {
        return Observation::Unknown("trusted endpoints name different blocks of it".into());
    }
    if let Some((_, inclusion, _)) = trusted.first() {
        return Observation::Included((*inclusion).clone());
    }
    let keys: Vec<(usize, &Inclusion)> = claims.iter().map(|(index, inclusion, _)| (*index, *inclusion)).collect();
    let agreed = vote::decide(configured, &keys).and_then(|decision| decision.agree.first().copied());
    if let Some((_, inclusion)) = agreed.and_then(|first| keys.iter().find(|(index, _)| *index == first)) {
        return Observation::Included((*inclusion).clone());
    }
    if differ(&claims) {
        return Observation::Unknown("endpoints name different blocks of it".into());
    }
    if !claims.is_empty() || sightings.iter().any(|sighting| sighting.seen == Observation::Pending) {
        return Observation::Pending;
    }
    if sightings.iter().any(|sighting| sighting.healthy && sighting.seen == Observation::NotFound) {
        return Observation::NotFound;
    }
    let reasons: Vec<&str> = sightings
        .iter()
        .map(|sighting| match &sighting.seen {
            Observation::Unknown(reason) => reason.as_str(),
            _ => "not found by an endpoint that is behind",
        })
        .collect();
    Observation::Unknown(if reasons.is_empty() { "no endpoint can be asked".into() } else { reasons.join("; ") })
}

/// How a send to several endpoints ended.
///
/// One that took the bytes, or has them, is enough. A definite refusal counts only when all that were asked agree on it: any
/// that could not be reached, or said something else, may have passed the bytes on.
pub fn outcomes(outcomes: &[SendOutcome]) -> SendOutcome {
    for good in [SendOutcome::Accepted, SendOutcome::AlreadyKnown] {
        if outcomes.contains(&good) {
            return good;
        }
    }
    let Some(first) = outcomes.first() else {
        return SendOutcome::Indeterminate("no endpoint can be asked".into());
    };
    if outcomes.iter().all(|outcome| std::mem::discriminant(outcome) == std::mem::discriminant(first)) {
        return first.clone();
    }
    let all: Vec<String> = outcomes.iter().map(|outcome| format!("{outcome:?}")).collect();
    SendOutcome::Indeterminate(format!("endpoints differ: {}", all.join("; ")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use acurast_events::bytes::BlockHash;
    use acurast_events::caip::ChainId;
    use acurast_events::jobs::BlockRef;
    use acurast_events::units::{BlockNumber, Timestamp};
    use proptest::prelude::*;

    fn included(block: u8) -> Observation {
        let block = BlockRef { chain: ChainId::evm(1), number: BlockNumber(7), hash: BlockHash([block; 32]), timestamp: Timestamp(0) };
        Observation::Included(Inclusion { block, success: true })
    }

    fn unknown() -> Observation {
        Observation::Unknown("silent".into())
    }

    fn seen(trusted: bool, seen: Observation) -> Sighting {
        Sighting { trusted, healthy: true, seen }
    }

    fn kind(observation: &Observation) -> &'static str {
        match observation {
            Observation::NotFound => "not found",
            Observation::Pending => "pending",
            Observation::Included(_) => "included",
            Observation::Unknown(_) => "unknown",
        }
    }

    #[test]
    fn where_a_transaction_is_by_what_a_trusted_and_another_endpoint_saw() {
        use Observation::{NotFound, Pending};
        for (own, other, expected) in [
            (included(1), NotFound, included(1)),
            (included(1), included(2), included(1)),
            (included(1), unknown(), included(1)),
            (Pending, NotFound, Pending),
            (NotFound, Pending, Pending),
            (NotFound, NotFound, NotFound),
            (unknown(), NotFound, NotFound),
            (NotFound, unknown(), NotFound),
            // An untrusted claim is not believed, but somebody has the bytes.
            (NotFound, included(1), Pending),
            (unknown(), included(1), Pending),
        ] {
            assert_eq!(sightings(2, &[seen(true, own.clone()), seen(false, other.clone())]), expected, "{own:?} {other:?}");
        }
        assert_eq!(kind(&sightings(2, &[seen(true, unknown()), seen(false, unknown())])), "unknown");
        assert_eq!(kind(&sightings(2, &[])), "unknown");
        assert_eq!(kind(&sightings(2, &[seen(true, included(1)), seen(true, included(2))])), "unknown");
    }

    #[test]
    fn where_a_transaction_is_by_what_three_untrusted_endpoints_saw() {
        use Observation::{NotFound, Pending};
        let of_three = |a: Observation, b: Observation, c: Observation| sightings(3, &[seen(false, a), seen(false, b), seen(false, c)]);
        assert_eq!(of_three(included(1), NotFound, included(1)), included(1));
        assert_eq!(of_three(included(1), included(1), included(2)), included(1), "one lies about the block");
        assert_eq!(of_three(included(9), NotFound, NotFound), Pending, "one invents an inclusion");
        assert_eq!(kind(&of_three(included(1), included(2), NotFound)), "unknown");
        assert_eq!(of_three(unknown(), unknown(), NotFound), NotFound);
        assert_eq!(sightings(3, &[seen(false, included(1))]), Pending, "one of three is no majority");
    }

    #[test]
    fn an_endpoint_that_is_behind_can_not_say_that_there_is_nothing() {
        let late = Sighting { trusted: true, healthy: false, seen: Observation::NotFound };
        assert_eq!(kind(&sightings(1, std::slice::from_ref(&late))), "unknown");
        assert_eq!(kind(&sightings(2, &[late.clone(), seen(false, unknown())])), "unknown");
        assert_eq!(sightings(2, &[late, seen(false, Observation::NotFound)]), Observation::NotFound);
    }

    #[test]
    fn one_that_took_the_bytes_is_enough_and_a_refusal_has_to_be_unanimous() {
        use SendOutcome::{Accepted, AlreadyKnown, FeeTooLow, SlotTooHigh, SlotTooLow};
        let rejected = |why: &str| SendOutcome::Rejected(why.into());
        let open = || SendOutcome::Indeterminate("reset".into());
        for (all, expected) in [
            (vec![SlotTooLow, Accepted, open()], Accepted),
            (vec![AlreadyKnown, Accepted], Accepted),
            (vec![FeeTooLow, AlreadyKnown], AlreadyKnown),
            (vec![open(), AlreadyKnown], AlreadyKnown),
            (vec![SlotTooLow], SlotTooLow),
            (vec![SlotTooLow, SlotTooLow], SlotTooLow),
            (vec![rejected("in these words"), rejected("in others")], rejected("in these words")),
        ] {
            assert_eq!(outcomes(&all), expected, "{all:?}");
        }
        for all in
            [vec![], vec![SlotTooLow, open()], vec![open(), FeeTooLow], vec![SlotTooLow, SlotTooHigh], vec![rejected("no"), FeeTooLow]]
        {
            assert!(matches!(outcomes(&all), SendOutcome::Indeterminate(_)), "{all:?}");
        }
    }

    fn any_seen() -> impl Strategy<Value = Observation> {
        prop_oneof![Just(Observation::NotFound), Just(Observation::Pending), Just(unknown()), (1_u8..3).prop_map(included)]
    }

    proptest! {
        #[test]
        fn nothing_is_not_found_while_anybody_knows_it(all in proptest::collection::vec((any::<bool>(), any::<bool>(), any_seen()), 0..6)) {
            let all: Vec<_> = all.into_iter().map(|(trusted, healthy, seen)| Sighting { trusted, healthy, seen }).collect();
            if sightings(all.len(), &all) == Observation::NotFound {
                prop_assert!(all.iter().all(|one| matches!(one.seen, Observation::NotFound | Observation::Unknown(_))));
                prop_assert!(all.iter().any(|one| one.healthy && one.seen == Observation::NotFound));
            }
        }

        #[test]
        fn one_untrusted_endpoint_alone_never_makes_an_inclusion(honest in proptest::collection::vec(any_seen(), 2..5), lie in 5_u8..9) {
            let mut all: Vec<_> = honest.into_iter().map(|one| seen(false, one)).collect();
            all.push(seen(false, included(lie)));
            prop_assert_ne!(sightings(all.len(), &all), included(lie));
        }
    }
}
