//! What adapters are tested with: rules that every lane adapter must hold, and a proxy that injects faults between an
//! adapter and its node.
//!
//! Nothing of the relayer depends on this crate; adapters use it in their tests, chaos runs use its program
//! `acurast-fault-proxy`.

pub mod conformance;
pub mod proxy;

pub use proxy::{Fault, FaultPlan, FaultProxy, Mode, PlanChange, ProxyError};
