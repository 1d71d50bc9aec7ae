//! A JSON-RPC proxy on loopback that forwards requests to a node and injects faults on the way.
//!
//! Which request meets which fault follows from the seed, the method, and how many requests of that method came before: a
//! run with the same requests per method meets the same faults, however they interleave. A fault is counted only when
//! it was really injected, so the counts can be compared with what the tested side noticed.

mod answer;
mod connection;
mod control;
mod counts;
mod draw;
mod fault;
mod heads;
mod lie;
mod plan;
mod server;

pub use counts::Counts;
pub use fault::{Fault, UnknownFault};
pub use plan::{FaultPlan, Mode, PlanChange, PlanError};
pub use server::{FaultProxy, ProxyError, Status};
