//! Escrow accounts: opened, topped up, closing, expired, refunded; and assignments that their opener revoked (PROTOCOL §6, §7).
//!
//! Facts of a destination come at its finality. An account may be opened before its jobs are heard of, or long after.

use super::outcome::end_undelivered;
use super::{Context, DecideError, Draft, money, outcome};
use crate::input::{Decision, Subject};
use crate::job::Job;
use acurast_events::bytes::AssignmentId;
use acurast_events::jobs::{AccountClosing, AccountOpened, AccountRefunded, BlockRef, Fault, RevokedByOpener};
use acurast_events::source::{EscrowOpened, EscrowRefunded, SourceEvent};

pub(super) fn fact(context: &Context<'_>, event: &SourceEvent, block: &BlockRef) -> Result<Option<Decision>, DecideError> {
    let escrow_id = match event {
        SourceEvent::EscrowOpened(fact) => fact.escrow_id,
        SourceEvent::EscrowToppedUp(fact) => fact.escrow_id,
        SourceEvent::EscrowCloseRequested(fact) => fact.escrow_id,
        SourceEvent::EscrowRefunded(fact) => fact.escrow_id,
        SourceEvent::AssignmentRevoked(fact) => return revoked(context, &fact.assignment_id, block),
        // A target's owner is checked by the contract before an account for it can be opened.
        _ => return Ok(None),
    };
    let Some(mut draft) = context.draft(Subject::Account(escrow_id)) else { return Ok(None) };
    match (event, draft.scope.account.is_some()) {
        (SourceEvent::EscrowOpened(fact), false) => opened(&mut draft, fact, block)?,
        (SourceEvent::EscrowToppedUp(fact), true) => money::lock(&mut draft, fact.amount)?,
        (SourceEvent::EscrowCloseRequested(fact), true) => {
            draft.emit(AccountClosing { escrow_id, refundable_at: Some(fact.refundable_at) })?;
        }
        (SourceEvent::EscrowRefunded(fact), true) => refunded(&mut draft, fact)?,
        // An id can't be opened twice, and the watch begins at the contract's first block, so the rest is re-delivery.
        (_, _) => {}
    }
    Ok(draft.finish())
}

fn opened(draft: &mut Draft<'_>, fact: &EscrowOpened, block: &BlockRef) -> Result<(), DecideError> {
    draft.emit(AccountOpened {
        escrow_id: fact.escrow_id,
        owner: fact.owner,
        chain: block.chain.clone(),
        settlement: fact.settlement.clone(),
        target: fact.target.clone(),
        opener: fact.opener.clone(),
        caps: fact.caps.clone(),
        expiry: fact.expiry,
        asset: fact.asset.clone(),
    })?;
    money::lock(draft, fact.amount)
}

fn refunded(draft: &mut Draft<'_>, fact: &EscrowRefunded) -> Result<(), DecideError> {
    draft.emit(AccountRefunded { escrow_id: fact.escrow_id, to: fact.to.clone(), amount: fact.amount })?;
    money::pay_owed(draft)
}

/// From its expiry on an account closes by itself; the destination's own blocks say when that is.
pub(super) fn expiry(context: &Context<'_>, block: &BlockRef) -> Result<Option<Decision>, DecideError> {
    for escrow_id in context.partition.expiring(&block.chain, block.timestamp) {
        let Some(mut draft) = context.draft(Subject::Account(*escrow_id)) else { continue };
        draft.emit(AccountClosing { escrow_id: *escrow_id, refundable_at: None })?;
        return Ok(draft.finish());
    }
    Ok(None)
}

fn revoked(context: &Context<'_>, id: &AssignmentId, block: &BlockRef) -> Result<Option<Decision>, DecideError> {
    let Some((job, key)) = context.partition.assignment(id) else { return Ok(None) };
    let already = job.assignments.get(&key).and_then(|assignment| assignment.settling.as_ref()).is_some_and(|settling| settling.revoked);
    let Some(mut draft) = context.draft(Subject::Job(job.key)).filter(|_| !already) else { return Ok(None) };
    draft.emit(RevokedByOpener { assignment_id: *id, block: block.clone() })?;
    let pending: Vec<_> = draft
        .job()?
        .executions_of(&key)
        .filter(|(_, state)| state.output.is_some() && Job::ends_at_not_after(state))
        .map(|(execution, _)| execution)
        .collect();
    for execution in pending {
        end_undelivered(&mut draft, &key, execution, Fault::Consumer, "the account's opener revoked the assignment")?;
    }
    outcome::finish(&mut draft)?;
    Ok(draft.finish())
}
