//! What people read, on SQLite.

use async_trait::async_trait;
use faregate_protocol::{Amount, PaymentKey};
use sqlx::sqlite::SqliteRow;

use super::{SqliteLedger, bytes32, column, unavailable, unsigned};
use crate::records::statements::{self, payment_records};
use crate::records::{PaymentFilter, PaymentName, PaymentRecords, PaymentSummary, SentTransaction};
use crate::{ClaimState, LedgerError, SettlementState, SlotKind, SlotState};

payment_records!(SqliteLedger, reader, SqliteRow, i64);
