//! The settlement contract's interface: calls, views, events and errors, as `contracts/evm/src/IAcurastSettlement.sol` has them.

use acurast_adapter_api::FulfillItem;
use acurast_events::bytes::{Bytes, EvmAddress};
use acurast_events::eip712::RootStatement;
use acurast_events::leaves::AssignmentLeaf;
use alloy::primitives::{Address, B256};
use alloy::sol_types::SolCall;

#[allow(missing_docs, clippy::arithmetic_side_effects, clippy::too_many_arguments)]
mod bindings {
    alloy::sol! {
        #[derive(Debug, PartialEq, Eq)]
        interface Settlement {
            struct Caps { uint128 maxFeePerGas; uint128 maxPriorityFee; uint64 callGasLimit; uint32 maxPayload; uint128 maxCharge; uint32 modes; }
            struct Root { bytes32 root; uint64 batch; uint32 leaves; uint64 lockedUntil; uint64 sourceBlock; bytes32 sourceBlockHash; }
            struct Assignment {
                bytes32 assignmentId; bytes32 escrowId; uint128 jobId; uint8 keyType; bytes32 signerKey;
                uint64 firstExecution; uint64 executions; uint64 notAfter; uint64 bit;
            }
            struct Item { uint64 batch; Assignment assignment; bytes32[] proof; uint64 execution; bytes payload; bytes signature; }

            function postRoot(Root root, bytes[] signatures) external;
            function fulfillBatch(Item[] items) external;

            function VERSION() external view returns (string);
            function domainSeparator() external view returns (bytes32);
            function laneOf(address relayer) external view returns (uint16 lane, bool granted);
            function attesters() external view returns (address[]);
            function threshold() external view returns (uint8);
            function isSettled(uint64 bit) external view returns (bool);
            function isFailed(uint64 bit) external view returns (bool);
            function rootOf(uint64 batch) external view returns (
                bytes32 root, uint32 leaves, uint64 lockedUntil, uint64 gas, uint128 price, uint128 baseFee, uint32 paidShares, bool revoked);
            function account(bytes32 escrowId) external view returns (
                address opener, address target, bytes32 ownerKey, Caps caps, uint64 expiry, uint64 closeRequestedAt,
                uint64 refundableAt, uint256 balance);

            event TargetBound(address indexed target, bytes32 indexed ownerKey);
            event EscrowOpened(bytes32 indexed escrowId, bytes32 indexed ownerKey, address indexed target, address opener, Caps caps,
                uint64 expiry, bytes32 salt, uint256 amount);
            event EscrowToppedUp(bytes32 indexed escrowId, bytes32 indexed ownerKey, uint256 amount);
            event EscrowCloseRequested(bytes32 indexed escrowId, bytes32 indexed ownerKey, uint64 refundableAt);
            event EscrowRefunded(bytes32 indexed escrowId, bytes32 indexed ownerKey, address to, uint256 amount);
            event RootPosted(uint64 indexed batch, bytes32 root, uint32 leaves, uint64 lockedUntil, uint64 sourceBlock, bytes32 sourceBlockHash);
            event Settled(bytes32 indexed assignmentId, bytes32 indexed escrowId, uint64 execution, bool success, bytes32 payloadHash);
            event Skipped(bytes32 indexed assignmentId, uint64 execution, uint8 reason);
            event RootShareCharged(bytes32 indexed assignmentId, bytes32 indexed escrowId, uint256 amount);
            event Charged(bytes32 indexed escrowId, uint256 items, uint256 itemsAmount, uint256 rootShares);
            event AssignmentRevoked(bytes32 indexed escrowId, bytes32 indexed assignmentId);

            error EnforcedPause();
            error NotRelayer(address sender);
            error NotPlainAccount(address sender);
            error Locked();
            error QuorumNotMet(uint256 given, uint256 threshold);
            error InvalidAttestation(uint256 index);
            error EmptyRoot();
            error RingSlotLocked(uint64 batch, uint64 held, uint64 lockedUntil);
            error EmptyBatch();
            error AmountTooLarge(uint256 amount);
            error WrongLane(uint256 index, uint64 batch);
            error UnknownRoot(uint256 index, uint64 batch);
            error RevokedRoot(uint256 index, uint64 batch);
            error InvalidProof(uint256 index);
            error ExecutionOutOfRange(uint256 index, uint64 execution);
            error UnsupportedKeyType(uint256 index, uint8 keyType);
            error InvalidSignature(uint256 index);
            error ScatteredCalldata(uint256 index);
            error NotEnoughGas(uint256 index, uint256 needed);
        }
    }
}

pub use bindings::Settlement;

/// The behaviour that this adapter was written for; a contract of another major version is refused.
pub const VERSION_MAJOR: &str = "1.";

/// Reasons of the contract's `Skipped` event.
pub const SKIPPED_SETTLED: u8 = 0;

/// `address` in alloy's type.
pub fn address(address: &EvmAddress) -> Address {
    Address::from(address.0)
}

/// `address` in ours.
pub fn evm_address(address: &Address) -> EvmAddress {
    EvmAddress(address.into_array())
}

/// The contract's form of a leaf; it adds `kind` itself.
pub fn assignment(leaf: &AssignmentLeaf) -> Settlement::Assignment {
    Settlement::Assignment {
        assignmentId: B256::from(leaf.assignment_id.0),
        escrowId: B256::from(leaf.escrow_id.0),
        jobId: leaf.job_number.0,
        keyType: leaf.key_type.leaf_byte(),
        signerKey: B256::from(leaf.signer_key.0),
        firstExecution: leaf.first_execution.0,
        executions: leaf.executions.0,
        notAfter: leaf.not_after.0,
        bit: leaf.bit.0,
    }
}

fn item(item: &FulfillItem) -> Settlement::Item {
    Settlement::Item {
        batch: item.batch.0,
        assignment: assignment(&item.leaf),
        proof: item.proof.iter().map(|node| B256::from(node.0)).collect(),
        execution: item.intent.execution.0,
        payload: item.intent.payload.0.clone().into(),
        signature: item.intent.signature.0.clone().into(),
    }
}

/// Calldata of `fulfillBatch`. The encoder writes each item's parts in one stretch and in order, as the contract asks.
pub fn fulfill_calldata(items: &[FulfillItem]) -> Vec<u8> {
    Settlement::fulfillBatchCall { items: items.iter().map(item).collect() }.abi_encode()
}

/// Calldata of `postRoot`.
pub fn root_calldata(statement: &RootStatement, signatures: &[Bytes]) -> Vec<u8> {
    Settlement::postRootCall {
        root: Settlement::Root {
            root: B256::from(statement.root.0),
            batch: statement.batch.0,
            leaves: statement.leaves,
            lockedUntil: statement.locked_until.0,
            sourceBlock: statement.source_block.0,
            sourceBlockHash: B256::from(statement.source_block_hash.0),
        },
        signatures: signatures.iter().map(|signature| signature.0.clone().into()).collect(),
    }
    .abi_encode()
}
