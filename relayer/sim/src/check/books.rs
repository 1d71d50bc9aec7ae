//! Money: the two books, added up apart from the relayer's ledger, against the contract's accounts and what the key paid.

use super::audit::Audit;
use crate::violation::Violation;
use crate::world::World;
use acurast_events::bytes::EscrowId;
use acurast_events::jobs::{Book, JobsEvent, LedgerAccountKind};
use std::collections::BTreeMap;

/// What reached an account and what left it.
#[derive(Debug, Default, Clone, Copy)]
struct Sides {
    debits: u128,
    credits: u128,
}

impl Sides {
    /// What an account holds; a ledger that never overdraws has no other.
    fn held(self) -> u128 {
        self.debits.saturating_sub(self.credits)
    }
}

type Books = BTreeMap<(Book, LedgerAccountKind, Option<EscrowId>), Sides>;

pub(super) fn check(world: &World, audit: &Audit, found: &mut Vec<Violation>) {
    let mut books = Books::new();
    for event in audit.job_events() {
        match event {
            JobsEvent::Posted(posted) => {
                for entry in &posted.entries {
                    let amount = entry.amount.0;
                    books.entry((entry.book, entry.debit.kind, entry.debit.escrow_id)).or_default().debits += amount;
                    books.entry((entry.book, entry.credit.kind, entry.credit.escrow_id)).or_default().credits += amount;
                }
            }
            // By a transaction that isn't ours, or a chain that broke its finality, sums may differ: the alarm is right.
            JobsEvent::LedgerDiffers(differs) if !world.foul => {
                let text = format!("{}: ledger {}, contract {}", differs.what, differs.ledger, differs.contract);
                found.push(Violation::LedgerDiffers(text));
            }
            _ => {}
        }
    }
    if world.foul {
        return;
    }
    let sides = |book, kind, escrow| books.get(&(book, kind, escrow)).copied().unwrap_or_default();
    for (escrow, account) in &world.env.chain.contract().accounts {
        use LedgerAccountKind::{Consumer, Locked, Reserved, Spent};
        let of = |kind| sides(Book::Escrow, kind, Some(*escrow));
        let sums = [
            ("locked by the consumer", of(Consumer).credits, account.locked),
            ("paid back", of(Consumer).debits, account.refunded),
            ("charged", of(Spent).held(), account.charged),
            ("still reserved", of(Reserved).held(), 0),
            ("left", of(Locked).held(), account.balance),
        ];
        for (what, book, chain) in sums.into_iter().filter(|(_, book, chain)| book != chain) {
            found.push(Violation::Account { escrow: *escrow, what, book, chain });
        }
        if of(Spent).held() > of(Consumer).credits {
            found.push(Violation::Ledger(format!("account {escrow} spent more than was locked")));
        }
    }
    let cost: u128 = books.iter().filter(|((_, kind, _), _)| *kind == LedgerAccountKind::SignerCost).map(|(_, sides)| sides.held()).sum();
    let paid = world.env.chain.contract().paid;
    if cost != paid {
        found.push(Violation::SignerBook { book: cost, chain: paid });
    }
    for book in [Book::Escrow, Book::Signer] {
        let of = |part: fn(&Sides) -> u128| books.iter().filter(|((of, _, _), _)| *of == book).map(|(_, sides)| part(sides)).sum::<u128>();
        let (debits, credits) = (of(|sides| sides.debits), of(|sides| sides.credits));
        if debits != credits {
            found.push(Violation::Ledger(format!("{book:?} book: debits {debits}, credits {credits}")));
        }
    }
}
