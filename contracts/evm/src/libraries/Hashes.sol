// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAcurastSettlement} from "../IAcurastSettlement.sol";

/// @title The bytes that attesters and processors put their names to
/// @notice Leaves of the assignment tree, and EIP-712 struct hashes. The domain is the contract's.
library Hashes {
    bytes32 private constant ASSIGNMENT_KIND = keccak256("acurast/leaf/assignment/1");
    bytes32 private constant ROOT_TYPE = keccak256(
        "Root(bytes32 root,uint64 batch,uint32 leaves,uint64 lockedUntil,uint64 sourceBlock,bytes32 sourceBlockHash)"
    );
    bytes32 private constant REVOKE_ROOT_TYPE = keccak256("RevokeRoot(uint64 batch,bytes32 root)");
    bytes32 private constant OUTPUT_TYPE =
        keccak256("Output(bytes32 assignmentId,uint64 execution,bytes32 payloadHash)");

    /// @notice Leaf of an assignment: keccak(keccak(abi.encode(kind, fields))), as OpenZeppelin's standard tree has it.
    function assignmentLeaf(IAcurastSettlement.Assignment calldata assignment) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(ASSIGNMENT_KIND, assignment))));
    }

    /// @notice Struct hash of a root.
    function root(IAcurastSettlement.Root calldata value) internal pure returns (bytes32) {
        return keccak256(abi.encode(ROOT_TYPE, value));
    }

    /// @notice Struct hash of a root's revocation.
    function revokeRoot(uint64 batch, bytes32 root_) internal pure returns (bytes32) {
        return keccak256(abi.encode(REVOKE_ROOT_TYPE, batch, root_));
    }

    /// @notice Struct hash of an output.
    function output(bytes32 assignmentId, uint64 execution, bytes32 payloadHash) internal pure returns (bytes32) {
        return keccak256(abi.encode(OUTPUT_TYPE, assignmentId, execution, payloadHash));
    }
}
