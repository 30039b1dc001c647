// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.28;

import {DevUsd} from "./DevUsd.sol";

/// Hostile, for tests: an authorization that was used before is answered with success, no log and
/// no transfer. Only a look at the logs tells the two apart.
contract QuietToken is DevUsd {
    constructor(address owner_) DevUsd(owner_) {}

    function _pay(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) internal override {
        if (authorizations[from][nonce]) return;
        super._pay(from, to, value, validAfter, validBefore, nonce, signature);
    }
}
