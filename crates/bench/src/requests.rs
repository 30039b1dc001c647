//! The kinds of work, and the bytes of their requests.

use std::fmt;
use std::net::SocketAddr;

use url::Url;

use crate::error::BenchError;

/// What is asked, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// `POST /verify`
    Verify,
    /// `POST /settle`
    Settle,
    /// A request with a payment.
    Paid,
    /// A request without one.
    Challenge,
    /// A request to a route that costs nothing.
    Free,
}

impl Work {
    /// Whether each request ends with a transfer.
    pub(crate) fn moves_money(self) -> bool {
        matches!(self, Self::Settle | Self::Paid)
    }

    /// Whether a gate is measured, and not a facilitator.
    pub(crate) fn is_for_a_gate(self) -> bool {
        !matches!(self, Self::Verify | Self::Settle)
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Verify => "verify",
            Self::Settle => "settle",
            Self::Paid => "paid",
            Self::Challenge => "challenge",
            Self::Free => "free",
        })
    }
}

/// Where requests go.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    authority: String,
    /// Path and query, without the end that a facilitator's operation adds.
    path: String,
}

impl Target {
    /// The place that a URL names.
    pub(crate) fn of(url: &Url) -> Result<Self, BenchError> {
        let found = url.socket_addrs(|| None).map_err(BenchError::io(url.to_string()))?;
        // Where a name means both, servers of this machine mostly listen on IPv4.
        let address = found.iter().find(|a| a.is_ipv4()).or(found.first());
        let nowhere = || BenchError::Flags(format!("{url} leads nowhere"));
        let address = *address.ok_or_else(nowhere)?;
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = format!("{}{query}", url.path());
        let host = url.host_str().unwrap_or_default();
        Ok(Self { address, authority: format!("{host}:{}", address.port()), path })
    }

    /// A request of the resource, with one more header line or none.
    pub(crate) fn get(&self, header: Option<(&str, &str)>) -> Vec<u8> {
        self.get_path(&self.path, header)
    }

    /// A request of something beside it.
    pub(crate) fn get_below(&self, name: &str) -> Vec<u8> {
        self.get_path(&self.below(name), None)
    }

    /// A JSON body for an operation below it.
    pub(crate) fn post_below(&self, name: &str, body: &[u8]) -> Vec<u8> {
        let (path, length) = (self.below(name), body.len());
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\naccept: application/json\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n",
            self.authority
        )
        .into_bytes();
        request.extend_from_slice(body);
        request
    }

    fn get_path(&self, path: &str, header: Option<(&str, &str)>) -> Vec<u8> {
        let mut request =
            format!("GET {path} HTTP/1.1\r\nhost: {}\r\naccept: */*\r\n", self.authority);
        if let Some((name, value)) = header {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        request.into_bytes()
    }

    fn below(&self, name: &str) -> String {
        format!("{}/{name}", self.path.trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_where_the_url_says() {
        let target = Target::of(&Url::parse("http://127.0.0.1:81/a?b=c").unwrap()).unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let head = "host: 127.0.0.1:81\r\naccept: */*\r\n";
        assert_eq!(text(target.get(None)), format!("GET /a?b=c HTTP/1.1\r\n{head}\r\n"));
        let paid = text(target.get(Some(("x-y", "z"))));
        assert_eq!(paid, format!("GET /a?b=c HTTP/1.1\r\n{head}x-y: z\r\n\r\n"));
        let base = Target::of(&Url::parse("http://127.0.0.1").unwrap()).unwrap();
        assert_eq!(base.address.port(), 80);
        assert!(text(base.post_below("settle", b"{}")).starts_with("POST /settle HTTP/1.1\r\n"));
        assert!(text(base.post_below("settle", b"{}")).ends_with("content-length: 2\r\n\r\n{}"));
        assert!(text(base.get_below("supported")).starts_with("GET /supported HTTP/1.1\r\n"));
    }
}
