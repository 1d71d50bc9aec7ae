//! The event journal: append-only logs in partitions, of which the authoritative ones are the truth (R11).
//!
//! Read in this order:
//!
//! * [`EventJournal`] is a plain log: append, read, wait. It knows no rule. Back ends: [`EmbeddedJournal`] (RocksDB, one
//!   process) and [`SimulatedJournal`] (seeded faults); all pass the contract suite in `tests/contract`.
//! * [`Acceptance`] is the pure rule that makes an authoritative partition out of such a log: which raw records count,
//!   which every reader skips, and when a reader must halt (R12).
//! * [`PartitionReader`] follows the accepted records of a partition; [`SealedBlocks`] makes complete blocks of a source
//!   topic's records; [`InputReader`] reads topics that have no chain.
//! * [`Claiming`] takes a partition over and becomes a [`PartitionWriter`]: append, read back, and only then apply.
//! * [`Assignment`] says what a replica should claim, where there are several.
//!
//! Safety never rests on the broker: a log may repeat, delay or lose records and acknowledgements, and every reader still
//! sees the same accepted records or halts.

#![deny(clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod acceptance;
mod assignment;
mod attributes;
mod claim;
mod clock;
mod draft;
mod embedded;
mod frontier;
mod input;
mod journal;
mod lease;
mod log;
mod progress;
mod reader;
mod sealed;
mod simulated;
mod state_digest;
mod writer;

pub use acceptance::{Acceptance, AcceptedRecord, Halt, SkipCounts, SkipReason, Verdict};
pub use assignment::Assignment;
pub use attributes::Attributes;
pub use claim::{ClaimError, ClaimOptions, Claiming, fresh_writer_id};
pub use clock::{Clock, SystemClock};
pub use draft::Draft;
pub use embedded::{EmbeddedJournal, OpenError};
pub use frontier::{Frontier, Owner};
pub use input::{InputError, InputReader};
pub use journal::{AppendError, EventJournal, ReadError, Refusal, TopicError, check_append, check_topic};
pub use lease::Lease;
pub use log::{LogRecord, MAX_APPEND_BYTES, MAX_APPEND_RECORDS, MAX_PARTITIONS, MAX_RECORD_BYTES, NewRecord, ReadBatch, ReadLimits};
pub use progress::{ProgressPacer, answered_before, merge_progress, progress_event, progress_of};
pub use reader::{AcceptedBatch, FollowError, PartitionReader};
pub use sealed::{SealError, SealedBlock, SealedBlocks, SealedFact};
pub use simulated::{Fault, FaultRates, LogMoment, SimulatedJournal};
pub use state_digest::{DigestPacer, state_digest_event, state_digest_of};
pub use writer::{Lost, PartitionWriter, WriteError};
