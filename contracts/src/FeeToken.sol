// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.28;

import {DevUsd} from "./DevUsd.sol";

/// Hostile, for tests: one percent of every transfer goes to the owner, so the payee gets less
/// than the payer signed for. The logs tell the truth.
contract FeeToken is DevUsd {
    constructor(address owner_) DevUsd(owner_) {}

    function _transfer(address from, address to, uint256 value) internal override {
        uint256 fee = value / 100;
        _move(from, to, value - fee);
        emit Transfer(from, to, value - fee);
        // Without an owner the token keeps its fees: nothing may go to the zero address.
        address collector = owner == address(0) ? address(this) : owner;
        _move(from, collector, fee);
        emit Transfer(from, collector, fee);
    }
}
