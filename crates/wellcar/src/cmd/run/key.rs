//! The SSH key that opens one machine: fresh for each run, never outside its directory.
//!
//! The private half is written in OpenSSH's own format (its `PROTOCOL.key`): cipher and KDF
//! `none`, one key, padded to 8 bytes. Reference: `ssh-keygen -y`.

use crate::failure::Failure;
use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

const COMMENT: &str = "wellcar-run";
const TYPE: &str = "ssh-ed25519";

/// Makes a key in `dir`; gives the private key's file and the public key's line.
pub fn ephemeral(dir: &Path) -> Result<(PathBuf, String), Failure> {
    let mut random = [0; 36];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut random))
        .context("failed to read `/dev/urandom`")?;
    let (seed, check) = random.split_at(32);
    let key = SigningKey::try_from(seed).context("failed to make an SSH key")?;
    let path = dir.join("ssh-key");
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(private(&key, check).as_bytes()))
        .with_context(|| format!("failed to write `{}`", path.display()))?;
    Ok((path, public(&key)))
}

/// A key the user has; its public half lies beside it.
pub fn existing(private: &Path) -> Result<(PathBuf, String), Failure> {
    let mut name = private.as_os_str().to_owned();
    name.push(".pub");
    let mut line = String::new();
    let read = File::open(&name).and_then(|file| file.take(16 << 10).read_to_string(&mut line));
    if let Err(error) = read {
        let name = Path::new(&name).display().to_string();
        return Err(Failure::work(
            anyhow::Error::new(error).context(format!("failed to read `{name}`")),
            format!("make it from the private key: ssh-keygen -y -f {} > {name}", private.display()),
        ));
    }
    Ok((super::absolute(private)?, line.trim().to_owned()))
}

/// An Ignition config that lets the key in as `core`: merged by key with the user's own config.
pub fn snippet(public: &str) -> String {
    serde_json::json!({
        "ignition": { "version": "3.3.0" },
        "passwd": { "users": [{ "name": "core", "sshAuthorizedKeys": [public] }] },
    })
    .to_string()
}

fn public_blob(key: &SigningKey) -> Vec<u8> {
    let mut blob = Vec::new();
    put(&mut blob, TYPE.as_bytes());
    put(&mut blob, key.verifying_key().as_bytes());
    blob
}

fn public(key: &SigningKey) -> String {
    format!("{TYPE} {} {COMMENT}", STANDARD.encode(public_blob(key)))
}

fn private(key: &SigningKey, check: &[u8]) -> String {
    let mut secret = [check, check].concat();
    put(&mut secret, TYPE.as_bytes());
    put(&mut secret, key.verifying_key().as_bytes());
    put(&mut secret, &key.to_keypair_bytes());
    put(&mut secret, COMMENT.as_bytes());
    for padding in 1..=8u8 {
        if secret.len().is_multiple_of(8) {
            break;
        }
        secret.push(padding);
    }
    let mut blob = b"openssh-key-v1\0".to_vec();
    put(&mut blob, b"none");
    put(&mut blob, b"none");
    put(&mut blob, b"");
    blob.extend(1u32.to_be_bytes());
    put(&mut blob, &public_blob(key));
    put(&mut blob, &secret);
    let text = STANDARD.encode(blob);
    let mut out = String::from("-----BEGIN OPENSSH PRIVATE KEY-----\n");
    for line in text.as_bytes().chunks(70) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str("-----END OPENSSH PRIVATE KEY-----\n");
    out
}

/// A string with its length before it (RFC 4251, 5). All of ours are short.
fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_key_is_one_that_ssh_reads() {
        let dir = tempfile::tempdir().unwrap();
        let (path, public) = ephemeral(dir.path()).unwrap();
        assert!(
            public.starts_with("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI") && public.ends_with(" wellcar-run")
        );
        let Some(tool) =
            sys::process::find_program("ssh-keygen", &std::env::var_os("PATH").unwrap_or_default())
        else {
            assert!(std::env::var_os("WELLCAR_REQUIRE_ORACLES").is_none(), "no ssh-keygen");
            println!("skipped: no ssh-keygen");
            return;
        };
        let output = sys::process::Cmd::new(tool).args(["-y", "-f"]).arg(&path).run().unwrap();
        assert_eq!(output.stdout_text(), public);
        assert!(ephemeral(dir.path()).is_err(), "a key is never written over");
    }

    #[test]
    fn a_key_without_its_public_half_is_explained() {
        let dir = tempfile::tempdir().unwrap();
        let failure = existing(&dir.path().join("id")).unwrap_err();
        assert!(matches!(failure, Failure::Work { hint: Some(hint), .. } if hint.contains("ssh-keygen -y")));
    }
}
