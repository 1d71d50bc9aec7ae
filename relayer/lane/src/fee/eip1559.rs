//! The market of EIP-1559: a base fee that the chain sets, and a priority fee that buys a place.
//!
//! Pools replace a transaction only when *both* fields rise by their step (12.5 % at the strictest). A roll-up's data fee is
//! taken besides and no bid changes it: it counts against reservations and the signer's balance, not in the ladder.

use super::{FeeCap, FeeRules, permille};
use crate::policy::FeePolicy;
use acurast_adapter_api::FeeMarket;
use acurast_events::amount::Amount;
use acurast_events::lanes::FeeBid;
use acurast_events::units::Gas;

impl FeeRules for FeeMarket {
    fn estimate(&self, policy: &FeePolicy) -> FeeCap {
        let priority = self.priority_fee.max(policy.priority_min);
        let base = permille(self.base_fee, policy.base_fee_permille.max(1_000));
        FeeCap { max_fee: Amount(base.0.saturating_add(priority.0)), priority }
    }

    fn floor(&self) -> Amount {
        self.base_fee
    }

    fn least_replacement(&self, policy: &FeePolicy, last: &FeeBid, _work: Gas, replacement_permille_min: u32) -> FeeCap {
        let step = policy.bump_permille.max(replacement_permille_min).max(1_001);
        let raise = |value: Amount| permille(value, step).max(Amount(value.0.saturating_add(1)));
        FeeCap { max_fee: raise(last.max_fee_per_gas), priority: raise(last.max_priority_fee) }
    }

    fn data_fee(&self, bytes: u32) -> Amount {
        self.data_fee.map_or(Amount::ZERO, |fee| fee.of(bytes))
    }
}
