//! The commands that are sent, and what their answers may look like. Anything else is no answer.

use std::time::Duration;

use redis::{Client, Cmd, ErrorKind, RedisError, Value};
use tokio::time::timeout;

use crate::limits::{
    BACKGROUND_BUDGET, CONNECT_BUDGET, ENTRIES_AT_ONCE, ENTRIES_KEPT_FOR, KEPT_ENTRIES,
    LOOKUP_BUDGET, MAX_ENTRY_BYTES, MAX_FACT_BYTES,
};
use crate::line::{self, Line};
use crate::seal::CacheKey;

/// Version of what is kept: part of every key, so that another version's words are never read.
const PREFIX: &str = "faregate:1";
/// The one field of an entry.
const FIELD: &str = "e";
/// Before every entry.
pub(crate) const BEGINNING: &str = "0-0";

/// Why a command has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server answered and would not do it: memory is full, it is a replica, and so on.
    Refused,
    /// Something else stands at the key: of another type, too large, or not of ours.
    Unusable,
    /// The connection is no good any more; why.
    Broken(&'static str),
}

const NOT_REDIS: Fault = Fault::Broken("it does not speak as Redis does");

/// In words of ours: what the server says may be anything.
fn fault(error: &RedisError) -> Fault {
    match error.kind() {
        _ if error.code() == Some("WRONGTYPE") => Fault::Unusable,
        _ if matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) => {
            Fault::Broken("the user or the password is refused")
        }
        ErrorKind::Server(_) | ErrorKind::Extension => Fault::Refused,
        ErrorKind::AuthenticationFailed => Fault::Broken("the user or the password is refused"),
        ErrorKind::Io if error.is_timeout() => Fault::Broken("no answer in time"),
        ErrorKind::Io if error.is_connection_refusal() => Fault::Broken("nobody listens there"),
        ErrorKind::Io => Fault::Broken("the connection ended"),
        _ => NOT_REDIS,
    }
}

/// Opens a connection, within [`CONNECT_BUDGET`].
pub(crate) async fn connect(client: &Client) -> Result<Line, &'static str> {
    match timeout(CONNECT_BUDGET, line::open(client)).await {
        Ok(Ok(line)) => Ok(line),
        Ok(Err(error)) => Err(match fault(&error) {
            Fault::Broken(why) => why,
            Fault::Refused | Fault::Unusable => "the server refuses the connection",
        }),
        Err(_) => Err("no answer in time"),
    }
}

async fn carry_out(line: &mut Line, command: &Cmd, budget: Duration) -> Result<Value, Fault> {
    match timeout(budget, command.query_async::<Value>(&mut line.connection)).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(fault(&error)),
        Err(_) => Err(Fault::Broken("no answer in time")),
    }
}

/// Whether the server answers.
pub(crate) async fn ping(line: &mut Line) -> Result<(), Fault> {
    carry_out(line, &redis::cmd("PING"), BACKGROUND_BUDGET).await.map(drop)
}

/// What was told after some entry.
pub(crate) struct Told {
    pub(crate) entries: Vec<Vec<u8>>,
    /// Entries that are none.
    pub(crate) unusable: usize,
    /// Id of the last one.
    pub(crate) last: Option<String>,
}

/// The keys of the processes that have one secret.
#[derive(Clone)]
pub(crate) struct Space {
    key: CacheKey,
    prefix: String,
}

impl Space {
    pub(crate) fn new(key: CacheKey) -> Self {
        let prefix = format!("{PREFIX}:{}", key.name());
        Self { key, prefix }
    }

    fn place(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix)
    }

    fn stream(&self, chain: &str) -> String {
        self.place(&format!("refused:{chain}"))
    }

    /// The value, if it is one of ours.
    pub(crate) async fn get(&self, line: &mut Line, name: &str) -> Result<Option<Vec<u8>>, Fault> {
        let place = self.place(name);
        let mut command = redis::cmd("GETRANGE");
        // One byte more than may be there.
        command.arg(&place).arg(0).arg(MAX_FACT_BYTES);
        match carry_out(line, &command, LOOKUP_BUDGET).await? {
            Value::BulkString(bytes) if bytes.is_empty() => Ok(None),
            Value::BulkString(bytes) if bytes.len() <= MAX_FACT_BYTES => {
                self.key.open(&place, &bytes).map(Some).ok_or(Fault::Unusable)
            }
            Value::BulkString(_) => Err(Fault::Unusable),
            _ => Err(NOT_REDIS),
        }
    }

    /// Replaces whatever stands there.
    pub(crate) async fn set(
        &self,
        line: &mut Line,
        name: &str,
        value: &[u8],
        keep_for: Duration,
    ) -> Result<(), Fault> {
        let place = self.place(name);
        let mut command = redis::cmd("SET");
        command.arg(&place).arg(self.key.seal(&place, value));
        command.arg("EX").arg(keep_for.as_secs().max(1));
        carry_out(line, &command, BACKGROUND_BUDGET).await.map(drop)
    }

    /// Tells an entry to whoever reads the stream of the chain.
    pub(crate) async fn tell(
        &self,
        line: &mut Line,
        chain: &str,
        entry: &[u8],
    ) -> Result<(), Fault> {
        let place = self.stream(chain);
        let mut add = redis::cmd("XADD");
        add.arg(&place).arg("MAXLEN").arg("~").arg(KEPT_ENTRIES).arg("*");
        add.arg(FIELD).arg(self.key.seal(&place, entry));
        match carry_out(line, &add, BACKGROUND_BUDGET).await {
            Ok(_) => {}
            Err(Fault::Unusable) => {
                // Nobody else has business at this key.
                carry_out(line, redis::cmd("UNLINK").arg(&place), BACKGROUND_BUDGET).await?;
                carry_out(line, &add, BACKGROUND_BUDGET).await?;
            }
            Err(fault) => return Err(fault),
        }
        let mut expire = redis::cmd("EXPIRE");
        expire.arg(&place).arg(ENTRIES_KEPT_FOR.as_secs());
        carry_out(line, &expire, BACKGROUND_BUDGET).await.map(drop)
    }

    /// What was told after the entry with id `after`.
    pub(crate) async fn told(
        &self,
        line: &mut Line,
        chain: &str,
        after: &str,
    ) -> Result<Told, Fault> {
        let place = self.stream(chain);
        let mut command = redis::cmd("XRANGE");
        command.arg(&place).arg(format!("({after}")).arg("+");
        command.arg("COUNT").arg(ENTRIES_AT_ONCE);
        let answer = carry_out(line, &command, BACKGROUND_BUDGET).await?;
        let mut told = read(answer).ok_or(NOT_REDIS)?;
        let all = told.entries.len();
        told.entries =
            told.entries.iter().filter_map(|sealed| self.key.open(&place, sealed)).collect();
        told.unusable += all - told.entries.len();
        Ok(told)
    }
}

fn read(answer: Value) -> Option<Told> {
    let Value::Array(items) = answer else { return None };
    let mut told = Told { entries: Vec::new(), unusable: 0, last: None };
    for item in items.into_iter().take(ENTRIES_AT_ONCE) {
        let Value::Array(parts) = item else { return None };
        let [Value::BulkString(id), fields] = <[Value; 2]>::try_from(parts).ok()? else {
            return None;
        };
        told.last = Some(id_of(id)?);
        match entry_of(fields) {
            Some(entry) => told.entries.push(entry),
            None => told.unusable += 1,
        }
    }
    Some(told)
}

/// Two numbers with a hyphen between them, or it would become part of the next command.
fn id_of(bytes: Vec<u8>) -> Option<String> {
    let id = String::from_utf8(bytes).ok()?;
    let (time, place) = id.split_once('-')?;
    let is_number = |text: &str| text.parse::<u64>().is_ok();
    (is_number(time) && is_number(place)).then_some(id)
}

fn entry_of(fields: Value) -> Option<Vec<u8>> {
    let Value::Array(fields) = fields else { return None };
    let [Value::BulkString(name), Value::BulkString(entry)] =
        <[Value; 2]>::try_from(fields).ok()?
    else {
        return None;
    };
    (name == FIELD.as_bytes() && entry.len() <= MAX_ENTRY_BYTES).then_some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn item(id: &str, fields: &[&str]) -> Value {
        let fields = fields.iter().map(|field| text(field)).collect();
        Value::Array(vec![text(id), Value::Array(fields)])
    }

    #[test]
    fn entries_are_read_and_what_is_none_is_passed_over() {
        let long = "x".repeat(MAX_ENTRY_BYTES + 1);
        let told = read(Value::Array(vec![
            item("1-0", &["e", "one"]),
            item("1-1", &["f", "other field"]),
            item("1-2", &["e", "a", "e", "b"]),
            item("2-0", &[]),
            item("2-1", &["e", &long]),
            item("3-0", &["e", "two"]),
        ]))
        .unwrap();
        assert_eq!(told.entries, [b"one".to_vec(), b"two".to_vec()]);
        assert_eq!((told.unusable, told.last.as_deref()), (4, Some("3-0")));
    }

    #[test]
    fn what_is_no_stream_is_no_answer() {
        for odd in [
            Value::Nil,
            Value::Okay,
            text("1-0"),
            Value::Array(vec![Value::Int(1)]),
            Value::Array(vec![Value::Array(vec![])]),
            Value::Array(vec![item("1", &["e", "x"])]),
            Value::Array(vec![item("1-0 + COUNT 9", &["e", "x"])]),
            Value::Array(vec![item("-1-0", &["e", "x"])]),
            Value::Array(vec![item("18446744073709551616-0", &["e", "x"])]),
        ] {
            assert!(read(odd).is_none());
        }
    }
}
