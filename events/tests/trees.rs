//! The two trees: OpenZeppelin's over leaves, and RFC 6962's over the facts of a block.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use acurast_events::bytes::{AssignmentId, EventId, MerkleNode, PayloadHash, SignerKey};
use acurast_events::bytes::{EscrowId, SettlementId};
use acurast_events::leaves::{AssignmentLeaf, JobNumber, KeyType, OutputLeaf};
use acurast_events::merkle::{MerkleError, MerkleTree, hash_pair, process_proof};
use acurast_events::partition::{murmur2, partition_of};
use acurast_events::source::facts_root;
use acurast_events::units::{Bit, Count, Execution, Timestamp};
use proptest::prelude::*;
use std::num::NonZeroU32;

fn leaves(count: u8) -> Vec<MerkleNode> {
    (0..count).map(|n| MerkleNode(acurast_events::ids::keccak(&[&[n]]))).collect()
}

#[test]
fn every_proof_of_every_tree_of_1_to_40_leaves_leads_to_the_root_and_no_other_leaf_does() {
    for count in 1..=40 {
        let leaves = leaves(count);
        let tree = MerkleTree::new(&leaves).unwrap();
        for (index, leaf) in leaves.iter().enumerate() {
            let proof = tree.proof(index).unwrap();
            assert_eq!(process_proof(leaf, &proof), tree.root(), "{count} leaves, leaf {index}");
            assert_ne!(process_proof(&MerkleNode([0xee; 32]), &proof), tree.root());
        }
        assert_eq!(tree.proof(leaves.len()), None);
        assert_eq!(tree.proof(usize::MAX), None);
    }
}

#[test]
fn a_tree_of_one_leaf_is_its_root_with_an_empty_proof() {
    let leaf = MerkleNode([5; 32]);
    let tree = MerkleTree::new(&[leaf]).unwrap();
    assert_eq!((tree.root(), tree.proof(0)), (leaf, Some(Vec::new())));
}

#[test]
fn a_pair_hashes_the_same_in_either_order() {
    let [a, b] = [MerkleNode([1; 32]), MerkleNode([2; 32])];
    assert_eq!(hash_pair(&a, &b), hash_pair(&b, &a));
    assert_eq!(hash_pair(&a, &b).0, acurast_events::ids::keccak(&[&a.0, &b.0]));
}

#[test]
fn no_tree_is_built_over_nothing_or_over_a_leaf_twice() {
    assert_eq!(MerkleTree::new(&[]), Err(MerkleError::Empty));
    let twice = MerkleNode([1; 32]);
    assert_eq!(MerkleTree::new(&[twice, MerkleNode([2; 32]), twice]), Err(MerkleError::Duplicate(twice)));
}

/// Computed by an iterative frontier in another language, over ids whose 32 bytes all are their index.
const RFC_6962: [(u8, &str); 8] = [
    (0, "0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    (1, "0x7f9c9e31ac8256ca2f258583df262dbc7d6f68f2a03043d5c99a4ae5a7396ce9"),
    (2, "0x28fb81e496897e0ce886f08602392e9239b65c659041e5202163e58ad898f444"),
    (3, "0xba8d94b7fbcecae7b81c4c80574fe24734a6917bf9c1ecd66ff3e0c34ead4620"),
    (5, "0x85e20cac1f02fda7bcdb2fc3f908568c57018c77815f1fa361acad13994f08bf"),
    (7, "0x7318881c41fce3c1de3640df8e8c110c93f43f686b74204a9d1ad5b8c71c2047"),
    (8, "0xf907f23f76aa01b755a614d31ef9832909f44638b4590073301e61e6d01f9a1d"),
    (13, "0xcebcf8c0a77418c03d4694b0e14ccebed8416ff87d3ad4da873423948f8622fd"),
];

#[test]
fn the_root_of_a_block_s_facts_has_the_known_answers_of_rfc_6962() {
    for (count, root) in RFC_6962 {
        let ids: Vec<EventId> = (0..count).map(|n| EventId([n; 32])).collect();
        assert_eq!(facts_root(&ids).to_string(), root, "{count} facts");
    }
}

proptest! {
    #[test]
    fn another_order_or_number_of_facts_has_another_root(ids in proptest::collection::hash_set(any::<[u8; 32]>(), 2..40)) {
        let ids: Vec<EventId> = ids.into_iter().map(EventId).collect();
        let root = facts_root(&ids);
        let mut swapped = ids.clone();
        swapped.swap(0, ids.len() - 1);
        prop_assert_ne!(facts_root(&swapped), root);
        prop_assert_ne!(facts_root(&ids[1..]), root);
        prop_assert_ne!(facts_root(&ids[..ids.len() - 1]), root);
    }

    #[test]
    fn a_partition_is_always_one_of_those_there_are(key: Vec<u8>, partitions in 1u32..) {
        prop_assert!(partition_of(&key, NonZeroU32::new(partitions).unwrap()) < partitions);
    }

    #[test]
    fn every_execution_of_a_leaf_has_a_bit_of_its_own_and_the_share_the_last(first in 0u64..1_000_000, count in 1u64..1_000, bit in 0u64..1 << 60) {
        let leaf = leaf(first, count, bit);
        for n in [0, count / 2, count - 1] {
            prop_assert_eq!(leaf.bit_of(Execution(first + n)), Some(Bit(bit + n)));
        }
        prop_assert_eq!(leaf.bit_of(Execution(first + count)), None);
        prop_assert_eq!(first.checked_sub(1).and_then(|before| leaf.bit_of(Execution(before))), None);
        prop_assert_eq!(leaf.share_bit(), Some(Bit(bit + count)));
    }
}

fn leaf(first: u64, count: u64, bit: u64) -> AssignmentLeaf {
    AssignmentLeaf {
        assignment_id: AssignmentId([1; 32]),
        escrow_id: EscrowId([2; 32]),
        job_number: JobNumber(3),
        key_type: KeyType::Secp256k1,
        signer_key: SignerKey([4; 32]),
        first_execution: Execution(first),
        executions: Count(count),
        not_after: Timestamp(5),
        bit: Bit(bit),
    }
}

#[test]
fn a_leaf_at_the_end_of_the_bitmap_has_no_bit_past_it() {
    assert_eq!(leaf(0, 2, u64::MAX).bit_of(Execution(1)), None);
    assert_eq!(leaf(0, 2, u64::MAX - 1).share_bit(), None);
}

#[test]
fn a_change_of_any_field_changes_the_leaf() {
    let base = leaf(7, 8, 9);
    let other = [
        AssignmentLeaf { assignment_id: AssignmentId([9; 32]), ..base.clone() },
        AssignmentLeaf { escrow_id: EscrowId([9; 32]), ..base.clone() },
        AssignmentLeaf { job_number: JobNumber(9), ..base.clone() },
        AssignmentLeaf { key_type: KeyType::P256, ..base.clone() },
        AssignmentLeaf { signer_key: SignerKey([9; 32]), ..base.clone() },
        leaf(9, 8, 9),
        leaf(7, 9, 9),
        AssignmentLeaf { not_after: Timestamp(9), ..base.clone() },
        leaf(7, 8, 10),
    ];
    let mut hashes: Vec<MerkleNode> = other.iter().chain([&base]).map(AssignmentLeaf::hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 10);
    let output = |failed| {
        OutputLeaf { assignment_id: AssignmentId([1; 32]), execution: Execution(2), payload_hash: PayloadHash([3; 32]), failed }.hash()
    };
    assert_ne!(output(true), output(false), "a reported failure never proves an output");
}

#[test]
fn murmur2_has_the_known_answers_of_kafka_s_own_test() {
    // Those of Kafka's UtilsTest, whose signed results are read as unsigned here.
    for (key, hash) in [
        ("21", -973_932_308_i32),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ] {
        assert_eq!(murmur2(key.as_bytes()), u32::from_ne_bytes(hash.to_ne_bytes()), "{key}");
    }
}

#[test]
fn the_root_and_every_fulfilment_of_an_assignment_settle_under_different_ids() {
    use acurast_events::ids::{fulfillment_settlement_id, root_settlement_id};
    let assignment = AssignmentId([1; 32]);
    let mut ids: Vec<SettlementId> = (0..100).map(|n| fulfillment_settlement_id(&assignment, Execution(n))).collect();
    ids.push(fulfillment_settlement_id(&assignment, Execution::ALL));
    ids.push(root_settlement_id(&assignment));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 102);
}
