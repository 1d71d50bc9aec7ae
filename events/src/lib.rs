//! The published contract of acurast-relayer: identifiers, records, events, Merkle leaves and signature payloads.
//!
//! This crate does no I/O and knows no chain client. Whatever goes on a topic, into a leaf or under a signature is
//! defined here, once; `docs/protocol.md` is the prose of it. Golden bytes in `tests/golden` guard what was released.

#![deny(clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod macros;

pub mod amount;
pub mod attributes;
pub mod bytes;
pub mod caip;
pub mod control;
pub mod derived;
pub mod eip712;
pub mod ids;
pub mod job_id;
pub mod jobs;
pub mod lanes;
pub mod leaves;
pub mod merkle;
pub mod outputs;
pub mod partition;
pub mod record;
pub mod schedule;
pub mod schema;
pub mod source;
pub mod topics;
pub mod units;
pub mod view;
pub mod wire;

#[cfg(test)]
mod tests;
