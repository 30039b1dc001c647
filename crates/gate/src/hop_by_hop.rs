//! Headers that belong to one connection and are never passed on.

use http::{HeaderMap, HeaderName, header};

const NAMES: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Removes them, with those that `Connection` names.
pub(crate) fn remove(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .collect();
    let meant = |name: &&HeaderName| NAMES.contains(&name.as_str()) || named.contains(name);
    let meant: Vec<HeaderName> = headers.keys().filter(meant).cloned().collect();
    for name in meant {
        headers.remove(name);
    }
}
