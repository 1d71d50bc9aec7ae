//! Finality of a destination broke, and a settlement that was final has no effect any more: the account gets its charge
//! back in the ledger, and the receipt is taken back (R7).
//!
//! It is a record of the account: the job may be closed since, and its outcome stays what subscribers were told until they
//! read the reversal. What the transaction cost the key stays in the signer book; nobody knows whether it was paid.

use super::{Context, DecideError, money};
use crate::input::{Decision, Subject};
use acurast_events::jobs::{LedgerDiffers, SettlementReversed};
use acurast_events::lanes::EffectLost;

pub(super) fn effect_lost(context: &Context<'_>, event: &EffectLost) -> Result<Option<Decision>, DecideError> {
    // A root charges nobody by itself; the lane posts it again.
    let Some(escrow_id) = event.escrow_id.filter(|id| context.partition.account(id).is_some()) else { return Ok(None) };
    let Some(mut draft) = context.draft(Subject::Account(escrow_id)) else { return Ok(None) };
    let Some(charge) = event.charge.checked_add(event.root_share) else {
        return Err(draft.inconsistent("the charges of a settlement leave 128 bits"));
    };
    draft.emit(SettlementReversed {
        settlement_id: event.settlement_id,
        escrow_id,
        tx: event.tx,
        was: event.was.clone(),
        block: event.block.clone(),
        charge,
    })?;
    let job = context.partition.settlement(&event.settlement_id).map(|job| job.key);
    let posted = money::reverse(&mut draft, event.settlement_id, job, charge)?;
    if posted != charge {
        let what = format!("settlement {}: the ledger's part of a charge that finality took back", event.settlement_id);
        draft.emit(LedgerDiffers { escrow_id, ledger: posted, contract: charge, what })?;
    }
    Ok(draft.finish())
}
