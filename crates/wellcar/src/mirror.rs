//! Which mirrors packages come from: the command line, else the environment, else this machine's apt
//! configuration. No mirror's name is in the program.

use compose::repo::Archive;
use compose::repo::deb822::{Paragraph, Reader};
use net::{Url, UrlError};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Names the main archive's mirror.
pub const MIRROR_VARIABLE: &str = "WELLCAR_MIRROR";
/// Names the security archive's mirror.
pub const SECURITY_MIRROR_VARIABLE: &str = "WELLCAR_SECURITY_MIRROR";
/// The most bytes of one file of apt's configuration.
const MAX_FILE: u64 = 1 << 20;
/// The most files of apt's configuration that are read.
const MAX_FILES: usize = 200;
/// Names of Debian's releases, by which a source is known to be Debian's.
const RELEASES: [&str; 14] = [
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "stable",
    "testing",
    "unstable",
    "oldstable",
    "oldoldstable",
    "experimental",
    "rc-buggy",
];

/// The options that name mirrors.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct MirrorArgs {
    /// Base URL of a Debian mirror, the folder that holds `dists` and `pool` [default: WELLCAR_MIRROR,
    /// else as this machine's apt is configured]
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,
    /// The same for Debian's security archive [default: WELLCAR_SECURITY_MIRROR, else as apt]
    #[arg(long, value_name = "URL")]
    pub security_mirror: Option<String>,
}

/// One mirror for each archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrors {
    /// The main archive's.
    pub main: Url,
    /// The security archive's.
    pub security: Url,
}

impl Mirrors {
    /// The base URL of an archive.
    pub fn base(&self, archive: Archive) -> &Url {
        match archive {
            Archive::Main => &self.main,
            Archive::Security => &self.security,
        }
    }
}

/// Why there is no mirror.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// Nothing names one.
    #[error("failed to find a mirror of Debian's {archive} archive: neither `{option}` nor `{variable}` nor a Debian source in `{}` names one", .apt.display())]
    None {
        /// The archive.
        archive: Archive,
        /// The option.
        option: &'static str,
        /// The variable.
        variable: &'static str,
        /// apt's folder.
        apt: PathBuf,
    },
    /// What names it is no URL.
    #[error("failed to use the mirror that `{from}` names")]
    Url {
        /// The option, variable or file.
        from: String,
        /// Why.
        #[source]
        source: UrlError,
    },
}

impl MirrorError {
    /// What the user can do.
    pub fn hint(&self) -> String {
        match self {
            Self::None { option, variable, .. } => format!(
                "name one with `{option} URL` or the variable `{variable}`: the folder that holds `dists` and `pool`"
            ),
            Self::Url { .. } => "a mirror is named like `http://HOST/debian`".into(),
        }
    }
}

/// Finds the mirrors. `variable` reads the environment, `apt` is the folder of apt's configuration.
pub fn resolve(
    args: &MirrorArgs,
    variable: impl Fn(&str) -> Option<String>,
    apt: &Path,
) -> Result<Mirrors, MirrorError> {
    let mut sources = None;
    let mut one = |archive: Archive, given: &Option<String>, option: &'static str, name: &'static str| {
        let named = |from: &str, url: &str| {
            Url::parse(url.trim()).map_err(|source| MirrorError::Url { from: from.to_owned(), source })
        };
        if let Some(url) = given {
            return named(option, url);
        }
        if let Some(url) = variable(name).filter(|url| !url.trim().is_empty()) {
            return named(name, &url);
        }
        let sources = sources.get_or_insert_with(|| apt_sources(apt));
        sources
            .iter()
            .find(|(of, _)| *of == archive)
            .map(|(_, url)| url.clone())
            .ok_or_else(|| MirrorError::None { archive, option, variable: name, apt: apt.to_owned() })
    };
    Ok(Mirrors {
        main: one(Archive::Main, &args.mirror, "--mirror", MIRROR_VARIABLE)?,
        security: one(
            Archive::Security,
            &args.security_mirror,
            "--security-mirror",
            SECURITY_MIRROR_VARIABLE,
        )?,
    })
}

/// The proxy that apt is configured to use for `scheme` (`http`, `https`): the plain form of
/// `Acquire::http::Proxy "URL";`, which is what installers and administrators write. A machine whose
/// apt works behind a proxy then works for us, too.
pub fn apt_proxy(apt: &Path, scheme: &str) -> Option<Url> {
    let key = format!("acquire::{scheme}::proxy");
    let mut files: Vec<PathBuf> = std::fs::read_dir(apt.join("apt.conf.d"))
        .into_iter()
        .flatten()
        .take(MAX_FILES)
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    files.sort();
    files.push(apt.join("apt.conf"));
    let mut found = None;
    for text in files.iter().filter_map(|file| read(file)) {
        for line in text.lines().map(str::trim) {
            let Some((name, value)) = line.split_once(char::is_whitespace) else { continue };
            if name.to_ascii_lowercase() == key {
                let value = value.trim().trim_end_matches(';').trim().trim_matches('"');
                // The last one counts; `DIRECT` takes an earlier one back.
                found = Url::parse(value).ok();
            }
        }
    }
    found
}

fn read(path: &Path) -> Option<String> {
    let meta = std::fs::metadata(path).ok()?;
    if !meta.is_file() || meta.len() > MAX_FILE {
        return None;
    }
    std::fs::read_to_string(path).ok()
}

/// The Debian sources of apt's configuration, in its order. What cannot be read is passed over, as it
/// is not our configuration to judge.
fn apt_sources(apt: &Path) -> Vec<(Archive, Url)> {
    let mut found = Vec::new();
    if let Some(text) = read(&apt.join("sources.list")) {
        one_line_style(&text, &mut found);
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(apt.join("sources.list.d"))
        .into_iter()
        .flatten()
        .take(MAX_FILES)
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    files.sort();
    for file in files {
        let Some(text) = read(&file) else { continue };
        match file.extension().and_then(|e| e.to_str()) {
            Some("list") => one_line_style(&text, &mut found),
            Some("sources") => deb822_style(&text, &mut found),
            _ => {}
        }
    }
    found
}

/// `deb [options] URI SUITE COMPONENT...` (sources.list(5)).
fn one_line_style(text: &str, found: &mut Vec<(Archive, Url)>) {
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(rest) = line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t'])) else {
            continue;
        };
        let rest = rest.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']').map_or("", |(_, rest)| rest),
            None => rest,
        };
        let words: Vec<&str> = rest.split_whitespace().collect();
        if let [uri, suite, components @ ..] = words.as_slice() {
            source(uri, suite, components, found);
        }
    }
}

/// The deb822 style of sources.list(5).
fn deb822_style(text: &str, found: &mut Vec<(Archive, Url)>) {
    let plain: String =
        text.lines().filter(|line| !line.starts_with('#')).flat_map(|line| [line, "\n"]).collect();
    let mut reader = Reader::new(plain.as_bytes());
    let mut paragraph = Paragraph::default();
    while let Ok(true) = reader.next(&mut paragraph) {
        let words = |name| paragraph.get(name).unwrap_or_default().split_whitespace().collect::<Vec<_>>();
        let enabled =
            !matches!(paragraph.get("Enabled"), Some("no" | "false" | "without" | "off" | "disable"));
        if !enabled || !words("Types").contains(&"deb") {
            continue;
        }
        for suite in words("Suites") {
            for uri in words("URIs") {
                source(uri, suite, &words("Components"), found);
            }
        }
    }
}

/// Takes a source when it is Debian's and has the component `main`.
fn source(uri: &str, suite: &str, components: &[&str], found: &mut Vec<(Archive, Url)>) {
    let base = suite.split(['-', '/']).next().unwrap_or_default();
    if !RELEASES.contains(&base) || !components.contains(&"main") {
        return;
    }
    let security = suite.ends_with("-security") || suite.ends_with("/updates");
    let archive = if security { Archive::Security } else { Archive::Main };
    // `mirror+file:/path` names a file that lists mirrors, as Debian's cloud images have it.
    let listed = uri.strip_prefix("mirror+file:").and_then(|path| {
        let path = format!("/{}", path.trim_start_matches('/'));
        let text = read(Path::new(&path))?;
        text.lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| line.split_whitespace().next().unwrap_or_default().to_owned())
    });
    if let Ok(url) = Url::parse(listed.as_deref().unwrap_or(uri)) {
        found.push((archive, url));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apt(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sources.list.d")).unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn found(files: &[(&str, &str)]) -> Result<(String, String), String> {
        let folder = apt(files);
        resolve(&MirrorArgs::default(), |_| None, folder.path())
            .map(|mirrors| (mirrors.main.to_string(), mirrors.security.to_string()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn both_styles_of_apt() {
        let expected =
            ("http://mirror.example/debian".to_owned(), "http://mirror.example/debian-security".to_owned());
        let sources = "Types: deb\n# note\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n\
            Components: main\nSigned-By: /x\n\nTypes: deb\nURIs: http://mirror.example/debian-security\n\
            Suites: bookworm-security\nComponents: main\n";
        let other = (
            "sources.list.d/a.sources",
            "Types: deb\nURIs: http://other.example/x\nSuites: nodistro\nComponents: main\n",
        );
        assert_eq!(found(&[other, ("sources.list.d/debian.sources", sources)]).unwrap(), expected);
        let list = "deb-src http://src.example/debian trixie main\n\
            deb [arch=amd64 signed-by=/k] http://mirror.example/debian trixie main # x\n\
            deb http://mirror.example/debian-security trixie-security main\n";
        assert_eq!(found(&[("sources.list", list)]).unwrap(), expected);
        assert_eq!(found(&[("sources.list.d/d.list", list)]).unwrap(), expected);
        assert!(
            found(&[("sources.list.d/d.list", "deb http://m.example/debian trixie main")])
                .unwrap_err()
                .contains("security")
        );
        assert!(
            found(&[(
                "sources.list.d/debian.sources",
                &format!("Enabled: no\n{}", sources.replace("\n\n", "\n\nEnabled: no\n"))
            )])
            .is_err()
        );
    }

    #[test]
    fn the_proxy_of_apt() {
        let folder = apt(&[("apt.conf", "Acquire::http::Proxy \"http://proxy.example:3128/\";\n// x\n")]);
        std::fs::create_dir(folder.path().join("apt.conf.d")).unwrap();
        let proxy = |scheme| apt_proxy(folder.path(), scheme).map(|url| url.to_string());
        assert_eq!(proxy("http").as_deref(), Some("http://proxy.example:3128/"));
        assert_eq!(proxy("https"), None);
        std::fs::write(folder.path().join("apt.conf"), "Acquire::http::Proxy \"DIRECT\";").unwrap();
        assert_eq!(proxy("http"), None);
    }

    #[test]
    fn a_list_of_mirrors() {
        let lists = apt(&[
            ("main.list", "http://mirror.example/debian\n"),
            ("sec.list", "# x\nhttp://mirror.example/sec\n"),
        ]);
        let sources = format!(
            "Types: deb\nURIs: mirror+file://{0}/main.list\nSuites: trixie\nComponents: main\n\n\
             Types: deb\nURIs: mirror+file:{0}/sec.list\nSuites: trixie-security\nComponents: main\n",
            lists.path().display()
        );
        let expected = ("http://mirror.example/debian".to_owned(), "http://mirror.example/sec".to_owned());
        assert_eq!(found(&[("sources.list.d/debian.sources", &sources)]).unwrap(), expected);
    }

    #[test]
    fn options_win_over_variables_over_apt() {
        let folder = apt(&[]);
        let args = MirrorArgs { mirror: Some("http://option.example/d".into()), security_mirror: None };
        let variable = |_: &str| Some("http://variable.example/s".to_owned());
        let mirrors = resolve(&args, variable, folder.path()).unwrap();
        assert_eq!(mirrors.main.to_string(), "http://option.example/d");
        assert_eq!(mirrors.security.to_string(), "http://variable.example/s");
        let error = resolve(&MirrorArgs::default(), |_| None, folder.path()).unwrap_err();
        assert!(error.hint().contains("--mirror URL"));
        let args = MirrorArgs { mirror: Some("ftp://x".into()), security_mirror: None };
        assert!(matches!(resolve(&args, variable, folder.path()), Err(MirrorError::Url { .. })));
    }
}
