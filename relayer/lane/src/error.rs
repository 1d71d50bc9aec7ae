//! What can go wrong in the core: an event that contradicts the lane's state, or an answer that contradicts a question.

use acurast_events::bytes::{SettlementId, TxHash};
use acurast_events::caip::AccountId;
use acurast_events::units::Slot;

/// Why the lane refuses an event or an input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaneCoreError {
    /// An event does not follow from the state: the log was written by other code, or is damaged. Rebuild the lane from
    /// its partition; if it happens again, stop and look at the record.
    #[error("lane {lane}: {event} does not follow from the state: {reason}")]
    Invalid {
        /// The lane.
        lane: AccountId,
        /// The event's name.
        event: &'static str,
        /// What contradicts it.
        reason: String,
    },
    /// A counter of the lane's own range is used up: grant the key's successor a new lane.
    #[error("lane {lane}: its range of {what} is used up; grant a new key and lane")]
    Exhausted {
        /// The lane.
        lane: AccountId,
        /// Which range.
        what: &'static str,
    },
    /// A report of a final transaction does not match its attempt. Nothing is recorded; it is asked for again.
    #[error("lane {lane}: report of {tx} at slot {slot} does not match its attempt: {reason}")]
    Report {
        /// The lane.
        lane: AccountId,
        /// The slot.
        slot: Slot,
        /// The transaction.
        tx: TxHash,
        /// What differs.
        reason: String,
    },
    /// A call can't be built from the state.
    #[error("lane {lane}: no call can be built for settlement {settlement}: {reason}")]
    Call {
        /// The lane.
        lane: AccountId,
        /// The settlement.
        settlement: SettlementId,
        /// What is missing.
        reason: &'static str,
    },
    /// A row of the store does not decode: rebuild the store from the journal.
    #[error("lane rows: table {table}: {reason}; rebuild the store from the journal")]
    Row {
        /// The table.
        table: u8,
        /// Why.
        reason: String,
    },
}
