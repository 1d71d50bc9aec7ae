//! The adapter against a real anvil with the real contracts, and against nodes that talk nonsense.
//!
//! anvil and the compiled contracts come from `contracts/evm` (`npm ci && npx forge build` there), or from `ACURAST_ANVIL`
//! and `ACURAST_CONTRACTS_OUT`. Without them these tests say so and pass; `ACURAST_NODES=required` makes them fail instead.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod anvil;
mod attester;
mod conformance;
mod endpoints;
mod fake_node;
mod garbage;
mod identify;
mod lane;
mod outcomes;
mod reorg;
mod watch;
mod world;
