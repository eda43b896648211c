//! The container runtime's promises (contract section 1), from `docker info`.

use super::Row;
use serde_json::Value;

/// Decides the rows from `docker info`'s JSON, or from the reason why there is none.
#[must_use]
pub fn rows(info: &Result<Value, String>) -> Vec<Row> {
    let info = match info {
        Ok(info) => info,
        Err(reason) => return vec![Row::is("docker.answers", "docker info answers", reason.clone(), false)],
    };
    let text = |key: &str| info.get(key).and_then(Value::as_str).unwrap_or("(not said)").to_owned();
    let mut rows = vec![
        Row::is("docker.answers", "docker info answers", text("ServerVersion"), true),
        Row::equal("docker.cgroup-driver", "cgroupfs", &text("CgroupDriver")),
        Row::equal("docker.logging-driver", "json-file", &text("LoggingDriver")),
        Row::equal("docker.storage-driver", "overlay2", &text("Driver")),
        Row::equal("docker.cgroup-version", "2", &text("CgroupVersion")),
    ];
    let seccomp = info.get("SecurityOptions").and_then(Value::as_array).is_some_and(|list| {
        list.iter().any(|option| option.as_str().is_some_and(|text| text.contains("name=seccomp")))
    });
    rows.push(Row::is(
        "docker.seccomp",
        "containers run under a seccomp profile",
        seccomp.to_string(),
        seccomp,
    ));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_machine_that_keeps_its_promises() {
        let info = json!({"ServerVersion": "26", "CgroupDriver": "cgroupfs", "LoggingDriver": "json-file",
            "Driver": "overlay2", "CgroupVersion": "2", "SecurityOptions": ["name=seccomp,profile=builtin"]});
        assert!(rows(&Ok(info)).iter().all(|row| row.kept));
        let broken = rows(&Ok(json!({"CgroupDriver": "systemd"})));
        assert!(broken.iter().any(|row| row.name == "docker.cgroup-driver" && !row.kept));
        assert!(!rows(&Err("no".into()))[0].kept);
    }
}
