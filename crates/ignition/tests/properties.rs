//! No input panics, and reading is the inverse of writing.

use proptest::prelude::*;

/// Text that looks like a config: keys and values of the right words in any arrangement.
fn json() -> impl Strategy<Value = String> {
    let words = prop_oneof![
        Just("ignition"),
        Just("version"),
        Just("storage"),
        Just("files"),
        Just("path"),
        Just("contents"),
        Just("source"),
        Just("verification"),
        Just("hash"),
        Just("disks"),
        Just("device"),
        Just("partitions"),
        Just("number"),
        Just("label"),
        Just("systemd"),
        Just("units"),
        Just("name"),
        Just("dropins"),
        Just("passwd"),
        Just("users"),
        Just("luks"),
        Just("filesystems"),
        Just("mount"),
        Just("format"),
        Just("networkd"),
        Just("mode"),
        Just("append"),
        Just("links"),
        Just("target"),
        Just("raid"),
        Just("Files"),
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("1".to_owned()),
        Just("-0".to_owned()),
        Just("1e400".to_owned()),
        Just("99999999999999999999".to_owned()),
        Just("\"/a\"".to_owned()),
        Just("\"/a/b\"".to_owned()),
        Just("\"data:,x%20\"".to_owned()),
        Just("\"a.service\"".to_owned()),
        Just("\"3.4.0\"".to_owned()),
        Just("\"ext4\"".to_owned()),
        Just("\"[Unit]\\nA=b\"".to_owned()),
        "\"[a-z\\u{e4}/:%.]{0,12}\"",
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|v| format!("[{}]", v.join(","))),
            prop::collection::vec((words.clone(), inner), 0..6).prop_map(|v| {
                let members: Vec<_> = v.iter().map(|(k, v)| format!("\"{k}\": {v}")).collect();
                format!("{{{}}}", members.join(", "))
            }),
        ]
    })
}

/// A config with the sections in their places and anything inside.
fn config() -> impl Strategy<Value = String> {
    let version = prop_oneof![
        Just("3.0.0"),
        Just("3.3.0"),
        Just("3.6.0"),
        Just("3.7.0-experimental"),
        Just("2.0.0"),
        Just("2.4.0")
    ];
    (version, json(), json(), json()).prop_map(|(version, storage, systemd, passwd)| {
        format!(
            "{{\"ignition\": {{\"version\": \"{version}\"}}, \"storage\": {storage}, \"systemd\": {systemd}, \
             \"passwd\": {passwd}}}"
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..512)) {
        ignition::fuzz::parse(&data);
        ignition::fuzz::resource(&data);
    }

    #[test]
    fn any_json(text in json()) {
        ignition::fuzz::parse(text.as_bytes());
    }

    #[test]
    fn any_config(text in config()) {
        ignition::fuzz::parse(text.as_bytes());
    }

    #[test]
    fn valid_files_come_back(
        names in prop::collection::btree_set("[a-z]{1,8}", 0..12),
        text in any::<String>(),
        mode in prop::option::of(0i64..=0o777),
    ) {
        let files: Vec<_> = names
            .iter()
            .map(|n| serde_json::json!({
                "path": format!("/etc/{n}"),
                "mode": mode,
                "contents": {"source": ignition::resource::data_url::escape(text.as_bytes())},
                "user": {"name": text},
            }))
            .collect();
        let config = serde_json::json!({"ignition": {"version": "3.2.0"}, "storage": {"files": files}});
        let mut sources = report::Sources::new();
        let id = sources.add("c", config.to_string());
        let parsed = ignition::parse(&sources, id, ignition::Options { strict: true, ..Default::default() });
        prop_assert!(parsed.reports.is_empty(), "{}", report::text(&parsed.reports, &sources));
        let config = parsed.config.unwrap();
        prop_assert_eq!(config.storage.files.len(), names.len());
        for file in &config.storage.files {
            prop_assert_eq!(file.user.name.as_ref().map(|n| n.value.as_str()), Some(text.as_str()));
            let bytes = ignition::resource::contents(&file.contents, 1 << 20).unwrap().unwrap();
            prop_assert_eq!(bytes.as_slice(), text.as_bytes());
        }
        ignition::fuzz::parse(ignition::to_json(&config, ignition::Style::default()).as_bytes());
    }
}
