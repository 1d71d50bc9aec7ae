//! What an operator configures and settle decides by: which chains are served, by which lanes, and for whom.
//!
//! A policy is an argument of every decision and of no fold: events carry what was chosen, so a changed configuration
//! never changes what an old journal folds to.

use acurast_adapter_api::DestinationRules;
use acurast_events::amount::Amount;
use acurast_events::bytes::{Bytes, EscrowId, Genesis, OwnerKey};
use acurast_events::caip::{AccountId, AssetId, ChainId};
use acurast_events::jobs::Mode;
use acurast_events::source::EscrowCaps;
use acurast_events::units::{Gas, Millis};
use std::collections::BTreeMap;

/// Where jobs of one origin settle: their own chain (PROTOCOL §2, rule 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginRoute {
    /// The origin's chain.
    pub chain: ChainId,
    /// The settlement contract there.
    pub settlement: Bytes,
}

/// Where the jobs of one owner settle by the operator's word (PROTOCOL §2, rule 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorRoute {
    /// The owner.
    pub owner: OwnerKey,
    /// Only jobs with exactly this script; absent: all of his. A route with a script goes before one without.
    pub script: Option<Bytes>,
    /// The destination's chain.
    pub chain: ChainId,
    /// The settlement contract.
    pub settlement: Bytes,
    /// The target.
    pub target: Bytes,
    /// The account that pays.
    pub escrow_id: EscrowId,
    /// What is done with outputs.
    pub mode: Mode,
    /// How long after the last window delivery may happen; absent: the policy's.
    pub deadline: Option<Millis>,
}

/// One settlement contract that this relayer serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettlementPolicy {
    /// Its chain.
    pub chain: ChainId,
    /// The contract.
    pub settlement: Bytes,
    /// What its accounts hold.
    pub asset: AssetId,
    /// The lanes that post to it; an account is bound to one of them.
    pub lanes: Vec<AccountId>,
    /// Most gas that one leaf can be charged as its share of a root: the posting of a root with that leaf alone.
    pub root_share_gas: Gas,
    /// How many attesters the contract asks for.
    pub attesters_needed: u32,
    /// Of how many.
    pub attesters: u32,
}

impl SettlementPolicy {
    /// The lane that serves an account: always the same one while the list stands, because a fulfilment uses its root's lane (R3).
    pub fn lane_of(&self, account: &EscrowId) -> Option<&AccountId> {
        let (head, _) = account.0.split_first_chunk::<8>()?;
        let count = u64::try_from(self.lanes.len()).ok()?;
        let place = u64::from_be_bytes(*head).checked_rem(count)?;
        self.lanes.get(usize::try_from(place).ok()?)
    }

    /// What a leaf's share of a root can cost an account at most, in the asset's smallest unit; nothing past 128 bits.
    pub fn share_reserve(&self, caps: &EscrowCaps) -> Option<Amount> {
        caps.max_fee_per_gas.checked_mul(u128::from(self.root_share_gas.0))
    }
}

/// What an operator configures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Genesis hash of the Acurast chain.
    pub genesis: Genesis,
    /// The Acurast chain, whose seals are the clock of job windows.
    pub acurast: ChainId,
    /// By the origin's name in a job's text form, such as `ethereum20`.
    pub origin_routes: BTreeMap<String, OriginRoute>,
    /// In order; the first that fits wins among those of one precision.
    pub operator_routes: Vec<OperatorRoute>,
    /// The settlement contracts served.
    pub settlements: Vec<SettlementPolicy>,
    /// How long after the last window delivery may happen, where the destination doesn't say (24 h by protocol).
    pub deadline: Millis,
    /// Longest output that is taken, bytes; an account's own cap may be lower.
    pub payload_bytes_max: u32,
}

impl Policy {
    /// The contract's policy, if this relayer serves it.
    pub fn settlement(&self, chain: &ChainId, settlement: &Bytes) -> Option<&SettlementPolicy> {
        self.settlements.iter().find(|served| served.chain == *chain && served.settlement == *settlement)
    }
}

/// The pure side of every destination that this relayer serves, by chain.
pub trait Rules {
    /// The rules of a chain; nothing when it is not served.
    fn destination(&self, chain: &ChainId) -> Option<&dyn DestinationRules>;
}
