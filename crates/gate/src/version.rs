//! The protocol versions at the gate's door. A payment of version 1 is translated when it is read
//! (`flow/present.rs`); what goes out to its buyer gets the names of that version here. Nothing in
//! between knows the difference.

use faregate_protocol::{SettleResponse, VerifyResponse, header as names, v1};
use http::{HeaderMap, HeaderName};

use crate::answers::header_value;

const PAYMENT_RESPONSE: HeaderName = HeaderName::from_static(names::PAYMENT_RESPONSE);
const X_PAYMENT_RESPONSE: HeaderName = HeaderName::from_static(names::X_PAYMENT_RESPONSE);

/// The version in which a payment was presented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Version {
    /// `X-PAYMENT`, as it is mostly sent.
    One,
    /// `PAYMENT-SIGNATURE`, as it is mostly sent.
    #[default]
    Two,
}

impl Version {
    /// The version with this number, if it is spoken.
    pub(crate) fn of_number(number: u64) -> Option<Self> {
        let is = |known: u32| number == u64::from(known);
        if is(faregate_protocol::X402_VERSION) {
            return Some(Self::Two);
        }
        is(v1::X402_VERSION).then_some(Self::One)
    }

    /// Puts a receipt on an answer, in the header and the names of the version. `false`: it cannot
    /// be written.
    pub(crate) fn put_receipt(self, headers: &mut HeaderMap, receipt: &SettleResponse) -> bool {
        let (name, value) = match self {
            Self::One => (X_PAYMENT_RESPONSE, header_value(&v1::outcome(receipt.clone()))),
            Self::Two => (PAYMENT_RESPONSE, header_value(receipt)),
        };
        value.is_some_and(|value| {
            headers.insert(name, value);
            true
        })
    }

    /// A reason code in the names of the version.
    pub(crate) fn code(self, code: &str) -> String {
        match self {
            Self::One => code_v1(code),
            Self::Two => code.to_owned(),
        }
    }
}

pub(crate) fn code_v1(code: &str) -> String {
    let said = VerifyResponse {
        invalid_reason: Some(code.to_owned()),
        ..VerifyResponse::valid(String::new())
    };
    v1::verdict(said).invalid_reason.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use faregate_protocol::Reason;

    #[test]
    fn two_versions_are_spoken() {
        assert_eq!(Version::of_number(1), Some(Version::One));
        assert_eq!(Version::of_number(2), Some(Version::Two));
        for other in [0, 3, 1 << 32 | 1, u64::MAX] {
            assert_eq!(Version::of_number(other), None);
        }
    }

    #[test]
    fn codes_that_version_1_names_differently_are_renamed() {
        let (v2, v1) = (Reason::EvmValueMismatch.code(), Reason::EvmValueV1.code());
        assert_eq!(Version::One.code(v2), v1);
        assert_eq!(Version::Two.code(v2), v2);
        assert_eq!(Version::One.code("a_foreign_code"), "a_foreign_code");
    }
}
