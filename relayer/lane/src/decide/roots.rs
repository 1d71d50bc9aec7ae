//! Gathering leaves into roots, and what attesters and simulations say of a root (PROTOCOL §4).

use super::Context;
use crate::error::LaneCoreError;
use crate::lane::Lane;
use crate::state::{Leaf, Root, RootStage};
use acurast_adapter_api::LaneView;
use acurast_events::bytes::{Bytes, MerkleNode, SettlementId};
use acurast_events::eip712::RootStatement;
use acurast_events::jobs::{BlockRef, Fault};
use acurast_events::lanes::{LanesEvent, RootAbandoned, RootAttested, RootPlanned};
use acurast_events::merkle::MerkleTree;
use acurast_events::units::Batch;

/// While so many roots wait for their attesters, leaves go on gathering.
const UNSIGNED_ROOTS_MAX: usize = 4;

impl Lane {
    /// Plans a root when count, age or a start asks for it. A lane has one settlement contract, so all its leaves do.
    pub(super) fn plan_root(&self, context: Context<'_>, view: &LaneView) -> Result<Option<LanesEvent>, LaneCoreError> {
        let unsigned = self.state.roots.values().filter(|root| root.stage == RootStage::Unsigned).count();
        if self.state.head.quarantine.is_some() || unsigned >= UNSIGNED_ROOTS_MAX {
            return Ok(None);
        }
        let waiting: Vec<(&SettlementId, &Leaf)> = self
            .index
            .unrooted
            .values()
            .filter_map(|id| self.state.leaves.get_key_value(id))
            .filter(|(_, leaf)| !self.too_late(context.policy, view, leaf.intent.not_after))
            .filter(|(_, leaf)| leaf.reverted_at.is_none_or(|at| at.after(context.policy.backoff_max) <= context.now))
            .collect();
        if let Some(alone) = waiting.iter().find(|(_, leaf)| leaf.alone && self.wanted(context, view, leaf)) {
            // At its own block: at a newer one it may be gone from the source's state.
            return self.root_of(vec![*alone], None).map(Some);
        }
        let mut gathered: Vec<_> = waiting.into_iter().filter(|(_, leaf)| !leaf.alone).collect();
        let most = usize::try_from(context.policy.root_leaves_max.max(1)).unwrap_or(usize::MAX);
        if gathered.len() < most && !gathered.iter().any(|(_, leaf)| self.wanted(context, view, leaf)) {
            return Ok(None);
        }
        gathered.truncate(most);
        // What nobody could derive at its own block for so long may be pruned there: a newer one is tried.
        let overdue = gathered.iter().any(|(_, leaf)| leaf.accepted_at.after(context.policy.unattested_max) <= context.now);
        let newest = self.volatile.source.as_ref().filter(|_| overdue);
        self.root_of(gathered, newest).map(Some)
    }

    /// Roots that no quorum signed for too long make room for others, and their leaves are planned anew: a root that can't be
    /// derived must not hold up those that can.
    pub(super) fn unattested(&self, context: Context<'_>) -> Vec<LanesEvent> {
        let overdue =
            |root: &&Root| root.stage == RootStage::Unsigned && root.planned_at.after(context.policy.unattested_max) <= context.now;
        let abandon = |root: &Root| {
            let reason = "no quorum of attesters signed it in time".to_owned();
            RootAbandoned { batch: root.statement.batch, leaf: None, reason, reverted: false }.into()
        };
        self.state.roots.values().filter(overdue).map(abandon).collect()
    }

    /// Whether this leaf's root can't wait any longer for company.
    fn wanted(&self, context: Context<'_>, view: &LaneView, leaf: &Leaf) -> bool {
        leaf.open > 0
            || leaf.accepted_at.after(context.policy.root_age_max) <= context.now
            || leaf.intent.start <= view.head.timestamp.after(context.policy.root_lead)
    }

    fn root_of(&self, mut leaves: Vec<(&SettlementId, &Leaf)>, newest: Option<&BlockRef>) -> Result<LanesEvent, LaneCoreError> {
        let exhausted = || LaneCoreError::Exhausted { lane: self.state.lane().clone(), what: "roots" };
        leaves.sort_by_key(|(_, leaf)| (leaf.intent.escrow_id, leaf.bit));
        let hashes: Vec<MerkleNode> = leaves.iter().map(|(_, leaf)| leaf.leaf().hash()).collect();
        let tree = MerkleTree::new(&hashes).map_err(|error| self.invalid("RootPlanned", &error.to_string()))?;
        // All leaves can be derived at the newest of their blocks; one that can't any more is named by the attester, and
        // then goes alone, at its own block.
        let source = leaves.iter().map(|(_, leaf)| &leaf.intent.source).chain(newest).max_by_key(|source| source.number);
        let source = source.ok_or_else(|| self.invalid("RootPlanned", "no leaves"))?;
        let statement = RootStatement {
            root: tree.root(),
            batch: self.next_batch().ok_or_else(exhausted)?,
            leaves: u32::try_from(leaves.len()).map_err(|_| exhausted())?,
            locked_until: leaves.iter().map(|(_, leaf)| leaf.intent.not_after).max().unwrap_or_default(),
            source_block: source.number,
            source_block_hash: source.hash,
        };
        Ok(RootPlanned { statement, leaves: leaves.iter().map(|(id, _)| **id).collect(), hashes }.into())
    }

    pub(super) fn attested(&self, context: Context<'_>, batch: Batch, signatures: &[Bytes]) -> Vec<LanesEvent> {
        let unsigned = self.state.roots.get(&batch).is_some_and(|root| root.stage == RootStage::Unsigned);
        let quorum = u32::try_from(signatures.len()).is_ok_and(|given| given >= context.caps.attesters_needed.max(1));
        if unsigned && quorum { vec![RootAttested { batch, signatures: signatures.to_vec() }.into()] } else { Vec::new() }
    }

    /// The leaf at fault goes alone from now on, at its own source block; refused alone, it is given up.
    pub(super) fn attestation_refused(&self, batch: Batch, leaf: usize, reason: &str) -> Vec<LanesEvent> {
        let Some(root) = self.state.roots.get(&batch).filter(|root| root.stage == RootStage::Unsigned) else {
            return Vec::new();
        };
        let Some(id) = root.leaves.get(leaf) else {
            return Vec::new();
        };
        let reason = format!("an attester refused it: {reason}");
        let mut events = vec![RootAbandoned { batch, leaf: Some(*id), reason: reason.clone(), reverted: false }.into()];
        if root.leaves.len() == 1 {
            events.extend(self.leaf_dead(id, &reason, Fault::Unknown));
        }
        events
    }

    /// A root whose simulation keeps reverting gets another number, hence another place in the contract's ring.
    pub(super) fn root_reverted(&self, context: Context<'_>, batch: Batch) -> Vec<LanesEvent> {
        let reverts = self.volatile.root_reverts.get(&batch).map_or(0, |pause| pause.count);
        let ready = self.state.roots.get(&batch).is_some_and(|root| root.stage == RootStage::Ready);
        if ready && reverts >= context.policy.strikes_max {
            let reason = format!("posting it reverted in {reverts} simulations");
            return vec![RootAbandoned { batch, leaf: None, reason, reverted: true }.into()];
        }
        Vec::new()
    }
}
