//! What holds for every input.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use transpile::{Input, Options, Spec, compile};

fn input(name: &str, text: &str) -> Input {
    Input { name: name.to_owned(), bytes: text.as_bytes().to_vec() }
}

/// Pieces of configs and of YAML, in any order: nearer to the parser's corners than random bytes.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "storage:",
        "\n",
        "  ",
        "files:",
        "- ",
        "path: /a",
        "{",
        "}",
        "[",
        "]",
        ",",
        ": ",
        "&a ",
        "*a",
        "<<: ",
        "!!str ",
        "|\n",
        ">-\n",
        "'",
        "\"",
        "#",
        "---\n",
        "...\n",
        "\t",
        "mode: 0644",
        "systemd:",
        "units:",
        "name: a.service",
        "contents:",
        "inline: x",
        "etcd:",
        "version: 3.5.0",
        "{PRIVATE_IPV4}",
        "variant: flatcar\n",
        "version: 1.1.0\n",
        "passwd:",
        "users:",
        "? ",
        "~",
        "yes",
        "0o7",
        "\u{feff}",
        "ä",
        "\r\n",
        "%",
        "@",
        "`",
        "update:",
        "locksmith:",
        "reboot_strategy: reboot",
        "docker:",
        "flags: [a]",
        "flannel:",
        "networkd:",
        "ignition:",
        "config:",
        "append:",
        "local: ../x",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_a_result_means_no_errors(text in pieces()) {
        transpile::fuzz::yaml(text.as_bytes());
        transpile::fuzz::clc(text.as_bytes());
        transpile::fuzz::butane(text.as_bytes());
    }

    #[test]
    fn random_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        transpile::fuzz::yaml(&bytes);
        transpile::fuzz::clc(&bytes);
        transpile::fuzz::butane(&bytes);
    }

    #[test]
    fn contents_survive(contents in "\\PC{0,200}", mode in 0_u32..0o1000) {
        let quoted = serde_json::to_string(&contents).unwrap();
        let text = format!("storage:\n  files:\n    - path: /a\n      filesystem: root\n      mode: 0{mode:o}\n      contents: {{inline: {quoted}}}\n");
        let outcome = compile(vec![input("a", &text)], &Options { spec: Some(Spec::V2_3), ..Options::default() });
        prop_assert!(outcome.ok(), "{:?}", outcome.reports);
        let json: serde_json::Value = serde_json::from_str(&outcome.json(true).unwrap()).unwrap();
        let file = &json["storage"]["files"][0];
        prop_assert_eq!(&file["mode"], mode);
        let url = file["contents"]["source"].as_str().unwrap();
        prop_assert_eq!(ignition::resource::data_url::decode(url).unwrap(), contents.into_bytes());
    }

    #[test]
    fn a_config_laid_over_itself_is_itself(names in prop::collection::btree_set("[a-z]{1,8}", 1..6)) {
        let mut text = "variant: flatcar\nversion: 1.0.0\nsystemd:\n  units:\n".to_owned();
        for name in &names {
            text.push_str(&format!("    - name: {name}.service\n      enabled: true\n      contents: \"[Service]\\nExecStart=/{name}\\n[Install]\\nWantedBy=a.target\\n\"\n"));
        }
        let one = compile(vec![input("a", &text)], &Options::default());
        let two = compile(vec![input("a", &text), input("b", &text)], &Options::default());
        prop_assert!(one.ok() && two.reports.is_empty(), "{:?}", two.reports);
        prop_assert_eq!(one.json(true), two.json(true));
    }
}
