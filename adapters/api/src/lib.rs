//! What a chain has to offer to be a source of facts or a destination of settlements (R13).
//!
//! A chain is one crate that implements these traits and one line in the registry. Nothing here knows a chain kind:
//! Tezos allows one operation group per source and block, a Bitcoin lane is a chain of single-use seals without a
//! nonce, a webhook has no finality; all of it shows in [`Capabilities`] and in opaque bytes.

pub mod capabilities;
pub mod destination;
pub mod endpoints;
pub mod lane;
pub mod oracle;
pub mod source;

pub use capabilities::Capabilities;
pub use destination::{DestinationRules, OutputRefusal, UsableKey};
pub use endpoints::{EndpointPool, EndpointStatus, Fault, PoolStatus, Reach};
pub use lane::{
    Call, DataFee, Effect, FeeMarket, FinalReport, FulfillItem, Inclusion, LaneAdapter, LaneError, LaneView, Observation, SendOutcome,
    SignedAttempt, Simulation,
};
pub use oracle::{AssignmentOracle, AttestedAssignment, Attester, AttesterError, EscrowHolder, EscrowOracle, LeafClaim, OracleError};
pub use source::{Source, SourceBlock, SourceError};
