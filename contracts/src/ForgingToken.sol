// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.28;

import {DevUsd} from "./DevUsd.sol";

/// Emits a token's logs from an address that is not the token's.
contract Forger {
    event Transfer(address indexed from, address indexed to, uint256 value);
    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);

    function forgeTransfer(address from, address to, uint256 value) external {
        emit Transfer(from, to, value);
    }

    function forgeUse(address authorizer, bytes32 nonce) external {
        emit AuthorizationUsed(authorizer, nonce);
    }
}

/// Hostile, for tests: no money moves and the token itself logs nothing, but a helper contract
/// logs a perfect payment in the same transaction.
contract ForgingToken is DevUsd {
    Forger public forger;

    constructor(address owner_) DevUsd(owner_) {}

    function _consume(address authorizer, bytes32 nonce) internal override {
        _helper().forgeUse(authorizer, nonce);
    }

    function _transfer(address from, address to, uint256 value) internal override {
        _helper().forgeTransfer(from, to, value);
    }

    // Made on first use: the dev chain places runtime code without running a constructor.
    function _helper() private returns (Forger) {
        if (address(forger) == address(0)) forger = new Forger();
        return forger;
    }
}
