//! The vectors of a second implementation: every id, record hash, output, leaf, tree and attestation of the protocol.
//!
//! `PROTOCOL_VECTORS=FILE` takes another file of the same form. Unknown fields are refused and cases are counted, so that
//! nothing of a file is passed over in silence.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use acurast_events::bytes::{Bytes, EvmAddress, MerkleNode};
use acurast_events::caip::ChainId;
use acurast_events::eip712::{self, RootStatement};
use acurast_events::ids;
use acurast_events::job_id::{JobId, MultiOrigin};
use acurast_events::leaves::{AssignmentLeaf, CheckpointLeaf, KeyType, OutputLeaf};
use acurast_events::merkle::{MerkleTree, process_proof};
use acurast_events::partition::{murmur2, partition_of};
use acurast_events::record::record_hash;
use acurast_events::topics::TopicName;
use acurast_events::units::{Batch, Bit, BlockNumber, Count, Execution, Sequence, Term, Timestamp};
use k256::ecdsa::signature::Verifier;
use serde::Deserialize;
use serde_json::Value;
use std::fmt::{Debug, Display};
use std::num::NonZeroU32;
use std::str::FromStr;

/// A value that the file writes as text, in our text form of it.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Text(String);

impl Text {
    fn to<T: FromStr<Err: Debug>>(&self) -> T {
        self.0.parse().unwrap_or_else(|error| panic!("{:?}: {error:?}", self.0))
    }
    fn bytes(&self) -> Vec<u8> {
        self.to::<Bytes>().0
    }
    fn array<const N: usize>(&self) -> [u8; N] {
        self.bytes().try_into().unwrap()
    }
    fn check(&self, what: &str, ours: impl Display) {
        assert_eq!(ours.to_string(), self.0, "{what}");
    }
    fn check_bytes(&self, what: &str, ours: &[u8]) {
        self.check(what, Bytes(ours.to_vec()));
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    #[serde(rename = "about")]
    _about: String,
    ids: Vec<Ids>,
    outputs: Vec<OutputCase>,
    assignment_trees: Vec<Tree>,
    other_leaves: Vec<OtherLeaf>,
    root_attestations: Vec<Attestation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ids {
    genesis: Text,
    origin: String,
    origin_bytes: Text,
    number: Text,
    scale_origin: Text,
    scale_job_id: Text,
    job_key: Text,
    owner_key: Text,
    chain: Text,
    settlement_bytes: Text,
    target_bytes: Text,
    dest_id: Text,
    processor: Text,
    assignment_execution: Text,
    assignment_id: Text,
    root_settlement_id: Text,
    execution: Text,
    fulfillment_settlement_id: Text,
    block_hash: Text,
    block_number: Text,
    event_index: Text,
    n: Text,
    chain_fact_id: Text,
    storage_key: Text,
    storage_fact_id: Text,
    derived_kind: Text,
    derived_n: Text,
    derived_id: Text,
    record: RecordCase,
    murmur2_of_job_key: Text,
    partition_of_12: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordCase {
    topic: String,
    partition: Text,
    term: Text,
    writer: Text,
    sequence: Text,
    previous: Text,
    value: Text,
    hash: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputCase {
    assignment_id: Text,
    execution: Text,
    payload: Text,
    payload_hash: Text,
    message: Text,
    evm: Option<EvmOutput>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EvmOutput {
    chain_id: Text,
    contract: Text,
    domain_separator: Text,
    struct_hash: Text,
    digest: Text,
    secret: Text,
    secp256k1_signature: Text,
    address: Text,
    signer_key_0: Text,
    p256_message: Text,
    p256_signature: Text,
    p256_x: Text,
    p256_y: Text,
    p256_compressed: Text,
    signer_key_1: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tree {
    types: Vec<String>,
    rows: Vec<[Text; 10]>,
    leaves: Vec<Text>,
    root: Text,
    proofs: Vec<Vec<Text>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OtherLeaf {
    kind: String,
    fields: Vec<Text>,
    leaf: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attestation {
    chain_id: Text,
    contract: Text,
    fields: [Text; 6],
    struct_hash: Text,
    digest: Text,
    attester: Text,
    secret: Text,
    signature: Text,
}

fn load() -> (Vectors, Value) {
    let path = std::env::var("PROTOCOL_VECTORS").unwrap_or_else(|_| format!("{}/tests/fixtures/protocol.json", env!("CARGO_MANIFEST_DIR")));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    (serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}")), serde_json::from_str(&text).unwrap())
}

/// How many cases of a section the file has, counted in the file and not in what we read of it.
fn expected(raw: &Value, section: &str) -> usize {
    let count = raw[section].as_array().unwrap().len();
    assert!(count > 0, "no case in {section}");
    count
}

#[test]
fn ids_records_and_partitions_are_those_of_the_second_implementation() {
    let (vectors, raw) = load();
    let mut checked = 0;
    for case in &vectors.ids {
        let genesis = case.genesis.to();
        let origin = MultiOrigin::from_parts(&case.origin.to_lowercase(), &case.origin_bytes.bytes()).unwrap();
        let job = JobId { origin: origin.clone(), number: case.number.to() };
        case.scale_origin.check_bytes("scale_origin", &origin.scale());
        case.scale_job_id.check_bytes("scale_job_id", &job.scale());
        assert_eq!(JobId::from_scale(&case.scale_job_id.bytes()).unwrap(), job);
        assert_eq!(job.to_string().parse::<JobId>().unwrap(), job);

        let job_key = ids::job_key(&genesis, &job);
        case.job_key.check("job_key", job_key);
        case.owner_key.check("owner_key", ids::owner_key(&genesis, &origin));
        let dest = ids::dest_id(&case.chain.to::<ChainId>(), &case.settlement_bytes.bytes(), &case.target_bytes.bytes());
        case.dest_id.check("dest_id", dest);
        let assignment = ids::assignment_id(&job_key, &case.processor.to(), &dest, Execution(case.assignment_execution.to()));
        case.assignment_id.check("assignment_id", assignment);
        case.root_settlement_id.check("root_settlement_id", ids::root_settlement_id(&assignment));
        let fulfillment = ids::fulfillment_settlement_id(&assignment, Execution(case.execution.to()));
        case.fulfillment_settlement_id.check("fulfillment_settlement_id", fulfillment);

        let (block, number) = (case.block_hash.to(), BlockNumber(case.block_number.to()));
        let fact = ids::chain_fact_id(&genesis, &block, number, case.event_index.to(), case.n.to());
        case.chain_fact_id.check("chain_fact_id", fact);
        case.storage_fact_id.check("storage_fact_id", ids::storage_fact_id(&genesis, &block, number, &case.storage_key.bytes()));
        let derived = ids::derived_id(&fact, job_key.as_bytes(), case.derived_kind.to(), case.derived_n.to());
        case.derived_id.check("derived_id", derived);

        let record = &case.record;
        let at = TopicName::new(record.topic.as_str()).partition(record.partition.to());
        let (term, sequence) = (Term(record.term.to()), Sequence(record.sequence.to()));
        let hash = record_hash(&at, term, &record.writer.to(), sequence, &record.previous.to(), &record.value.bytes());
        record.hash.check("record hash", hash);

        case.murmur2_of_job_key.check("murmur2", murmur2(job_key.as_bytes()));
        case.partition_of_12.check("partition", partition_of(job_key.as_bytes(), NonZeroU32::new(12).unwrap()));
        checked += 1;
    }
    assert_eq!(checked, expected(&raw, "ids"));
}

fn evm_address(key: &k256::ecdsa::VerifyingKey) -> EvmAddress {
    let point = key.to_encoded_point(false);
    let hash = ids::keccak(&[&point.as_bytes()[1..]]);
    EvmAddress::try_from(&hash[12..]).unwrap()
}

/// Checks r ‖ s ‖ v over `digest`: low s, v 27 or 28, by the address of `secret`.
fn check_secp256k1(signature: &Text, digest: &[u8; 32], secret: &Text, address: &Text) {
    let bytes: [u8; 65] = signature.array();
    let parsed = k256::ecdsa::Signature::from_slice(&bytes[..64]).unwrap();
    assert!(parsed.normalize_s().is_none(), "s is not low");
    let recovery = k256::ecdsa::RecoveryId::from_byte(bytes[64].checked_sub(27).unwrap()).unwrap();
    let key = k256::ecdsa::VerifyingKey::recover_from_prehash(digest, &parsed, recovery).unwrap();
    address.check("recovered address", evm_address(&key));
    let secret = k256::ecdsa::SigningKey::from_slice(&secret.bytes()).unwrap();
    address.check("address of the secret", evm_address(secret.verifying_key()));
}

#[test]
fn output_messages_digests_and_signatures_are_those_of_the_second_implementation() {
    let (vectors, raw) = load();
    let (mut checked, mut on_evm) = (0, 0);
    for case in &vectors.outputs {
        let (assignment, execution) = (case.assignment_id.to(), Execution(case.execution.to()));
        let payload = ids::payload_hash(&case.payload.bytes());
        case.payload_hash.check("payload_hash", payload);
        case.message.check_bytes("message", &eip712::output_message(&assignment, execution, &payload));
        checked += 1;
        let Some(evm) = &case.evm else { continue };

        let domain = eip712::domain_separator(evm.chain_id.to(), &evm.contract.to());
        evm.domain_separator.check_bytes("domain_separator", &domain);
        let struct_hash = eip712::output_struct_hash(&assignment, execution, &payload);
        evm.struct_hash.check_bytes("struct_hash", &struct_hash);
        let digest = eip712::digest(&domain, &struct_hash);
        evm.digest.check_bytes("digest", &digest);
        check_secp256k1(&evm.secp256k1_signature, &digest, &evm.secret, &evm.address);
        evm.signer_key_0.check_bytes("signer_key_0", &[&[0; 12][..], &evm.address.bytes()].concat());

        let message = eip712::p256_message(&domain, &struct_hash);
        evm.p256_message.check_bytes("p256_message", &message);
        let signature = p256::ecdsa::Signature::from_slice(&evm.p256_signature.bytes()).unwrap();
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&evm.p256_compressed.bytes()).unwrap();
        key.verify(&message, &signature).unwrap();
        assert!(key.verify(&[&message[..], &[0]].concat(), &signature).is_err(), "any message verifies");
        let point = key.to_encoded_point(false);
        evm.p256_x.check_bytes("p256_x", point.x().unwrap());
        evm.p256_y.check_bytes("p256_y", point.y().unwrap());
        evm.signer_key_1.check_bytes("signer_key_1", &ids::keccak(&[&point.as_bytes()[1..]]));
        on_evm += 1;
    }
    assert_eq!(checked, expected(&raw, "outputs"));
    let in_file = raw["outputs"].as_array().unwrap().iter().filter(|case| !case["evm"].is_null()).count();
    assert!(on_evm > 0, "no output for EVM");
    assert_eq!(on_evm, in_file);
}

fn assignment_leaf(row: &[Text; 10]) -> AssignmentLeaf {
    let [kind, assignment_id, escrow_id, number, key_type, signer_key, first, executions, not_after, bit] = row;
    kind.check_bytes("kind", &ids::keccak(&[b"acurast/leaf/assignment/1"]));
    let key_type = match key_type.0.as_str() {
        "0" => KeyType::Secp256k1,
        "1" => KeyType::P256,
        "2" => KeyType::Tezos,
        "3" => KeyType::Bitcoin,
        "4" => KeyType::Web2,
        other => panic!("unknown key type {other}"),
    };
    AssignmentLeaf {
        assignment_id: assignment_id.to(),
        escrow_id: escrow_id.to(),
        job_number: number.to(),
        key_type,
        signer_key: signer_key.to(),
        first_execution: Execution(first.to()),
        executions: Count(executions.to()),
        not_after: Timestamp(not_after.to()),
        bit: Bit(bit.to()),
    }
}

#[test]
fn assignment_trees_and_proofs_are_those_of_the_second_implementation() {
    let (vectors, raw) = load();
    let mut checked = 0;
    for tree in &vectors.assignment_trees {
        let fields = ["bytes32", "bytes32", "bytes32", "uint128", "uint8", "bytes32", "uint64", "uint64", "uint64", "uint64"];
        assert_eq!(tree.types, fields);
        assert_eq!((tree.rows.len(), tree.rows.len()), (tree.leaves.len(), tree.proofs.len()));
        let leaves: Vec<MerkleNode> = tree.rows.iter().map(|row| assignment_leaf(row).hash()).collect();
        for (ours, theirs) in leaves.iter().zip(&tree.leaves) {
            theirs.check("leaf", ours);
        }
        let ours = MerkleTree::new(&leaves).unwrap();
        tree.root.check("root", ours.root());
        for (index, (leaf, theirs)) in leaves.iter().zip(&tree.proofs).enumerate() {
            let proof = ours.proof(index).unwrap();
            assert_eq!(proof, theirs.iter().map(Text::to).collect::<Vec<MerkleNode>>(), "proof {index}");
            assert_eq!(process_proof(leaf, &proof), ours.root());
        }
        checked += 1;
    }
    assert_eq!(checked, expected(&raw, "assignment_trees"));
}

#[test]
fn output_and_checkpoint_leaves_are_those_of_the_second_implementation() {
    let (vectors, raw) = load();
    let mut checked = 0;
    for case in &vectors.other_leaves {
        let kind = format!("acurast/leaf/{}/1", case.kind);
        case.fields[0].check_bytes("kind", &ids::keccak(&[kind.as_bytes()]));
        let hash = match (case.kind.as_str(), &case.fields[1..]) {
            ("output", [assignment_id, execution, payload_hash, outcome]) => OutputLeaf {
                assignment_id: assignment_id.to(),
                execution: Execution(execution.to()),
                payload_hash: payload_hash.to(),
                failed: match outcome.0.as_str() {
                    "0" => false,
                    "1" => true,
                    other => panic!("unknown outcome {other}"),
                },
            }
            .hash(),
            ("checkpoint", [origin_hash, size, root]) => {
                CheckpointLeaf { origin_hash: origin_hash.to(), size: Count(size.to()), root: root.to() }.hash()
            }
            (kind, fields) => panic!("unknown leaf {kind} of {} fields", fields.len()),
        };
        case.leaf.check("leaf", hash);
        checked += 1;
    }
    assert_eq!(checked, expected(&raw, "other_leaves"));
}

#[test]
fn root_attestations_are_those_of_the_second_implementation() {
    let (vectors, raw) = load();
    let mut checked = 0;
    for case in &vectors.root_attestations {
        let [root, batch, leaves, locked_until, source_block, source_block_hash] = &case.fields;
        let statement = RootStatement {
            root: root.to(),
            batch: Batch(batch.to()),
            leaves: leaves.to(),
            locked_until: Timestamp(locked_until.to()),
            source_block: BlockNumber(source_block.to()),
            source_block_hash: source_block_hash.to(),
        };
        let struct_hash = eip712::root_struct_hash(&statement);
        case.struct_hash.check_bytes("struct_hash", &struct_hash);
        let digest = eip712::digest(&eip712::domain_separator(case.chain_id.to(), &case.contract.to()), &struct_hash);
        case.digest.check_bytes("digest", &digest);
        check_secp256k1(&case.signature, &digest, &case.secret, &case.attester);
        checked += 1;
    }
    assert_eq!(checked, expected(&raw, "root_attestations"));
}
