// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.28;

import {Signatures} from "./Signatures.sol";

/// A payer with code: its signature is whatever its owner, an ordinary account, signed over the
/// same digest. Slot 0 holds the owner, so the dev chain can place it without a constructor.
contract ContractWallet {
    address public owner;

    constructor(address owner_) {
        owner = owner_;
    }

    receive() external payable {}

    /// ERC-1271. A malformed signature reverts, which callers must read as "no".
    function isValidSignature(bytes32 digest, bytes calldata signature)
        external
        view
        returns (bytes4)
    {
        return Signatures.recover(digest, signature) == owner ? bytes4(0x1626ba7e) : bytes4(0);
    }

    function execute(address target, uint256 value, bytes calldata data)
        external
        returns (bytes memory)
    {
        require(msg.sender == owner, "ContractWallet: caller is not the owner");
        (bool success, bytes memory answer) = target.call{value: value}(data);
        require(success, "ContractWallet: call failed");
        return answer;
    }
}
