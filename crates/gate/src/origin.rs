//! The one origin a gate speaks for. It comes from the configuration, never from a `Host` header.

use std::str::FromStr;

use http::Uri;
use http::uri::Authority;

use crate::error::GateError;

/// `http(s)://host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: &'static str,
    /// Lower case, without the scheme's default port.
    authority: String,
}

impl Origin {
    /// `http` or `https`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Host and, unless it is the scheme's default, port.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// `scheme://authority`.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// Another spelling of this origin.
    pub(crate) fn is(&self, scheme: &str, authority: &Authority) -> bool {
        scheme.eq_ignore_ascii_case(self.scheme)
            && plain_authority(self.scheme, authority).is_some_and(|text| text == self.authority)
    }
}

impl FromStr for Origin {
    type Err = GateError;

    fn from_str(text: &str) -> Result<Self, GateError> {
        let fail = || GateError::Origin { origin: text.to_owned() };
        let uri: Uri = text.parse().map_err(|_| fail())?;
        let scheme = match uri.scheme_str() {
            Some("http") => "http",
            Some("https") => "https",
            _ => return Err(fail()),
        };
        let only_origin = uri.path() == "/" && uri.query().is_none() && !text.contains('#');
        let authority = uri.authority().filter(|_| only_origin).ok_or_else(fail)?;
        let authority = plain_authority(scheme, authority).ok_or_else(fail)?;
        Ok(Self { scheme, authority })
    }
}

/// Lower case, no default port; `None` with user information or without a host.
fn plain_authority(scheme: &str, authority: &Authority) -> Option<String> {
    let host = authority.host().to_ascii_lowercase();
    if host.is_empty() || authority.as_str().contains('@') {
        return None;
    }
    let default_port = if scheme == "https" { 443 } else { 80 };
    match authority.port_u16() {
        Some(port) if port != default_port => Some(format!("{host}:{port}")),
        Some(_) => Some(host),
        None if authority.as_str().len() == host.len() => Some(host),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_origins_are_origins() {
        for (text, want) in [
            ("https://api.example.com", "https://api.example.com"),
            ("https://API.example.com:443/", "https://api.example.com"),
            ("http://127.0.0.1:4020", "http://127.0.0.1:4020"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().text(), want);
        }
        for text in [
            "",
            "api.example.com",
            "ftp://a",
            "https://a/b",
            "https://a?b",
            "https://u@a",
            "https://a:x",
            "https://a#b",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }
}
