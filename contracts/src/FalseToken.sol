// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.28;

import {DevUsd} from "./DevUsd.sol";

/// Hostile, for tests: nothing ever moves, nothing is logged and nothing reverts. The ERC-20
/// functions say so by returning false; an authorization says nothing and stays unused.
contract FalseToken is DevUsd {
    constructor(address owner_) DevUsd(owner_) {}

    function transfer(address, uint256) external pure override returns (bool) {
        return false;
    }

    function transferFrom(address, address, uint256) external pure override returns (bool) {
        return false;
    }

    function _consume(address, bytes32) internal override {}

    function _transfer(address, address, uint256) internal override {}
}
