//! The 402: what a route costs, for the URL that was asked for at the configured origin.

use faregate_protocol::{PaymentRequired, ResourceInfo, X402_VERSION};
use http::Uri;

use crate::origin::Origin;
use crate::route::Route;

/// What the first challenge says in `error`.
pub const FIRST_ERROR: &str = "Payment required";

/// The challenge for `uri` under `route`; `error` is [`FIRST_ERROR`] or a reason code. The
/// resource's URL never depends on a `Host` header.
#[must_use]
pub fn challenge(origin: &Origin, route: &Route, uri: &Uri, error: &str) -> PaymentRequired {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    PaymentRequired {
        x402_version: X402_VERSION,
        error: Some(error.to_owned()),
        resource: ResourceInfo {
            url: format!("{}{}{query}", origin.text(), uri.path()),
            description: route.description.clone(),
            mime_type: route.mime_type.clone(),
            service_name: None,
            tags: None,
            icon_url: None,
        },
        accepts: route.options().to_vec(),
        extensions: None,
    }
}
