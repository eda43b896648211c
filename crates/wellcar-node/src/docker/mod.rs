//! dockerd's configuration: the container runtime properties of the contract, less what the machine's own
//! `/etc/docker/daemon.json` or dockerd's flags (`DOCKER_OPTS`) say. dockerd refuses to start when an option
//! stands in both places, so what a flag sets is left out of the file, key by key.

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// The machine's own settings.
const USER_FILE: &str = "/etc/docker/daemon.json";
/// The most bytes of that file.
const LARGEST: u64 = 4 << 20;
/// Variables of docker.service whose words become flags of dockerd.
const FLAG_VARIABLES: [&str; 6] = [
    "DOCKER_OPTS",
    "DOCKER_SELINUX",
    "DOCKER_CGROUPS",
    "DOCKER_OPT_BIP",
    "DOCKER_OPT_MTU",
    "DOCKER_OPT_IPMASQ",
];
/// The cgroup driver of the contract, as dockerd's execution option.
const CGROUP_DRIVER: &str = "native.cgroupdriver=cgroupfs";

/// Arguments of `wellcar-node docker-config`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the generated file goes.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

/// What docker.service needs before dockerd starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The generated daemon.json.
    pub file: Value,
    /// Words for `DOCKER_CGROUPS`: the cgroup driver where flags already hold other execution options.
    pub cgroup_flags: String,
}

/// Decides the settings from the machine's own file and the words of dockerd's command line.
#[must_use]
pub fn settings(user: &Map<String, Value>, words: &[String]) -> Settings {
    let mut file = user.clone();
    let mut cgroup_flags = String::new();
    let flag = |names: &[&str]| {
        words
            .iter()
            .any(|word| names.iter().any(|name| word == name || word.starts_with(&format!("{name}="))))
    };
    if flag(&["--exec-opt"]) {
        if !words.iter().any(|word| word.contains("native.cgroupdriver=")) {
            cgroup_flags = format!("--exec-opt={CGROUP_DRIVER}");
        }
    } else {
        let options = file.entry("exec-opts").or_insert_with(|| json!([]));
        if let Value::Array(list) = options {
            let named = |option: &Value| {
                option.as_str().is_some_and(|text| text.trim().starts_with("native.cgroupdriver="))
            };
            if !list.iter().any(named) {
                list.push(json!(CGROUP_DRIVER));
            }
        }
    }
    for (key, names, value) in [
        ("log-driver", &["--log-driver"][..], json!("json-file")),
        ("storage-driver", &["--storage-driver", "-s"][..], json!("overlay2")),
    ] {
        if !flag(names) {
            file.entry(key).or_insert(value);
        }
    }
    // Docker 29 and later would choose the containerd image store by themselves.
    if !flag(&["--feature"])
        && let Value::Object(features) = file.entry("features").or_insert_with(|| json!({}))
    {
        features.entry("containerd-snapshotter").or_insert(json!(false));
    }
    Settings { file: Value::Object(file), cgroup_flags }
}

/// Splits a variable of a unit into words as systemd does: white space, single and double quotes.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote, mut started) = (String::new(), None, false);
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                started = true;
            }
            (None, c) if c.is_whitespace() => {
                if started {
                    words.push(std::mem::take(&mut word));
                    started = false;
                }
            }
            (_, c) => {
                word.push(c);
                started = true;
            }
        }
    }
    if started {
        words.push(word);
    }
    words
}

/// Runs `wellcar-node docker-config`.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let user = match sys::file::read(Path::new(USER_FILE), LARGEST) {
        Ok(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => Map::new(),
        Ok(bytes) => serde_json::from_slice::<Map<String, Value>>(&bytes)
            .with_context(|| format!("failed to read `{USER_FILE}`: expected one JSON object"))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Map::new(),
        Err(error) => return Err(error).with_context(|| format!("failed to read `{USER_FILE}`")),
    };
    let words: Vec<String> = FLAG_VARIABLES
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .flat_map(|value| split(&value))
        .collect();
    let settings = settings(&user, &words);
    let text = format!("{}\n", serde_json::to_string_pretty(&settings.file)?);
    let flags = args.output.with_extension("env");
    if let Some(dir) = args.output.parent() {
        std::fs::create_dir_all(dir).with_context(|| format!("failed to make `{}`", dir.display()))?;
    }
    for (path, content) in
        [(&args.output, text), (&flags, format!("DOCKER_CGROUPS={}\n", settings.cgroup_flags))]
    {
        sys::file::replace(path, content.as_bytes(), 0o600)
            .with_context(|| format!("failed to write `{}`", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::needless_pass_by_value)] // Called with `json!`.
    fn of(user: Value, flags: &str) -> Settings {
        settings(user.as_object().unwrap(), &split(flags))
    }

    #[test]
    fn the_contract_without_anything_else() {
        let expected = json!({
            "exec-opts": [CGROUP_DRIVER], "log-driver": "json-file", "storage-driver": "overlay2",
            "features": {"containerd-snapshotter": false},
        });
        assert_eq!(of(json!({}), "").file, expected);
    }

    #[test]
    fn the_users_file_wins() {
        let file = of(
            json!({"log-driver": "journald", "exec-opts": ["native.cgroupdriver=systemd"], "mtu": 9000}),
            "",
        )
        .file;
        assert_eq!(file["log-driver"], "journald");
        assert_eq!(file["exec-opts"], json!(["native.cgroupdriver=systemd"]));
        assert_eq!(file["mtu"], 9000);
        assert_eq!(file["storage-driver"], "overlay2");
    }

    #[test]
    fn a_flag_takes_its_key_out() {
        let set = of(json!({}), "--log-driver=local -s btrfs --exec-opt isolation=default");
        assert!(set.file.get("log-driver").is_none());
        assert!(set.file.get("storage-driver").is_none());
        assert!(set.file.get("exec-opts").is_none());
        assert_eq!(set.cgroup_flags, "--exec-opt=native.cgroupdriver=cgroupfs");
        assert_eq!(of(json!({}), "--exec-opt native.cgroupdriver=systemd").cgroup_flags, "");
    }

    #[test]
    fn words_as_systemd_splits_them() {
        assert_eq!(split("  -a 'b c' --d=\"e f\"g "), ["-a", "b c", "--d=e fg"]);
        assert!(split("").is_empty());
    }
}
