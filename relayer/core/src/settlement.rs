//! One effect on a destination, a root share or an output: where it stands and what is set aside for it.
//!
//! ```text
//! Idle → Waiting(reason) ⇄ Waiting(other reason) → Planned ⇄ included → Final | Dead
//!                                                    ▲                            │
//!                                                    └── an operator's requeue ◀──┘ until its execution has its outcome
//! ```

use crate::job::AssignmentKey;
use acurast_events::amount::Amount;
use acurast_events::bytes::{SettlementId, TxHash};
use acurast_events::jobs::{BlockRef, Fault, WaitReason};
use acurast_events::units::{Batch, Execution};
use serde::{Deserialize, Serialize};

/// Place in the order in which settlements began to wait: the record that made them, and the event within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ticket(pub u64, pub u32);

/// Where a settlement stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Nothing was tried yet.
    Idle,
    /// It waits, for this reason.
    Waiting {
        /// Why.
        reason: WaitReason,
        /// Its place among those that wait.
        ticket: Ticket,
        /// What the account must have free; zero where unknown.
        needs: Amount,
    },
    /// Dispatch has it, or will pull it.
    Planned {
        /// The block that a transaction of it is in, not yet final.
        included: Option<(TxHash, BlockRef)>,
    },
    /// Its effect is final.
    Final(FinalEffect),
    /// It ended without its effect.
    Dead {
        /// Why.
        reason: String,
        /// Whose fault.
        fault: Fault,
    },
}

/// A final effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalEffect {
    /// Whether the target's call succeeded; true for a root.
    pub success: bool,
    /// The transaction, where known.
    pub tx: Option<TxHash>,
    /// Where.
    pub block: BlockRef,
    /// The root that proved it.
    pub batch: Option<Batch>,
    /// Charged for it, root share not included.
    pub charge: Amount,
    /// Root share charged with it.
    pub root_share: Amount,
    /// Its part of what the transaction cost the key.
    pub cost: Amount,
    /// Whether the root landed after the first execution's start.
    pub late_root: bool,
}

/// One effect on a destination: a root share or an output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// Its id.
    pub id: SettlementId,
    /// Where it stands.
    pub stage: Stage,
    /// Reserved for it and not yet charged or released.
    pub reserved: Amount,
    /// How often an operator had it planned anew after its lane had given it up.
    pub requeued: u32,
}

impl Settlement {
    pub(crate) fn new(id: SettlementId) -> Self {
        Self { id, stage: Stage::Idle, reserved: Amount::ZERO, requeued: 0 }
    }

    /// Whether a lane has it.
    pub fn is_planned(&self) -> bool {
        matches!(self.stage, Stage::Planned { .. })
    }

    /// Whether it has its effect or never will.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Final(_) | Stage::Dead { .. })
    }

    /// Why it waits, if it does.
    pub fn waits(&self) -> Option<WaitReason> {
        if let Stage::Waiting { reason, .. } = &self.stage { Some(*reason) } else { None }
    }

    /// Its place in its account's queue: waiting for money or a lane goes on by itself, other reasons don't end that way.
    pub(crate) fn queued(&self) -> Option<(Ticket, Amount)> {
        match &self.stage {
            Stage::Waiting { reason: WaitReason::EscrowMissing | WaitReason::EscrowTooSmall | WaitReason::LaneMissing, ticket, needs } => {
                Some((*ticket, *needs))
            }
            Stage::Waiting { .. } | Stage::Idle | Stage::Planned { .. } | Stage::Final(_) | Stage::Dead { .. } => None,
        }
    }
}

/// A settlement's place within its job: an assignment's root, or an execution's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SettlementPlace {
    /// The assignment.
    pub assignment: AssignmentKey,
    /// The execution; absent: the root.
    pub execution: Option<Execution>,
}
