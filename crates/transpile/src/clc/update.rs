//! `update` and `locksmith`: both become one file, `/etc/coreos/update.conf`.

use super::{Clc, text};
use crate::dataurl::escaped;
use crate::out::{From, Object, number, string};
use ignition::json::Value;
use report::{Report, codes};

/// Where the file is.
const PATH: &str = "/etc/coreos/update.conf";

/// Keys of `update` with their variables, after the group.
const UPDATE: [(&str, &str); 5] = [
    ("server", "SERVER"),
    ("pcr_policy_server", "PCR_POLICY_SERVER"),
    ("download_user", "DOWNLOAD_USER"),
    ("download_password", "DOWNLOAD_PASSWORD"),
    ("machine_alias", "MACHINE_ALIAS"),
];

/// Keys of `locksmith` with their variables.
const LOCKSMITH: [(&str, &str); 8] = [
    ("reboot_strategy", "REBOOT_STRATEGY"),
    ("window_start", "LOCKSMITHD_REBOOT_WINDOW_START"),
    ("window_length", "LOCKSMITHD_REBOOT_WINDOW_LENGTH"),
    ("group", "LOCKSMITHD_GROUP"),
    ("etcd_endpoints", "LOCKSMITHD_ENDPOINT"),
    ("etcd_cafile", "LOCKSMITHD_ETCD_CAFILE"),
    ("etcd_certfile", "LOCKSMITHD_ETCD_CERTFILE"),
    ("etcd_keyfile", "LOCKSMITHD_ETCD_KEYFILE"),
];

impl Clc<'_> {
    /// The file, if either section writes anything.
    pub(super) fn update_conf(&mut self, config: From<'_>) -> Option<Value> {
        let update = config.object("update");
        let locksmith = config.object("locksmith");
        self.check_update(update);
        self.check_locksmith(locksmith);
        let mut text = String::new();
        if let Some((group, _)) = update.text("group") {
            text.push_str(&format!("GROUP={}", group.to_lowercase()));
        }
        for (key, variable) in UPDATE {
            if let Some((value, _)) = update.text(key) {
                text.push_str(&format!("\n{variable}={value}"));
            }
        }
        for (key, variable) in LOCKSMITH {
            if let Some((value, _)) = locksmith.text(key) {
                text.push_str(&format!("\n{variable}={}", text::quoted(value)));
            }
        }
        if text.is_empty() {
            return None;
        }
        let span = if update.exists() { update.span() } else { locksmith.span() };
        self.check_raw_file(config, span);
        let mut contents = Object::new();
        contents.put("source", string(escaped(text.as_bytes()), span));
        contents.put("verification", Object::new().finish(span));
        let mut out = Object::new();
        out.put("contents", contents.finish(span));
        out.put("filesystem", string("root", span));
        out.put("mode", number(0o644, span));
        out.put("path", string(PATH, span));
        Some(out.finish(span))
    }

    /// A file of the user at the same path: `ct` writes both, and the machine refuses to boot.
    fn check_raw_file(&mut self, config: From<'_>, span: report::Span) {
        let raw = config.object("storage").items("files").iter().find(|node| {
            let file = From::new(Some(node));
            file.text("path").is_some_and(|(path, _)| path == PATH)
                && file.text("filesystem").is_none_or(|(name, _)| name == "root")
        });
        if let Some(raw) = raw.filter(|_| !self.exact) {
            self.reports.push(
                Report::error(
                    codes::DUPLICATE_ENTRY,
                    format!("`{PATH}` is also what `update` and `locksmith` write"),
                )
                .at(raw.span)
                .related(span, "written from here")
                .hint("keep either the sections or the file"),
            );
        }
    }

    fn check_update(&mut self, update: From<'_>) {
        if !update.exists() {
            return;
        }
        for (key, _) in UPDATE {
            if let Some((value, span)) = update.text(key)
                && value.contains(['\n', '\r', '\0'])
            {
                self.reports.push(Report::error(codes::VALUE, format!("`{key}` must be one line")).at(span));
            }
        }
        if let Some((server, span)) = update.text("server")
            && ignition::url::parse(server).is_none()
        {
            self.reports.push(Report::error(codes::URL, "the update server is not a URL").at(span));
        }
        let (group, span) = update.text("group").unwrap_or(("", update.span()));
        if !matches!(group.to_lowercase().as_str(), "stable" | "beta" | "alpha")
            && update.text("server").is_none()
        {
            self.reports.push(
                Report::warning(
                    codes::VALUE,
                    format!(
                        "the update group `{group}` is not one of the public ones, and no server is given"
                    ),
                )
                .at(span)
                .hint("the public groups are `stable`, `beta` and `alpha`"),
            );
        }
    }

    fn check_locksmith(&mut self, from: From<'_>) {
        if !from.exists() {
            return;
        }
        let (strategy, span) = from.text("reboot_strategy").unwrap_or(("", from.span()));
        if !matches!(strategy.to_lowercase().as_str(), "reboot" | "etcd-lock" | "off") {
            let message = if strategy.is_empty() {
                "`locksmith` has no reboot strategy".to_owned()
            } else {
                format!("unknown reboot strategy `{strategy}`")
            };
            self.reports.push(
                Report::error(codes::VALUE, message).at(span).hint("it is `reboot`, `etcd-lock` or `off`"),
            );
        }
        let start = from.text("window_start");
        let length = from.text("window_length");
        match (start, length) {
            (Some((_, span)), None) => self
                .reports
                .push(Report::error(codes::MISSING_KEY, "`window_start` without `window_length`").at(span)),
            (None, Some((_, span))) => self
                .reports
                .push(Report::error(codes::MISSING_KEY, "`window_length` without `window_start`").at(span)),
            _ => {}
        }
        if let Some((start, span)) = start {
            let words: Vec<&str> = start.split_whitespace().collect();
            let (day, time) = match words[..] {
                [day, time, ..] => (day, time),
                _ => ("sun", start),
            };
            let known =
                ["sun", "mon", "tue", "wed", "thu", "fri", "sat"].contains(&day.to_lowercase().as_str());
            if !known {
                self.reports.push(
                    Report::error(codes::VALUE, format!("unknown day `{day}`"))
                        .at(span)
                        .hint("write `Sun 04:00`"),
                );
            } else if !text::is_time_of_day(time) {
                self.reports.push(
                    Report::error(codes::VALUE, format!("`{time}` is not a time of day"))
                        .at(span)
                        .hint("write `Sun 04:00` or `04:00`"),
                );
            }
        }
        if let Some((length, span)) = length
            && !text::is_duration(length)
        {
            self.reports.push(
                Report::error(codes::VALUE, format!("`{length}` is not a duration"))
                    .at(span)
                    .hint("write `1h30m`"),
            );
        }
    }
}
