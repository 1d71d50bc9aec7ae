//! EVM chains as destinations and as sources of escrow facts.
//!
//! [`EvmLane`] is what a lane asks (sign, send, observe, report), [`EvmRules`] the pure side that settle asks,
//! [`EscrowWatch`] the source of the settlement contract's escrow facts, and [`LocalAttester`] signs roots. Both sign
//! through a [`Signer`], wherever its key is. All of them speak JSON-RPC through one [`Endpoint`] that keeps three things apart: the node answered
//! *nothing*, the node refused, and nobody knows. Slots and fees are never chosen here, and nothing is sent twice by itself.

#![deny(clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

pub mod attester;
pub mod chain;
pub mod contract;
mod effect;
pub mod endpoint;
pub mod escrow;
pub mod facts;
pub mod finality;
pub mod identify;
pub mod lane;
pub mod node;
mod observe;
pub mod outcomes;
pub mod quantity;
pub mod report;
pub mod revert;
pub mod rules;
pub mod signer;
mod simulate;
pub mod transaction;
pub mod url;
mod view;
pub mod watch;

pub use attester::{AttesterConfig, LocalAttester, MemoryError, SignedLeaves};
pub use chain::{ChainConfig, EvmChain};
pub use endpoint::{Endpoint, EndpointError, EndpointLimits, Health, RpcError};
pub use escrow::EvmEscrowOracle;
pub use finality::Finality;
pub use identify::IdentifyError;
pub use lane::{EvmLane, LaneConfig};
pub use rules::EvmRules;
pub use signer::{
    HttpAuthorization, HttpSigner, HttpSignerConfig, Keystore, LocalKey, MessageSigner, SecretReference, Signer, SignerError,
};
#[cfg(feature = "aws-kms")]
pub use signer::{KmsConfig, KmsSigner};
pub use url::EndpointUrl;
pub use watch::{EscrowWatch, WatchConfig};
