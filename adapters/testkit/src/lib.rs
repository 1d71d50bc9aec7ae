//! What adapters are tested with: a proxy that injects faults between an adapter and its node.
//!
//! Nothing of the relayer depends on this crate; adapters use it in their tests, chaos runs use its program
//! `acurast-fault-proxy`.

pub mod proxy;

pub use proxy::{Fault, FaultPlan, FaultProxy, Mode, PlanChange, ProxyError};
