//! What an attester signs, and all that it refuses. Oracles are fixed here; the lane's tests use its signatures on the real
//! contract, and the escrow oracle is asked there.

use crate::world::{
    FixedAssignments, FixedEscrows, LANE, MapMemory, World, assignment, attester, attester_key, claim, processor_keys, statement,
};
use acurast_adapter_api::oracle::LeafClaim;
use acurast_adapter_api::{AttestedAssignment, Attester, AttesterError, EscrowHolder, EscrowOracle};
use acurast_adapter_evm::{EvmEscrowOracle, LocalAttester};
use acurast_events::bytes::{AssignmentId, BlockHash, Bytes, EscrowId, EvmAddress, OwnerKey, SignerKey};
use acurast_events::eip712::{RootStatement, digest, domain_separator, root_struct_hash};
use acurast_events::ids::owner_key;
use acurast_events::leaves::{AssignmentLeaf, KeyType};
use acurast_events::merkle::MerkleTree;
use acurast_events::units::{Batch, Bit, BlockNumber, Count, Execution, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

const SETTLEMENT: EvmAddress = EvmAddress([0x42; 20]);
const CONSUMER: EvmAddress = EvmAddress([0xc0; 20]);
const ESCROW: EscrowId = EscrowId([0xe5; 32]);

fn holder() -> EscrowHolder {
    EscrowHolder { owner: owner_key(&crate::world::GENESIS, &crate::world::job(&CONSUMER).origin), target: Bytes(CONSUMER.0.to_vec()) }
}

fn attester_of(found: Option<AttestedAssignment>, holder: Option<EscrowHolder>, memory: &Arc<MapMemory>) -> LocalAttester {
    let escrows = FixedEscrows(holder.map(|holder| (ESCROW, holder)).into_iter().collect::<BTreeMap<_, _>>());
    attester(SETTLEMENT, Arc::new(FixedAssignments(found)), Arc::new(escrows), memory.clone())
}

fn usual(memory: &Arc<MapMemory>) -> LocalAttester {
    attester_of(Some(assignment(processor_keys())), Some(holder()), memory)
}

fn good() -> (RootStatement, Vec<LeafClaim>) {
    let claims = vec![claim(&SETTLEMENT, &CONSUMER, ESCROW, 10)];
    (statement(&claims, 1), claims)
}

async fn refusal(attester: &LocalAttester, statement: &RootStatement, claims: &[LeafClaim]) -> (usize, String) {
    match attester.attest(statement, claims).await {
        Err(AttesterError::Refused { leaf, reason }) => (leaf, reason),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn a_derived_root_is_signed_and_signed_again_alike() {
    let memory = Arc::default();
    let (statement, claims) = good();
    let signature = usual(&memory).attest(&statement, &claims).await.unwrap();
    let hash = digest(&domain_separator(crate::world::CHAIN_ID, &SETTLEMENT), &root_struct_hash(&statement));
    let signer = acurast_adapter_evm::rules::recover(&hash, &signature.0).unwrap();
    assert_eq!(signer, attester_key().address());
    assert_eq!(memory.leaves.lock().unwrap().len(), 1, "remembered before it was signed");
    // After a crash, from the same memory; and the same leaf in a later root.
    assert_eq!(usual(&memory).attest(&statement, &claims).await.unwrap(), signature);
    let moved = crate::world::statement(&claims, 2);
    assert_ne!(usual(&memory).attest(&moved, &claims).await.unwrap(), signature);
    assert_eq!(memory.leaves.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn any_field_that_is_not_as_derived_is_refused() {
    type Change = (&'static str, fn(&mut AssignmentLeaf));
    let changes: [Change; 7] = [
        ("assignmentId", |leaf| leaf.assignment_id = AssignmentId([1; 32])),
        ("jobId", |leaf| leaf.job_number.0 = 43),
        ("keyType", |leaf| leaf.key_type = KeyType::P256),
        ("signerKey", |leaf| leaf.signer_key = SignerKey([1; 32])),
        ("firstExecution", |leaf| leaf.first_execution = Execution(1)),
        ("executions", |leaf| leaf.executions = Count(4)),
        ("notAfter", |leaf| leaf.not_after = Timestamp(leaf.not_after.0 + 1)),
    ];
    for (field, change) in changes {
        let memory = Arc::default();
        let (_, mut claims) = good();
        change(&mut claims[0].leaf);
        let (leaf, reason) = refusal(&usual(&memory), &statement(&claims, 1), &claims).await;
        assert!(leaf == 0 && reason.starts_with(field), "{field}: {reason}");
        assert!(memory.leaves.lock().unwrap().is_empty(), "nothing refused is remembered");
    }
}

#[tokio::test]
async fn a_statement_that_is_not_about_these_leaves_is_refused() {
    let memory = Arc::default();
    let attester = usual(&memory);
    let (good, claims) = good();
    let cases = [
        ("counts 2 leaves", RootStatement { leaves: 2, ..good.clone() }),
        ("root is", RootStatement { root: acurast_events::bytes::MerkleNode([1; 32]), ..good.clone() }),
        ("lockedUntil", RootStatement { locked_until: Timestamp(good.locked_until.0 - 1), ..good.clone() }),
        ("not of lane 8", RootStatement { batch: Batch((8 << 48) | 1), ..good.clone() }),
    ];
    for (reason, statement) in cases {
        let (_, found) = refusal(&attester, &statement, &claims).await;
        assert!(found.contains(reason), "{found}");
    }
    let unfinal = RootStatement { source_block: BlockNumber(1_001), source_block_hash: BlockHash([1; 32]), ..good.clone() };
    let later = attester.attest(&unfinal, &claims).await.unwrap_err();
    assert!(matches!(&later, AttesterError::Unavailable(reason) if reason.contains("not finalized")), "{later}");
    let empty = RootStatement { leaves: 0, ..good.clone() };
    assert!(matches!(attester.attest(&empty, &[]).await, Err(AttesterError::Refused { leaf: 0, .. })));
}

#[tokio::test]
async fn what_the_chains_do_not_say_is_refused() {
    let memory = Arc::default();
    let (statement, claims) = good();
    let found = || assignment(processor_keys());
    let unacknowledged = AttestedAssignment { acknowledged: false, ..found() };
    let mut unscheduled = found();
    unscheduled.slot.execution = Some(Execution(3));
    let foreign = EscrowHolder { owner: OwnerKey([9; 32]), ..holder() };
    let elsewhere = EscrowHolder { target: Bytes(vec![9; 20]), ..holder() };
    let cases = [
        ("no assignment", attester_of(None, Some(holder()), &memory)),
        ("has not acknowledged", attester_of(Some(unacknowledged), Some(holder()), &memory)),
        ("no key that signs", attester_of(Some(assignment(Vec::new())), Some(holder()), &memory)),
        ("no such execution", attester_of(Some(unscheduled), Some(holder()), &memory)),
        ("pays for owner", attester_of(Some(found()), Some(foreign), &memory)),
        ("assignmentId", attester_of(Some(found()), Some(elsewhere), &memory)),
    ];
    for (reason, attester) in cases {
        let (leaf, found) = refusal(&attester, &statement, &claims).await;
        assert!(leaf == 0 && found.contains(reason), "{found}");
    }
    let missing = attester_of(Some(found()), None, &memory).attest(&statement, &claims).await.unwrap_err();
    assert!(matches!(missing, AttesterError::Unavailable(_)), "it may be final later: {missing}");
    let mut other = claims.clone();
    other[0].settlement = Bytes(vec![1; 20]);
    assert!(refusal(&usual(&memory), &statement, &other).await.1.contains("this attester is for"));
}

#[tokio::test]
async fn one_execution_of_a_competing_job_has_a_leaf_of_its_own() {
    let memory = Arc::default();
    let mut found = assignment(processor_keys());
    found.slot.execution = Some(Execution(1));
    let (_, mut claims) = good();
    let leaf = &mut claims[0].leaf;
    let dest = acurast_events::ids::dest_id(&acurast_events::caip::ChainId::evm(crate::world::CHAIN_ID), &SETTLEMENT.0, &CONSUMER.0);
    let job = acurast_events::ids::job_key(&crate::world::GENESIS, &crate::world::job(&CONSUMER));
    leaf.assignment_id = acurast_events::ids::assignment_id(&job, &crate::world::processor(), &dest, Execution(1));
    (leaf.first_execution, leaf.executions) = (Execution(1), Count(1));
    // Execution 1 ends one interval before the last one.
    leaf.not_after = Timestamp(leaf.not_after.0 - 60_000);
    let attester = attester_of(Some(found), Some(holder()), &memory);
    attester.attest(&statement(&claims, 1), &claims).await.unwrap();
}

#[tokio::test]
async fn two_leaves_of_one_assignment_that_differ_are_never_both_signed() {
    let memory = Arc::default();
    let (first, claims) = good();
    usual(&memory).attest(&first, &claims).await.unwrap();
    let mut other = claims.clone();
    other[0].leaf.bit = Bit(LANE.nth(500).unwrap());
    let (_, reason) = refusal(&usual(&memory), &statement(&other, 2), &other).await;
    assert!(reason.contains("another leaf of it was signed: bit"), "{reason}");
}

#[tokio::test]
async fn bits_that_were_signed_are_never_signed_for_another_assignment() {
    let memory: Arc<MapMemory> = Arc::default();
    let (first, claims) = good();
    usual(&memory).attest(&first, &claims).await.unwrap();
    let own = claims[0].leaf.bit.0;
    let taken = |bit| {
        // As if another assignment had been signed there: three executions and the share take four bits.
        let foreign = AssignmentLeaf { assignment_id: AssignmentId([3; 32]), bit: Bit(bit), ..claims[0].leaf.clone() };
        *memory.leaves.lock().unwrap() = BTreeMap::from([(foreign.bit, foreign)]);
    };
    for overlapping in [own - 3, own, own + 3] {
        taken(overlapping);
        let (_, reason) = refusal(&usual(&memory), &first, &claims).await;
        assert!(reason.contains("overlap"), "{reason}");
    }
    for beside in [own - 4, own + 4] {
        taken(beside);
        usual(&memory).attest(&first, &claims).await.unwrap();
    }
}

#[tokio::test]
async fn leaves_of_one_root_stand_in_order_and_do_not_overlap() {
    let memory = Arc::default();
    let (_, claims) = good();
    let with = |changes: &[(u64, u8)]| -> Vec<LeafClaim> {
        let leaf = |(counter, escrow): &(u64, u8)| {
            let mut claim = claims[0].clone();
            claim.leaf.bit = Bit(LANE.nth(*counter).unwrap());
            claim.leaf.escrow_id = EscrowId([*escrow; 32]);
            claim
        };
        changes.iter().map(leaf).collect()
    };
    let distinct = |mut claims: Vec<LeafClaim>| {
        claims[0].leaf.assignment_id = AssignmentId([1; 32]);
        claims
    };
    for (reason, claims) in [
        ("two leaves of one assignment", with(&[(10, 1), (20, 1)])),
        ("two leaves of one assignment", with(&[(10, 1), (20, 2)])),
        ("order", with(&[(20, 1), (10, 1)])),
        ("order", with(&[(10, 2), (20, 1)])),
        ("overlap", distinct(with(&[(10, 1), (13, 1)]))),
        ("overlap", distinct(with(&[(13, 1), (10, 2)]))),
        ("of lane 7", with(&[((1 << 48) - 2, 1)])),
    ] {
        let (_, found) = refusal(&usual(&memory), &statement(&claims, 1), &claims).await;
        assert!(found.contains(reason), "expected {reason:?}, got {found:?}");
    }
    let hashes = [claims[0].leaf.hash(), claims[0].leaf.hash()];
    assert!(MerkleTree::new(&hashes).is_err());
    let twice = vec![claims[0].clone(), claims[0].clone()];
    let statement = RootStatement { leaves: 2, ..good().0 };
    assert_eq!(refusal(&usual(&memory), &statement, &twice).await.0, 2, "the root as a whole");
}

#[tokio::test]
async fn nothing_is_signed_that_is_not_durable() {
    let memory: Arc<MapMemory> = Arc::default();
    *memory.broken.lock().unwrap() = true;
    let (statement, claims) = good();
    let error = usual(&memory).attest(&statement, &claims).await.unwrap_err();
    assert!(matches!(&error, AttesterError::Unavailable(reason) if reason.contains("disk full")), "{error}");
}

#[tokio::test]
async fn owner_and_target_of_an_account_are_read_from_the_contract_at_finality() {
    let Some(world) = World::start().await else { return };
    let oracle = EvmEscrowOracle::new(Arc::new(acurast_adapter_evm::EvmChain::new(world.chain()).unwrap()));
    let holder = oracle.escrow_holder(&world.escrow).await.unwrap().unwrap();
    assert_eq!(holder, EscrowHolder { owner: world.owner, target: Bytes(world.consumer.0.to_vec()) });
    assert_eq!(oracle.escrow_holder(&EscrowId([1; 32])).await.unwrap(), None);
    let deep = acurast_adapter_evm::ChainConfig { finality: acurast_adapter_evm::Finality::Depth(1), ..world.chain() };
    let oracle = EvmEscrowOracle::new(Arc::new(acurast_adapter_evm::EvmChain::new(deep).unwrap()));
    assert_eq!(oracle.escrow_holder(&world.escrow).await.unwrap(), None, "opened in the newest block, not final");
}
