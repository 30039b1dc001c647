//! The second cache layer: where it is, and the key that marks what is kept there.

use faregate_telemetry::Redacted;

use super::entry::Entry;
use super::has_password;
use super::problem::{Origin, Problem};
use super::reader::Section;
use super::secret_ref::SecretRef;

/// A Redis server that processes share.
#[derive(Clone, Debug)]
pub(crate) struct CacheSettings {
    /// It may hold a password.
    pub(crate) redis_url: Redacted<String>,
    /// Marks what is kept; none: the ledger's sealing key does.
    pub(crate) key: Option<SecretRef>,
}

pub(crate) fn read(entry: Option<&Entry>, problems: &mut Vec<Problem>) -> Option<CacheSettings> {
    let mut section = Section::open(entry, "cache".to_owned(), "[cache]", problems);
    let key = section.parsed("key", "write env:NAME or file:PATH");
    let redis_url = redis_url(&mut section)?;
    Some(CacheSettings { redis_url, key })
}

fn redis_url(section: &mut Section<'_, '_>) -> Option<Redacted<String>> {
    let text = section.text("redis_url")?;
    let reference = text.starts_with("env:") || text.starts_with("file:");
    let url = match text.parse::<SecretRef>() {
        Ok(found) if reference => match found.resolve() {
            Ok(url) => url,
            Err(reason) => {
                section.problem("redis_url", reason, "set it, or write the URL");
                return None;
            }
        },
        _ => Redacted::new(text),
    };
    if let Err(error) = faregate_cache::check_url(url.expose()) {
        let fix = "write redis://HOST:PORT, or a URL with a password by reference";
        section.problem("redis_url", error.to_string(), fix);
        return None;
    }
    let entry = section.entry("redis_url");
    let of_file = entry.is_some_and(|entry| matches!(entry.origin, Origin::File(_)));
    if of_file && !reference && has_password(url.expose()) {
        let reason = "a password never stands in a configuration";
        section.problem("redis_url", reason, "write redis_url = \"env:NAME\" or \"file:PATH\"");
        return None;
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn the_cache_is_a_redis_server_whose_password_stands_elsewhere() {
        assert!(config::read("", []).unwrap().cache.is_none());
        let with = |section: &str| format!("[cache]\n{section}\n");
        let plain = with("redis_url = \"redis://127.0.0.1:6379/2\"\nkey = \"env:CACHE_KEY\"");
        let cache = config::read(&plain, []).unwrap().cache.unwrap();
        assert_eq!(cache.redis_url.expose(), "redis://127.0.0.1:6379/2");
        assert_eq!(cache.key, Some(SecretRef::Env("CACHE_KEY".into())));
        // In the environment a password is where it belongs, also under the guide's name.
        let secret = "rediss://:canary@cache.example.com:6380";
        for name in ["FAREGATE__CACHE__REDIS_URL", "REDIS_URL"] {
            let settings = config::read("", [(name.to_owned(), secret.to_owned())]).unwrap();
            assert_eq!(settings.cache.as_ref().unwrap().redis_url.expose(), secret);
            assert!(!format!("{settings:?}").contains("canary"));
        }
        for (section, key) in [
            ("redis_url = \"redis://:canary@127.0.0.1\"", "cache.redis_url"),
            ("redis_url = \"http://127.0.0.1:6379\"", "cache.redis_url"),
            ("redis_url = \"redis://:canary@host:port\"", "cache.redis_url"),
            ("redis_url = \"rediss://host/#insecure\"", "cache.redis_url"),
            ("redis_url = 6379", "cache.redis_url"),
            ("redis_url = \"env:FAREGATE_TEST_NO_SUCH_VARIABLE\"", "cache.redis_url"),
            ("redis = \"redis://127.0.0.1\"", "cache.redis"),
            ("key = \"canary\"", "cache.key"),
        ] {
            let found = config::read(&with(section), []).unwrap_err();
            let keys: Vec<&str> = found.iter().map(|problem| problem.key.as_str()).collect();
            assert_eq!(keys, [key], "{section}");
            let report = config::Problems { file: "faregate.toml".into(), list: found }.to_string();
            assert!(!report.contains(":canary"), "{report}");
        }
    }
}
