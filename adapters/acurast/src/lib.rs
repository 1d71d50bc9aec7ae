//! Acurast as a source of job facts (PROTOCOL §1): a live node, or a recording of one.
//!
//! The core is pure: [`decode::decode`] turns a finalized block into facts and says what it needs to know beside the block
//! ([`reads::Need`]). Two thin shells run it: [`AcurastNode`] asks a node, [`RecordedSource`] a recorded file, which holds the
//! same questions' answers. So a replay gives the same facts with the same ids.
//!
//! | where | what |
//! |---|---|
//! | `runtime`, `records`, `chain_types` | metadata, event records, Acurast's types by name |
//! | `reads`, `state` | what has to be known, and its typed view |
//! | `decode`, `lifecycle`, `reports`, `remarks`, `pallets` | block → facts |
//! | `snapshot`, `known` | jobs in storage: first start and reconciliation |
//! | `endpoint`, `access`, `node`, `oracle` | the live node |
//! | `raw`, `recording`, `recorder`, `recorded` | recordings |

#![deny(clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod access;
mod chain_types;
pub mod decode;
mod endpoint;
pub mod known;
mod lifecycle;
pub mod node;
mod oracle;
mod pallets;
pub mod raw;
pub mod reads;
pub mod recorded;
pub mod recorder;
pub mod recording;
pub mod records;
mod remarks;
mod reports;
pub mod runtime;
pub mod snapshot;
mod state;
mod strip;

pub use decode::EventCounts;
pub use endpoint::NodeUrl;
pub use known::KnownJobs;
pub use node::{AcurastNode, NodeConfig, Start};
pub use oracle::NodeOracle;
pub use recorded::{RecordedOracle, RecordedSource};
pub use recorder::{Recorder, RecordingSummary, record};
pub use recording::{Recording, RecordingError};
pub use strip::without_docs;
