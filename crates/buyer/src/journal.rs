//! Payments whose end is unknown, on disk before they are sent.
//!
//! One file for one logical request. It holds the signed header, a bearer instrument, so it is
//! readable by its owner only, and it is removed when the payment's end is known. A file that
//! cannot be read stops the run: it may hide a payment that still can move money.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use faregate_protocol::{Amount, Network};

use crate::error::BuyerError;
use crate::lock::{self, Lock};
use crate::version::Version;

/// Largest record that is read, in bytes: a header of the protocol's limit with room for the rest.
const MAX_RECORD_BYTES: u64 = 256 * 1024;
const VERSION: u32 = 1;

/// What is known of a payment that was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It may have been sent; nothing is known.
    Sent,
    /// The seller refused it, but the authorization can still move money.
    Refused,
}

/// A signed payment. No `Debug`: the header is a bearer instrument.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    pub(crate) state: State,
    /// Where it was sent; the request's own URL or a same-origin redirect of it.
    pub(crate) url: String,
    /// The version of x402 in which it is paid: the header's name depends on it.
    #[serde(default = "Version::unsaid")]
    pub(crate) protocol: Version,
    /// Value of the payment header.
    pub(crate) header: String,
    pub(crate) network: Network,
    pub(crate) asset: String,
    pub(crate) symbol: String,
    pub(crate) decimals: u8,
    pub(crate) amount: Amount,
    pub(crate) pay_to: String,
    pub(crate) payer: String,
    /// End of the authorization's life, in unix seconds.
    pub(crate) valid_before: u64,
}

impl Record {
    /// A payment that is about to be sent.
    pub(crate) fn signed(
        choice: &crate::choose::Choice,
        signed: crate::sign::Signed,
        url: &str,
    ) -> Self {
        Self {
            version: VERSION,
            state: State::Sent,
            url: url.to_owned(),
            protocol: signed.version,
            header: signed.header,
            network: choice.requirements.network.clone(),
            asset: choice.requirements.asset.clone(),
            symbol: choice.asset.symbol.clone(),
            decimals: choice.asset.decimals,
            amount: choice.requirements.amount,
            pay_to: choice.requirements.pay_to.clone(),
            payer: signed.payer.to_checksum(None),
            valid_before: signed.valid_before,
        }
    }

    /// The same payment after the seller refused it.
    pub(crate) fn refused(&self) -> Self {
        Self { state: State::Refused, ..self.clone() }
    }

    /// The price for people.
    pub(crate) fn price(&self) -> String {
        format!("{} {}", self.amount.in_tokens(self.decimals), self.symbol)
    }
}

/// The state directory.
#[derive(Clone)]
pub(crate) struct Journal {
    dir: PathBuf,
}

/// The record of one logical request, locked: nobody else reads or writes it meanwhile.
pub(crate) struct Entry {
    path: PathBuf,
    // Writes run to their end even if their caller is dropped, and so must the lock.
    lock: Arc<Lock>,
}

impl Journal {
    /// Opens the directory, and makes it (mode 0700) when it is not there.
    pub(crate) fn open(dir: &Path) -> Result<Self, BuyerError> {
        make_private_dir(dir).map_err(|error| failed(dir, &error))?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Locks the record of the request `id`.
    pub(crate) async fn lock(&self, id: &str, wait: Duration) -> Result<Entry, BuyerError> {
        let lock = lock::take(&self.dir, id, wait).await.map_err(|e| failed(&self.dir, &e))?;
        let lock = Arc::new(lock.ok_or(BuyerError::Busy)?);
        Ok(Entry { path: self.dir.join(format!("{id}.json")), lock })
    }
}

impl Entry {
    /// The record, if there is one.
    pub(crate) async fn read(&self) -> Result<Option<Record>, BuyerError> {
        self.run(read).await
    }

    /// Writes the record; when this returns it is on the disk.
    pub(crate) async fn write(&self, record: &Record) -> Result<(), BuyerError> {
        let text = serde_json::to_vec(record).map_err(|error| failed(&self.path, &error.into()))?;
        self.run(move |path| write(path, &text)).await
    }

    /// Removes the record: the payment's end is known. The last act of a run, and not a point
    /// where a run can be dropped: a run that lost its answer between the removal and its return
    /// would be followed by one that pays again. Not synced either: a removal that a power cut
    /// undoes sends the payment once more, which buys nothing twice.
    pub(crate) fn remove(&self) -> Result<(), BuyerError> {
        forget_missing(fs::remove_file(&self.path)).map_err(|error| failed(&self.path, &error))
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, BuyerError> {
        let (path, lock) = (self.path.clone(), Arc::clone(&self.lock));
        let done = tokio::task::spawn_blocking(move || {
            let _held = lock;
            work(&path)
        });
        let done = done.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        done.map_err(|error| failed(&self.path, &error))
    }
}

fn failed(path: &Path, error: &io::Error) -> BuyerError {
    let what = match error.kind() {
        io::ErrorKind::InvalidData => {
            "is damaged and may hide a payment that is still under way; look at it, then remove it"
                .to_owned()
        }
        _ => format!("failed ({error})"),
    };
    BuyerError::Journal { path: path.to_owned(), what }
}

fn read(path: &Path) -> io::Result<Option<Record>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut text = Vec::new();
    file.take(MAX_RECORD_BYTES).read_to_end(&mut text)?;
    let damaged = || io::Error::from(io::ErrorKind::InvalidData);
    let record: Record = serde_json::from_slice(&text).map_err(|_| damaged())?;
    if record.version == VERSION { Ok(Some(record)) } else { Err(damaged()) }
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    // The lock makes the name ours: a leftover is from a run that ended badly.
    let temporary = path.with_extension("tmp");
    forget_missing(fs::remove_file(&temporary))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_dir(path)
}

fn sync_dir(path: &Path) -> io::Result<()> {
    // A rename is durable when the directory is.
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

fn forget_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn make_private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

#[cfg(test)]
mod tests;
