//! What befalls the n-th request of a method: a function of the seed, the method and n.

use super::fault::Fault;
use super::plan::FaultPlan;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sha3::{Digest, Keccak256};

/// One request's share of chance.
pub(super) struct Draw(StdRng);

impl Draw {
    /// Chance of the `n`-th request of `method`.
    pub(super) fn new(seed: u64, method: &str, n: u64) -> Self {
        let mut hash = Keccak256::new();
        hash.update(seed.to_be_bytes());
        hash.update(n.to_be_bytes());
        hash.update(method.as_bytes());
        Self(StdRng::from_seed(hash.finalize().into()))
    }

    /// The fault that it meets, if any. Drawn evenly from those that its method can meet.
    pub(super) fn fault(&mut self, plan: &FaultPlan, method: &str) -> Option<Fault> {
        let faults = plan.faults_of(method);
        if faults.is_empty() || self.0.random_range(0..1_000) >= u32::from(plan.faults_permille) {
            return None;
        }
        faults.get(self.below(faults.len())).copied()
    }

    /// A number below `end`; 0 when there is none.
    pub(super) fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { self.0.random_range(0..end) }
    }

    /// A time below `end` ms.
    pub(super) fn millis_below(&mut self, end: u64) -> std::time::Duration {
        std::time::Duration::from_millis(if end == 0 { 0 } else { self.0.random_range(0..end) })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn faults(plan: &FaultPlan, method: &str, requests: u64) -> Vec<Option<Fault>> {
        (0..requests).map(|n| Draw::new(plan.seed, method, n).fault(plan, method)).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_faults_and_another_seed_others() {
        let plan = FaultPlan { seed: 7, faults_permille: 300, ..FaultPlan::default() };
        let other = FaultPlan { seed: 8, ..plan.clone() };
        assert_eq!(faults(&plan, "eth_call", 200), faults(&plan, "eth_call", 200));
        assert_ne!(faults(&plan, "eth_call", 200), faults(&other, "eth_call", 200));
        assert_ne!(faults(&plan, "eth_call", 200), faults(&plan, "eth_getLogs", 200));
    }

    #[test]
    fn the_share_of_faults_is_what_was_asked_for_and_all_kinds_come() {
        let plan = FaultPlan { seed: 1, faults_permille: 100, ..FaultPlan::default() };
        let met = faults(&plan, "eth_blockNumber", 20_000);
        let share = met.iter().flatten().count();
        assert!((1_800..2_200).contains(&share), "{share} of 20000");
        for fault in Fault::ALL.into_iter().filter(|fault| *fault != Fault::OtherChain) {
            assert!(met.contains(&Some(fault)), "{fault}");
        }
        assert!(!met.contains(&Some(Fault::OtherChain)), "the head is no chain id");
    }

    #[test]
    fn without_a_share_or_a_fitting_fault_or_method_nothing_is_met() {
        let all = FaultPlan { faults_permille: 1_000, ..FaultPlan::default() };
        assert!(faults(&all, "eth_call", 50).iter().all(Option::is_some));
        for plan in [
            FaultPlan { faults_permille: 0, ..all.clone() },
            FaultPlan { faults: [Fault::StaleHead, Fault::OtherChain].into(), ..all.clone() },
            FaultPlan { methods: ["eth_chainId".to_owned()].into(), ..all.clone() },
        ] {
            assert!(faults(&plan, "eth_call", 50).iter().all(Option::is_none), "{plan:?}");
        }
    }
}
