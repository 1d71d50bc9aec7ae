//! An escrow account as settle knows it: what its opener allowed, whether it closes, and its part of the escrow book.

use crate::heard::Heard;
use crate::ledger::Ledger;
use acurast_events::amount::Amount;
use acurast_events::bytes::{Bytes, EscrowId, JobKey, OwnerKey};
use acurast_events::caip::{AccountId, AssetId, ChainId};
use acurast_events::jobs::{AccountOpened, Book, Destination, LedgerAccountKind, WaitReason};
use acurast_events::source::EscrowCaps;
use acurast_events::units::Timestamp;
use serde::{Deserialize, Serialize};

/// The account is on its way out: nothing new is planned for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// From when on the rest can be refunded; absent when it closes because it expired.
    pub refundable_at: Option<Timestamp>,
}

/// An escrow account of a settlement contract, final on its chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub escrow_id: EscrowId,
    /// Whose jobs it pays for.
    pub owner: OwnerKey,
    /// Chain of the contract.
    pub chain: ChainId,
    /// The contract.
    pub settlement: Bytes,
    /// The only target that it pays for.
    pub target: Bytes,
    /// Who opened it and is refunded.
    pub opener: Bytes,
    /// What may be charged.
    pub caps: EscrowCaps,
    /// When it begins to close by itself.
    pub expiry: Timestamp,
    /// What it holds.
    pub asset: AssetId,
    /// Whether it closes.
    pub closing: Option<Closing>,
    /// Whether the contract paid the rest back.
    pub refunded: bool,
    /// Paid back by the contract, but still reserved here: watch and lane bring their facts in any order.
    pub owed: Amount,
    /// Its part of the escrow book.
    pub ledger: Ledger,
    pub(crate) heard: Heard,
}

impl Account {
    pub(crate) fn open(event: &AccountOpened) -> Self {
        Self {
            escrow_id: event.escrow_id,
            owner: event.owner,
            chain: event.chain.clone(),
            settlement: event.settlement.clone(),
            target: event.target.clone(),
            opener: event.opener.clone(),
            caps: event.caps.clone(),
            expiry: event.expiry,
            asset: event.asset.clone(),
            closing: None,
            refunded: false,
            owed: Amount::ZERO,
            ledger: Ledger::default(),
            heard: Heard::default(),
        }
    }

    /// Locked and free to be reserved.
    pub fn free(&self) -> Amount {
        self.ledger.held(Book::Escrow, LedgerAccountKind::Locked, None)
    }

    /// Reserved for all jobs.
    pub fn reserved(&self) -> Amount {
        self.ledger.total(Book::Escrow, LedgerAccountKind::Reserved)
    }

    /// Reserved for one job.
    pub fn reserved_for(&self, job: JobKey) -> Amount {
        self.ledger.held(Book::Escrow, LedgerAccountKind::Reserved, Some(job))
    }

    /// Charged by the contract, for all jobs.
    pub fn spent(&self) -> Amount {
        self.ledger.total(Book::Escrow, LedgerAccountKind::Spent)
    }

    /// What the consumer ever brought in.
    pub fn brought_in(&self) -> Amount {
        self.ledger
            .overdrawn(Book::Escrow, LedgerAccountKind::Consumer, None)
            .checked_add(self.refunded_amount())
            .unwrap_or(Amount(u128::MAX))
    }

    /// What went back to the consumer.
    pub fn refunded_amount(&self) -> Amount {
        self.ledger.turnover(Book::Escrow, LedgerAccountKind::Consumer)
    }

    /// Why the account can't pay for this destination of this owner's job, whatever it holds (PROTOCOL §2, §6).
    pub(crate) fn refuses(&self, owner: &OwnerKey, destination: &Destination) -> Option<WaitReason> {
        let its_own = self.owner == *owner
            && self.chain == destination.chain
            && self.settlement == destination.settlement
            && self.target == destination.target;
        if !its_own {
            return Some(WaitReason::EscrowForeign);
        }
        let mode_bit = 1_u32.checked_shl((destination.mode as u32).saturating_sub(1)).unwrap_or(0);
        if self.caps.modes & mode_bit == 0 {
            return Some(WaitReason::EscrowCapsExceeded);
        }
        self.closing.map(|_| WaitReason::EscrowClosing)
    }
}

/// What one lane cost without any item: no-ops and foreign transactions at its slots. It is the operator's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneBook {
    /// The lane.
    pub lane: AccountId,
    /// Its part of the signer book.
    pub ledger: Ledger,
    pub(crate) heard: Heard,
}

impl LaneBook {
    pub(crate) fn new(lane: AccountId) -> Self {
        Self { lane, ledger: Ledger::default(), heard: Heard::default() }
    }
}
