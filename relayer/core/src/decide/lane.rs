//! What a lane saw: a settlement's transaction is included, gone again, or final with its effects and costs; or it is dead.
//!
//! One final slot can carry items of many jobs: each job gets a record of its own. What a contract says it charged an
//! account in one transaction is compared with its items first, in a record of the account.

use super::outcome::{Ending, end};
use super::{Context, DecideError, Draft, money, outcome, reversed};
use crate::input::{Decision, Subject};
use crate::job::{Job, SettlementPlace, Stage};
use acurast_events::amount::Amount;
use acurast_events::bytes::{EscrowId, JobKey, SettlementId, TxHash};
use acurast_events::caip::AccountId;
use acurast_events::ids::SettlementKind;
use acurast_events::jobs::{
    BlockRef, Fault, LedgerDiffers, Outcome, SettlementDead, SettlementFinal, SettlementIncluded, SettlementRewound,
};
use acurast_events::lanes::{AccountCharge, EffectFound, IntentDead, ItemFinal, ItemOutcome, LanesEvent, SlotFinal};
use acurast_events::units::{Batch, Execution, Gas, Slot};
use std::collections::BTreeSet;

pub(super) fn event(context: &Context<'_>, lane: &AccountId, event: &LanesEvent) -> Result<Option<Decision>, DecideError> {
    match event {
        LanesEvent::AttemptIncluded(it) if it.success => each_job(context, &it.items, |draft, ids| included(draft, ids, it.tx, &it.block)),
        LanesEvent::AttemptOrphaned(it) => each_job(context, &it.items, |draft, ids| orphaned(draft, ids, it.tx)),
        LanesEvent::IntentDead(it) => each_job(context, &[it.settlement_id], |draft, _| dead(draft, it)),
        LanesEvent::EffectFound(it) => each_job(context, &[it.settlement_id], |draft, _| found(draft, it)),
        LanesEvent::EffectLost(it) => reversed::effect_lost(context, it),
        LanesEvent::SlotFinal(it) if it.items.is_empty() => without_items(context, lane, it),
        LanesEvent::SlotFinal(it) => {
            if let Some(decision) = compare_charges(context, it)? {
                return Ok(Some(decision));
            }
            let ids: Vec<_> = it.items.iter().map(|item| item.settlement_id).collect();
            each_job(context, &ids, |draft, ids| slot_final(draft, ids, it))
        }
        // The rest is dispatch's own: accepted intents, attempts, quarantine. No job changes by it.
        _ => Ok(None),
    }
}

/// Decides for the first job among the settlements' that has something to say.
fn each_job(
    context: &Context<'_>,
    ids: &[SettlementId],
    mut decide: impl FnMut(&mut Draft<'_>, &[SettlementId]) -> Result<(), DecideError>,
) -> Result<Option<Decision>, DecideError> {
    for key in jobs_of(context, ids) {
        let Some(mut draft) = context.draft(Subject::Job(key)) else { continue };
        let own: Vec<_> =
            ids.iter().filter(|id| draft.scope.job.as_ref().is_some_and(|job| job.settlements.contains_key(id))).copied().collect();
        decide(&mut draft, &own)?;
        outcome::finish(&mut draft)?;
        if let Some(decision) = draft.finish() {
            return Ok(Some(decision));
        }
    }
    Ok(None)
}

fn jobs_of(context: &Context<'_>, ids: &[SettlementId]) -> BTreeSet<JobKey> {
    ids.iter().filter_map(|id| context.partition.settlement(id)).map(|job| job.key).collect()
}

fn place_of(draft: &Draft<'_>, id: &SettlementId) -> Result<SettlementPlace, DecideError> {
    draft.job()?.settlements.get(id).copied().ok_or_else(|| draft.inconsistent("an indexed settlement is gone"))
}

fn stage_of<'j>(job: &'j Job, place: &SettlementPlace) -> Option<&'j Stage> {
    job.settlement(place).map(|settlement| &settlement.stage)
}

fn included(draft: &mut Draft<'_>, ids: &[SettlementId], tx: TxHash, block: &BlockRef) -> Result<(), DecideError> {
    for id in ids {
        let place = place_of(draft, id)?;
        if let Some(Stage::Planned { included }) = stage_of(draft.job()?, &place)
            && included.as_ref() != Some(&(tx, block.clone()))
        {
            draft.emit(SettlementIncluded { settlement_id: *id, tx, block: block.clone() })?;
        }
    }
    Ok(())
}

fn orphaned(draft: &mut Draft<'_>, ids: &[SettlementId], tx: TxHash) -> Result<(), DecideError> {
    for id in ids {
        rewind(draft, id, Some(tx))?;
    }
    Ok(())
}

/// Takes an inclusion back; with `tx` only if it is that transaction's.
fn rewind(draft: &mut Draft<'_>, id: &SettlementId, tx: Option<TxHash>) -> Result<(), DecideError> {
    let place = place_of(draft, id)?;
    if let Some(Stage::Planned { included: Some((seen, _)) }) = stage_of(draft.job()?, &place)
        && tx.is_none_or(|tx| tx == *seen)
    {
        let tx = *seen;
        draft.emit(SettlementRewound { settlement_id: *id, tx })?;
    }
    Ok(())
}

/// A slot that took no item of anybody: a no-op or a foreign transaction. Its cost is the operator's, kept by one partition.
fn without_items(context: &Context<'_>, lane: &AccountId, slot: &SlotFinal) -> Result<Option<Decision>, DecideError> {
    let asset = context.policy.settlements.iter().find(|served| served.lanes.contains(lane)).map(|served| &served.asset);
    let (Some(asset), true) = (asset, context.partition.owns_lane(lane)) else { return Ok(None) };
    let Some(mut draft) = context.draft(Subject::Lane(lane.clone())) else { return Ok(None) };
    money::cost(&mut draft, &money::Cost { job: None, settlement_id: None, asset, cost: slot.cost, income: Amount::ZERO })?;
    Ok(draft.finish())
}

/// The effect of an item, as an event tells it.
struct Effect {
    success: bool,
    tx: Option<TxHash>,
    block: BlockRef,
    slot: Option<Slot>,
    batch: Option<Batch>,
    charge: Amount,
    root_share: Amount,
    cost: Amount,
    gas_used: Gas,
}

fn slot_final(draft: &mut Draft<'_>, ids: &[SettlementId], slot: &SlotFinal) -> Result<(), DecideError> {
    for item in slot.items.iter().filter(|item| ids.contains(&item.settlement_id)) {
        item_final(draft, slot, item)?;
    }
    Ok(())
}

fn item_final(draft: &mut Draft<'_>, slot: &SlotFinal, item: &ItemFinal) -> Result<(), DecideError> {
    let place = place_of(draft, &item.settlement_id)?;
    let is_planned = draft.job()?.settlement(&place).is_some_and(|settlement| settlement.is_planned());
    let success = match item.outcome {
        ItemOutcome::Settled => Some(true),
        ItemOutcome::SettledFailed => Some(false),
        ItemOutcome::AlreadySettled | ItemOutcome::Skipped | ItemOutcome::NoEffect => None,
    };
    match success.filter(|_| is_planned) {
        Some(success) => {
            let effect = Effect {
                success,
                tx: Some(slot.tx),
                block: slot.block.clone(),
                slot: Some(slot.slot),
                batch: Some(item.batch),
                charge: item.charge,
                root_share: item.root_share,
                cost: item.cost,
                gas_used: slot.gas_used,
            };
            settle(draft, &item.settlement_id, &place, effect)?;
        }
        // What has no effect here is asked for again by the lane, which then says returned, found or dead.
        None => rewind(draft, &item.settlement_id, None)?,
    }
    books(draft, &place, item.charge, item.root_share, item.cost)?;
    match success {
        Some(success) if is_planned => end_settled(draft, &place, success, &slot.block),
        Some(_) | None => Ok(()),
    }
}

fn settle(draft: &mut Draft<'_>, id: &SettlementId, place: &SettlementPlace, effect: Effect) -> Result<(), DecideError> {
    let job = draft.job()?;
    let (Some(destination), Some(assignment)) = (&job.destination, job.assignments.get(&place.assignment)) else {
        return Err(draft.inconsistent("a settlement without destination"));
    };
    let Some(settling) = &assignment.settling else { return Err(draft.inconsistent("a settlement without assignment")) };
    let served = draft.policy.settlement(&destination.chain, &destination.settlement);
    let late_root = match (place.execution, &settling.root.stage) {
        (None, _) => outcome::start_of(draft, &place.assignment, assignment.first).is_some_and(|start| effect.block.timestamp > start),
        (Some(_), Stage::Final(root)) => root.late_root,
        (Some(_), Stage::Idle | Stage::Waiting { .. } | Stage::Planned { .. } | Stage::Dead { .. }) => false,
    };
    let event = SettlementFinal {
        settlement_id: *id,
        kind: if place.execution.is_some() { SettlementKind::Fulfillment } else { SettlementKind::Root },
        assignment_id: settling.id,
        execution: place.execution.unwrap_or(Execution::ALL),
        success: effect.success,
        tx: effect.tx,
        block: effect.block,
        slot: effect.slot,
        batch: effect.batch,
        charge: effect.charge,
        root_share: effect.root_share,
        cost: effect.cost,
        gas_used: effect.gas_used,
        late_root,
        escrow_id: destination.escrow_id,
        attesters_needed: served.map_or(0, |served| served.attesters_needed),
        attesters: served.map_or(0, |served| served.attesters),
    };
    draft.emit(event)
}

/// Posts what an item was charged, what it cost, and the difference.
fn books(draft: &mut Draft<'_>, place: &SettlementPlace, charge: Amount, root_share: Amount, cost: Amount) -> Result<(), DecideError> {
    let root = SettlementPlace { assignment: place.assignment, execution: None };
    let mut income = Amount::ZERO;
    if charge > Amount::ZERO {
        income = money::charge(draft, place, charge)?;
    }
    if root_share > Amount::ZERO {
        let share = money::charge(draft, &root, root_share)?;
        income = income.checked_add(share).ok_or_else(|| draft.inconsistent("a charge leaves 128 bits"))?;
        // A leaf's share is charged once: what was set aside beyond it is not needed any more.
        money::release(draft, &root)?;
    }
    let job = draft.job()?;
    let settlement_id = job.settlement(place).map(|settlement| settlement.id);
    let key = job.key;
    let Some(asset) = draft.scope.paying_account().map(|account| account.asset.clone()) else {
        return Err(draft.inconsistent("a settlement without account"));
    };
    money::cost(draft, &money::Cost { job: Some(key), settlement_id, asset: &asset, cost, income })
}

fn end_settled(draft: &mut Draft<'_>, place: &SettlementPlace, success: bool, block: &BlockRef) -> Result<(), DecideError> {
    let Some(execution) = place.execution else { return Ok(()) };
    money::release(draft, place)?;
    let (outcome, fault, detail) = if success {
        (Outcome::Fulfilled, Fault::Nobody, "")
    } else {
        (Outcome::Failed, Fault::Consumer, "delivered, and the target's call failed")
    };
    end(draft, &place.assignment, execution, Ending { outcome, fault, at: Some(block.timestamp), detail: detail.into() })
}

fn dead(draft: &mut Draft<'_>, event: &IntentDead) -> Result<(), DecideError> {
    let place = place_of(draft, &event.settlement_id)?;
    if !draft.job()?.settlement(&place).is_some_and(|settlement| settlement.is_planned()) {
        return Ok(());
    }
    draft.emit(SettlementDead { settlement_id: event.settlement_id, reason: event.reason.clone(), fault: event.fault })?;
    // No outcome yet: an output fails undelivered at its notAfter (PROTOCOL §5), and until then an operator may have it, or the
    // proof that others wait for, planned anew.
    money::release(draft, &place)
}

/// The chain has the effect by a transaction that no slot of ours accounts for. What it was charged is not known: an
/// alarm, and an operator compares the account with its contract.
fn found(draft: &mut Draft<'_>, event: &EffectFound) -> Result<(), DecideError> {
    let place = place_of(draft, &event.settlement_id)?;
    let Some(settlement) = draft.job()?.settlement(&place).filter(|settlement| settlement.is_planned()) else { return Ok(()) };
    let reserved = settlement.reserved;
    let effect = Effect {
        success: event.success,
        tx: event.tx,
        block: event.block.clone(),
        slot: None,
        batch: None,
        charge: Amount::ZERO,
        root_share: Amount::ZERO,
        cost: Amount::ZERO,
        gas_used: Gas(0),
    };
    settle(draft, &event.settlement_id, &place, effect)?;
    if place.execution.is_some() {
        let escrow_id = draft.scope.paying_account().map(|account| account.escrow_id);
        if let Some(escrow_id) = escrow_id {
            let what =
                format!("settlement {}: reserved; it took effect by an unknown transaction at an unknown charge", event.settlement_id);
            draft.emit(LedgerDiffers { escrow_id, ledger: reserved, contract: Amount::ZERO, what })?;
        }
    }
    end_settled(draft, &place, event.success, &event.block)
}

/// Compares the contract's sums with the items', account by account, before any job is told: a job that closes by this
/// slot takes its items out of the index. Read again after a crash, the sums were compared if any job has answered.
fn compare_charges(context: &Context<'_>, slot: &SlotFinal) -> Result<Option<Decision>, DecideError> {
    let jobs: Vec<_> = slot.items.iter().filter_map(|item| Some((item, context.partition.settlement(&item.settlement_id)?))).collect();
    let heard = |job: &Job| context.input.is_some_and(|input| job.heard.has(input));
    if context.answered.iter().any(|subject| matches!(subject, Subject::Job(_))) || jobs.iter().any(|(_, job)| heard(job)) {
        return Ok(None);
    }
    let escrow_of = |job: &Job| job.destination.as_ref().map(|destination| destination.escrow_id);
    let accounts: BTreeSet<EscrowId> = jobs.iter().filter_map(|(_, job)| escrow_of(job)).collect();
    for account in accounts {
        let Some(mut draft) = context.draft(Subject::Account(account)) else { continue };
        let items = |part: fn(&ItemFinal) -> Amount| {
            sum(jobs.iter().filter(|(_, job)| escrow_of(job) == Some(account)).map(|(item, _)| part(item)))
        };
        let said = |part: fn(&AccountCharge) -> Amount| sum(slot.charges.iter().filter(|charge| charge.escrow_id == account).map(part));
        let sums = [
            ("items of one transaction", items(|item| item.charge), said(|charge| charge.items)),
            ("root shares of one transaction", items(|item| item.root_share), said(|charge| charge.root_shares)),
        ];
        for (what, ledger, contract) in sums {
            if ledger != contract {
                draft.emit(LedgerDiffers { escrow_id: account, ledger, contract, what: format!("{what} {}", slot.tx) })?;
            }
        }
        if let Some(decision) = draft.finish() {
            return Ok(Some(decision));
        }
    }
    Ok(None)
}

fn sum(amounts: impl Iterator<Item = Amount>) -> Amount {
    // Past 128 bits no two sums are alike that should be.
    Amount::checked_sum(amounts).unwrap_or(Amount(u128::MAX))
}
