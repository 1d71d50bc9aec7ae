//! Double entry: every unit that reaches one account left another, so debits equal credits by form (R10, PROTOCOL §7).
//!
//! A [`Ledger`] is one shard of the two books: an escrow account holds its part of the escrow book, a job its part of
//! the signer book, a lane what its item-less transactions cost. Invariants, checked at every posting: only the moves of
//! [`PostingReason`] exist, no account but the outside worlds and the margin is ever overdrawn, nothing leaves 128 bits.

use acurast_events::amount::Amount;
use acurast_events::bytes::{EscrowId, JobKey};
use acurast_events::jobs::{Book, LedgerAccount, LedgerAccountKind, Posting, PostingReason};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why a posting is impossible: log and code disagree, or the contract did what it must not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The account has less than the posting takes.
    #[error("{kind:?} has {held}, a posting takes {amount}; compare the account with its contract")]
    Overdrawn {
        /// The account that would go below zero.
        kind: LedgerAccountKind,
        /// What it holds.
        held: Amount,
        /// What is taken.
        amount: Amount,
    },
    /// A sum leaves 128 bits.
    #[error("{kind:?}: the sum leaves 128 bits")]
    Overflow {
        /// The account.
        kind: LedgerAccountKind,
    },
    /// The reason does not allow this move.
    #[error("a posting for {reason:?} can't move from {credit:?} to {debit:?} in the {book:?} book")]
    Move {
        /// The posting's reason.
        reason: PostingReason,
        /// The book.
        book: Book,
        /// Where it would come from.
        credit: LedgerAccountKind,
        /// Where it would go to.
        debit: LedgerAccountKind,
    },
    /// Debits and credits differ.
    #[error("debits {debits} differ from credits {credits}")]
    Unbalanced {
        /// Sum of all debits.
        debits: Amount,
        /// Sum of all credits.
        credits: Amount,
    },
}

/// An account within a shard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Place {
    book: Book,
    kind: LedgerAccountKind,
    job: Option<JobKey>,
}

impl Place {
    fn of(book: Book, account: &LedgerAccount) -> Self {
        Self { book, kind: account.kind, job: account.job }
    }
}

/// What reached an account and what left it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sides {
    debits: Amount,
    credits: Amount,
}

/// One shard of the books.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    accounts: BTreeMap<Place, Sides>,
}

fn may_be_negative(kind: LedgerAccountKind) -> bool {
    match kind {
        LedgerAccountKind::Consumer | LedgerAccountKind::Signer | LedgerAccountKind::Margin => true,
        LedgerAccountKind::Locked | LedgerAccountKind::Reserved | LedgerAccountKind::Spent | LedgerAccountKind::SignerCost => false,
    }
}

fn allowed(reason: PostingReason, book: Book, credit: LedgerAccountKind, debit: LedgerAccountKind) -> bool {
    use LedgerAccountKind::{Consumer, Locked, Margin, Reserved, Signer, SignerCost, Spent};
    let moves: &[(LedgerAccountKind, LedgerAccountKind)] = match reason {
        PostingReason::Locked => &[(Consumer, Locked)],
        PostingReason::Reserved => &[(Locked, Reserved)],
        PostingReason::Charged => &[(Reserved, Spent), (Locked, Spent)],
        PostingReason::Released => &[(Reserved, Locked)],
        PostingReason::Refunded => &[(Locked, Consumer)],
        PostingReason::Cost => &[(Signer, SignerCost)],
        PostingReason::Margin => &[(Signer, Margin), (Margin, Signer)],
        PostingReason::Reversed => &[(Spent, Locked)],
    };
    let its_book = match reason {
        PostingReason::Cost | PostingReason::Margin => Book::Signer,
        PostingReason::Locked
        | PostingReason::Reserved
        | PostingReason::Charged
        | PostingReason::Released
        | PostingReason::Refunded
        | PostingReason::Reversed => Book::Escrow,
    };
    book == its_book && moves.contains(&(credit, debit))
}

impl Ledger {
    /// Moves what the posting says.
    ///
    /// # Errors
    /// When the reason doesn't allow the move, an account would be overdrawn, or a sum leaves 128 bits; nothing moved then.
    pub fn post(&mut self, reason: PostingReason, posting: &Posting) -> Result<(), LedgerError> {
        let Posting { book, debit, credit, amount, asset: _ } = posting;
        if !allowed(reason, *book, credit.kind, debit.kind) {
            return Err(LedgerError::Move { reason, book: *book, credit: credit.kind, debit: debit.kind });
        }
        let (to, from) = (Place::of(*book, debit), Place::of(*book, credit));
        let mut target = self.sides(&to);
        let mut origin = self.sides(&from);
        target.debits = target.debits.checked_add(*amount).ok_or(LedgerError::Overflow { kind: debit.kind })?;
        origin.credits = origin.credits.checked_add(*amount).ok_or(LedgerError::Overflow { kind: credit.kind })?;
        if !may_be_negative(credit.kind) && origin.credits > origin.debits {
            return Err(LedgerError::Overdrawn { kind: credit.kind, held: self.held(*book, credit.kind, credit.job), amount: *amount });
        }
        self.accounts.insert(to, target);
        self.accounts.insert(from, origin);
        Ok(())
    }

    fn sides(&self, place: &Place) -> Sides {
        self.accounts.get(place).copied().unwrap_or_default()
    }

    /// What an account holds; zero for one that is overdrawn, which only outside worlds and the margin can be.
    pub fn held(&self, book: Book, kind: LedgerAccountKind, job: Option<JobKey>) -> Amount {
        let sides = self.sides(&Place { book, kind, job });
        sides.debits.saturating_sub(sides.credits)
    }

    /// How far an account is overdrawn.
    pub fn overdrawn(&self, book: Book, kind: LedgerAccountKind, job: Option<JobKey>) -> Amount {
        let sides = self.sides(&Place { book, kind, job });
        sides.credits.saturating_sub(sides.debits)
    }

    /// What all accounts of a kind hold together, whichever job they are for.
    pub fn total(&self, book: Book, kind: LedgerAccountKind) -> Amount {
        let held = self.accounts.iter().filter(|(place, _)| place.book == book && place.kind == kind);
        // No overflow: the parts came out of sums that fit.
        held.fold(Amount::ZERO, |sum, (_, sides)| sum.checked_add(sides.debits.saturating_sub(sides.credits)).unwrap_or(Amount(u128::MAX)))
    }

    /// All that ever reached the accounts of a kind.
    pub fn turnover(&self, book: Book, kind: LedgerAccountKind) -> Amount {
        let reached = self.accounts.iter().filter(|(place, _)| place.book == book && place.kind == kind);
        reached.fold(Amount::ZERO, |sum, (_, sides)| sum.checked_add(sides.debits).unwrap_or(Amount(u128::MAX)))
    }

    /// Merges a closed job's sub-accounts into those of no job, so that an account stays small however many jobs it paid for.
    ///
    /// # Errors
    /// When a sum leaves 128 bits.
    pub fn close_job(&mut self, job: JobKey) -> Result<(), LedgerError> {
        let places: Vec<Place> = self.accounts.keys().filter(|place| place.job == Some(job)).cloned().collect();
        for place in places {
            let sides = self.accounts.remove(&place).unwrap_or_default();
            let kind = place.kind;
            let merged = self.accounts.entry(Place { job: None, ..place }).or_default();
            merged.debits = merged.debits.checked_add(sides.debits).ok_or(LedgerError::Overflow { kind })?;
            merged.credits = merged.credits.checked_add(sides.credits).ok_or(LedgerError::Overflow { kind })?;
        }
        Ok(())
    }

    /// Checks the whole shard: Σ debits = Σ credits, and nobody overdrawn who must not be.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), LedgerError> {
        let (mut debits, mut credits) = (Amount::ZERO, Amount::ZERO);
        for (place, sides) in &self.accounts {
            let overflow = LedgerError::Overflow { kind: place.kind };
            debits = debits.checked_add(sides.debits).ok_or_else(|| overflow.clone())?;
            credits = credits.checked_add(sides.credits).ok_or(overflow)?;
            if !may_be_negative(place.kind) && sides.credits > sides.debits {
                return Err(LedgerError::Overdrawn { kind: place.kind, held: Amount::ZERO, amount: sides.credits });
            }
        }
        if debits == credits { Ok(()) } else { Err(LedgerError::Unbalanced { debits, credits }) }
    }
}

/// The escrow book's account of this kind; `job` for the sub-account of one.
pub fn escrow_account(kind: LedgerAccountKind, escrow: EscrowId, job: Option<JobKey>) -> LedgerAccount {
    LedgerAccount { kind, escrow_id: Some(escrow), job }
}

/// The signer book's account of this kind; without `job` it is for what no job caused.
pub fn signer_account(kind: LedgerAccountKind, job: Option<JobKey>) -> LedgerAccount {
    LedgerAccount { kind, escrow_id: None, job }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    const ESCROW: EscrowId = EscrowId([7; 32]);
    const JOB: JobKey = JobKey([1; 32]);

    fn posting(credit: LedgerAccountKind, debit: LedgerAccountKind, amount: u128) -> Posting {
        Posting {
            book: Book::Escrow,
            debit: escrow_account(debit, ESCROW, Some(JOB)),
            credit: escrow_account(credit, ESCROW, Some(JOB)),
            amount: Amount(amount),
            asset: "eip155:1/slip44:60".parse().unwrap(),
        }
    }

    #[test]
    fn money_can_only_leave_where_it_is() {
        use LedgerAccountKind::{Consumer, Locked, Reserved};
        let mut ledger = Ledger::default();
        ledger.post(PostingReason::Locked, &posting(Consumer, Locked, 10)).unwrap();
        ledger.post(PostingReason::Reserved, &posting(Locked, Reserved, 7)).unwrap();
        assert_eq!(
            ledger.post(PostingReason::Reserved, &posting(Locked, Reserved, 4)),
            Err(LedgerError::Overdrawn { kind: Locked, held: Amount(3), amount: Amount(4) })
        );
        ledger.check().unwrap();
        assert_eq!(ledger.total(Book::Escrow, Reserved), Amount(7));
    }

    #[test]
    fn a_reason_allows_only_its_own_moves() {
        use LedgerAccountKind::{Consumer, Spent};
        let refused = Ledger::default().post(PostingReason::Charged, &posting(Consumer, Spent, 1));
        assert!(matches!(refused, Err(LedgerError::Move { .. })));
    }

    #[test]
    fn a_sum_past_128_bits_is_refused_and_moves_nothing() {
        use LedgerAccountKind::{Consumer, Locked};
        let mut ledger = Ledger::default();
        ledger.post(PostingReason::Locked, &posting(Consumer, Locked, u128::MAX)).unwrap();
        let before = ledger.clone();
        assert!(matches!(ledger.post(PostingReason::Locked, &posting(Consumer, Locked, 1)), Err(LedgerError::Overflow { .. })));
        assert_eq!(ledger, before);
    }

    #[test]
    fn a_closed_job_leaves_the_sums_as_they_were() {
        use LedgerAccountKind::{Consumer, Locked, Reserved, Spent};
        let mut ledger = Ledger::default();
        ledger.post(PostingReason::Locked, &posting(Consumer, Locked, 10)).unwrap();
        ledger.post(PostingReason::Reserved, &posting(Locked, Reserved, 7)).unwrap();
        ledger.post(PostingReason::Charged, &posting(Reserved, Spent, 5)).unwrap();
        ledger.post(PostingReason::Released, &posting(Reserved, Locked, 2)).unwrap();
        ledger.close_job(JOB).unwrap();
        ledger.check().unwrap();
        assert_eq!(ledger.held(Book::Escrow, Spent, None), Amount(5));
        assert_eq!(ledger.held(Book::Escrow, Locked, None), Amount(5));
    }
}
