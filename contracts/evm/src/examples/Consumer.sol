// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAcurastSettlement, IFulfillable} from "../IAcurastSettlement.sol";

/// @title A consumer contract that settles its own jobs
/// @notice What a consumer contract needs: `fulfill`, an `owner()`, and, where its jobs are registered under its own
/// address, the power to bind itself and to open its own account (opener = target). It keeps the last output of each
/// job.
contract Consumer is IFulfillable {
    /// @notice Emitted for each output taken.
    event Fulfilled(uint128 indexed jobId, uint256 number, bytes payload);

    /// @notice Only the settlement contract delivers.
    error NotSettlement(address sender);
    /// @notice Only the owner may do this.
    error NotOwner(address sender);
    /// @notice The receiver refused the money.
    error PaymentRefused(address to);

    /// @notice Who may bind this contract and open its accounts.
    address public immutable owner;
    /// @notice The only contract that may deliver.
    IAcurastSettlement public immutable settlement;
    /// @notice How many outputs a job has had.
    mapping(uint128 jobId => uint256) public outputs;
    /// @notice The last output of a job.
    mapping(uint128 jobId => bytes) public lastOutput;

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner(msg.sender);
        _;
    }

    /// @param settlement_ the settlement contract
    constructor(IAcurastSettlement settlement_) {
        owner = msg.sender;
        settlement = settlement_;
    }

    /// @notice Takes refunds.
    receive() external payable {}

    /// @inheritdoc IFulfillable
    function fulfill(uint128 jobId, bytes calldata payload) external override {
        if (msg.sender != address(settlement)) revert NotSettlement(msg.sender);
        uint256 number = outputs[jobId] + 1;
        outputs[jobId] = number;
        lastOutput[jobId] = payload;
        emit Fulfilled(jobId, number, payload);
    }

    /// @notice Lets jobs of `ownerKey`, and no others, reach this contract.
    function bind(bytes32 ownerKey) external onlyOwner {
        settlement.bindTarget(address(this), ownerKey);
    }

    /// @notice Opens an account whose opener and target is this contract, with the value sent.
    function openEscrow(bytes32 ownerKey, IAcurastSettlement.Caps calldata caps, uint64 expiry, bytes32 salt)
        external
        payable
        onlyOwner
        returns (bytes32 escrowId)
    {
        return settlement.openEscrow{value: msg.value}(address(this), ownerKey, caps, expiry, salt);
    }

    /// @notice Asks for the rest of an account.
    function requestClose(bytes32 escrowId) external onlyOwner {
        settlement.requestClose(escrowId);
    }

    /// @notice Stops an assignment.
    function revoke(bytes32 escrowId, bytes32 assignmentId) external onlyOwner {
        settlement.revoke(escrowId, assignmentId);
    }

    /// @notice Sends what this contract holds to `to`.
    function withdraw(address payable to) external onlyOwner {
        (bool paid,) = to.call{value: address(this).balance}("");
        if (!paid) revert PaymentRefused(to);
    }
}
