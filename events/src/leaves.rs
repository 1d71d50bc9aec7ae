//! What a root proves: assignment, output and checkpoint leaves, each keccak(keccak(abi.encode(fields))) (PROTOCOL §4).

use crate::bytes::{AssignmentId, EscrowId, MerkleNode, PayloadHash, SignerKey};
use crate::ids::keccak;
use crate::units::{Bit, Count, Execution, Timestamp};

crate::wire_enum! {
    /// The kind of key that a leaf names; the number in a leaf is one less (PROTOCOL §4).
    pub enum KeyType {
        /// 0: an EVM address of a secp256k1 key, left-padded.
        1 Secp256k1,
        /// 1: keccak of x ‖ y of a P-256 key.
        2 P256,
        /// 2: curve tag ‖ key hash of a Tezos key, left-padded.
        3 Tezos,
        /// 3: an x-only Bitcoin key.
        4 Bitcoin,
        /// 4: sha256(public key variant ‖ key bytes), for Web2.
        5 Web2,
    }
}

impl KeyType {
    /// The number in a leaf.
    pub fn leaf_byte(self) -> u8 {
        match self {
            Self::Secp256k1 => 0,
            Self::P256 => 1,
            Self::Tezos => 2,
            Self::Bitcoin => 3,
            Self::Web2 => 4,
        }
    }
}

crate::message! {
    /// Proves that a processor was assigned, with the key that signs its outputs and the bits that settle them.
    pub struct AssignmentLeaf {
        /// The assignment.
        1 assignment_id: AssignmentId,
        /// The account that pays; never changes.
        2 escrow_id: EscrowId,
        /// The job's number, decimal.
        3 job_number: JobNumber,
        /// Kind of the signing key.
        4 key_type: KeyType,
        /// The signing key in the form of its kind.
        5 signer_key: SignerKey,
        /// First execution that the leaf covers.
        6 first_execution: Execution,
        /// How many executions it covers.
        7 executions: Count,
        /// Nothing is sent after this time, milliseconds since the Unix epoch.
        8 not_after: Timestamp,
        /// First of the leaf's executions + 1 bits in the contract's bitmap.
        9 bit: Bit,
    }

    /// One output under a root of outputs.
    pub struct OutputLeaf {
        /// The assignment.
        1 assignment_id: AssignmentId,
        /// The execution.
        2 execution: Execution,
        /// keccak of the payload, or of the failure message.
        3 payload_hash: PayloadHash,
        /// Whether the processor reported a failure.
        4 failed: bool,
    }

    /// A checkpoint of a journal partition, riding along in a root.
    pub struct CheckpointLeaf {
        /// keccak of the checkpoint's origin line.
        1 origin_hash: MerkleNode,
        /// Number of records that the checkpoint covers.
        2 size: Count,
        /// Root of the partition's log.
        3 root: MerkleNode,
    }
}

/// A job's number: a decimal string on the wire, 128 bits in a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobNumber(pub u128);

impl std::fmt::Display for JobNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for JobNumber {
    type Err = crate::amount::DecimalError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        crate::amount::parse_decimal(text).map(Self)
    }
}

crate::wire_as_string!(JobNumber, "A job's number, below 2¹²⁸; unique per origin chain only.");

fn word(bytes: &[u8]) -> [u8; 32] {
    let mut word = [0; 32];
    // Values of at most 16 bytes, right-aligned as the ABI does with integers.
    for (to, from) in word.iter_mut().rev().zip(bytes.iter().rev()) {
        *to = *from;
    }
    word
}

fn double_keccak(words: &[[u8; 32]]) -> MerkleNode {
    let parts: Vec<&[u8]> = words.iter().map(|word| &word[..]).collect();
    MerkleNode(keccak(&[&keccak(&parts)]))
}

impl AssignmentLeaf {
    /// The leaf's hash in a tree.
    pub fn hash(&self) -> MerkleNode {
        double_keccak(&[
            keccak(&[b"acurast/leaf/assignment/1"]),
            self.assignment_id.0,
            self.escrow_id.0,
            word(&self.job_number.0.to_be_bytes()),
            word(&[self.key_type.leaf_byte()]),
            self.signer_key.0,
            word(&self.first_execution.0.to_be_bytes()),
            word(&self.executions.0.to_be_bytes()),
            word(&self.not_after.0.to_be_bytes()),
            word(&self.bit.0.to_be_bytes()),
        ])
    }

    /// The bit that settles `execution`, or nothing when the leaf does not cover it.
    pub fn bit_of(&self, execution: Execution) -> Option<Bit> {
        let offset = execution.0.checked_sub(self.first_execution.0)?;
        if offset < self.executions.0 { self.bit.checked_add(offset) } else { None }
    }

    /// The bit that records that the leaf's root share was paid.
    pub fn share_bit(&self) -> Option<Bit> {
        self.bit.checked_add(self.executions.0)
    }
}

impl OutputLeaf {
    /// The leaf's hash in a tree.
    pub fn hash(&self) -> MerkleNode {
        double_keccak(&[
            keccak(&[b"acurast/leaf/output/1"]),
            self.assignment_id.0,
            word(&self.execution.0.to_be_bytes()),
            self.payload_hash.0,
            word(&[u8::from(self.failed)]),
        ])
    }
}

impl CheckpointLeaf {
    /// The leaf's hash in a tree.
    pub fn hash(&self) -> MerkleNode {
        double_keccak(&[keccak(&[b"acurast/leaf/checkpoint/1"]), self.origin_hash.0, word(&self.size.0.to_be_bytes()), self.root.0])
    }
}
