// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.28;

import {DevUsd} from "./DevUsd.sol";

/// Hostile, for tests: a simulation, which pays no gas price, succeeds; the real transaction burns
/// every unit of gas it was given.
contract GasBurnerToken is DevUsd {
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
        if (tx.gasprice > 0) {
            assembly {
                invalid()
            }
        }
        super._pay(from, to, value, validAfter, validBefore, nonce, signature);
    }
}
