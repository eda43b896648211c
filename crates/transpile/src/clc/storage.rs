//! `storage` of a Container Linux Config.

use super::{Clc, text, verification};
use crate::dataurl::escaped;
use crate::files::read_local;
use crate::out::{Copy, From, Object, number, string};
use crate::yaml::Node;
use ignition::json::Value;
use report::{Report, Span, codes};

/// Names for partition types.
const TYPE_GUIDS: [(&str, &str); 4] = [
    ("raid_containing_root", "be9067b9-ea49-4f15-b4f6-f36f8c9e1818"),
    ("linux_filesystem_data", "0fc63daf-8483-4772-8e79-3d69d8477de4"),
    ("swap_partition", "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"),
    ("raid_partition", "a19d880f-05fc-4d3b-a006-743f0f84911e"),
];

impl Clc<'_> {
    pub(super) fn storage(&mut self, config: From<'_>) -> Value {
        let from = config.object("storage");
        let span = from.span();
        let mut out = Object::new();
        let directories = from.items("directories").iter().map(|node| self.directory(node)).collect();
        out.put_list("directories", directories, span);
        let disks = from.items("disks").iter().map(|node| self.disk(node)).collect();
        out.put_list("disks", disks, span);
        let mut files: Vec<Value> = from.items("files").iter().filter_map(|node| self.file(node)).collect();
        files.extend(self.update_conf(config));
        out.put_list("files", files, span);
        out.put_list("filesystems", from.items("filesystems").iter().map(filesystem).collect(), span);
        out.put_list("links", from.items("links").iter().map(link).collect(), span);
        out.put_list("raid", from.items("raid").iter().map(raid).collect(), span);
        out.finish(span)
    }

    fn disk(&mut self, node: &Node) -> Value {
        let from = From::new(Some(node));
        let mut out = Object::new();
        Copy { from, to: &mut out }.text("device", "device");
        let partitions = from.items("partitions").iter().map(|node| self.partition(node)).collect();
        out.put_list("partitions", partitions, node.span);
        Copy { from, to: &mut out }.flag("wipe_table", "wipeTable");
        out.finish(node.span)
    }

    fn partition(&mut self, node: &Node) -> Value {
        let from = From::new(Some(node));
        let mut out = Object::new();
        Copy { from, to: &mut out }.text("guid", "guid").pointer("label", "label").count("number", "number");
        for (key, name) in [("size", "sizeMiB"), ("start", "startMiB")] {
            if let Some((amount, span)) = self.mebibytes(from, key) {
                out.put(name, number(amount, span));
            }
        }
        if let Some((guid, span)) = from.text("type_guid") {
            let known = TYPE_GUIDS.iter().find(|(name, _)| *name == guid).map_or(guid, |(_, guid)| guid);
            out.put("typeGuid", string(known, span));
        }
        out.finish(node.span)
    }

    fn mebibytes(&mut self, from: From<'_>, key: &str) -> Option<(i64, Span)> {
        let (value, span) = from.text(key)?;
        let error = |message: String| Report::error(codes::PARTITION, message).at(span);
        let report = match text::bytes(value) {
            None => error(format!("`{value}` is not a size"))
                .hint("write a number with a unit: `512MiB`, `10GiB`"),
            Some(bytes) if bytes % (1 << 20) != 0 => {
                error(format!("`{value}` is {bytes} bytes, not a whole number of MiB"))
            }
            Some(bytes) => return i64::try_from(bytes >> 20).ok().map(|amount| (amount, span)),
        };
        self.reports.push(report);
        None
    }

    fn file(&mut self, node: &Node) -> Option<Value> {
        let from = From::new(Some(node));
        let append = from.boolean("append").is_some_and(|(value, _)| value);
        if from.int("mode").is_none() {
            let report = if append {
                Report::info(codes::MODE, "the file has no mode: it will be 0644 if it does not exist")
            } else {
                Report::warning(codes::MODE, "the file has no mode: it will be 0644")
            };
            self.reports.push(report.at(node.span).hint("add `mode: 0644`"));
        }
        let contents = self.contents(from.object("contents"))?;
        let mut out = Object::new();
        Copy { from, to: &mut out }.flag("append", "append");
        out.put("contents", contents);
        self.node(from, &mut out);
        Some(out.finish(node.span))
    }

    /// Filesystem, owner, mode, overwrite and path; the order is that of Ignition's structs.
    fn node(&mut self, from: From<'_>, out: &mut Object) {
        node(from, out);
        match from.int("mode") {
            Some((mode, span)) => out.put("mode", number(mode, span)),
            None => out.put("mode", number(0o644, from.span())),
        }
    }

    fn contents(&mut self, from: From<'_>) -> Option<Value> {
        let remote = from.object("remote");
        let sources: Vec<(&str, Span)> =
            [from.text("inline"), from.text("local"), remote.text("url")].into_iter().flatten().collect();
        if let [(_, first), (_, second), ..] = sources[..] {
            self.reports.push(
                Report::error(codes::CONFLICT, "only one of `inline`, `local` and `remote.url` can be given")
                    .at(second)
                    .related(first, "given here"),
            );
            return None;
        }
        let (source, span) = if let Some((text, span)) = from.text("inline") {
            (escaped(text.as_bytes()), span)
        } else if let Some((path, span)) = from.text("local") {
            (escaped(&read_local(self.files, path, span, self.reports)?), span)
        } else if let Some((url, span)) = remote.text("url") {
            (url.to_owned(), span)
        } else {
            ("data:,".to_owned(), from.span())
        };
        let mut out = Object::new();
        Copy { from: remote, to: &mut out }.text("compression", "compression");
        out.put("source", string(source, span));
        out.put("verification", verification(remote.object("verification")));
        Some(out.finish(from.span()))
    }

    fn directory(&mut self, item: &Node) -> Value {
        let from = From::new(Some(item));
        let mut out = Object::new();
        node(from, &mut out);
        match from.int("mode") {
            Some((mode, span)) => out.put("mode", number(mode, span)),
            None => {
                self.reports.push(
                    Report::warning(codes::MODE, "the directory has no mode: it will be 0755")
                        .at(item.span)
                        .hint("add `mode: 0755`"),
                );
                out.put("mode", number(0o755, item.span));
            }
        }
        out.finish(item.span)
    }
}

fn node(from: From<'_>, out: &mut Object) {
    match from.text("filesystem") {
        Some((name, span)) => out.put("filesystem", string(name, span)),
        None => out.put("filesystem", string("root", from.span())),
    }
    for key in ["group", "user"] {
        let owner = from.object(key);
        if owner.exists() {
            let mut inner = Object::new();
            Copy { from: owner, to: &mut inner }.int("id", "id").text("name", "name");
            out.put(key, inner.finish(owner.span()));
        }
    }
    Copy { from, to: out }.boolean("overwrite", "overwrite").text("path", "path");
}

fn link(item: &Node) -> Value {
    let from = From::new(Some(item));
    let mut out = Object::new();
    node(from, &mut out);
    Copy { from, to: &mut out }.flag("hard", "hard").text("target", "target");
    out.finish(item.span)
}

fn raid(node: &Node) -> Value {
    let mut out = Object::new();
    Copy { from: From::new(Some(node)), to: &mut out }
        .strings("devices", "devices")
        .text("level", "level")
        .text("name", "name")
        .strings("options", "options")
        .count("spares", "spares");
    out.finish(node.span)
}

fn filesystem(node: &Node) -> Value {
    let from = From::new(Some(node));
    let mut out = Object::new();
    let mount = from.object("mount");
    if mount.exists() {
        let mut inner = Object::new();
        let create = mount.object("create");
        if create.exists() {
            let mut object = Object::new();
            Copy { from: create, to: &mut object }.flag("force", "force").strings("options", "options");
            inner.put("create", object.finish(create.span()));
        }
        Copy { from: mount, to: &mut inner }
            .text("device", "device")
            .text("format", "format")
            .pointer("label", "label")
            .strings("options", "options")
            .pointer("uuid", "uuid")
            .flag("wipe_filesystem", "wipeFilesystem");
        out.put("mount", inner.finish(mount.span()));
    }
    Copy { from, to: &mut out }.text("name", "name").pointer("path", "path");
    out.finish(node.span)
}
