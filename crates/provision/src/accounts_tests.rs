//! Unit tests of `accounts`.

use super::*;
use proptest::prelude::*;

fn image() -> Accounts {
    Accounts::parse(
        "root:x:0:0:root:/root:/bin/bash\n# kept\ncore:x:500:500::/home/core:/bin/bash\n",
        "root:*:19000:0:99999:7:::\ncore:*:19000:0:99999:7:::\n",
        "root:x:0:\nsudo:x:27:core\ndocker:x:233:core\nusers:x:100:\ncore:x:500:\n",
        "root:*::\nsudo:*::core\ndocker:!::core\nusers:*::\ncore:!::\n",
    )
}

fn user(name: &str) -> UserWish {
    UserWish { name: name.to_owned(), ..UserWish::default() }
}

#[test]
fn a_new_user_gets_the_next_id_its_own_group_and_a_locked_password() {
    let mut accounts = image();
    assert!(accounts.ensure_user(&user("ann"), 20_000).unwrap());
    assert!(accounts.ensure_user(&user("bob"), 20_000).unwrap());
    let [passwd, shadow, group, gshadow] = accounts.render();
    assert!(passwd.ends_with("ann:x:1000:1000::/home/ann:/bin/bash\nbob:x:1001:1001::/home/bob:/bin/bash\n"));
    assert!(passwd.contains("\n# kept\n"));
    assert!(shadow.ends_with("ann:*:20000:0:99999:7:::\nbob:*:20000:0:99999:7:::\n"));
    assert!(group.ends_with("ann:x:1000:\nbob:x:1001:\n") && gshadow.ends_with("ann:!::\nbob:!::\n"));
}

#[test]
fn an_existing_user_is_changed_and_its_groups_replaced() {
    let mut accounts = image();
    let wish = UserWish {
        groups: vec!["docker".into(), "100".into()],
        password_hash: Some("$6$x".into()),
        shell: Some("/bin/sh".into()),
        ..user("core")
    };
    assert!(!accounts.ensure_user(&wish, 1).unwrap());
    let again = accounts.clone();
    assert!(!accounts.ensure_user(&wish, 2).unwrap());
    assert_eq!(accounts, again, "a second run changes nothing");
    assert_eq!(accounts.groups_of("core"), ["docker", "users"]);
    let [passwd, shadow, group, gshadow] = accounts.render();
    assert!(passwd.contains("core:x:500:500::/home/core:/bin/sh\n"));
    assert!(shadow.contains("core:$6$x:19000:"));
    assert!(
        group.contains("sudo:x:27:\n")
            && gshadow.contains("sudo:*::\n")
            && gshadow.contains("docker:!::core\n")
    );
}

#[test]
fn refusals_change_nothing() {
    let mut accounts = image();
    let before = accounts.clone();
    let cases = [
        user("root\n"),
        user("../x"),
        user("a:b"),
        user("-x"),
        user("123"),
        user(""),
        user("docker"),
        UserWish { uid: Some(0), ..user("toor") },
        UserWish { groups: vec!["nope".into()], ..user("ann") },
        UserWish { primary_group: Some("nope".into()), ..user("ann") },
        UserWish { gecos: Some("a:b".into()), ..user("ann") },
        UserWish { password_hash: Some("x\ny".into()), ..user("ann") },
        UserWish { home: Some("/h\n".into()), ..user("ann") },
    ];
    for wish in cases {
        assert!(accounts.ensure_user(&wish, 1).is_err(), "{wish:?}");
    }
    assert!(accounts.delete_user("root").is_err());
    assert!(accounts.delete_group("core").is_err());
    assert_eq!(accounts, before);
}

#[test]
fn groups() {
    let mut accounts = image();
    let wish = GroupWish { name: "db".into(), system: true, ..GroupWish::default() };
    assert!(accounts.ensure_group(&wish).unwrap());
    assert_eq!(accounts.gid("db"), Some(499));
    assert!(!accounts.ensure_group(&GroupWish { gid: Some(777), ..wish.clone() }).unwrap());
    assert_eq!(accounts.gid("db"), Some(777));
    assert!(accounts.ensure_group(&GroupWish { gid: Some(27), ..wish }).is_err());
    assert!(accounts.delete_group("db").unwrap());
    assert!(!accounts.delete_group("db").unwrap());
}

#[test]
fn deleting_removes_memberships_and_the_own_group() {
    let mut accounts = image();
    assert_eq!(accounts.delete_user("core").unwrap().unwrap().uid, 500);
    assert_eq!(accounts.delete_user("core").unwrap(), None);
    let [passwd, shadow, group, gshadow] = accounts.render();
    for text in [passwd, shadow, group, gshadow] {
        assert!(!text.contains("core"), "{text}");
    }
}

proptest! {
    #[test]
    fn hostile_files_and_names_never_panic(text in "[a-z0-9:,\n#+$-]{0,200}", name in ".{0,20}") {
        let mut accounts = Accounts::parse(&text, &text, &text, &text);
        let _ = accounts.ensure_user(&user(&name), 1);
        let _ = accounts.ensure_group(&GroupWish { name: name.clone(), ..GroupWish::default() });
        let _ = accounts.delete_user(&name);
        let _ = accounts.delete_group(&name);
    }

    #[test]
    fn untouched_files_keep_their_bytes(lines in proptest::collection::vec("[a-z0-9:,#+]{0,30}", 0..20)) {
        let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
        prop_assert_eq!(&Accounts::parse(&text, "", "", "").render()[0], &text);
    }
}
