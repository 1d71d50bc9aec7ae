//! Settle's pure core: the job state machine, the escrow ledger and what derives from them (PROTOCOL §1–§7).
//!
//! No I/O, no clock, no randomness, no floats, no iteration over hash maps: the state of a [`Partition`] is a function
//! of its records, so a replay gives the same bytes. The shell feeds inputs, appends what [`Partition::decide_next`]
//! says as one record per decision, reads it back and folds it with [`Partition::evolve`]:
//!
//! ```text
//! source, outputs, control, lanes ──▶ decide_next ──▶ append ──▶ read back ──▶ evolve ──▶ changes ──▶ store
//!                                         ▲                                      │
//!                                         └──────────── state ◀──────────────────┘        derive ──▶ receipts, reputation, …
//! ```
//!
//! # Order that the shell keeps
//! * Facts of a block are fed once its seal was read, in order, then the seal.
//! * Before a seal or a removal is fed, all that the outputs partition held when that record was read.
//! * A decision is folded before the next one is asked for. After a batch, [`Input::Ready`] until it decides nothing.
//!
//! # Crash
//! A record is whole or absent. After a restart the shell reads inputs from the last Progress on; what a record already
//! answers is recognised by its subject (`answered`) and by what each aggregate remembers of its inputs, and decides
//! nothing again.

#![deny(clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

pub mod account;
mod decide;
pub mod derive;
mod destination;
mod fold;
mod fold_job;
mod heard;
pub mod input;
pub mod job;
pub mod ledger;
pub mod letters;
pub mod partition;
pub mod policy;
pub mod rows;
pub mod settlement;
pub mod view;

pub use decide::{DecideError, WHO_BYTES_MAX, WHY_BYTES_MAX};
pub use derive::{Derived, derive};
pub use fold::EvolveError;
pub use input::{Decision, Input, Subject};
pub use letters::{CommandResult, ControlInput, Evidence, Letter, LetterEnd, LetterFate, LetterView, Needs, Unreadable};
pub use partition::Partition;
pub use policy::{OperatorRoute, OriginRoute, Policy, Rules, SettlementPolicy};
pub use rows::{Row, RowError, Table};
pub use view::{JobView, OutputStatus};
