//! What is remembered: claims of the gate, settlements of the engine, nonce slots, signed bytes,
//! evidence, and an append-only journal of every move.
//!
//! The uniqueness constraints are what makes double acceptance impossible:
//!
//! | | constraint | stops |
//! |---|---|---|
//! | U1 | `claims.payment_key` primary key | one payload, many requests |
//! | U2 | `claims.grant_id` set once, by compare-and-set | two answers for one claim |
//! | U3 | `settlements.payment_key` primary key | many callers of settle |
//! | U4 | `settlements.success_reported_to` set once | many successes for one settlement |
//! | U5 | a write names its lease token | two writers on one signer |
//! | U6 | `nonce_slots` primary key | two intents for one nonce |
//! | U7 | one live `slot_items` row a payment | one payment in two live slots |
//! | U8, U9 | `evidence.payment_key` unique, log primary key | one log for two payments, and back |
//!
//! Architecture invariant: the only crate that names sqlx and rusqlite; knows no HTTP and no chain call.

pub mod answer;
pub mod claims;
pub mod debts;
pub mod deferral;
pub mod error;
pub mod hint;
pub mod journal;
pub mod lane_rows;
pub mod memory;
mod migrations;
pub mod parts;
pub mod payees;
pub mod postgres;
pub mod records;
pub mod sealing;
pub mod settlements;
pub mod sqlite;
pub mod transitions;

pub use answer::{StoredAnswer, StoredBody};
pub use claims::{Claim, ClaimMove, ClaimStore, Claimed, Hold, NewClaim};
pub use debts::{Debt, DebtFilter, DebtRecords, Debtor, OpenDebts};
pub use deferral::{
    AssetExposure, DeferredClaim, DeferredStore, Due, DueHold, ExposureLimits, NotDeferred,
    QueueFigures, Tried,
};
pub use error::LedgerError;
pub use hint::{Change, Hint};
pub use journal::JournalEntry;
pub use lane_rows::{Attempt, LaneRows, Lease, SlotMember, SlotRow};
pub use memory::{MemoryLedger, MillisClock};
pub use parts::{BodyParts, PartStore};
pub use payees::{PayToOwner, PayeeStore};
pub use postgres::{PostgresConfig, PostgresLedger};
pub use records::{
    PaymentFilter, PaymentName, PaymentNameError, PaymentRecords, PaymentSummary, SentTransaction,
};
pub use sealing::Sealer;
pub use settlements::{EvidenceRow, NewSettlement, Proven, Reserved, Settlement, SettlementStore};
pub use sqlite::SqliteLedger;
pub use transitions::{ClaimState, DeferralState, SettlementState, SlotKind, SlotState};
