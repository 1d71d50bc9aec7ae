//! EVM chains as destinations and as sources of escrow facts.
//!
//! [`EvmLane`] is what a lane asks (sign, send, observe, report), [`EvmRules`] the pure side that settle asks,
//! [`EscrowWatch`] the source of the settlement contract's escrow facts, and [`LocalAttester`] signs roots. Both sign
//! through a [`Signer`], wherever its key is. All of them see the chain through one [`EvmChain`], whose endpoints are asked
//! and believed by the rules of [`pool`]; each [`Endpoint`] keeps three things apart: the node answered *nothing*, the node
//! refused, and nobody knows. Slots and fees are never chosen here, and nothing is sent twice by itself.

#![deny(clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

pub mod attester;
pub mod breaker;
pub mod chain;
pub mod combine;
pub mod contract;
mod effect;
pub mod endpoint;
pub mod escrow;
pub mod facts;
pub mod finality;
pub mod health;
pub mod identify;
pub mod lane;
pub mod node;
mod observe;
pub mod outcomes;
pub mod pool;
pub mod quantity;
pub mod report;
pub mod revert;
pub mod rules;
pub mod signer;
mod simulate;
mod survey;
pub mod transaction;
pub mod url;
mod view;
pub mod vote;
pub mod watch;
pub mod witness;

pub use attester::{AttesterConfig, LocalAttester, MemoryError, SignedLeaves};
pub use breaker::BreakerPolicy;
pub use chain::{ChainConfig, EndpointConfig, EvmChain};
pub use endpoint::{Endpoint, EndpointError, EndpointLimits, RpcError};
pub use escrow::EvmEscrowOracle;
pub use finality::Finality;
pub use health::Health;
pub use identify::{IdentifyError, KnownContract};
pub use lane::{EvmLane, LaneConfig};
pub use rules::EvmRules;
pub use signer::{
    HttpAuthorization, HttpSigner, HttpSignerConfig, Keystore, LocalKey, MessageSigner, SecretReference, Signer, SignerError,
};
#[cfg(feature = "aws-kms")]
pub use signer::{KmsConfig, KmsSigner};
pub use url::EndpointUrl;
pub use watch::{EscrowWatch, WatchConfig};
pub use witness::Witness;
