//! When a block of an EVM chain counts as final: by the node's tag, or by its depth below the head (R7).

use crate::endpoint::{Endpoint, RpcError};
use crate::node::{BlockTag, Header};
use serde::{Deserialize, Serialize};

/// Finality policy of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Finality {
    /// The node's `finalized` block: what consensus finalized.
    Finalized,
    /// The node's `safe` block: justified, not yet finalized.
    Safe,
    /// So many blocks below the head; 0 is the head itself.
    Depth(u64),
}

impl Finality {
    /// The newest final block below `head`; nothing while the chain has none.
    ///
    /// # Errors
    /// See [`RpcError`]; also when the final block is above the head.
    pub async fn block(self, endpoint: &Endpoint, head: &Header) -> Result<Option<Header>, RpcError> {
        let tag = match self {
            Self::Finalized => BlockTag::Finalized,
            Self::Safe => BlockTag::Safe,
            Self::Depth(0) => return Ok(Some(head.clone())),
            // Block 0 is final by definition, however short the chain is.
            Self::Depth(depth) => BlockTag::Number(head.number.0.saturating_sub(depth)),
        };
        match endpoint.header(tag).await? {
            // The head was asked for first, so even a chain that moved on has its final block below it.
            Some(header) if header.number > head.number => {
                Err(endpoint.malformed("eth_getBlockByNumber", format!("final block {} above head {}", header.number.0, head.number.0)))
            }
            header => Ok(header),
        }
    }
}
