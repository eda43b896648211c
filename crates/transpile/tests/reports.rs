//! Reports as a user reads them, and what snippets do to each other.

#![allow(clippy::unwrap_used)]

use transpile::{Input, Options, Outcome, compile};

fn run(texts: &[&str]) -> Outcome {
    let inputs = texts
        .iter()
        .enumerate()
        .map(|(index, text)| Input { name: format!("{index}.yaml"), bytes: text.as_bytes().to_vec() })
        .collect();
    compile(inputs, &Options::default())
}

/// `place severity[code] path: message (hint)`, one line each.
fn lines(outcome: &Outcome) -> Vec<String> {
    outcome
        .reports
        .iter()
        .map(|report| {
            let place = report.span.map_or("-".to_owned(), |span| outcome.sources.locate(span));
            let hints = report.hints.iter().map(|hint| format!(" ({hint})")).collect::<String>();
            let related = report
                .related
                .iter()
                .map(|(span, _)| format!(" <{}>", outcome.sources.locate(*span)))
                .collect::<String>();
            format!(
                "{place} {}[{}] {}: {}{hints}{related}",
                report.severity.as_str(),
                report.code,
                report.path,
                report.message
            )
        })
        .collect()
}

fn value(outcome: &Outcome) -> serde_json::Value {
    serde_json::from_str(&outcome.json(false).unwrap_or_else(|| panic!("{:?}", lines(outcome)))).unwrap()
}

#[test]
fn everything_wrong_is_said_at_once_with_its_place() {
    let outcome = run(&["\
storage:
  files:
    - path: relative
      filesystem: root
      mode: \"0644\"
      contents: {inlin: x}
systemd:
  units:
    - name: a
      enabled: maybe
      dropins:
        name: b.conf
etcd:
  version: v3
  nmae: x
locksmith:
  reboot_strategy: never
"]);
    assert!(!outcome.ok());
    let found = lines(&outcome);
    for want in [
        "0.yaml:5:13 error[wrong-type] $.storage.files.0.mode: `mode` must be a whole number, and this is the text `0644` (remove the quotes)",
        "0.yaml:6:18 error[unknown-key] $.storage.files.0.contents.inlin: unknown key `inlin` (did you mean `inline`?)",
        "0.yaml:10:16 error[wrong-type] $.systemd.units.0.enabled: `enabled` must be `true` or `false`, and this is the text `maybe`",
        "0.yaml:12:9 error[wrong-type] $.systemd.units.0.dropins: `dropins` must be a list, and this is a map (put `- ` before the first key of each item)",
        "0.yaml:14:12 error[version] $.etcd.version: the version of etcd must have three numbers, and this is the text `v3` (for example `version: 3.5.0`, without a `v`)",
        "0.yaml:17:20 error[invalid-value] $.locksmith.reboot_strategy: unknown reboot strategy `never` (it is `reboot`, `etcd-lock` or `off`)",
    ] {
        assert!(found.iter().any(|line| line == want), "{want}\n{}", found.join("\n"));
    }
    assert!(
        found.iter().any(|line| line.starts_with("0.yaml:3:13 error[path] $.storage.files.0.path")),
        "{}",
        found.join("\n")
    );
    assert!(
        found.iter().any(|line| line.starts_with("0.yaml:9:13 error[unit] $.systemd.units.0.name")),
        "{}",
        found.join("\n")
    );
}

#[test]
fn keys_of_the_other_language_are_explained() {
    let outcome = run(&[
        "variant: flatcar\nversion: 1.0.0\nsystemd:\n  units:\n    - name: a.service\n      enable: true\n",
    ]);
    assert_eq!(
        lines(&outcome),
        [
            "0.yaml:6:7 error[unknown-key] $.systemd.units.0.enable: unknown key `enable` (Butane writes `enabled`)"
        ]
    );
    let outcome = run(&[
        "variant: flatcar\nversion: 1.0.0\nsystemd:\n  units:\n    - name: a.service\n      contents_local: b\n",
    ]);
    assert!(lines(&outcome)[0].contains("exists only in a later version of this language"));
}

#[test]
fn the_later_value_wins_and_both_places_are_named() {
    let base = "systemd:\n  units:\n    - name: a.service\n      enabled: true\n      contents: \"[Service]\\nExecStart=/a\\n[Install]\\nWantedBy=b.target\\n\"\n";
    let snippet = "systemd:\n  units:\n    - name: a.service\n      enabled: false\n    - name: b.service\n      mask: true\n";
    let outcome = run(&[base, snippet]);
    assert_eq!(
        lines(&outcome),
        [
            "1.yaml:4:16 warning[merge] $.systemd.units.0.enabled: `enabled` is set twice with different values, and this one wins <0.yaml:4:16>"
        ]
    );
    let units = &value(&outcome)["systemd"]["units"];
    assert_eq!(units[0]["enabled"], false);
    assert_eq!(units[1]["mask"], true);
    assert!(units[0]["contents"].is_string());
}

#[test]
fn sections_split_over_snippets_make_one_file() {
    let outcome = run(&["update: {group: beta}\n", "locksmith: {reboot_strategy: reboot}\n"]);
    let files = value(&outcome)["storage"]["files"].clone();
    assert_eq!(files.as_array().map(Vec::len), Some(1));
    assert_eq!(files[0]["contents"]["source"], "data:,GROUP%3Dbeta%0AREBOOT_STRATEGY%3D%22reboot%22");
    assert!(outcome.reports.is_empty(), "{:?}", lines(&outcome));
}

#[test]
fn contents_and_kinds_are_replaced_whole() {
    let file = |contents: &str| {
        format!(
            "storage:\n  files:\n    - path: /a\n      filesystem: root\n      mode: 0644\n      contents: {contents}\n"
        )
    };
    let outcome =
        run(&[&file("{inline: x}"), &file("{remote: {url: \"https://example.com/a\", compression: gzip}}")]);
    assert_eq!(value(&outcome)["storage"]["files"][0]["contents"]["source"], "https://example.com/a");
    assert_eq!(lines(&outcome).len(), 1);
    let link = "storage:\n  links:\n    - path: /a\n      filesystem: root\n      target: /b\n";
    let outcome = run(&[&file("{inline: x}"), link]);
    let storage = &value(&outcome)["storage"];
    assert!(storage["files"].is_null() && storage["links"][0]["path"] == "/a", "{storage}");
    assert_eq!(lines(&outcome).len(), 1);
}

#[test]
fn keys_of_users_are_added_and_the_same_key_once() {
    let user =
        |keys: &str| format!("passwd:\n  users:\n    - name: core\n      ssh_authorized_keys: [{keys}]\n");
    let outcome = run(&[&user("a, b"), &user("b, c")]);
    assert_eq!(
        value(&outcome)["passwd"]["users"][0]["sshAuthorizedKeys"],
        serde_json::json!(["a", "b", "c"])
    );
    assert!(outcome.reports.is_empty());
}

#[test]
fn languages_mix_through_ignition() {
    let clc = "passwd:\n  users:\n    - name: core\n      ssh_authorized_keys: [a]\n";
    let butane =
        "variant: flatcar\nversion: 1.1.0\nstorage:\n  files:\n    - path: /b\n      contents: {inline: x}\n";
    let json = "{\"ignition\":{\"version\":\"3.2.0\"},\"systemd\":{\"units\":[{\"name\":\"c.service\",\"mask\":true}]}}";
    let all = value(&run(&[clc, butane, json]));
    assert_eq!(all["ignition"]["version"], "3.4.0");
    assert_eq!(all["passwd"]["users"][0]["name"], "core");
    assert_eq!(all["storage"]["files"][0]["path"], "/b");
    assert_eq!(all["systemd"]["units"][0]["name"], "c.service");
}

#[test]
fn merge_keys_and_anchors_are_those_of_yaml() {
    let outcome = run(&["\
passwd:
  users:
    - &base
      name: core
      shell: /bin/bash
      groups: [sudo]
    - <<: *base
      name: admin
    - <<: [{shell: /bin/sh, name: x}, *base]
      name: third
"]);
    let users = value(&outcome)["passwd"]["users"].clone();
    assert_eq!(users[1]["shell"], "/bin/bash");
    assert_eq!(users[1]["name"], "admin");
    assert_eq!((&users[2]["shell"], &users[2]["groups"][0]), (&"/bin/sh".into(), &"sudo".into()));
}

#[test]
fn typed_scalars_are_those_of_go_yaml() {
    for (text, mode) in
        [("0644", 0o644), ("0o644", 0o644), ("420", 420), ("0x1a4", 420), ("4_2_0", 420), ("4.2e2", 420)]
    {
        let outcome = run(&[&format!(
            "storage:\n  directories:\n    - path: /a\n      filesystem: root\n      mode: {text}\n"
        )]);
        assert_eq!(value(&outcome)["storage"]["directories"][0]["mode"], mode, "{text}");
    }
    for (text, want) in [("yes", true), ("on", true), ("True", true), ("no", false), ("OFF", false)] {
        let outcome = run(&[&format!(
            "systemd:\n  units:\n    - name: a.service\n      mask: {text}\n      enabled: {text}\n"
        )]);
        assert_eq!(value(&outcome)["systemd"]["units"][0]["enabled"], want, "{text}");
    }
}

#[test]
fn dynamic_data_needs_its_platform() {
    let text = "etcd:\n  name: \"{HOSTNAME}\"\n";
    let outcome = run(&[text]);
    assert!(
        lines(&outcome)[0].starts_with(
            "0.yaml:2:9 error[invalid-value] $.etcd.name: dynamic data needs to know the platform"
        ),
        "{:?}",
        lines(&outcome)
    );
    for platform in transpile::clc::dynamic::PLATFORMS.iter().map(|platform| platform.name) {
        let input = Input { name: "a".into(), bytes: text.as_bytes().to_vec() };
        let outcome = compile(vec![input], &Options { platform: Some(platform), ..Options::default() });
        assert_eq!(outcome.ok(), platform != "azure", "{platform}: {:?}", lines(&outcome));
    }
}
