//! Every failure code once: what, who is at fault, whether to try again, the HTTP status at the
//! gate, and help for people.
//!
//! The names of the `exact` EVM codes are those of the official packages 2.27; the others are
//! ours. Documentation and the OpenAPI description are checked against this table.

/// Who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Whoever pays.
    Buyer,
    /// Whoever is paid.
    Seller,
    /// The operator's own process or store.
    Us,
    /// The chain or its endpoints.
    Chain,
}

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Not with this payment.
    Never,
    /// With the same payment, later.
    SameAgain,
    /// With another payment or request.
    AfterChange,
}

macro_rules! reasons {
    ($($variant:ident $code:literal $fault:ident $retry:ident $status:literal $help:literal;)+) => {
        /// A reason code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $(#[doc = $help] $variant,)+
        }

        impl Reason {
            /// Every reason, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The code on the wire.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// Who can mend it.
            #[must_use]
            pub const fn fault(self) -> Fault {
                match self { $(Self::$variant => Fault::$fault,)+ }
            }

            /// Whether trying again can help.
            #[must_use]
            pub const fn retry(self) -> Retry {
                match self { $(Self::$variant => Retry::$retry,)+ }
            }

            /// The HTTP status a gate answers with.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// One sentence for people.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)+ }
            }

            /// The reason with this code, if it is one of ours.
            #[must_use]
            pub fn from_code(code: &str) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

reasons! {
    PaymentRequired "payment_required" Buyer AfterChange 402
        "Pay for this resource with one of the options in PAYMENT-REQUIRED.";
    InvalidPayload "invalid_payload" Buyer AfterChange 402
        "The payment header could not be read as an x402 payment.";
    InvalidX402Version "invalid_x402_version" Buyer AfterChange 402
        "This x402 version is not spoken here.";
    NoMatchingRequirements "no_matching_requirements" Buyer AfterChange 402
        "The accepted option is none of those offered.";
    HeaderTooLarge "header_too_large" Buyer AfterChange 431
        "The payment header is larger than the limit.";
    BodyTooLarge "body_too_large" Buyer AfterChange 413
        "The request body is larger than the limit for paid requests.";
    RequestBodyBroken "request_body_broken" Buyer SameAgain 408
        "The request's body did not arrive whole; nothing was charged.";
    AmbiguousPath "ambiguous_path" Buyer AfterChange 400
        "The path can be read in more than one way; send its plain spelling.";
    UpgradeNotPriced "upgrade_not_priced" Buyer AfterChange 400
        "A priced path answers no protocol upgrade.";
    UpgradeUnsupported "upgrade_unsupported" Buyer AfterChange 501
        "This connection cannot be upgraded.";
    NotFound "not_found" Buyer AfterChange 404
        "No route of this gate matches.";
    DeadlineTooClose "deadline_too_close" Buyer AfterChange 402
        "The authorization expires before the answer could be made and settled; sign one that lives longer.";
    ValidityTooLong "validity_too_long" Buyer AfterChange 402
        "The authorization is valid for longer than this seller accepts.";
    PaymentInProgress "payment_in_progress" Buyer SameAgain 409
        "This payment is being worked on; ask again with the same header.";
    PaymentAlreadyClaimed "payment_already_claimed" Buyer Never 409
        "This authorization was presented for another request or with another signature.";
    PaymentAlreadyUsed "payment_already_used" Buyer Never 409
        "This payment has already bought its answer.";
    HandlerInterrupted "handler_interrupted" Us Never 409
        "The resource ran for this payment without selling its answer, and must not run twice; nothing was charged.";
    FacilitatorUnavailable "facilitator_unavailable" Us SameAgain 502
        "The facilitator could not be asked; nothing was charged.";
    LedgerUnavailable "ledger_unavailable" Us SameAgain 503
        "The ledger could not be asked; ask again with the same header.";
    UpstreamUnavailable "upstream_unavailable" Seller SameAgain 502
        "The application behind the gate did not answer; nothing was charged.";
    UpstreamTimedOut "upstream_timed_out" Seller SameAgain 504
        "The application behind the gate did not answer in time; nothing was charged.";
    AnswerTooLarge "answer_too_large" Seller Never 502
        "The answer is larger than the gate holds back before settlement; nothing was charged.";
    SettlementPending "settlement_pending" Chain SameAgain 503
        "The payment was sent and is not confirmed yet; ask again with the same header, do not pay again.";
    PaymentNotCharged "payment_not_charged" Chain AfterChange 402
        "It is proven that this authorization moved no money and never will; pay with a new one.";
    DuplicateSettlement "duplicate_settlement" Seller SameAgain 409
        "This payment was settled and its one success was reported to another caller.";
    PaymentOwed "payment_owed" Seller Never 409
        "The money reached the payee and its answer cannot be given; the seller owes it or a refund.";
    SettledElsewhere "settled_elsewhere" Seller Never 409
        "The money reached the payee by somebody else's transaction; the seller owes what it bought or a refund.";
    PayeeEnrolledElsewhere "payee_enrolled_elsewhere" Seller AfterChange 402
        "The payee of this payment is enrolled by another ledger of this facilitator; nothing was charged.";
    RequirementsChanged "requirements_changed" Seller Never 409
        "This authorization is being settled under other requirements or with another signature.";
    RateLimited "rate_limited" Buyer SameAgain 429
        "Too many requests.";
    InternalError "internal_error" Us SameAgain 500
        "The server failed; nothing more is known.";
    UnsupportedScheme "unsupported_scheme" Seller AfterChange 402
        "This facilitator does not settle that scheme on that network.";
    InvalidNetwork "invalid_network" Seller AfterChange 402
        "This facilitator does not serve that network.";
    AssetNotAllowed "asset_not_allowed" Seller AfterChange 402
        "The asset is not on this facilitator's list.";
    SelfPayment "self_payment_not_allowed" Buyer AfterChange 402
        "Payer and payee must differ, and neither may be a signer of the facilitator.";
    QueueFull "queue_full" Us SameAgain 503
        "More settlements are in flight than the configured limit.";
    QuietHours "quiet_hours" Us SameAgain 503
        "Nobody waits for this payment, and it is settled when gas is cheaper.";
    ChainUnavailable "chain_unavailable" Chain SameAgain 503
        "No endpoint of the chain answers.";
    InvalidTransactionState "invalid_transaction_state" Chain SameAgain 402
        "The transaction is in no state that proves the payment.";
    UnexpectedVerifyError "unexpected_verify_error" Us SameAgain 402
        "Verification failed for a reason that is not the payment's.";
    UnexpectedSettleError "unexpected_settle_error" Us SameAgain 402
        "Settlement failed for a reason that is not the payment's.";
    UnsupportedPayloadType "unsupported_payload_type" Buyer AfterChange 402
        "The payload is of a kind this facilitator does not settle.";
    EvmScheme "invalid_exact_evm_scheme" Buyer AfterChange 402
        "Both the accepted and the required scheme must be exact.";
    EvmNetworkMismatch "invalid_exact_evm_network_mismatch" Buyer AfterChange 402
        "The accepted network is not the required one.";
    EvmMissingDomain "invalid_exact_evm_missing_eip712_domain" Seller AfterChange 402
        "The requirements carry no EIP-712 name and version of the token.";
    EvmRecipientMismatch "invalid_exact_evm_recipient_mismatch" Buyer AfterChange 402
        "The authorization pays somebody else.";
    EvmSignature "invalid_exact_evm_signature" Buyer AfterChange 402
        "The signature is not the payer's over this authorization.";
    EvmParseSignature "invalid_exact_evm_failed_to_parse_signature" Buyer AfterChange 402
        "The signature is not hex of a permitted length.";
    EvmValidBefore "invalid_exact_evm_payload_authorization_valid_before" Buyer AfterChange 402
        "The authorization has expired or is about to.";
    EvmValidAfter "invalid_exact_evm_payload_authorization_valid_after" Buyer SameAgain 402
        "The authorization is not valid yet.";
    EvmValueMismatch "invalid_exact_evm_payload_authorization_value_mismatch" Buyer AfterChange 402
        "The authorized value is not exactly the price.";
    EvmValueV1 "invalid_exact_evm_authorization_value" Buyer AfterChange 402
        "The authorized value is not exactly the price (v1).";
    EvmAssetNotDeployed "asset_not_deployed_contract" Seller AfterChange 402
        "There is no contract at the asset's address.";
    EvmEip3009NotSupported "invalid_exact_evm_eip3009_not_supported" Seller AfterChange 402
        "The asset does not implement EIP-3009.";
    EvmNonceAlreadyUsed "invalid_exact_evm_nonce_already_used" Buyer Never 402
        "The authorization was used or cancelled.";
    EvmTokenNameMismatch "invalid_exact_evm_token_name_mismatch" Seller AfterChange 402
        "The token has another EIP-712 name.";
    EvmTokenVersionMismatch "invalid_exact_evm_token_version_mismatch" Seller AfterChange 402
        "The token has another EIP-712 version.";
    EvmInsufficientBalance "invalid_exact_evm_insufficient_balance" Buyer SameAgain 402
        "The payer's balance is below the price.";
    EvmSimulationFailed "invalid_exact_evm_transaction_simulation_failed" Chain SameAgain 402
        "The transfer would revert now.";
    EvmUndeployedWallet "invalid_exact_evm_payload_undeployed_smart_wallet" Buyer AfterChange 402
        "The paying smart wallet is not deployed.";
    EvmFactoryNotAllowed "eip6492_factory_not_allowed" Buyer AfterChange 402
        "Wallet factories are not on this facilitator's list.";
    EvmWalletDeploymentFailed "smart_wallet_deployment_failed" Buyer AfterChange 402
        "The paying smart wallet could not be deployed.";
    EvmTransactionFailed "invalid_exact_evm_transaction_failed" Chain SameAgain 402
        "The settlement transaction could not be made.";
    EvmTransferEventMismatch "invalid_exact_evm_transfer_event_mismatch" Chain SameAgain 402
        "The transaction shows no matching Transfer of the asset.";
}

impl Reason {
    /// As a settlement answer this code proves nothing: the money may have moved.
    #[must_use]
    pub const fn leaves_settlement_unknown(self) -> bool {
        matches!(
            self,
            Self::SettlementPending
                | Self::DuplicateSettlement
                | Self::SettledElsewhere
                | Self::RequirementsChanged
                | Self::EvmNonceAlreadyUsed
                | Self::UnexpectedSettleError
                | Self::InternalError
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_distinct_and_found_again() {
        let codes: HashSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
        }
        assert_eq!(Reason::from_code("no_such_code"), None);
    }

    #[test]
    fn nothing_unknown_is_answered_with_a_fresh_challenge() {
        assert_eq!(Reason::SettlementPending.status(), 503);
        assert_eq!(Reason::PaymentInProgress.status(), 409);
    }
}
