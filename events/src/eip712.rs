//! What is signed for EVM destinations (EIP-712), and the chain-neutral messages of the other kinds (PROTOCOL §4, §5).

use crate::bytes::{AssignmentId, BlockHash, EvmAddress, MerkleNode, PayloadHash};
use crate::caip::ChainId;
use crate::ids::keccak;
use crate::units::{Batch, BlockNumber, Execution, Timestamp};

crate::message! {
    /// What attesters sign of a root.
    pub struct RootStatement {
        /// The tree's root.
        1 root: MerkleNode,
        /// The root's number in its settlement contract.
        2 batch: Batch,
        /// How many leaves the tree has.
        3 leaves: u32,
        /// The largest `not_after` of its leaves.
        4 locked_until: Timestamp,
        /// Finalized Acurast block that the leaves were derived at.
        5 source_block: BlockNumber,
        /// Its hash.
        6 source_block_hash: BlockHash,
    }
}

fn word(value: u64) -> [u8; 32] {
    let mut word = [0; 32];
    for (to, from) in word.iter_mut().rev().zip(value.to_be_bytes().iter().rev()) {
        *to = *from;
    }
    word
}

/// The EIP-712 domain of a settlement contract: {name "Acurast Settlement", version "1", chainId, verifyingContract}.
pub fn domain_separator(chain_id: u64, contract: &EvmAddress) -> [u8; 32] {
    let mut address = [0; 32];
    for (to, from) in address.iter_mut().rev().zip(contract.0.iter().rev()) {
        *to = *from;
    }
    keccak(&[
        &keccak(&[b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"]),
        &keccak(&[b"Acurast Settlement"]),
        &keccak(&[b"1"]),
        &word(chain_id),
        &address,
    ])
}

/// The struct hash of `Output(bytes32 assignmentId,uint64 execution,bytes32 payloadHash)`.
pub fn output_struct_hash(assignment: &AssignmentId, execution: Execution, payload: &PayloadHash) -> [u8; 32] {
    keccak(&[
        &keccak(&[b"Output(bytes32 assignmentId,uint64 execution,bytes32 payloadHash)"]),
        &assignment.0,
        &word(execution.0),
        &payload.0,
    ])
}

/// The struct hash of `Root(…)`.
pub fn root_struct_hash(statement: &RootStatement) -> [u8; 32] {
    keccak(&[
        &keccak(&[b"Root(bytes32 root,uint64 batch,uint32 leaves,uint64 lockedUntil,uint64 sourceBlock,bytes32 sourceBlockHash)"]),
        &statement.root.0,
        &word(statement.batch.0),
        &word(u64::from(statement.leaves)),
        &word(statement.locked_until.0),
        &word(statement.source_block.0),
        &statement.source_block_hash.0,
    ])
}

/// keccak(0x1901 ‖ domain separator ‖ struct hash): what secp256k1 keys sign.
pub fn digest(domain_separator: &[u8; 32], struct_hash: &[u8; 32]) -> [u8; 32] {
    keccak(&[&[0x19, 0x01], domain_separator, struct_hash])
}

/// 0x1901 ‖ domain separator ‖ struct hash: what P-256 keys sign the SHA-256 of.
pub fn p256_message(domain_separator: &[u8; 32], struct_hash: &[u8; 32]) -> Vec<u8> {
    [&[0x19, 0x01], &domain_separator[..], &struct_hash[..]].concat()
}

/// `M` of PROTOCOL §5, what is signed for destinations other than EVM.
pub fn output_message(assignment: &AssignmentId, execution: Execution, payload: &PayloadHash) -> [u8; 32] {
    keccak(&[b"acurast/output/1", &assignment.0, &execution.0.to_be_bytes(), &payload.0])
}

/// What attesters sign of a root for destinations other than EVM (PROTOCOL §4).
pub fn root_message(chain: &ChainId, settlement: &[u8], statement: &RootStatement) -> [u8; 32] {
    keccak(&[
        b"acurast/root/1",
        &keccak(&[chain.as_str().as_bytes()]),
        &keccak(&[settlement]),
        &statement.root.0,
        &statement.batch.0.to_be_bytes(),
        &statement.leaves.to_be_bytes(),
        &statement.locked_until.0.to_be_bytes(),
        &statement.source_block.0.to_be_bytes(),
        &statement.source_block_hash.0,
    ])
}
