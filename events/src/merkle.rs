//! The standard Merkle tree of OpenZeppelin: inner nodes hash the sorted pair, so a proof needs no directions (PROTOCOL §4).
//!
//! Leaves keep the order given (`sortLeaves: false`); the tree is a complete binary tree stored from the root, leaves
//! last and in reverse. One tree and one hash serve EVM, Tezos and Web2.

use crate::bytes::MerkleNode;
use crate::ids::keccak;

/// Why no tree was built or no proof given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MerkleError {
    /// A tree has at least one leaf.
    #[error("a Merkle tree needs at least one leaf")]
    Empty,
    /// Two leaves are equal.
    #[error("two leaves are equal: {0}")]
    Duplicate(MerkleNode),
}

/// The tree over a list of leaf hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MerkleTree {
    nodes: Vec<MerkleNode>,
    leaves: usize,
}

/// keccak of the two nodes, the smaller first.
pub fn hash_pair(a: &MerkleNode, b: &MerkleNode) -> MerkleNode {
    let (first, second) = if a <= b { (a, b) } else { (b, a) };
    MerkleNode(keccak(&[&first.0, &second.0]))
}

impl MerkleTree {
    /// Builds the tree over `leaves` in their order.
    ///
    /// # Errors
    /// When there is no leaf, or one twice.
    pub fn new(leaves: &[MerkleNode]) -> Result<Self, MerkleError> {
        if leaves.is_empty() {
            return Err(MerkleError::Empty);
        }
        let mut sorted = leaves.to_vec();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find_map(|pair| match pair {
            [a, b] if a == b => Some(*a),
            _ => None,
        }) {
            return Err(MerkleError::Duplicate(pair));
        }
        // Level by level from the leaves up: node i has children 2i+1 and 2i+2, the leaves fill the end in reverse.
        let inner = leaves.len().saturating_sub(1);
        let mut reversed: Vec<MerkleNode> = Vec::with_capacity(inner.saturating_add(leaves.len()));
        reversed.extend_from_slice(leaves);
        for i in 0..inner {
            let at = i.saturating_mul(2);
            if let (Some(right), Some(left)) = (reversed.get(at), reversed.get(at.saturating_add(1))) {
                let parent = hash_pair(left, right);
                reversed.push(parent);
            }
        }
        reversed.reverse();
        Ok(Self { nodes: reversed, leaves: leaves.len() })
    }

    /// The root.
    pub fn root(&self) -> MerkleNode {
        self.nodes.first().copied().unwrap_or(MerkleNode::ZERO)
    }

    /// The siblings from leaf `index` up to the root, or nothing past the last leaf.
    pub fn proof(&self, index: usize) -> Option<Vec<MerkleNode>> {
        if index >= self.leaves {
            return None;
        }
        let mut at = self.nodes.len().checked_sub(1)?.checked_sub(index)?;
        let mut proof = Vec::new();
        while at > 0 {
            let sibling = if at % 2 == 0 { at.checked_sub(1)? } else { at.checked_add(1)? };
            proof.push(*self.nodes.get(sibling)?);
            at = at.checked_sub(1)?.checked_div(2)?;
        }
        Some(proof)
    }
}

/// The root that `leaf` and `proof` lead to.
pub fn process_proof(leaf: &MerkleNode, proof: &[MerkleNode]) -> MerkleNode {
    proof.iter().fold(*leaf, |node, sibling| hash_pair(&node, sibling))
}
