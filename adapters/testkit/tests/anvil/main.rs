//! The real lane core over the real EVM adapter on a real anvil, through the fault proxy: the scenarios that the lane's own
//! tests run on a made-up chain, by name, in stepped time.
//!
//! Virtual time moves and blocks are mined only when a test says so; the wall clock decides nothing. After each scenario
//! an observer that shares no code with adapter and lane counts the contract's own events. anvil and the compiled
//! contracts are found as `adapters/evm/tests` finds them; without them these tests say so and pass, and
//! `ACURAST_NODES=required` makes them fail instead.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod crash;
mod driver;
mod faults;
mod fees;
mod observer;
mod pool;
mod reorgs;
mod workload;

// The same node and contracts as the adapter's own tests have.
#[allow(dead_code, reason = "each test binary uses its part of the support")]
#[path = "../../../evm/tests/evm/anvil.rs"]
mod anvil;
#[allow(dead_code, reason = "each test binary uses its part of the support")]
#[path = "../../../evm/tests/evm/world.rs"]
mod world;
