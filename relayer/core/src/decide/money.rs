//! Postings: what is set aside, charged, released and paid back, and what each transaction cost (R10, PROTOCOL §7).

use super::{DecideError, Draft};
use crate::account::Account;
use crate::job::SettlementPlace;
use crate::ledger::{escrow_account, signer_account};
use acurast_events::amount::Amount;
use acurast_events::bytes::{JobKey, SettlementId};
use acurast_events::caip::AssetId;
use acurast_events::jobs::{Book, LedgerAccountKind, LedgerDiffers, Posted, Posting, PostingReason};

/// Where a move of the escrow book begins and ends.
struct Move {
    reason: PostingReason,
    from: LedgerAccountKind,
    to: LedgerAccountKind,
}

fn post(draft: &mut Draft<'_>, step: &Move, settlement_id: Option<SettlementId>, amount: Amount) -> Result<(), DecideError> {
    if amount == Amount::ZERO {
        return Ok(());
    }
    let job = draft.scope.job.as_ref().map(|job| job.key);
    let Some(account) = draft.scope.paying_account() else { return Err(draft.inconsistent("no account is open to post to")) };
    let (escrow, asset) = (account.escrow_id, account.asset.clone());
    // Only what is reserved or spent is a job's own; what is locked is the account's.
    let of = |kind| match kind {
        LedgerAccountKind::Reserved | LedgerAccountKind::Spent => escrow_account(kind, escrow, job),
        LedgerAccountKind::Consumer
        | LedgerAccountKind::Locked
        | LedgerAccountKind::SignerCost
        | LedgerAccountKind::Margin
        | LedgerAccountKind::Signer => escrow_account(kind, escrow, None),
    };
    let entry = Posting { book: Book::Escrow, debit: of(step.to), credit: of(step.from), amount, asset };
    draft.emit(Posted { reason: step.reason, settlement_id, entries: vec![entry] })
}

/// The consumer locked more.
pub(super) fn lock(draft: &mut Draft<'_>, amount: Amount) -> Result<(), DecideError> {
    let step = Move { reason: PostingReason::Locked, from: LedgerAccountKind::Consumer, to: LedgerAccountKind::Locked };
    post(draft, &step, None, amount)
}

/// Sets the worst case of a settlement aside; the caller has seen that it is free.
pub(super) fn reserve(draft: &mut Draft<'_>, settlement: SettlementId, amount: Amount) -> Result<(), DecideError> {
    let step = Move { reason: PostingReason::Reserved, from: LedgerAccountKind::Locked, to: LedgerAccountKind::Reserved };
    post(draft, &step, Some(settlement), amount)
}

/// Gives back what is still set aside for a settlement.
pub(super) fn release(draft: &mut Draft<'_>, place: &SettlementPlace) -> Result<(), DecideError> {
    let Some(settlement) = draft.job()?.settlement(place) else { return Ok(()) };
    let (id, reserved) = (settlement.id, settlement.reserved);
    let step = Move { reason: PostingReason::Released, from: LedgerAccountKind::Reserved, to: LedgerAccountKind::Locked };
    post(draft, &step, Some(id), reserved)?;
    pay_owed(draft)
}

/// Posts what the contract charged, out of what was set aside for it. A charge beyond that is an alarm, and the excess
/// comes out of what is free; what not even that covers the contract can't have had.
///
/// Returns what was posted.
pub(super) fn charge(draft: &mut Draft<'_>, place: &SettlementPlace, amount: Amount) -> Result<Amount, DecideError> {
    let Some(settlement) = draft.job()?.settlement(place) else { return Ok(Amount::ZERO) };
    let (id, reserved) = (settlement.id, settlement.reserved);
    let covered = amount.min(reserved);
    let step = Move { reason: PostingReason::Charged, from: LedgerAccountKind::Reserved, to: LedgerAccountKind::Spent };
    post(draft, &step, Some(id), covered)?;
    let excess = amount.saturating_sub(covered);
    if excess == Amount::ZERO {
        return Ok(amount);
    }
    let Some(account) = draft.scope.paying_account() else { return Ok(covered) };
    let (escrow_id, from_free) = (account.escrow_id, excess.min(account.free()));
    let step = Move { reason: PostingReason::Charged, from: LedgerAccountKind::Locked, to: LedgerAccountKind::Spent };
    post(draft, &step, Some(id), from_free)?;
    let what = format!("settlement {id}: reserved against charged");
    draft.emit(LedgerDiffers { escrow_id, ledger: reserved, contract: amount, what })?;
    Ok(covered.checked_add(from_free).unwrap_or(amount))
}

/// Posts a refund as far as the ledger has the money free; the rest follows when reservations end.
pub(super) fn pay_owed(draft: &mut Draft<'_>) -> Result<(), DecideError> {
    let Some(account) = draft.scope.paying_account().filter(|account| account.refunded) else { return Ok(()) };
    let amount = account.owed.min(account.free());
    let step = Move { reason: PostingReason::Refunded, from: LedgerAccountKind::Locked, to: LedgerAccountKind::Consumer };
    post(draft, &step, None, amount)?;
    if let Some(event) = draft.scope.paying_account().and_then(|account| refund_differs(account)) {
        draft.emit(event)?;
    }
    Ok(())
}

/// Once nothing is reserved any more, the contract has paid back exactly what the ledger had, or there is an alarm.
fn refund_differs(account: &Account) -> Option<LedgerDiffers> {
    let settled = account.reserved() == Amount::ZERO;
    let differs = account.owed > Amount::ZERO || account.free() > Amount::ZERO;
    (settled && differs).then(|| LedgerDiffers {
        escrow_id: account.escrow_id,
        ledger: account.free(),
        contract: account.owed,
        what: "refund: left over in the ledger against paid back beyond it".into(),
    })
}

/// Posts a charge back: out of the job's own sub-account while it is open, else out of what closed jobs spent. Returns what
/// was posted: nothing when neither has it.
pub(super) fn reverse(draft: &mut Draft<'_>, settlement: SettlementId, job: Option<JobKey>, amount: Amount) -> Result<Amount, DecideError> {
    use LedgerAccountKind::{Locked, Spent};
    let Some(account) = draft.scope.paying_account() else { return Err(draft.inconsistent("no account is open to post to")) };
    let (escrow, asset) = (account.escrow_id, account.asset.clone());
    let spent_by = |job| account.ledger.held(Book::Escrow, Spent, job) >= amount;
    let Some(from) = [job, None].into_iter().find(|job| spent_by(*job)).filter(|_| amount > Amount::ZERO) else {
        return Ok(Amount::ZERO);
    };
    let (debit, credit) = (escrow_account(Locked, escrow, None), escrow_account(Spent, escrow, from));
    let entries = vec![Posting { book: Book::Escrow, debit, credit, amount, asset }];
    draft.emit(Posted { reason: PostingReason::Reversed, settlement_id: Some(settlement), entries })?;
    Ok(amount)
}

/// What a mined transaction cost the key for this item, against what it brought.
pub(super) struct Cost<'c> {
    pub(super) job: Option<JobKey>,
    pub(super) settlement_id: Option<SettlementId>,
    pub(super) asset: &'c AssetId,
    pub(super) cost: Amount,
    pub(super) income: Amount,
}

/// Posts cost and margin in the signer book: cost + margin = income, per item and so in every sum.
pub(super) fn cost(draft: &mut Draft<'_>, item: &Cost<'_>) -> Result<(), DecideError> {
    use LedgerAccountKind::{Margin, Signer, SignerCost};
    let margin = item.income.saturating_sub(item.cost);
    let loss = item.cost.saturating_sub(item.income);
    let moves = [
        (PostingReason::Cost, signer_account(Signer, None), signer_account(SignerCost, item.job), item.cost),
        (PostingReason::Margin, signer_account(Signer, None), signer_account(Margin, item.job), margin),
        (PostingReason::Margin, signer_account(Margin, item.job), signer_account(Signer, None), loss),
    ];
    for (reason, credit, debit, amount) in moves {
        if amount > Amount::ZERO {
            let entries = vec![Posting { book: Book::Signer, debit, credit, amount, asset: item.asset.clone() }];
            draft.emit(Posted { reason, settlement_id: item.settlement_id, entries })?;
        }
    }
    Ok(())
}
