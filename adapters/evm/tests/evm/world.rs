//! A settlement contract with a consumer, an open account, an attester, and a job with its processor.

use crate::anvil::Anvil;
use acurast_adapter_api::oracle::LeafClaim;
use acurast_adapter_api::{
    AssignmentOracle, AttestedAssignment, DestinationRules, EscrowHolder, EscrowOracle, FulfillItem, LaneAdapter, LaneView, OracleError,
    SendOutcome,
};
use acurast_adapter_evm::attester::AttesterConfig;
use acurast_adapter_evm::{
    ChainConfig, EndpointConfig, EndpointLimits, EvmChain, EvmEscrowOracle, EvmLane, EvmRules, Finality, LaneConfig, LocalAttester,
    LocalKey, MemoryError, SignedLeaves,
};
use acurast_events::amount::Amount;
use acurast_events::bytes::{AssignmentId, BlockHash, Bytes, EscrowId, EvmAddress, Genesis, OwnerKey, ProcessorId, TxHash};
use acurast_events::caip::ChainId;
use acurast_events::eip712::{RootStatement, digest, domain_separator, output_struct_hash};
use acurast_events::ids::{assignment_id, dest_id, fulfillment_settlement_id, job_key, owner_key, payload_hash};
use acurast_events::job_id::{JobId, MultiOrigin};
use acurast_events::jobs::FulfillmentPlanned;
use acurast_events::lanes::FeeBid;
use acurast_events::leaves::{AssignmentLeaf, JobNumber};
use acurast_events::merkle::MerkleTree;
use acurast_events::schedule::DEADLINE_DEFAULT;
use acurast_events::source::{Curve, EscrowCaps, MatchedSlot, PublicKey, Registration, Schedule, Strategy};
use acurast_events::units::{Batch, Bit, BlockNumber, Execution, Gas, LaneNumber, Millis, Slot, Timestamp};
use alloy::primitives::{Address, B256};
use alloy::sol_types::{SolCall, SolValue};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

alloy::sol! {
    struct Caps { uint128 maxFeePerGas; uint128 maxPriorityFee; uint64 callGasLimit; uint32 maxPayload; uint128 maxCharge; uint32 modes; }
    function construct(address admin, address[] attesters, uint8 threshold, uint32 ringSize, uint64 closeDelay);
    function grantRelayer(address relayer, uint16 lane);
    function bind(bytes32 ownerKey);
    function openEscrow(bytes32 ownerKey, Caps caps, uint64 expiry, bytes32 salt);
    function topUp(bytes32 escrowId);
    function requestClose(bytes32 escrowId);
    function refund(bytes32 escrowId);
    function revoke(bytes32 escrowId, bytes32 assignmentId);
    function outputs(uint128 jobId) returns (uint256);
    function creditOf(address relayer) returns (uint256);
}

pub const CHAIN_ID: u64 = 31_337;
pub const LANE: LaneNumber = LaneNumber(7);
pub const GENESIS: Genesis = Genesis([0xac; 32]);
pub const SOURCE_BLOCK: (BlockNumber, BlockHash) = (BlockNumber(1_000), BlockHash([0x0a; 32]));
pub const LOCKED: u128 = 1_000_000_000_000_000_000;
pub const CLOSE_DELAY_S: u64 = 3_600;
const GWEI: u128 = 1_000_000_000;
/// Far enough away that no clock reaches it.
const START_MS: u64 = 4_000_000_000_000;
const EXPIRY_S: u64 = 90_000_000_000;

/// anvil's published development keys.
const KEYS: [&str; 4] = [
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
];

pub fn key(index: usize) -> LocalKey {
    LocalKey::from_hex(KEYS[index]).unwrap()
}
pub fn admin() -> EvmAddress {
    key(0).address()
}
pub fn relayer() -> LocalKey {
    key(1)
}
pub fn attester_key() -> LocalKey {
    key(2)
}
pub fn processor_key() -> LocalKey {
    LocalKey::from_hex(&"37".repeat(32)).unwrap()
}

pub fn alloy_address(address: &EvmAddress) -> Address {
    Address::from(address.0)
}

pub struct World {
    pub anvil: Anvil,
    pub settlement: EvmAddress,
    pub consumer: EvmAddress,
    pub owner: OwnerKey,
    pub escrow: EscrowId,
}

pub fn caps() -> EscrowCaps {
    EscrowCaps {
        max_fee_per_gas: Amount(100 * GWEI),
        max_priority_fee: Amount(3 * GWEI),
        call_gas_limit: Gas(300_000),
        max_payload: 4_096,
        max_charge: Amount(50_000_000_000_000_000),
        modes: 1,
    }
}

/// A registration of three executions and its match.
pub fn assignment(keys: Vec<PublicKey>) -> AttestedAssignment {
    AttestedAssignment {
        registration: Registration {
            script: Bytes(b"ipfs://script".to_vec()),
            schedule: Schedule {
                start: Timestamp(START_MS),
                end: Timestamp(START_MS + 180_000),
                interval: Millis(60_000),
                duration: Millis(10_000),
                max_start_delay: Millis(5_000),
            },
            slots: 1,
            strategy: Strategy::Single,
            reward: Amount(1),
            budget: None,
        },
        slot: MatchedSlot { processor: processor(), slot: 0, start_delay: Millis(2_000), fee_per_execution: Amount(1), execution: None },
        acknowledged: true,
        keys,
    }
}

pub fn processor() -> ProcessorId {
    ProcessorId([0x77; 32])
}

/// The compressed point of the processor's key.
pub fn processor_keys() -> Vec<PublicKey> {
    let key = k256::ecdsa::SigningKey::from_slice(&[0x37; 32]).unwrap();
    vec![PublicKey { curve: Curve::Secp256k1, bytes: Bytes(key.verifying_key().to_encoded_point(true).as_bytes().to_vec()) }]
}

pub fn job(consumer: &EvmAddress) -> JobId {
    JobId { origin: MultiOrigin::Ethereum20(consumer.0), number: 42 }
}

/// The leaf claim of the job's assignment, with its bits from here on.
pub fn claim(settlement: &EvmAddress, consumer: &EvmAddress, escrow: EscrowId, counter: u64) -> LeafClaim {
    let found = assignment(processor_keys());
    let schedule = &found.registration.schedule;
    let span = schedule.span(None).unwrap();
    let job = job(consumer);
    let dest = dest_id(&ChainId::evm(CHAIN_ID), &settlement.0, &consumer.0);
    let usable = EvmRules { chain_id: CHAIN_ID }.choose_key(&found.keys).unwrap();
    let leaf = AssignmentLeaf {
        assignment_id: assignment_id(&job_key(&GENESIS, &job), &processor(), &dest, Execution::ALL),
        escrow_id: escrow,
        job_number: JobNumber(job.number),
        key_type: usable.key_type,
        signer_key: usable.signer_key,
        first_execution: span.first,
        executions: span.count,
        not_after: schedule.not_after(&span, found.slot.start_delay, DEADLINE_DEFAULT).unwrap(),
        bit: Bit(LANE.nth(counter).unwrap()),
    };
    LeafClaim { leaf, job, processor: processor(), settlement: Bytes(settlement.0.to_vec()) }
}

/// The statement over these claims.
pub fn statement(claims: &[LeafClaim], counter: u64) -> RootStatement {
    let hashes: Vec<_> = claims.iter().map(|claim| claim.leaf.hash()).collect();
    RootStatement {
        root: MerkleTree::new(&hashes).unwrap().root(),
        batch: Batch(LANE.nth(counter).unwrap()),
        leaves: u32::try_from(claims.len()).unwrap(),
        locked_until: claims.iter().map(|claim| claim.leaf.not_after).max().unwrap(),
        source_block: SOURCE_BLOCK.0,
        source_block_hash: SOURCE_BLOCK.1,
    }
}

impl World {
    pub async fn start() -> Option<Self> {
        let anvil = Anvil::start()?;
        let arguments = constructCall {
            admin: alloy_address(&admin()),
            attesters: vec![alloy_address(&attester_key().address())],
            threshold: 1,
            ringSize: 16,
            closeDelay: CLOSE_DELAY_S,
        };
        let mut encoded = Vec::new();
        arguments.abi_encode_raw(&mut encoded);
        let settlement = anvil.deploy(&admin(), "AcurastSettlement", encoded).await;
        let consumer = anvil.deploy(&admin(), "Consumer", alloy_address(&settlement).abi_encode()).await;
        let owner = owner_key(&GENESIS, &job(&consumer).origin);
        let grant = grantRelayerCall { relayer: alloy_address(&relayer().address()), lane: LANE.0 };
        anvil.send(&admin(), Some(&settlement), grant.abi_encode(), 0).await;
        let world = Self { anvil, settlement, consumer, owner, escrow: EscrowId::ZERO };
        world.anvil.send(&admin(), Some(&consumer), bindCall { ownerKey: B256::from(owner.0) }.abi_encode(), 0).await;
        let escrow = world.open_escrow([0; 32]).await;
        Some(Self { escrow, ..world })
    }

    /// Opens an account of the consumer with this salt.
    pub async fn open_escrow(&self, salt: [u8; 32]) -> EscrowId {
        let caps = caps();
        let open = openEscrowCall {
            ownerKey: B256::from(self.owner.0),
            caps: Caps {
                maxFeePerGas: caps.max_fee_per_gas.0,
                maxPriorityFee: caps.max_priority_fee.0,
                callGasLimit: caps.call_gas_limit.0,
                maxPayload: caps.max_payload,
                maxCharge: caps.max_charge.0,
                modes: caps.modes,
            },
            expiry: EXPIRY_S,
            salt: B256::from(salt),
        };
        self.anvil.send(&admin(), Some(&self.consumer), open.abi_encode(), LOCKED).await;
        let bytes = |address: &EvmAddress| Bytes(address.0.to_vec());
        let rules = EvmRules { chain_id: CHAIN_ID };
        rules.escrow_id(&bytes(&self.settlement), &bytes(&self.consumer), &bytes(&self.consumer), &self.owner, &salt).unwrap()
    }

    pub fn chain(&self) -> ChainConfig {
        ChainConfig {
            chain_id: CHAIN_ID,
            settlement: self.settlement,
            endpoints: vec![EndpointConfig { url: self.anvil.url.clone(), trusted: true }],
            limits: EndpointLimits::default(),
            finality: Finality::Depth(0),
            block_time: Millis(12_000),
        }
    }

    pub async fn lane(&self) -> EvmLane {
        lane_of(self.chain()).await
    }

    pub fn claim(&self, counter: u64) -> LeafClaim {
        claim(&self.settlement, &self.consumer, self.escrow, counter)
    }

    /// The contract's attester, asking the real contract for accounts.
    pub fn attester(&self) -> LocalAttester {
        let escrows = EvmEscrowOracle::new(Arc::new(EvmChain::new(self.chain()).unwrap()));
        attester(self.settlement, Arc::new(FixedAssignments(Some(assignment(processor_keys())))), Arc::new(escrows), Arc::default())
    }

    /// An item that delivers `payload` for `execution`, signed by the processor.
    pub fn item(&self, claim: &LeafClaim, batch: Batch, execution: u64, payload: &[u8]) -> FulfillItem {
        let (leaf, execution) = (claim.leaf.clone(), Execution(execution));
        let hash = output_struct_hash(&leaf.assignment_id, execution, &payload_hash(payload));
        let signature = processor_key().sign_rsv(&digest(&domain_separator(CHAIN_ID, &self.settlement), &hash)).unwrap();
        let intent = FulfillmentPlanned {
            settlement_id: fulfillment_settlement_id(&leaf.assignment_id, execution),
            lane: ChainId::evm(CHAIN_ID).account(&relayer().address().to_string()).unwrap(),
            assignment_id: leaf.assignment_id,
            execution,
            payload: Bytes(payload.to_vec()),
            signature: Bytes(signature),
            escrow_id: leaf.escrow_id,
            caps: caps(),
            not_after: leaf.not_after,
            reserved: caps().max_charge,
            requeued: 0,
        };
        FulfillItem { intent, batch, leaf, proof: Vec::new() }
    }
}

/// The relayer's lane on this chain.
pub async fn lane_of(chain: ChainConfig) -> EvmLane {
    EvmLane::connect(Arc::new(EvmChain::new(chain).unwrap()), LaneConfig::new(LANE), relayer()).await.unwrap()
}

/// A usual offer with this gas limit.
pub fn fee(gas_limit: Gas) -> FeeBid {
    FeeBid { max_fee_per_gas: Amount(10 * GWEI), max_priority_fee: Amount(GWEI), gas_limit }
}

/// Signs, sends, and expects the node to take it.
pub async fn send(lane: &EvmLane, slot: u64, call: &acurast_adapter_api::Call, gas_limit: Gas) -> (TxHash, Bytes) {
    let attempt = lane.sign(Slot(slot), call, &fee(gas_limit)).await.unwrap();
    assert_eq!(lane.broadcast(&attempt.bytes).await, SendOutcome::Accepted);
    (attempt.tx, attempt.bytes)
}

/// The same, and waits until it is mined.
pub async fn send_mined(world: &World, lane: &EvmLane, slot: u64, call: &acurast_adapter_api::Call, gas_limit: Gas) -> (TxHash, Bytes) {
    let (tx, bytes) = send(lane, slot, call, gas_limit).await;
    world.anvil.receipt(&serde_json::json!(tx)).await;
    (tx, bytes)
}

pub fn attester(
    settlement: EvmAddress,
    assignments: Arc<dyn AssignmentOracle>,
    escrows: Arc<dyn EscrowOracle>,
    memory: Arc<MapMemory>,
) -> LocalAttester {
    let config = AttesterConfig { chain_id: CHAIN_ID, settlement, genesis: GENESIS, deadlines: BTreeSet::from([DEADLINE_DEFAULT]) };
    LocalAttester::new(config, attester_key(), assignments, escrows, memory)
}

/// An Acurast node on which every processor has this assignment.
pub struct FixedAssignments(pub Option<AttestedAssignment>);

#[async_trait]
impl AssignmentOracle for FixedAssignments {
    async fn check_finalized(&self, number: BlockNumber, hash: BlockHash) -> Result<(), OracleError> {
        if (number, hash) == SOURCE_BLOCK { Ok(()) } else { Err(OracleError::NotFinalized { number, hash }) }
    }
    async fn assignment(&self, _: BlockHash, _: &JobId, _: &ProcessorId) -> Result<Option<AttestedAssignment>, OracleError> {
        Ok(self.0.clone())
    }
}

/// A destination with these accounts.
pub struct FixedEscrows(pub BTreeMap<EscrowId, EscrowHolder>);

#[async_trait]
impl EscrowOracle for FixedEscrows {
    async fn escrow_holder(&self, escrow: &EscrowId) -> Result<Option<EscrowHolder>, OracleError> {
        Ok(self.0.get(escrow).cloned())
    }
}

/// A memory that can be made to fail.
#[derive(Default)]
pub struct MapMemory {
    pub leaves: Mutex<BTreeMap<Bit, AssignmentLeaf>>,
    pub broken: Mutex<bool>,
}

impl SignedLeaves for MapMemory {
    fn of_assignment(&self, assignment: &AssignmentId) -> Result<Option<AssignmentLeaf>, MemoryError> {
        Ok(self.leaves.lock().unwrap().values().find(|leaf| leaf.assignment_id == *assignment).cloned())
    }
    fn last_from(&self, bit: Bit) -> Result<Option<AssignmentLeaf>, MemoryError> {
        Ok(self.leaves.lock().unwrap().range(..=bit).next_back().map(|(_, leaf)| leaf.clone()))
    }
    fn insert(&self, leaves: &[AssignmentLeaf]) -> Result<(), MemoryError> {
        if *self.broken.lock().unwrap() {
            return Err(MemoryError("disk full".into()));
        }
        self.leaves.lock().unwrap().extend(leaves.iter().map(|leaf| (leaf.bit, leaf.clone())));
        Ok(())
    }
}

/// The lane's view. Anvil writes its fee history in a task of its own, so for a moment after a block the lane rightly says
/// `Unknown`; a shell asks again, and so does this, within two seconds.
pub async fn view(lane: &EvmLane) -> LaneView {
    let mut asked_again = 0;
    loop {
        match lane.view().await {
            Err(error) if asked_again < 200 && error.to_string().contains("eth_feeHistory") => {
                asked_again += 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            view => return view.unwrap(),
        }
    }
}
