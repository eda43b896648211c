//! What a stage knows of its surroundings: the flags, the environment, the log, and the files between stages.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ::provision::Origins;
use ::provision::record::Record;
use ignition::Config;
use serde::{Deserialize, Serialize};

use super::failure::{Failure, Result, fail};
use super::flags::Flags;

/// Environment variables that provisioning reads, each with what it changes.
pub(super) mod env {
    /// The config of platform `file`.
    pub(crate) const CONFIG_FILE: &str = "IGNITION_CONFIG_FILE";
    /// Directory of base configs and `user.ign`.
    pub(crate) const SYSTEM_CONFIG_DIR: &str = "IGNITION_SYSTEM_CONFIG_DIR";
    /// Where `oem://` URLs and `config.ign` are.
    pub(crate) const OEM_DIR: &str = "IGNITION_OEM_LOOKASIDE_DIR";
    /// A file instead of /proc/cmdline.
    pub(crate) const CMDLINE: &str = "WELLCAR_CMDLINE";
    /// A directory instead of fw_cfg's `by_name/opt`.
    pub(crate) const FW_CFG: &str = "WELLCAR_FW_CFG";
    /// The disk the system runs from.
    pub(crate) const SYSTEM_DISK: &str = "WELLCAR_SYSTEM_DISK";
    /// Seconds to wait for a device.
    pub(crate) const DEVICE_TIMEOUT: &str = "WELLCAR_DEVICE_TIMEOUT";
    /// Outside programs for accounts: `WELLCAR_USERADD`, `_USERMOD`, `_USERDEL`, `_GROUPADD`, `_GROUPMOD`, `_GROUPDEL`.
    pub(crate) const HELPER_PREFIX: &str = "WELLCAR_";
}

/// One stage's surroundings.
pub(super) struct Context {
    pub(super) flags: Flags,
    /// Reads an environment variable.
    pub(super) env: fn(&str) -> Option<OsString>,
}

/// What stages tell each other, in the state file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// Mounted below the root, in order.
    #[serde(default)]
    pub(super) mounts: Vec<String>,
    /// Directories made for these.
    #[serde(default)]
    pub(super) made: Vec<String>,
    /// Keys of encrypted volumes made in this boot, as byte lists by name.
    #[serde(default)]
    pub(super) keys: std::collections::BTreeMap<String, VolumeKey>,
    /// What the files stage did.
    #[serde(default)]
    pub(super) record: Option<Record>,
}

/// A volume's key and device, until the files stage writes them.
#[derive(Serialize, Deserialize)]
pub(super) struct VolumeKey {
    pub(super) device: String,
    pub(super) key: Vec<u8>,
    pub(super) options: Vec<String>,
}

impl std::fmt::Debug for VolumeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VolumeKey({})", self.device)
    }
}

/// What stands beside the cached config.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Sidecar {
    pub(super) origins: Origins,
    pub(super) sources: Vec<String>,
}

impl Context {
    pub(super) fn log(&self, line: &str) {
        let text = format!("provision[{}]: {line}\n", self.flags.stage);
        self.print(&text);
    }

    pub(super) fn print(&self, text: &str) {
        // A console that is gone must not stop a boot.
        let _ = if self.flags.log_to_stdout {
            io::stdout().write_all(text.as_bytes())
        } else {
            io::stderr().write_all(text.as_bytes())
        };
    }

    pub(super) fn path_from_env(&self, name: &str, default: &str) -> PathBuf {
        (self.env)(name).filter(|v| !v.is_empty()).map_or_else(|| PathBuf::from(default), PathBuf::from)
    }

    pub(super) fn cmdline(&self) -> Vec<String> {
        let path = self.path_from_env(env::CMDLINE, "/proc/cmdline");
        let text = read_limited(&path, 1 << 20).ok().flatten().unwrap_or_default();
        words(&String::from_utf8_lossy(&text))
    }

    /// The merged config of the fetch stage.
    pub(super) fn cached(&self) -> Result<(Config, Sidecar, String)> {
        let path = &self.flags.config_cache;
        let read = read_limited(path, 256 << 20).map_err(|e| fail("cache")(&e))?;
        let Some(bytes) = read else {
            return Err(Box::new(
                Failure::new("cache", format!("failed to find the config cache `{}`", path.display()))
                    .hint("the fetch stage writes it: run that first"),
            ));
        };
        let mut sources = report::Sources::new();
        let id = sources.add_bytes(path.display().to_string(), &bytes);
        let parsed = ignition::parse(&sources, id, ignition::Options::default());
        let Some(config) = parsed.config.filter(|_| !parsed.reports.has_errors()) else {
            return Err(Box::new(Failure::invalid(&parsed.reports, &sources)));
        };
        let side = read_limited(&sidecar(path), 64 << 20).ok().flatten().unwrap_or_default();
        let side = serde_json::from_slice(&side).unwrap_or_default();
        Ok((config, side, super::fetch::sha256(&bytes)))
    }

    pub(super) fn state(&self) -> Result<State> {
        let bytes = read_limited(&self.flags.state_file, 64 << 20).map_err(|e| fail("state")(&e))?;
        match bytes {
            None => Ok(State::default()),
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|e| fail("state")(&e)),
        }
    }

    pub(super) fn save_state(&self, state: &State) -> Result<()> {
        let text = serde_json::to_vec(state).map_err(|e| fail("state")(&e))?;
        write_atomic(&self.flags.state_file, &text).map_err(|e| fail("state")(&e))
    }
}

pub(super) fn sidecar(cache: &Path) -> PathBuf {
    let mut name = cache.to_path_buf().into_os_string();
    name.push(".origins");
    PathBuf::from(name)
}

/// A whole file of at most `limit` bytes; `None` when it is not there.
pub(super) fn read_limited(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match fs::File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut out = Vec::new();
    file.take(limit + 1).read_to_end(&mut out)?;
    if out.len() as u64 > limit {
        return Err(io::Error::other(format!("`{}` is larger than {limit} bytes", path.display())));
    }
    Ok(Some(out))
}

/// Writes a private file of the initramfs: whole or not at all.
pub(super) fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        fs::create_dir_all(dir)?;
    }
    let mut temp = path.to_path_buf().into_os_string();
    temp.push(".new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temp)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temp, path)
}

/// Words of a kernel command line, double quotes respected.
fn words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                if !word.is_empty() {
                    out.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        out.push(word);
    }
    out
}
