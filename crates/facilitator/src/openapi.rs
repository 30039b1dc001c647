//! The description of this API in OpenAPI 3.1, made from the same types, limits and reason codes
//! that answer. It is served at `/openapi.json`, kept in `docs/`, and every answer that the tests
//! of this crate see is held against it.

mod operations;
mod schemas;

use std::sync::LazyLock;

use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Value, json};

static TEXT: LazyLock<String> = LazyLock::new(|| {
    let mut text = format!("{:#}", document());
    text.push('\n');
    text
});

/// The description.
#[must_use]
pub fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "faregate facilitator",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": {"name": "MIT OR Apache-2.0", "identifier": env!("CARGO_PKG_LICENSE")},
        },
        "paths": operations::paths(),
        "components": {
            "schemas": schemas::all(),
            "parameters": operations::parameters(),
            "headers": operations::headers(),
            "responses": operations::responses(),
        },
    })
}

/// [`document`] as it is kept in `docs/openapi-facilitator.json`: indented, with a final newline.
#[must_use]
pub fn text() -> &'static str {
    &TEXT
}

pub(crate) async fn get() -> Response {
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], text()).into_response()
}

const DESCRIPTION: &str = "\
Verifies and settles x402 payments, of protocol version 2 and of version 1. Every well-formed \
request to /verify and /settle is answered 200 with a verdict, whatever the verdict is. What leaves \
open whether money moved is `settlement_pending`, never a failure: ask again with the same body and \
the same Idempotency-Key. A path that is not listed is 404, a method that is not listed is 405.";
