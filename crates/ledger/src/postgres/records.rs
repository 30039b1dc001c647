//! What people read, on PostgreSQL.

use async_trait::async_trait;
use faregate_protocol::{Amount, PaymentKey};
use sqlx::postgres::PgRow;

use super::rows::{bytes32, column, unsigned};
use super::{PostgresLedger, unavailable};
use crate::records::statements::{self, payment_records};
use crate::records::{PaymentFilter, PaymentName, PaymentRecords, PaymentSummary, SentTransaction};
use crate::{ClaimState, LedgerError, SettlementState, SlotKind, SlotState};

payment_records!(PostgresLedger, pool, PgRow, i32);
