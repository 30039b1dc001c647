//! Logs: one line an event, on stderr, because stdout belongs to results.

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line: `timestamp` (RFC 3339, UTC), `level`, `target`, `message`, the
    /// event's fields, and `spans` with the `request_id`.
    Json,
    /// For people.
    #[default]
    Text,
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// How a line is written.
    pub format: LogFormat,
    /// Directives such as `info,faregate_engine=debug`.
    pub filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not a list of directives.
    #[error("the log filter is not a list such as info,faregate_engine=debug: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Logging was set up before in this process.
    #[error("logging was set up twice in one process")]
    Twice,
}

/// Sends the process's logs to stderr from now on.
///
/// # Errors
/// [`LogError`].
pub fn init(config: &LogConfig) -> Result<(), LogError> {
    let subscriber = subscriber(config, std::io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)
}

fn subscriber<W>(
    config: &LogConfig,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse(&config.filter)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    Ok(match config.format {
        // All spans, not only the innermost: the request id is on the outermost.
        LogFormat::Json => {
            Box::new(builder.json().flatten_event(true).with_current_span(false).finish())
        }
        LogFormat::Text => Box::new(builder.with_ansi(false).finish()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let config = LogConfig { format, filter: filter.to_owned() };
        let subscriber = subscriber(&config, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            let outer = tracing::info_span!("request", request_id = "abc-1");
            let _outer = outer.enter();
            let inner = tracing::info_span!("settle");
            let _inner = inner.enter();
            tracing::info!(payment = "12345678", "two\nlines \u{1b}[31m");
            tracing::debug!("not at info");
        });
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_json_line_has_time_level_target_and_request_id() {
        let text = logged(LogFormat::Json, "info");
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["target"], "faregate_telemetry::logs::tests");
        assert_eq!(line["message"], "two\nlines \u{1b}[31m");
        assert_eq!(line["payment"], "12345678");
        assert_eq!(line["spans"][0]["request_id"], "abc-1");
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn text_is_for_people_and_carries_no_terminal_codes() {
        let text = logged(LogFormat::Text, "debug");
        assert!(text.contains("request_id=\"abc-1\"") && text.contains("not at info"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn a_bad_filter_is_an_error() {
        let config = LogConfig { filter: "info=,=x".to_owned(), ..LogConfig::default() };
        assert!(matches!(subscriber(&config, std::io::sink), Err(LogError::Filter(_))));
    }
}
