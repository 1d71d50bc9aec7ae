//! Dispatch's pure core: one lane (a chain and a signer) as a fold of its events, with everything that decides what is
//! sent, in which slot, at which price (R1–R7, R9). No I/O, clock, randomness or floats; no chain kinds: what differs
//! between chains comes in as [`acurast_adapter_api::Capabilities`].
//!
//! Start with [`lane`], whose page has the state diagram and what a crash at each point means. What may be sent *when* is
//! not decided here: the lease and the term of R12 are the shell's, which may hold any [`Action::Broadcast`] back.

#![deny(clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod actions;
mod asked;
mod decide;
mod draft;
pub mod error;
mod evolve;
pub mod fee;
mod index;
pub mod input;
pub mod lane;
mod plan;
pub mod policy;
mod ranges;
mod rows;
pub mod split;
mod state;
pub mod status;
mod volatile;

pub use asked::{asked_leaves, leaf_of};
pub use error::LaneCoreError;
pub use input::{Action, ActionKey, CallKey, EffectOf, LaneInput, SignRequest};
pub use lane::Lane;
pub use policy::{FeePolicy, LanePolicy};
pub use rows::Row;
pub use status::LaneStatus;
