//! Whole configs: what is reported and how it reads, what merging does, what is written.

use ignition::model::{OptExt as _, flag, text};
use ignition::{Config, Options, Parsed, Style, Version};
use report::{Reports, Sources, codes};

fn read(sources: &mut Sources, name: &str, text: &str) -> Parsed {
    let id = sources.add(name, text);
    ignition::parse(sources, id, Options::default())
}

fn config(text: &str) -> Config {
    let mut sources = Sources::new();
    let parsed = read(&mut sources, "c.ign", text);
    parsed.config.unwrap_or_else(|| panic!("{}", report::text(&parsed.reports, &sources)))
}

fn found(text: &str) -> Vec<(String, String)> {
    let mut sources = Sources::new();
    let parsed = read(&mut sources, "c.ign", text);
    parsed.reports.sorted().into_iter().map(|r| (r.path, r.message)).collect()
}

fn v3(version: &str, rest: &str) -> String {
    format!("{{\"ignition\": {{\"version\": \"{version}\"}}, {rest}}}")
}

#[test]
fn reports_read_well_and_come_all_at_once() {
    let mut sources = Sources::new();
    let parsed = read(
        &mut sources,
        "node.ign",
        r#"{
  "ignition": {"version": "3.3.0"},
  "storage": {
    "files": [
      {"path": "etc/motd", "mode": 1644, "content": {}},
      {"path": "/etc/hosts", "contents": {"source": "ftp://x/y"}},
      {"path": "/etc/hosts"}
    ],
    "luks": [{"name": "data", "device": "/dev/vdb", "discard": true}]
  },
  "sytemd": {}
}
"#,
    );
    assert!(parsed.config.is_none());
    let expected = "\
node.ign:5:16: error[path]: path not absolute
 5 |       {\"path\": \"etc/motd\", \"mode\": 1644, \"content\": {}},
   |                ^^^^^^^^^^
  at $.storage.files.0.path
  hint: write `/etc/motd`
node.ign:5:36: warning[mode]: setuid, setgid and sticky bits have no effect in spec versions older than 3.6.0
 5 |       {\"path\": \"etc/motd\", \"mode\": 1644, \"content\": {}},
   |                                    ^^^^
  at $.storage.files.0.mode
node.ign:5:42: warning[unknown-key]: unused key content
 5 |       {\"path\": \"etc/motd\", \"mode\": 1644, \"content\": {}},
   |                                          ^^^^^^^^^
  at $.storage.files.0.content
  hint: did you mean `contents`?
node.ign:6:53: error[url]: invalid url scheme
 6 |       {\"path\": \"/etc/hosts\", \"contents\": {\"source\": \"ftp://x/y\"}},
   |                                                     ^^^^^^^^^^^
  at $.storage.files.1.contents.source
  hint: spec 3.3.0 knows http, https, tftp, s3, data, oem, gs
node.ign:7:16: error[duplicate-entry]: duplicate entry defined
 7 |       {\"path\": \"/etc/hosts\"}
   |                ^^^^^^^^^^^^
  at $.storage.files.2
  node.ign:6:16: first defined here
 6 |       {\"path\": \"/etc/hosts\", \"contents\": {\"source\": \"ftp://x/y\"}},
   |                ------------
  hint: a path can be a file, a directory or a link, and only once
node.ign:9:53: warning[unknown-key]: unused key discard: spec 3.3.0 does not know it
 9 |     \"luks\": [{\"name\": \"data\", \"device\": \"/dev/vdb\", \"discard\": true}]
   |                                                     ^^^^^^^^^
  at $.storage.luks.0.discard
  hint: set `ignition.version` to `3.4.0` or later
node.ign:11:3: warning[unknown-key]: unused key sytemd
 11 |   \"sytemd\": {}
    |   ^^^^^^^^
  at $.sytemd
  hint: did you mean `systemd`?
";
    assert_eq!(report::text(&parsed.reports, &sources), expected);
}

#[test]
fn strict_makes_unknown_keys_errors() {
    let mut sources = Sources::new();
    let id = sources.add("c", v3("3.0.0", "\"x\": 1"));
    assert!(ignition::parse(&sources, id, Options::default()).config.is_some());
    let strict = ignition::parse(&sources, id, Options { strict: true, ..Options::default() });
    assert!(strict.config.is_none());
}

#[test]
fn versions_are_told_apart() {
    let version = |text: &str| {
        let mut sources = Sources::new();
        let parsed = read(&mut sources, "c", text);
        (parsed.version, parsed.reports.iter().next().map(|r| r.message.clone()))
    };
    assert_eq!(version(r#"{"ignition": {"version": "3.6.0"}}"#), (Some(Version::V3_6), None));
    assert_eq!(version(r#"{"ignition": {"version": "2.1.0"}}"#), (Some(Version::V2_1), None));
    assert_eq!(version(r#"{"ignitionVersion": 1}"#), (Some(Version::V1), None));
    for (text, message) in [
        (
            r#"{"ignition": {"version": "3.6.0-experimental"}}"#,
            "unsupported config version `3.6.0-experimental`",
        ),
        (r#"{"ignition": {"version": "x"}}"#, "invalid config version `x`"),
        (r#"{"ignition": {"version": "1"}}"#, "invalid config version `1`"),
        (r#"{"ignitionVersion": 0}"#, "unsupported config version"),
        ("{}", "the config does not say its version"),
        ("  ", "not a config (empty)"),
        ("#cloud-config\na: b", "not an Ignition config: this is for cloud-init"),
    ] {
        assert_eq!(version(text), (None, Some(message.to_owned())), "{text}");
    }
}

#[test]
fn types_are_checked() {
    let text =
        v3("3.3.0", r#""storage": {"files": [{"path": 3, "mode": "0644"}, 7], "disks": {}}, "passwd": []"#);
    let found: Vec<_> = found(&text).into_iter().filter(|(_, m)| m.starts_with("expected")).collect();
    assert_eq!(
        found,
        [
            ("$.storage.files.0.path".to_owned(), "expected a string, found the number 3".to_owned()),
            ("$.storage.files.0.mode".to_owned(), "expected a whole number, found a string".to_owned()),
            ("$.storage.files.1".to_owned(), "expected an object, found the number 7".to_owned()),
            ("$.storage.disks".to_owned(), "expected a list, found an object".to_owned()),
            ("$.passwd".to_owned(), "expected an object, found a list".to_owned()),
        ]
    );
}

#[test]
fn a_repeated_key_is_read_as_go_reads_it() {
    let text = v3(
        "3.3.0",
        r#""storage": {"files": [{"path": "/a"}]}, "storage": {"files": [{"path": "/b"}], "links": []}"#,
    );
    let config = config(&text);
    assert_eq!(text_of(&config), ["/b"]);
}

fn text_of(config: &Config) -> Vec<&str> {
    config.storage.files.iter().map(|f| text(&f.path)).collect()
}

#[test]
fn rules_of_storage() {
    let one = |rest: &str| found(&v3("3.4.0", &format!("\"storage\": {{{rest}}}")));
    let messages = |rest: &str| one(rest).into_iter().map(|(_, m)| m).collect::<Vec<_>>();
    assert_eq!(
        messages(
            r#""disks": [{"device": "/dev/vda", "partitions": [
            {"number": 1, "startMiB": 1, "sizeMiB": 100}, {"number": 2, "startMiB": 50, "sizeMiB": 0},
            {"label": "a:b", "guid": "zz"}, {"shouldExist": false, "number": 4, "label": "x"}]}]"#
        )
        .len(),
        5
    );
    assert_eq!(messages(r#""filesystems": [{"device": "/dev/vda", "label": "x"}]"#).len(), 2);
    assert_eq!(
        messages(r#""filesystems": [{"device": "/dev/vda", "format": "xfs", "label": "thirteen char"}]"#),
        ["filesystem labels cannot be longer than 12 characters when using xfs"]
    );
    assert_eq!(
        messages(
            r#""raid": [{"name": "m", "level": "raid0", "devices": ["/dev/a", "/dev/a"], "spares": 1}]"#
        ),
        ["duplicate entry defined", "spares unsupported for linear and raid0 arrays"]
    );
    assert_eq!(
        one(r#""links": [{"path": "/l", "target": "/x"}], "directories": [{"path": "/l/d"}]"#),
        [("$.storage.directories.0".to_owned(), "directory path includes link in config".to_owned())]
    );
    assert_eq!(
        messages(
            r#""directories": [{"path": "/d"}], "links": [{"path": "/l", "target": "/d", "hard": true}]"#
        ),
        ["hard link target is a directory"]
    );
    assert_eq!(
        messages(
            r#""files": [{"path": "/a", "overwrite": true}, {"path": "/b", "user": {"id": 1, "name": "x"}}]"#
        ),
        ["overwrite must be false if source is unspecified", "cannot set both id and name"]
    );
    assert_eq!(
        messages(
            r#""luks": [{"name": "a", "device": "/dev/a", "clevis": {"tpm2": true, "custom": {"pin": "x"}}}]"#
        )
        .len(),
        3
    );
}

#[test]
fn a_file_may_not_be_a_unit() {
    let text = v3(
        "3.4.0",
        r#""storage": {"files": [{"path": "/etc/systemd/system/a.service"}]},
           "systemd": {"units": [{"name": "a.service", "enabled": true, "contents": "[Service]\nType=oneshot\n"}]}"#,
    );
    let found: Vec<_> = found(&text).into_iter().map(|(_, m)| m).collect();
    assert_eq!(
        found,
        [
            "path conflicts with systemd unit or dropin",
            "unit `a.service` is enabled, but has no [Install] section so enable does nothing"
        ]
    );
}

#[test]
fn merging_is_by_key_and_keeps_places() {
    let mut sources = Sources::new();
    let parent = read(
        &mut sources,
        "base.ign",
        &v3(
            "3.4.0",
            r#""storage": {"files": [
                 {"path": "/a", "mode": 420, "contents": {"source": "data:,base"}, "append": [{"source": "data:,1"}]},
                 {"path": "/gone"}, {"path": "/keep"}]},
               "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["k1", "k2"], "shell": "/bin/sh"}]},
               "kernelArguments": {"shouldExist": ["quiet", "x"]}"#,
        ),
    );
    let child = read(
        &mut sources,
        "snippet.ign",
        &v3(
            "3.4.0",
            r#""storage": {"files": [{"path": "/new"}, {"path": "/a", "contents": {"source": "data:,child"},
                 "append": [{"source": "data:,2"}]}], "links": [{"path": "/gone", "target": "/keep"}]},
               "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["k2", "k3"]}]},
               "kernelArguments": {"shouldNotExist": ["quiet"]}"#,
        ),
    );
    let merged = ignition::merge(parent.config.unwrap(), child.config.unwrap());
    assert_eq!(text_of(&merged), ["/a", "/keep", "/new"]);
    let a = &merged.storage.files[0];
    assert_eq!(a.mode.get(), Some(&420));
    assert_eq!(sources.name(a.mode.span().source), "base.ign");
    assert_eq!(text(&a.contents.source), "data:,child");
    assert_eq!(sources.name(a.contents.source.span().source), "snippet.ign");
    assert_eq!(a.append.len(), 2);
    let keys: Vec<_> = merged.passwd.users[0].ssh_authorized_keys.iter().map(|k| k.value.as_str()).collect();
    assert_eq!(keys, ["k1", "k2", "k3"]);
    assert_eq!(text(&merged.passwd.users[0].shell), "/bin/sh");
    assert_eq!(merged.kernel_arguments.should_exist.len(), 1);
    assert_eq!(merged.kernel_arguments.should_not_exist.len(), 1);
    assert_eq!(merged.storage.links.len(), 1);
    let mut reports = Reports::new();
    ignition::validate(&merged, Version::NEWEST, &mut reports);
    assert!(!reports.has_errors(), "{}", report::text(&reports, &sources));
    let mut paths = Vec::new();
    ignition::walk(&merged, &mut |path, span, _| {
        paths.push((path.to_owned(), sources.name(span.source).to_owned()));
    });
    assert!(paths.contains(&("$.storage.files.0.contents.source".to_owned(), "snippet.ign".to_owned())));
    assert!(paths.contains(&("$.passwd.users.0.sshAuthorizedKeys.0".to_owned(), "base.ign".to_owned())));
}

#[test]
fn a_header_without_a_value_deletes() {
    let resource = |headers: &str| {
        config(&format!(
            r#"{{"ignition": {{"version": "3.4.0", "config": {{"merge": [{{"source": "http://x/", "httpHeaders": [{headers}]}}]}}}}}}"#
        ))
    };
    let merged = ignition::merge(
        resource(r#"{"name": "A", "value": "1"}, {"name": "B", "value": "2"}"#),
        resource(r#"{"name": "A"}, {"name": "C", "value": "3"}"#),
    );
    let headers = &merged.ignition.config.merge[0].http_headers;
    let names: Vec<_> = headers.iter().map(|h| text(&h.name)).collect();
    assert_eq!(names, ["B", "C"]);
}

#[test]
fn written_as_go_writes() {
    let text = v3(
        "3.3.0",
        r#""storage": {"files": [{"mode": 420, "path": "/a", "contents": {"source": "data:,<&>"}}]}"#,
    );
    let config = config(&text);
    assert_eq!(
        ignition::to_json(&config, Style::default()),
        r#"{"ignition":{"version":"3.3.0"},"storage":{"files":[{"path":"/a","contents":{"source":"data:,\u003c\u0026\u003e"},"mode":420}]}}"#
    );
    let full = ignition::to_json(&config, Style { pretty: false, empty_objects: true });
    assert!(full.starts_with(
        r#"{"ignition":{"config":{"replace":{"verification":{}}},"proxy":{},"security":{"tls":{}},"#
    ));
    let pretty = ignition::to_json(&config, Style { pretty: true, empty_objects: false });
    assert!(pretty.starts_with("{\n  \"ignition\": {\n    \"version\": \"3.3.0\"\n  },\n"), "{pretty}");
    assert!(pretty.ends_with("}\n"));
}

#[test]
fn the_lowest_version_is_found() {
    let used = |rest: &str| ignition::used_version(&config(&v3("3.7.0-experimental", rest)));
    assert_eq!(used(r#""storage": {"files": [{"path": "/a", "mode": 420}]}"#), Version::V3_0);
    assert_eq!(used(r#""storage": {"files": [{"path": "/a", "mode": 2541}]}"#), Version::V3_6);
    assert_eq!(used(r#""kernelArguments": {"shouldExist": ["a"]}"#), Version::V3_3);
    let swap =
        r#""storage": {"filesystems": [{"device": "/dev/a", "format": "swap", "mountOptions": ["x"]}]}"#;
    assert_eq!(used(swap), Version::V3_1);
}

#[test]
fn spec_2_is_translated_and_refused_as_by_the_engine() {
    let config = config(
        r#"{"ignition": {"version": "2.3.0", "config": {"append": [{"source": "https://a/b"}]}},
            "networkd": {"units": [{"name": "a.network", "contents": "[Match]\nName=a\n",
                                    "dropins": [{"name": "b.conf", "contents": "[Network]\nDHCP=yes\n"}]}]},
            "passwd": {"users": [{"name": "u", "create": {"shell": "/bin/zsh", "groups": ["docker"]}}]},
            "storage": {"filesystems": [{"name": "data", "mount": {"device": "/dev/b", "format": "ext4"}},
                                        {"name": "there", "path": "/srv"}],
                        "files": [{"filesystem": "data", "path": "/x", "contents": {"source": "data:,1"}, "append": true},
                                  {"filesystem": "there", "path": "/y"}]},
            "systemd": {"units": [{"name": "a.service", "enable": true}, {"name": "a.service", "mask": true}]}}"#,
    );
    assert_eq!(
        text_of(&config),
        [
            "/tmp/data-ign1/x",
            "/srv/y",
            "/etc/systemd/network/a.network",
            "/etc/systemd/network/a.network.d/b.conf"
        ]
    );
    assert_eq!(text(&config.ignition.version), "3.1.0");
    assert_eq!(config.storage.files[0].overwrite.get(), Some(&false));
    assert_eq!(config.storage.files[0].append.len(), 1);
    assert_eq!(text(&config.passwd.users[0].shell), "/bin/zsh");
    assert_eq!(config.storage.filesystems.len(), 1, "a file system with a path alone is there already");
    let unit = &config.systemd.units[0];
    assert!(flag(&unit.enabled) && flag(&unit.mask) && config.systemd.units.len() == 1);

    let sectors = found(
        r#"{"ignition": {"version": "2.0.0"}, "storage": {"disks": [{"device": "/dev/a",
            "partitions": [{"label": "a", "size": 2048}]}]}}"#,
    );
    assert_eq!(sectors[0].0, "$.storage.disks.0.partitions.0.size");
}

#[test]
fn a_config_of_many_entries_is_read_in_linear_time() {
    let time = |n: usize| {
        let files: Vec<_> = (0..n).map(|i| format!("{{\"path\": \"/d/{i}\", \"mode\": 420}}")).collect();
        let text = v3("3.6.0", &format!("\"storage\": {{\"files\": [{}]}}", files.join(",")));
        let start = std::time::Instant::now();
        assert_eq!(config(&text).storage.files.len(), n);
        start.elapsed()
    };
    // Twenty times the entries: linear is 20, quadratic 400.
    let small = time(1_000).min(time(1_000));
    let large = time(20_000).min(time(20_000));
    assert!(large < small * 120, "{small:?} for 1,000 files, {large:?} for 20,000");
}

#[test]
fn no_message_holds_a_password() {
    let text = v3(
        "3.4.0",
        r#""passwd": {"users": [{"name": "a", "passwordHash": "S3CRET", "passwordhash": "S3CRET"},
                                {"name": "a", "passwordHash": ["S3CRET"]}]}"#,
    );
    assert!(found(&text).iter().all(|(p, m)| !p.contains("S3CRET") && !m.contains("S3CRET")));
    assert_eq!(found(&text).len(), 3);
    let _ = codes::PASSWD;
}
