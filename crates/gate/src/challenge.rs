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
    required(route, url(origin, uri), error)
}

/// The resource's URL at the configured origin.
pub(crate) fn url(origin: &Origin, uri: &Uri) -> String {
    let text = origin.text();
    let (origin, path) = (text.as_str(), uri.path());
    match uri.query() {
        Some(query) => [origin, path, "?", query].concat(),
        None => [origin, path].concat(),
    }
}

pub(crate) fn required(route: &Route, url: String, error: &str) -> PaymentRequired {
    PaymentRequired {
        x402_version: X402_VERSION,
        error: Some(error.to_owned()),
        resource: ResourceInfo {
            url,
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
