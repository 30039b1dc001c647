//! What a payment buys: a hash over every part of the request that can change the answer. A payment
//! presented again for another fingerprint buys nothing.

use http::request::Parts;
use http::{HeaderMap, header};
use sha2::{Digest, Sha256};

use crate::origin::Origin;

/// sha256 over length-prefixed (u32 big endian) fields: method, configured origin, raw path, raw
/// query, sha256 of the body, route name, `Range`. A field that is absent is empty.
#[must_use]
pub fn fingerprint(origin: &Origin, route: &str, request: &Parts, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut field = |bytes: &[u8]| {
        // Every field is far below 4 GiB: the head of a request and a digest.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        hash.update(length.to_be_bytes());
        hash.update(bytes);
    };
    field(request.method.as_str().as_bytes());
    field(origin.text().as_bytes());
    field(request.uri.path().as_bytes());
    field(request.uri.query().unwrap_or_default().as_bytes());
    field(&Sha256::digest(body));
    field(route.as_bytes());
    field(&range(&request.headers));
    hash.finalize().into()
}

/// All `Range` fields, joined as a recipient joins them.
fn range(headers: &HeaderMap) -> Vec<u8> {
    let values: Vec<&[u8]> =
        headers.get_all(header::RANGE).iter().map(http::HeaderValue::as_bytes).collect();
    values.join(b", ".as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn parts(method: &str, uri: &str, range: Option<&str>) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(range) = range {
            request = request.header(header::RANGE, range);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn each_component_changes_it() {
        let origin: Origin = "https://api.example.com".parse().unwrap();
        let other: Origin = "https://api.example.org".parse().unwrap();
        let get = || parts("GET", "/a?b", None);
        let prints = [
            fingerprint(&origin, "r", &get(), b""),
            fingerprint(&other, "r", &get(), b""),
            fingerprint(&origin, "s", &get(), b""),
            fingerprint(&origin, "r", &get(), b"x"),
            fingerprint(&origin, "r", &parts("POST", "/a?b", None), b""),
            fingerprint(&origin, "r", &parts("GET", "/a?c", None), b""),
            fingerprint(&origin, "r", &parts("GET", "/b?b", None), b""),
            fingerprint(&origin, "r", &parts("GET", "/a?b", Some("bytes=0-1")), b""),
            fingerprint(&origin, "r", &parts("GET", "/ab", None), b""),
        ];
        let distinct: std::collections::HashSet<_> = prints.iter().collect();
        assert_eq!(distinct.len(), prints.len());
    }

    #[test]
    fn it_is_the_hash_of_the_prefixed_fields() {
        let origin: Origin = "https://a".parse().unwrap();
        let mut bytes = Vec::new();
        for field in
            [b"GET".as_slice(), b"https://a", b"/x", b"q", &Sha256::digest(b"body"), b"r", b""]
        {
            bytes.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
            bytes.extend(field);
        }
        let want: [u8; 32] = Sha256::digest(&bytes).into();
        assert_eq!(fingerprint(&origin, "r", &parts("GET", "/x?q", None), b"body"), want);
    }
}
