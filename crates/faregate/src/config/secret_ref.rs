//! Secrets by reference: the file says where a secret is, never what it is.

use std::fmt;
use std::str::FromStr;

use faregate_telemetry::Redacted;

/// Largest secret file that is read, in bytes.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SecretRef {
    /// `env:NAME`
    Env(String),
    /// `file:PATH`
    File(String),
}

/// A text is not a reference that this version resolves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretRefError {
    /// The text looks like the secret itself.
    Literal,
    /// Neither `env:` nor `file:`.
    Unknown,
}

impl fmt::Display for SecretRefError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Literal => "this looks like a private key; a key never stands in a configuration",
            Self::Unknown => "a secret is named by reference",
        })
    }
}

impl std::error::Error for SecretRefError {}

impl FromStr for SecretRef {
    type Err = SecretRefError;

    fn from_str(text: &str) -> Result<Self, SecretRefError> {
        const KEY_DIGITS: usize = 64;
        let digits = text.strip_prefix("0x").unwrap_or(text);
        if digits.len() == KEY_DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(SecretRefError::Literal);
        }
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.to_owned())),
            _ => Err(SecretRefError::Unknown),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{path}"),
        }
    }
}

impl SecretRef {
    /// Reads the secret, without white space around it.
    ///
    /// # Errors
    /// A sentence that names the reference and never the secret.
    pub(crate) fn resolve(&self) -> Result<Redacted<String>, String> {
        let secret = match self {
            Self::Env(name) => std::env::var(name)
                .map_err(|_| format!("the environment variable {name} is not set"))?,
            Self::File(path) => read_file(path)?,
        };
        let secret = secret.trim();
        if secret.is_empty() {
            return Err(format!("{self} is empty"));
        }
        Ok(Redacted::new(secret.to_owned()))
    }
}

fn read_file(path: &str) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|e| format!("{path}: {e}"))?.len();
    if size > MAX_SECRET_BYTES {
        return Err(format!("{path} is larger than {MAX_SECRET_BYTES} bytes"));
    }
    std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_key_is_told_apart_from_a_bad_reference() {
        assert_eq!("ab".repeat(32).parse::<SecretRef>(), Err(SecretRefError::Literal));
        assert_eq!(
            format!("0x{}", "ab".repeat(32)).parse::<SecretRef>(),
            Err(SecretRefError::Literal)
        );
        assert_eq!("vault:x".parse::<SecretRef>(), Err(SecretRefError::Unknown));
        assert_eq!("env:".parse::<SecretRef>(), Err(SecretRefError::Unknown));
        assert_eq!("env:KEY".parse(), Ok(SecretRef::Env("KEY".into())));
    }

    #[test]
    fn a_missing_secret_is_an_error_and_never_an_empty_key() {
        let missing = SecretRef::Env("FAREGATE_TEST_NO_SUCH_VARIABLE".into()).resolve();
        assert!(missing.is_err_and(|e| e.contains("FAREGATE_TEST_NO_SUCH_VARIABLE")));
        assert!(SecretRef::File("/no/such/file".into()).resolve().is_err());
    }
}
