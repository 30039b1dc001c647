//! Why a run gave no answer. Each says whether money can have moved.

use std::path::PathBuf;

use faregate_evm::mechanisms::eip3009::SignError;

use crate::challenge::ChallengeError;
use crate::choose::ChooseError;

/// Why a run gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuyerError {
    /// The request itself is no good. Nothing was sent.
    #[error("{0}")]
    Request(&'static str),
    /// The HTTP client could not be set up. Nothing was sent.
    #[error("the HTTP client could not be set up")]
    Client,
    /// The seller could not be asked. Nothing was signed.
    #[error("{what}; nothing was signed")]
    Unreachable {
        /// What went wrong.
        what: &'static str,
    },
    /// A 402 that asks for nothing that can be understood. Nothing was signed.
    #[error("the seller's challenge cannot be used: {0}; nothing was signed")]
    Challenge(#[from] ChallengeError),
    /// No option can or may be paid. Nothing was signed.
    #[error("{0}; nothing was signed")]
    Choose(#[from] ChooseError),
    /// The authorization could not be made. Nothing was sent.
    #[error("the payment could not be signed: {0}")]
    Sign(#[from] SignError),
    /// The payment is larger than a header may be. Nothing was sent.
    #[error("the payment header would be larger than {limit} bytes; nothing was sent")]
    PaymentTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The journal cannot be written or read. Nothing new was signed or sent.
    #[error("the payment journal at {} {what}; nothing was sent", path.display())]
    Journal {
        /// The file or directory.
        path: PathBuf,
        /// What went wrong.
        what: String,
    },
    /// Another run of the same request did not end in time. This run sent nothing.
    #[error("another run is paying for the same request; nothing was sent by this one")]
    Busy,
    /// A payment of an earlier run is unresolved and above the limit of this run.
    #[error(
        "an earlier run signed {price} for this request and its end is unknown; the limit is now \
         {limit}, so it was not sent again"
    )]
    ResumeAboveLimit {
        /// What was signed.
        price: String,
        /// The limit of this run.
        limit: String,
    },
    /// The payment was sent and what came of it is unknown. The next run of the same request
    /// sends the same payment again and pays nothing anew.
    #[error(
        "the payment was sent and its outcome is not known after {attempts} attempts (last: \
         {last}); run the same request again to send the same payment, it is not paid twice"
    )]
    Unresolved {
        /// How often the payment was sent in this run.
        attempts: u32,
        /// The last answer or failure, in a few words.
        last: String,
        /// The settlement's transaction, if the seller named one.
        transaction: Option<String>,
        /// End of the authorization's life, in unix seconds.
        valid_before: u64,
    },
    /// The answer is larger than the limit.
    #[error("the answer is larger than {limit} bytes{}", paid_note(*.after_payment))]
    AnswerTooLarge {
        /// The limit, in bytes.
        limit: usize,
        /// A payment was sent with the request.
        after_payment: bool,
    },
}

const fn paid_note(after_payment: bool) -> &'static str {
    if after_payment {
        "; a payment was sent: raise the limit and run the same request again to send the same one"
    } else {
        "; nothing was signed"
    }
}
