//! Reads a request body: at most so many bytes, within so much time.

use axum::body::Body;
use http_body_util::BodyExt as _;

use crate::answer::Refusal;
use crate::limits::{Limits, MAX_DISCARDED_BYTES};

/// The whole body. No decompression: the bytes are what they are.
///
/// # Errors
/// 413 above the limit, 408 when it takes too long, 400 when it breaks off.
pub async fn read(body: Body, limits: &Limits) -> Result<Vec<u8>, Refusal> {
    tokio::time::timeout(limits.body_timeout, collect(body, limits.max_body_bytes))
        .await
        .unwrap_or(Err(Refusal::BodyTooSlow))
}

async fn collect(mut body: Body, limit: usize) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let mut received = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::Malformed("the request body broke off".into()))?;
        let Ok(data) = frame.into_data() else { continue };
        received = received.saturating_add(data.len());
        if received > limit.saturating_add(MAX_DISCARDED_BYTES) {
            break;
        }
        if received <= limit {
            bytes.extend_from_slice(&data);
        } else {
            bytes = Vec::new();
        }
    }
    if received > limit { Err(Refusal::BodyTooLarge { limit }) } else { Ok(bytes) }
}
