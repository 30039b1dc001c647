//! A wrapper for keys, tokens and payment headers: it can be carried about, held in a
//! configuration and printed with everything around it, and still never shows what it holds.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const SHOWN: &str = "[redacted]";

/// A value that is shown to nobody: `Debug`, `Display` and `Serialize` give `[redacted]`.
#[derive(Clone, Default)]
pub struct Redacted<T>(T);

impl<T> Redacted<T> {
    /// Hides `value`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Each call is a place to look at in a review.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// Gives the value up.
    pub fn into_exposed(self) -> T {
        self.0
    }
}

impl<T> From<T> for Redacted<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHOWN)
    }
}

impl<T> fmt::Display for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHOWN)
    }
}

impl<T> Serialize for Redacted<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(SHOWN)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Redacted<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_prints_the_contents() {
        let secret: Redacted<String> = serde_json::from_str(r#""canary-5f1c""#).unwrap();
        let around = Some(vec![&secret]);
        let printed = format!(
            "{secret} {secret:?} {secret:#?} {around:?} {}",
            serde_json::to_string(&around).unwrap()
        );
        assert!(!printed.contains("canary"), "{printed}");
        assert_eq!(secret.expose(), "canary-5f1c");
    }
}
