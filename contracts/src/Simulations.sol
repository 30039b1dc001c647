// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.28;

interface Token {
    function balanceOf(address account) external returns (uint256);

    function authorizationState(address authorizer, bytes32 nonce) external returns (bool);

    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;
}

/// Would these payments settle? It is never deployed: a node puts this code at the sender's
/// address for one eth_call, so a token sees the sender of the transaction that is to come.
///
/// Each payment is tried in frames that are rolled back whole, touched accounts and slots
/// included: it meets the state, and pays the gas, of a transaction of its own. No token gets more
/// gas than was named for it, and of what it returns at most one word is copied.
contract Simulations {
    struct Payment {
        address token;
        /// For the transfer, without what a transaction costs before its first step.
        uint256 gas;
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    // The facts of a payment. None at all: there was not enough gas left to find out.
    uint256 private constant EXAMINED = 1;
    uint256 private constant PAYER_HAS_CODE = 2;
    uint256 private constant TOKEN_HAS_CODE = 4;
    /// The transfer was carried out.
    uint256 private constant MOVES = 8;
    /// The token's record of the authorization; neither when it keeps none.
    uint256 private constant UNUSED = 16;
    uint256 private constant USED = 32;
    /// The payer has less than the value. Asked only when the transfer failed.
    uint256 private constant SHORT = 64;

    // What became of a call.
    uint256 private constant NOT_MADE = 0;
    uint256 private constant FAILED = 1;
    uint256 private constant RETURNED = 2;

    /// Gas for a call itself, and for what remains to be done after it.
    uint256 private constant OVERHEAD = 20_000;

    /// Whoever calls its caller meets what an account without code would do.
    fallback() external payable {}

    receive() external payable {}

    /// One byte of facts for each payment. `viewGas` is for one question to a token.
    function simulate(uint256 viewGas, Payment[] calldata payments)
        external
        returns (bytes memory facts)
    {
        facts = new bytes(payments.length);
        for (uint256 i = 0; i < payments.length; i++) {
            if (!_affords(payments[i].gas + viewGas)) continue;
            uint256 found = _rolledBack(abi.encodeCall(this.examine, (viewGas, payments[i])));
            facts[i] = bytes1(uint8(found));
        }
    }

    /// Looks at one payment; reverts with its facts.
    function examine(uint256 viewGas, Payment calldata payment) external {
        uint256 moved = _rolledBack(abi.encodeCall(this.transfer, (payment)));
        address token = payment.token;
        (uint256 asked, uint256 used) = _view(
            token,
            viewGas,
            abi.encodeCall(Token.authorizationState, (payment.from, payment.nonce))
        );
        if (moved == NOT_MADE || asked == NOT_MADE) _revertWith(0);

        uint256 facts = EXAMINED;
        if (payment.from.code.length > 0) facts |= PAYER_HAS_CODE;
        if (token.code.length > 0) facts |= TOKEN_HAS_CODE;
        if (asked == RETURNED && used == 0) facts |= UNUSED;
        if (asked == RETURNED && used == 1) facts |= USED;
        if (moved == RETURNED) _revertWith(facts | MOVES);

        uint256 balance;
        (asked, balance) = _view(token, viewGas, abi.encodeCall(Token.balanceOf, (payment.from)));
        if (asked == NOT_MADE) _revertWith(0);
        if (asked == RETURNED && balance < payment.value) facts |= SHORT;
        _revertWith(facts);
    }

    /// Makes one transfer; reverts with what became of it.
    function transfer(Payment calldata payment) external {
        bytes memory data = abi.encodeCall(
            Token.transferWithAuthorization,
            (
                payment.from,
                payment.to,
                payment.value,
                payment.validAfter,
                payment.validBefore,
                payment.nonce,
                payment.v,
                payment.r,
                payment.s
            )
        );
        (address token, uint256 allowed) = (payment.token, payment.gas);
        if (!_affords(allowed)) _revertWith(NOT_MADE);
        bool succeeded;
        assembly ("memory-safe") {
            succeeded := call(allowed, token, 0, add(data, 32), mload(data), 0, 0)
        }
        _revertWith(succeeded ? RETURNED : FAILED);
    }

    /// Calls a function of this contract that always reverts with a word; 0 when its gas ran out.
    function _rolledBack(bytes memory data) private returns (uint256 word) {
        assembly ("memory-safe") {
            mstore(0, 0)
            pop(call(gas(), address(), 0, add(data, 32), mload(data), 0, 32))
            if eq(returndatasize(), 32) { word := mload(0) }
        }
    }

    /// Asks a token for one word. Any other answer counts as none.
    function _view(address token, uint256 allowed, bytes memory data)
        private
        returns (uint256 outcome, uint256 word)
    {
        if (!_affords(allowed)) return (NOT_MADE, 0);
        bool answered;
        assembly ("memory-safe") {
            answered := call(allowed, token, 0, add(data, 32), mload(data), 0, 32)
            answered := and(answered, eq(returndatasize(), 32))
            word := mload(0)
        }
        outcome = answered ? RETURNED : FAILED;
    }

    /// Whether a call would really get that much gas: a 64th of what is left is held back.
    function _affords(uint256 allowed) private view returns (bool) {
        return gasleft() >= allowed + allowed / 63 + OVERHEAD;
    }

    function _revertWith(uint256 word) private pure {
        assembly ("memory-safe") {
            mstore(0, word)
            revert(0, 32)
        }
    }
}
