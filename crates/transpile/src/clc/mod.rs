//! Container Linux Config to Ignition 2.3, as `ct` 0.9.4 does it.
//!
//! The order of the output follows that program: a platform's override, docker, etcd, flannel, then
//! the user's units; `/etc/coreos/update.conf` is the last file. Where it is wrong (a template left
//! unfilled in flannel's `ExecStartPre`) this is right, unless its exact output is asked for.

pub mod dynamic;
mod options;
pub mod schema;
mod storage;
mod text;
mod update;

use crate::files::Files;
use crate::out::{Copy, From, Object, boolean, list, string};
use crate::schema::{Check, KeyPath, Ty, check};
use crate::yaml::{Kind, Node};
use dynamic::{PLATFORMS, Platform};
use ignition::json::Value;
use report::{Report, Reports, Span, codes};

/// One translation.
struct Clc<'a> {
    reports: &'a mut Reports,
    platform: Option<&'static Platform>,
    files: Option<&'a dyn Files>,
    lax: bool,
    exact: bool,
}

/// Checks one file against the tables, before files are merged.
pub fn check_file(root: &Node, lax: bool, reports: &mut Reports) {
    let how = Check { lax, version: 0, foreign: schema::FOREIGN };
    check(root, Ty::Obj(&schema::CONFIG), &KeyPath::root(), &how, reports);
    if let Some((version, span)) = From::new(Some(root)).int("version")
        && version != 0
    {
        reports.push(
            Report::error(codes::VERSION, format!("a Container Linux Config has no version {version}"))
                .at(span)
                .hint("remove the key"),
        );
    }
}

/// How a Container Linux Config is translated.
#[derive(Debug, Clone, Copy)]
pub struct How<'a> {
    /// `--platform`.
    pub platform: Option<&'a str>,
    /// Where `contents.local` is read.
    pub files: Option<&'a dyn Files>,
    /// Unknown keys are warnings.
    pub lax: bool,
    /// Exactly what `ct` writes, with its bugs.
    pub exact: bool,
}

/// Translates a checked tree into Ignition 2.3.0.
pub fn translate(root: &Node, how: &How<'_>, reports: &mut Reports) -> Value {
    let platform = how.platform.and_then(|name| {
        let found = Platform::find(name);
        if found.is_none() {
            let names: Vec<&str> = PLATFORMS.iter().map(|platform| platform.name).collect();
            reports.push(
                Report::error(codes::VALUE, format!("unknown platform `{name}`"))
                    .hint(format!("known are {}", names.join(", "))),
            );
        }
        found
    });
    let mut clc = Clc { reports, platform, files: how.files, lax: how.lax, exact: how.exact };
    clc.config(From::new(Some(root)), root.span)
}

impl Clc<'_> {
    fn config(&mut self, from: From<'_>, span: Span) -> Value {
        let mut out = Object::new();
        out.put("ignition", self.ignition(from.object("ignition")));
        let mut networkd = Object::new();
        let units = from.object("networkd");
        networkd.put_list("units", units.items("units").iter().map(networkd_unit).collect(), units.span());
        out.put("networkd", networkd.finish(from.object("networkd").span()));
        out.put("passwd", passwd(from.object("passwd")));
        out.put("storage", self.storage(from));
        out.put("systemd", self.systemd(from));
        out.finish(span)
    }

    fn ignition(&mut self, from: From<'_>) -> Value {
        let mut out = Object::new();
        let config = from.object("config");
        let mut references = Object::new();
        references.put_list(
            "append",
            config
                .items("append")
                .iter()
                .map(|node| self.reference(From::new(Some(node)), node.span))
                .collect(),
            config.span(),
        );
        let replace = config.object("replace");
        if replace.exists() {
            references.put("replace", self.reference(replace, replace.span()));
        }
        out.put("config", references.finish(config.span()));
        let security = from.object("security");
        let tls = security.object("tls");
        let mut authorities = Object::new();
        authorities.put_list(
            "certificateAuthorities",
            tls.items("certificate_authorities")
                .iter()
                .map(|node| self.reference(From::new(Some(node)), node.span))
                .collect(),
            tls.span(),
        );
        let mut secure = Object::new();
        secure.put("tls", authorities.finish(tls.span()));
        out.put("security", secure.finish(security.span()));
        let timeouts = from.object("timeouts");
        let mut times = Object::new();
        Copy { from: timeouts, to: &mut times }
            .int("http_response_headers", "httpResponseHeaders")
            .int("http_total", "httpTotal");
        out.put("timeouts", times.finish(timeouts.span()));
        out.put("version", string("2.3.0", Span::NONE));
        out.finish(from.span())
    }

    fn reference(&mut self, from: From<'_>, span: Span) -> Value {
        let mut out = Object::new();
        Copy { from, to: &mut out }.text("source", "source");
        out.put("verification", verification(from.object("verification")));
        out.finish(span)
    }

    fn systemd(&mut self, from: From<'_>) -> Value {
        let mut units = Vec::new();
        if let Some(platform) =
            self.platform.filter(|p| matches!(p.name, "openstack-metadata" | "cloudstack-configdrive"))
        {
            let text =
                format!("[Service]\nEnvironment=COREOS_METADATA_OPT_PROVIDER=--provider={}", platform.name);
            let name = "20-clct-provider-override.conf";
            units.push(generated_unit("coreos-metadata.service", None, name, &text, Span::NONE));
            units.push(generated_unit(
                "coreos-metadata-sshkeys@.service",
                Some("enabled"),
                name,
                &text,
                Span::NONE,
            ));
        }
        let docker = from.object("docker");
        if docker.exists() {
            let flags: Vec<&str> =
                docker.items("flags").iter().map(|node| node.text().map_or("", |text| &**text)).collect();
            let text = format!("[Service]\nEnvironment=\"DOCKER_OPTS={}\"", flags.join(" "));
            units.push(generated_unit(
                "docker.service",
                Some("enable"),
                "20-clct-docker.conf",
                &text,
                docker.span(),
            ));
        }
        if let Some(node) = from.node("etcd")
            && let Some(text) = self.etcd(node)
        {
            units.push(generated_unit(
                "etcd-member.service",
                Some("enable"),
                "20-clct-etcd-member.conf",
                &text,
                node.span,
            ));
        }
        if let Some(node) = from.node("flannel")
            && let Some(text) = self.flannel(node)
        {
            units.push(generated_unit(
                "flanneld.service",
                Some("enable"),
                "20-clct-flannel.conf",
                &text,
                node.span,
            ));
        }
        let systemd = from.object("systemd");
        units.extend(systemd.items("units").iter().map(unit));
        let mut out = Object::new();
        out.put_list("units", units, systemd.span());
        out.finish(systemd.span())
    }
}

fn generated_unit(name: &str, enable: Option<&str>, dropin: &str, contents: &str, span: Span) -> Value {
    let mut inner = Object::new();
    inner.put("contents", string(contents, span));
    inner.put("name", string(dropin, span));
    let mut out = Object::new();
    out.put("dropins", list(vec![inner.finish(span)], span));
    if let Some(key) = enable {
        out.put(key, boolean(true, span));
    }
    out.put("name", string(name, span));
    out.finish(span)
}

fn unit(node: &Node) -> Value {
    let from = From::new(Some(node));
    let mut out = Object::new();
    Copy { from, to: &mut out }.text("contents", "contents");
    out.put_list("dropins", from.items("dropins").iter().map(dropin).collect(), from.span());
    Copy { from, to: &mut out }
        .flag("enable", "enable")
        .boolean("enabled", "enabled")
        .flag("mask", "mask")
        .text("name", "name");
    out.finish(node.span)
}

fn dropin(node: &Node) -> Value {
    let mut out = Object::new();
    Copy { from: From::new(Some(node)), to: &mut out }.text("contents", "contents").text("name", "name");
    out.finish(node.span)
}

fn networkd_unit(node: &Node) -> Value {
    let from = From::new(Some(node));
    let mut out = Object::new();
    Copy { from, to: &mut out }.text("contents", "contents");
    out.put_list("dropins", from.items("dropins").iter().map(dropin).collect(), from.span());
    Copy { from, to: &mut out }.text("name", "name");
    out.finish(node.span)
}

fn passwd(from: From<'_>) -> Value {
    let mut out = Object::new();
    out.put_list("groups", from.items("groups").iter().map(group).collect(), from.span());
    out.put_list("users", from.items("users").iter().map(user).collect(), from.span());
    out.finish(from.span())
}

fn group(node: &Node) -> Value {
    let mut out = Object::new();
    Copy { from: From::new(Some(node)), to: &mut out }
        .int("gid", "gid")
        .text("name", "name")
        .text("password_hash", "passwordHash")
        .flag("system", "system");
    out.finish(node.span)
}

fn user(node: &Node) -> Value {
    let from = From::new(Some(node));
    let mut out = Object::new();
    let create = from.object("create");
    if create.exists() {
        let mut inner = Object::new();
        account(create, &mut inner);
        out.put("create", inner.finish(create.span()));
    }
    account(from, &mut out);
    Copy { from, to: &mut out }
        .text("name", "name")
        .pointer("password_hash", "passwordHash")
        .strings("ssh_authorized_keys", "sshAuthorizedKeys");
    out.finish(node.span)
}

/// What a user and its deprecated `create` have in common.
fn account(from: From<'_>, to: &mut Object) {
    Copy { from, to }
        .text("gecos", "gecos")
        .strings("groups", "groups")
        .text("home_dir", "homeDir")
        .flag("no_create_home", "noCreateHome")
        .flag("no_log_init", "noLogInit")
        .flag("no_user_group", "noUserGroup")
        .text("primary_group", "primaryGroup")
        .text("shell", "shell")
        .flag("system", "system")
        .int("uid", "uid");
}

/// `verification.hash` in two parts becomes one word; half a hash is none.
fn verification(from: From<'_>) -> Value {
    let mut out = Object::new();
    let hash = from.object("hash");
    if let (Some((function, span)), Some((sum, _))) = (hash.text("function"), hash.text("sum")) {
        out.put("hash", string(format!("{function}-{sum}"), span));
    }
    out.finish(from.span())
}

/// Whether a tree is a map, or nothing at all.
pub fn is_map(root: &Node) -> bool {
    matches!(root.kind, Kind::Map(_)) || root.is_null()
}
