// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {AcurastSettlement} from "../src/AcurastSettlement.sol";
import {IAcurastSettlement} from "../src/IAcurastSettlement.sol";
import {Consumer} from "../src/examples/Consumer.sol";
import {Hashes} from "../src/libraries/Hashes.sol";
import {SettlementTest} from "./support/SettlementTest.sol";

/// @title The protocol's vectors, computed by another implementation, hold here
contract VectorsTest is SettlementTest {
    string private _json;

    function setUp() public override {
        super.setUp();
        _json = vm.readFile("test/fixtures/protocol.json");
    }

    function test_leaves_and_proofs_are_those_of_the_protocol() public view {
        uint256 trees = _number(".counts.trees");
        vm.assertTrue(trees >= 6, "vectors are there");
        for (uint256 t = 0; t < trees; ++t) {
            string memory tree = string.concat(".trees[", vm.toString(t), "]");
            bytes32 root = _word(string.concat(tree, ".root"));
            uint256 rows = _number(string.concat(".counts.rows[", vm.toString(t), "]"));
            for (uint256 i = 0; i < rows; ++i) {
                string memory row = string.concat(tree, ".rows[", vm.toString(i), "]");
                bytes32 leaf = this.leafOf(_assignment(row));
                vm.assertEq(leaf, _word(string.concat(row, ".leaf")), "leaf");
                bytes32[] memory proof = vm.parseJsonBytes32Array(_json, string.concat(row, ".proof"));
                vm.assertTrue(MerkleProof.verify(proof, root, leaf), "proof");
            }
        }
    }

    function test_a_root_is_posted_with_the_signature_of_the_vectors() public {
        for (uint256 i = 0; i < _number(".counts.roots"); ++i) {
            string memory entry = string.concat(".roots[", vm.toString(i), "]");
            vm.chainId(_number(string.concat(entry, ".chainId")));
            AcurastSettlement there = _deployAt(
                vm.parseJsonAddress(_json, string.concat(entry, ".contract")),
                vm.parseJsonAddress(_json, string.concat(entry, ".attester"))
            );
            IAcurastSettlement.Root memory root = IAcurastSettlement.Root({
                root: _word(string.concat(entry, ".root")),
                batch: uint64(_number(string.concat(entry, ".batch"))),
                leaves: uint32(_number(string.concat(entry, ".leaves"))),
                lockedUntil: uint64(_number(string.concat(entry, ".lockedUntil"))),
                sourceBlock: uint64(_number(string.concat(entry, ".sourceBlock"))),
                sourceBlockHash: _word(string.concat(entry, ".sourceBlockHash"))
            });
            bytes32 structHash = this.rootHash(root);
            vm.assertEq(structHash, _word(string.concat(entry, ".structHash")), "struct hash");
            vm.assertEq(_digest(there, structHash), _word(string.concat(entry, ".digest")), "digest");
            bytes[] memory signatures = new bytes[](1);
            signatures[0] = vm.parseJsonBytes(_json, string.concat(entry, ".signature"));
            vm.prank(RELAYER, RELAYER);
            there.postRoot(root, signatures);
            (bytes32 held,,,,,,,) = there.rootOf(root.batch);
            vm.assertEq(held, root.root, "the ring holds the root");
        }
    }

    function test_an_output_is_delivered_with_the_signature_of_the_vectors() public {
        for (uint256 i = 0; i < _number(".counts.outputs"); ++i) {
            string memory entry = string.concat(".outputs[", vm.toString(i), "]");
            vm.chainId(_number(string.concat(entry, ".chainId")));
            settlement =
                _deployAt(vm.parseJsonAddress(_json, string.concat(entry, ".contract")), vm.addr(attesterKeys[0]));
            Consumer consumer = new Consumer(settlement);
            IAcurastSettlement.Caps memory caps = defaultCaps();
            caps.maxPayload = 100_000;
            caps.callGasLimit = 10_000_000;
            caps.maxCharge = 0.1 ether;
            IAcurastSettlement.Assignment memory assignment = assignmentFor(open(address(consumer), caps, 1 ether), 3);
            assignment.assignmentId = _word(string.concat(entry, ".assignmentId"));
            assignment.signerKey = _word(string.concat(entry, ".signerKey"));
            assignment.firstExecution = uint64(_number(string.concat(entry, ".execution")));
            assignment.executions = 1;
            assignment.bit = 100;
            IAcurastSettlement.Root memory root = rootFor(0, list(assignment));
            bytes[] memory signatures = new bytes[](1);
            signatures[0] = signed(attesterKeys[0], this.rootHash(root));
            vm.prank(RELAYER, RELAYER);
            settlement.postRoot(root, signatures);

            bytes memory payload = vm.parseJsonBytes(_json, string.concat(entry, ".payload"));
            bytes32 structHash = Hashes.output(assignment.assignmentId, assignment.firstExecution, keccak256(payload));
            vm.assertEq(
                settlement.domainSeparator(), _word(string.concat(entry, ".domainSeparator")), "domain separator"
            );
            vm.assertEq(structHash, _word(string.concat(entry, ".structHash")), "struct hash");
            vm.assertEq(_digest(settlement, structHash), _word(string.concat(entry, ".digest")), "digest");
            fulfill(
                items(
                    IAcurastSettlement.Item({
                        batch: 0,
                        assignment: assignment,
                        proof: new bytes32[](0),
                        execution: assignment.firstExecution,
                        payload: payload,
                        signature: vm.parseJsonBytes(_json, string.concat(entry, ".signature"))
                    })
                )
            );
            vm.assertEq(keccak256(consumer.lastOutput(3)), keccak256(payload), "the consumer has the payload");
        }
    }

    /// @dev Runs the constructor at a given address, so that domain and storage are those of a deployment there.
    function _deployAt(address where, address attester) private returns (AcurastSettlement) {
        address[] memory attesters = new address[](1);
        attesters[0] = attester;
        vm.etch(
            where,
            abi.encodePacked(
                type(AcurastSettlement).creationCode, abi.encode(ADMIN, attesters, uint8(1), RING, CLOSE_DELAY)
            )
        );
        (bool created, bytes memory code) = where.call("");
        vm.assertTrue(created, "constructor");
        vm.etch(where, code);
        vm.prank(ADMIN);
        AcurastSettlement(where).grantRelayer(RELAYER, 0);
        return AcurastSettlement(where);
    }

    function _digest(AcurastSettlement there, bytes32 structHash) private view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", there.domainSeparator(), structHash));
    }

    function _assignment(string memory row) private view returns (IAcurastSettlement.Assignment memory) {
        return IAcurastSettlement.Assignment({
            assignmentId: _word(string.concat(row, ".assignmentId")),
            escrowId: _word(string.concat(row, ".escrowId")),
            jobId: uint128(_number(string.concat(row, ".jobId"))),
            keyType: uint8(_number(string.concat(row, ".keyType"))),
            signerKey: _word(string.concat(row, ".signerKey")),
            firstExecution: uint64(_number(string.concat(row, ".firstExecution"))),
            executions: uint64(_number(string.concat(row, ".executions"))),
            notAfter: uint64(_number(string.concat(row, ".notAfter"))),
            bit: uint64(_number(string.concat(row, ".bit")))
        });
    }

    function _number(string memory key) private view returns (uint256) {
        return vm.parseJsonUint(_json, key);
    }

    function _word(string memory key) private view returns (bytes32) {
        return vm.parseJsonBytes32(_json, key);
    }
}
