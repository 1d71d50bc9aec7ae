//! The deterministic simulator (R16): the relayer's pure cores and its journal code against a fake Acurast, a fake destination
//! and a log that misbehaves, in virtual time, crashing at every append and every broadcast.
//!
//! Read in this order:
//!
//! * [`scenario`] runs one world from a seed: a storm, a crash, the calm after it, the checks.
//! * [`world`] is the stage: what happens outside, and the processes that live, die, freeze and wake.
//! * [`dispatch`], [`settle`], [`owned`] are the relayer's shells in its order of writes, with crash [`boundary`]s.
//! * [`chain`] is the destination; [`assignments`] and [`script`] are Acurast; [`weather`] is what goes wrong.
//! * [`check`] is the judge. It reads the chain and the journal, not the shells.
//! * [`branches`] takes all scenarios of a seed from the one run that they share up to their crash.
//! * [`campaign`] enumerates crashes over many seeds; [`mutant`]s prove that the judge would notice.
//!
//! Everything follows from (seed, crash): no clock, no thread, no hash-map order. Arithmetic is plain on purpose: overflow
//! checks are on in every build that runs this, and an overflow is a failing run.

pub mod assignments;
pub mod boundary;
pub mod branches;
pub mod campaign;
pub mod chain;
pub mod check;
pub mod clock;
pub mod dispatch;
pub mod env;
pub mod ingest;
pub mod journal;
pub mod mutant;
pub mod owned;
pub mod probe;
pub mod process;
pub mod random;
pub mod report;
pub mod scenario;
pub mod script;
pub mod settle;
pub mod store;
pub mod violation;
pub mod weather;
pub mod world;
