//! Where `faregate dev` tells `faregate pay` about its world: one file, readable by its owner
//! only, removed when the world ends.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// What a dev world consists of; the JSON that `faregate dev --json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DevWorld {
    pub(crate) rpc: String,
    pub(crate) chain_id: u64,
    pub(crate) token: String,
    pub(crate) facilitator: String,
    pub(crate) gate: String,
    pub(crate) paid_url: String,
    pub(crate) free_url: String,
    pub(crate) ops: String,
    pub(crate) pay_to: String,
    pub(crate) buyer: DevBuyer,
}

/// The funded buyer. Its key is published all over the world; it is no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DevBuyer {
    pub(crate) address: String,
    pub(crate) private_key: String,
}

/// `$XDG_STATE_HOME/faregate`, by default `~/.local/state/faregate`.
pub(crate) fn state_dir() -> anyhow::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let base = set("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| set("HOME").map(|home| Path::new(&home).join(".local/state")))
        .context("neither XDG_STATE_HOME nor HOME is set: there is no place for state")?;
    Ok(base.join("faregate"))
}

/// The file of a running world; dropping it removes it, if it still is ours.
pub(crate) struct DevFile {
    path: PathBuf,
    content: String,
}

impl DevFile {
    /// `config` is the configuration that the world runs on.
    pub(crate) fn write(world: &DevWorld, config: &Path) -> anyhow::Result<Self> {
        let dir = state_dir()?;
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let path = dir.join("dev.json");
        let stored = Stored { world: world.clone(), config: config.to_owned() };
        let content = serde_json::to_string_pretty(&stored)?;
        let beside = dir.join(format!("dev.json.{}", std::process::id()));
        let write = || -> std::io::Result<()> {
            const OWNER_ONLY: u32 = 0o600;
            let mut options = std::fs::OpenOptions::new();
            let mut file =
                options.create(true).write(true).truncate(true).mode(OWNER_ONLY).open(&beside)?;
            file.write_all(content.as_bytes())?;
            std::fs::rename(&beside, &path)
        };
        write().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path, content })
    }
}

impl Drop for DevFile {
    fn drop(&mut self) {
        if std::fs::read_to_string(&self.path).is_ok_and(|there| there == self.content) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// What the file holds.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    world: DevWorld,
    config: PathBuf,
}

/// The world that runs on this machine, if its file is there.
pub(crate) fn read() -> Option<DevWorld> {
    stored().map(|stored| stored.world)
}

/// The configuration of that world.
pub(crate) fn config() -> Option<PathBuf> {
    stored().map(|stored| stored.config)
}

fn stored() -> Option<Stored> {
    let text = std::fs::read_to_string(state_dir().ok()?.join("dev.json")).ok()?;
    serde_json::from_str(&text).ok()
}
