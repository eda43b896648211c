//! The fetch stages: find the config, fetch what it refers to, merge, check, and cache the result.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ::provision::{Content, Origins};
use ignition::model::{Resource, text};
use ignition::{Config, Options, Style, Version};
use net::Settings;
use report::{Reports, Severity, SourceId, Sources};

use super::context::{Context, Sidecar, env, read_limited, sidecar, write_atomic};
use super::failure::{Failure, Result, fail};
use super::fetch::{CONFIG_LIMIT, Fetcher, Network};
use super::flags::Platform;

/// Configs inside configs inside configs.
const MAX_DEPTH: u32 = 16;
/// Configs fetched for one machine.
const MAX_FETCHES: u32 = 100;
/// Words of the command line that name a config.
const URL_KEYS: [&str; 3] = ["ignition.config.url=", "flatcar.config.url=", "coreos.config.url="];
/// Keys of fw_cfg below `opt/`, first come first served.
const FW_CFG_KEYS: [&str; 2] = ["org.flatcar-linux/config", "com.coreos/config"];
/// What a config server may answer with.
const ACCEPT: &str = "application/vnd.coreos.ignition+json;version=3.6.0, */*;q=0.1";

/// Everything that is known while configs are read.
struct Loader<'a> {
    context: &'a Context,
    network: Network,
    sources: Sources,
    names: Vec<String>,
    warnings: Reports,
    fetches: u32,
    extra_roots: Vec<u8>,
}

/// Runs `fetch-offline` (`online` false) or `fetch`.
pub(super) fn run(context: &Context, online: bool) -> Result<()> {
    let mut loader = Loader {
        context,
        network: network(context, &Config::default(), online, Some(context.flags.fetch_timeout))?,
        sources: Sources::new(),
        names: Vec::new(),
        warnings: Reports::new(),
        fetches: 0,
        extra_roots: Vec::new(),
    };
    let config = match loader.load() {
        Err(failure) if failure.code == "offline" && !online => {
            return need_network(context, &failure.message);
        }
        other => other?,
    };
    if !online && let Some(what) = needs_network(&config) {
        return need_network(context, &what);
    }
    let warned =
        loader.warnings.iter().filter(|r| r.severity != Severity::Info).cloned().collect::<Reports>();
    if !warned.is_empty() {
        context.print(&report::text(&warned, &loader.sources));
    }
    if context.flags.dry_run {
        context.log(&format!("sources: {}", loader.names.join(", ")));
        return Ok(());
    }
    let side = Sidecar { origins: Origins::collect(&config, &loader.sources), sources: loader.names };
    let side_text = serde_json::to_vec(&side).map_err(|e| fail("cache")(&e))?;
    write_atomic(&sidecar(&context.flags.config_cache), &side_text).map_err(|e| fail("cache")(&e))?;
    let text = ignition::to_json(&config, Style { pretty: false, empty_objects: false });
    write_atomic(&context.flags.config_cache, text.as_bytes()).map_err(|e| fail("cache")(&e))?;
    context.log(&format!(
        "config from {}",
        if side.sources.is_empty() { "nowhere: a plain boot".to_owned() } else { side.sources.join(", ") }
    ));
    Ok(())
}

fn need_network(context: &Context, why: &str) -> Result<()> {
    context.log(&format!("the network is needed: {why}"));
    match &context.flags.need_net {
        Some(path) => write_atomic(path, b"").map_err(|e| fail("neednet")(&e)),
        None => Ok(()),
    }
}

/// The first resource that later stages would have to fetch from the network.
fn needs_network(config: &Config) -> Option<String> {
    let remote = |r: &Resource| {
        let source = text(&r.source);
        (!source.is_empty() && ignition::resource::scheme(source).needs_network())
            .then(|| source.split('?').next().unwrap_or("").to_owned())
    };
    let files = config.storage.files.iter().flat_map(|f| std::iter::once(&f.contents).chain(&f.append));
    let keys = config.storage.luks.iter().map(|l| &l.key_file);
    files.chain(keys).find_map(remote)
}

/// How the config says to reach the network. `total`: for the whole stage.
pub(super) fn network(
    context: &Context,
    config: &Config,
    online: bool,
    total: Option<Duration>,
) -> Result<Network> {
    let variable = |name: &str| (context.env)(name).and_then(|v| v.into_string().ok());
    let mut settings = Settings::from_env(variable).map_err(|e| fail("network")(&e))?;
    let proxy = &config.ignition.proxy;
    for (field, place) in
        [(&proxy.http_proxy, &mut settings.http_proxy), (&proxy.https_proxy, &mut settings.https_proxy)]
    {
        if !text(field).is_empty() {
            *place = Some(net::Url::parse(text(field)).map_err(|e| fail("network")(&e))?);
        }
    }
    settings.no_proxy.extend(proxy.no_proxy.iter().map(|p| p.value.clone()));
    let roots = roots_file(context);
    if roots.exists() {
        settings.ca_files.insert(0, roots.display().to_string());
    }
    let timeouts = &config.ignition.timeouts;
    let seconds = |field: &ignition::Opt<i64>| {
        field.as_ref().and_then(|v| u64::try_from(v.value).ok()).filter(|v| *v > 0).map(Duration::from_secs)
    };
    let total = total.or_else(|| seconds(&timeouts.http_total));
    Ok(Network {
        settings,
        header_timeout: seconds(&timeouts.http_response_headers).unwrap_or(Duration::from_secs(10)),
        deadline: total.and_then(|t| Instant::now().checked_add(t)),
        oem: context.path_from_env(env::OEM_DIR, "/oem"),
        online,
    })
}

/// Where the certificate authorities of the config are kept for later stages.
fn roots_file(context: &Context) -> PathBuf {
    let mut name = context.flags.config_cache.clone().into_os_string();
    name.push(".ca.pem");
    PathBuf::from(name)
}

impl Loader<'_> {
    fn load(&mut self) -> Result<Config> {
        let _ = std::fs::remove_file(roots_file(self.context));
        let mut config = empty();
        for path in self.base_files()? {
            let bytes = self.read(&path)?.unwrap_or_default();
            let base = self.parse(&path.display().to_string(), &bytes)?;
            let base = self.resolve(&base, 0)?;
            config = ignition::merge(config, base);
        }
        if let Some((name, bytes)) = self.user_config()? {
            let user = self.parse(&name, &bytes)?;
            let user = self.resolve(&user, 0)?;
            config = ignition::merge(config, user);
        }
        config.ignition.version = Some(report::Spanned::bare(Version::NEWEST.as_str().to_owned()));
        config.ignition.config = ignition::model::IgnitionConfig::default();
        let mut reports = Reports::new();
        ignition::validate(&config, Version::NEWEST, &mut reports);
        if reports.has_errors() {
            let mut failure = Failure::invalid(&reports, &self.sources);
            failure.message = format!("failed to merge the configs: {}", failure.message);
            return Err(Box::new(failure));
        }
        Ok(config)
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        read_limited(path, CONFIG_LIMIT).map_err(|e| {
            let mut failure = Failure::of("read", &e);
            failure.message = format!("failed to read `{}`: {}", path.display(), failure.message);
            Box::new(failure)
        })
    }

    fn base_files(&self) -> Result<Vec<PathBuf>> {
        let dir = self.context.path_from_env(env::SYSTEM_CONFIG_DIR, "/usr/lib/ignition");
        let mut out = Vec::new();
        for sub in
            [dir.join("base.d"), dir.join("base.platform.d").join(self.context.flags.platform.as_str())]
        {
            let mut files: Vec<PathBuf> = match std::fs::read_dir(&sub) {
                Ok(list) => list.filter_map(|e| e.ok().map(|e| e.path())).filter(|p| p.is_file()).collect(),
                Err(_) => continue,
            };
            files.sort();
            out.extend(files);
        }
        Ok(out)
    }

    /// The user's config and its name, from the first place that has one.
    fn user_config(&mut self) -> Result<Option<(String, Vec<u8>)>> {
        let cmdline = self.context.cmdline();
        let url =
            cmdline.iter().rev().find_map(|word| URL_KEYS.iter().find_map(|key| word.strip_prefix(key)));
        if let Some(url) = url.filter(|u| !u.is_empty()) {
            let content = Content { source: url.to_owned(), ..Content::default() };
            let name = shown_url(url);
            let bytes =
                Fetcher::new(&self.network).small(&content, Some(ACCEPT)).map_err(|mut failure| {
                    failure.source = Some("kernel command line".to_owned());
                    failure.path = Some("ignition.config.url".to_owned());
                    failure
                })?;
            return Ok(Some((name, bytes)));
        }
        let system = self.context.path_from_env(env::SYSTEM_CONFIG_DIR, "/usr/lib/ignition").join("user.ign");
        let oem = self.network.oem.join("config.ign");
        let platform: Vec<PathBuf> = match self.context.flags.platform {
            Platform::Qemu => {
                let base = self.context.path_from_env(env::FW_CFG, "/sys/firmware/qemu_fw_cfg/by_name/opt");
                FW_CFG_KEYS.iter().map(|key| base.join(key).join("raw")).collect()
            }
            Platform::File => vec![self.context.path_from_env(env::CONFIG_FILE, "config.ign")],
            Platform::Metal => Vec::new(),
        };
        for path in [system, oem].into_iter().chain(platform) {
            if let Some(bytes) = self.read(&path)? {
                let name = match path.strip_prefix("/sys/firmware/qemu_fw_cfg/by_name") {
                    Ok(key) => format!("fw_cfg:{}", key.parent().unwrap_or(key).display()),
                    Err(_) => path.display().to_string(),
                };
                return Ok(Some((name, bytes)));
            }
        }
        Ok(None)
    }

    fn parse(&mut self, name: &str, bytes: &[u8]) -> Result<Config> {
        self.names.push(name.to_owned());
        if let Some(kind) = foreign(bytes) {
            self.context
                .log(&format!("WARNING: `{name}` is {kind}, not an Ignition config: nothing of it is done"));
            return Ok(empty());
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            self.context.log(&format!("`{name}` is empty: nothing to do"));
            return Ok(empty());
        }
        let id = self.sources.add_bytes(name, bytes);
        let parsed = ignition::parse(&self.sources, id, Options::default());
        if parsed.reports.has_errors() {
            return Err(Box::new(Failure::invalid(&parsed.reports, &self.sources)));
        }
        self.warnings.append(parsed.reports);
        let Some(mut config) = parsed.config else {
            return Err(Box::new(Failure::new("syntax", format!("failed to read the config `{name}`"))));
        };
        if parsed.version.is_none_or(|v| v < Version::V3_6) {
            drop_special_bits(&mut config);
        }
        Ok(config)
    }

    /// Fetches what a config refers to and lays it over the config, depth first, in order.
    fn resolve(&mut self, config: &Config, depth: u32) -> Result<Config> {
        if depth > MAX_DEPTH {
            return Err(Box::new(
                Failure::new(
                    "merge",
                    format!(
                        "failed to merge configs: they refer to each other more than {MAX_DEPTH} levels deep"
                    ),
                )
                .hint("a config that merges itself never ends"),
            ));
        }
        let before = self.network.clone();
        self.network = network(self.context, config, self.network.online, None)?;
        self.network.deadline = before.deadline;
        self.certificates(config)?;
        let result = self.resolve_inside(config, depth);
        self.network = before;
        result
    }

    fn resolve_inside(&mut self, config: &Config, depth: u32) -> Result<Config> {
        let replace = &config.ignition.config.replace;
        if !text(&replace.source).is_empty() {
            let resource = replace.clone();
            let other = self.referenced(&resource, "$.ignition.config.replace")?;
            return self.resolve(&other, depth + 1);
        }
        let mut merged = config.clone();
        for (i, resource) in config.ignition.config.merge.iter().enumerate() {
            if text(&resource.source).is_empty() {
                continue;
            }
            let child = self.referenced(resource, &format!("$.ignition.config.merge.{i}"))?;
            let child = self.resolve(&child, depth + 1)?;
            merged = ignition::merge(merged, child);
        }
        Ok(merged)
    }

    fn referenced(&mut self, resource: &Resource, path: &str) -> Result<Config> {
        self.fetches += 1;
        if self.fetches > MAX_FETCHES {
            return Err(Box::new(Failure::new(
                "merge",
                format!("failed to merge configs: more than {MAX_FETCHES} of them"),
            )));
        }
        let content = Content::of(resource).unwrap_or_default();
        let bytes = Fetcher::new(&self.network)
            .small(&content, Some(ACCEPT))
            .map_err(|failure| self.place(failure, resource, path))?;
        self.parse(&shown_url(&content.source), &bytes)
    }

    fn place(&self, mut failure: Box<Failure>, resource: &Resource, path: &str) -> Box<Failure> {
        failure.path = Some(path.to_owned());
        if !resource.span.is_none() && resource.span.source != SourceId::NONE {
            let at = self.sources.line_column(resource.span.source, resource.span.start);
            failure.source = Some(self.sources.name(resource.span.source).to_owned());
            (failure.line, failure.column) = (Some(at.line), Some(at.column));
        }
        failure
    }

    /// Adds the config's certificate authorities to the system's, in force for the fetches that follow.
    fn certificates(&mut self, config: &Config) -> Result<()> {
        let list = &config.ignition.security.tls.certificate_authorities;
        if list.is_empty() {
            return Ok(());
        }
        for (i, resource) in list.iter().enumerate() {
            let path = format!("$.ignition.security.tls.certificateAuthorities.{i}");
            let pem = Fetcher::new(&self.network)
                .small(&Content::of(resource).unwrap_or_default(), None)
                .map_err(|failure| self.place(failure, resource, &path))?;
            self.extra_roots.extend(pem);
            self.extra_roots.push(b'\n');
        }
        let mut bundle = Vec::new();
        for file in &self.network.settings.ca_files {
            if Path::new(file) != roots_file(self.context)
                && let Ok(Some(bytes)) = read_limited(Path::new(file), 16 << 20)
            {
                bundle = bytes;
                bundle.push(b'\n');
                break;
            }
        }
        bundle.extend(&self.extra_roots);
        let path = roots_file(self.context);
        write_atomic(&path, &bundle).map_err(|e| fail("tls")(&e))?;
        let name = path.display().to_string();
        self.network.settings.ca_files.retain(|f| *f != name);
        self.network.settings.ca_files.insert(0, name);
        Ok(())
    }
}

fn empty() -> Config {
    let mut config = Config::default();
    config.ignition.version = Some(report::Spanned::bare(Version::NEWEST.as_str().to_owned()));
    config
}

/// A name for reports: no query, no payload.
fn shown_url(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or("");
    match url.split_once(':') {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("data") => "data URL".to_owned(),
        _ => url.to_owned(),
    }
}

/// Before spec 3.6 setuid, setgid and sticky bits of a mode had no effect.
fn drop_special_bits(config: &mut Config) {
    let storage = &mut config.storage;
    let modes = storage
        .files
        .iter_mut()
        .map(|f| &mut f.mode)
        .chain(storage.directories.iter_mut().map(|d| &mut d.mode));
    for mode in modes.flatten() {
        mode.value &= 0o777;
    }
}

/// User data for cloud-init, a script, or a mail of several of these; also compressed.
fn foreign(bytes: &[u8]) -> Option<&'static str> {
    let unpacked;
    let mut text = bytes;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        use std::io::Read as _;
        let mut head = Vec::new();
        let _ = flate2::read::MultiGzDecoder::new(bytes).take(4096).read_to_end(&mut head);
        unpacked = head;
        text = &unpacked;
    }
    let head = String::from_utf8_lossy(text.get(..text.len().min(4096)).unwrap_or_default()).into_owned();
    let first = head.trim_start_matches('\u{feff}').lines().next().unwrap_or("").trim_end().to_owned();
    if first == "#cloud-config" || first.starts_with("#cloud-config ") {
        Some("a cloud-config")
    } else if first.starts_with("#!") {
        Some("a script")
    } else if head
        .lines()
        .take(20)
        .any(|l| l.to_ascii_lowercase().starts_with("content-type: multipart/mixed"))
    {
        Some("a multipart mail")
    } else {
        None
    }
}
