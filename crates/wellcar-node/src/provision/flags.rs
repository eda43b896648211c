//! The command line of `wellcar-node provision`: Go's flag style as well (`-stage fetch`, `-root ""`), because
//! test harnesses and boot scripts written for Ignition drive this program.

use std::path::PathBuf;
use std::time::Duration;

use ::provision::Stage;

/// Where the config comes from when nothing else names one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Platform {
    /// fw_cfg.
    Qemu,
    /// Kernel command line and OEM partition only.
    Metal,
    /// A file named by the environment.
    File,
}

impl Platform {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Metal => "metal",
            Self::File => "file",
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) stage: Stage,
    pub(super) root: PathBuf,
    pub(super) platform: Platform,
    pub(super) config_cache: PathBuf,
    pub(super) state_file: PathBuf,
    pub(super) need_net: Option<PathBuf>,
    pub(super) report: Option<PathBuf>,
    pub(super) fetch_timeout: Duration,
    pub(super) log_to_stdout: bool,
    pub(super) dry_run: bool,
}

/// Usage text.
pub(super) const USAGE: &str = "\
usage: wellcar-node provision --stage STAGE --root DIR --platform PLATFORM [options]
  --stage            fetch-offline, fetch, kargs, disks, mount, files or umount
  --root DIR         target root; may be empty before one exists
  --platform P       qemu, metal or file
  --config-cache F   merged config between stages (/run/wellcar/ignition.json)
  --state-file F     what stages tell each other (/run/wellcar/provision.state)
  --neednet F        made by fetch-offline when the network is needed
  --report F         failure report as JSON
  --fetch-timeout D  for the whole fetch stage, such as 90s, 2m (2m)
  --log-to-stdout    log to standard output instead of standard error
  --dry-run          print the steps of the stage and do nothing
";

/// Reads the arguments.
pub(super) fn parse(args: &[String]) -> Result<Flags, String> {
    let mut stage = None;
    let mut root = None;
    let mut platform = Platform::Metal;
    let mut flags = Flags {
        stage: Stage::Fetch,
        root: PathBuf::new(),
        platform,
        config_cache: PathBuf::from("/run/wellcar/ignition.json"),
        state_file: PathBuf::from("/run/wellcar/provision.state"),
        need_net: None,
        report: None,
        fetch_timeout: Duration::from_secs(120),
        log_to_stdout: false,
        dry_run: false,
    };
    let mut state_given = false;
    let mut cache_given = false;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let name = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')).filter(|n| !n.is_empty());
        let Some(name) = name else { return Err(format!("unexpected argument `{arg}`")) };
        let (name, inline) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (name, None),
        };
        if let Some(switch) = match name {
            "log-to-stdout" => Some(&mut flags.log_to_stdout),
            "dry-run" => Some(&mut flags.dry_run),
            _ => None,
        } {
            *switch = match inline.as_deref() {
                None | Some("true" | "1") => true,
                Some("false" | "0") => false,
                Some(other) => return Err(format!("expected true or false for `{name}`, found `{other}`")),
            };
            continue;
        }
        let mut value =
            || inline.clone().or_else(|| args.next().cloned()).ok_or(format!("`{name}` needs a value"));
        match name {
            "stage" => stage = Some(value()?.parse::<Stage>().map_err(|e| e.to_string())?),
            "root" => root = Some(PathBuf::from(value()?)),
            "platform" | "oem" => {
                platform = match value()?.as_str() {
                    "qemu" => Platform::Qemu,
                    "metal" | "pxe" | "" => Platform::Metal,
                    "file" => Platform::File,
                    other => return Err(format!("unknown platform `{other}`: expected qemu, metal or file")),
                }
            }
            "config-cache" => {
                flags.config_cache = PathBuf::from(value()?);
                cache_given = true;
            }
            "state-file" => {
                flags.state_file = PathBuf::from(value()?);
                state_given = true;
            }
            "neednet" => flags.need_net = Some(PathBuf::from(value()?)),
            "report" => flags.report = Some(PathBuf::from(value()?)),
            "fetch-timeout" => flags.fetch_timeout = duration(&value()?)?,
            _ => return Err(format!("unknown flag `{arg}`")),
        }
    }
    flags.stage = stage.ok_or("`--stage` is missing")?;
    flags.platform = platform;
    flags.root = root.unwrap_or_default();
    if cache_given && !state_given {
        let mut name = flags.config_cache.clone().into_os_string();
        name.push(".state");
        flags.state_file = PathBuf::from(name);
    }
    let needs_root = matches!(flags.stage, Stage::Mount | Stage::Files | Stage::Umount);
    if needs_root && flags.root.as_os_str().is_empty() {
        return Err(format!("stage {} needs `--root DIR`", flags.stage));
    }
    Ok(flags)
}

/// Go's durations: `90s`, `2m`, `1m30s`, `500ms`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("failed to read duration `{text}`: expected such as 90s or 2m");
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(Duration::from_secs(seconds.into()));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u32 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return Err(wrong()),
        };
        total = total.checked_add(unit.checked_mul(number).ok_or_else(wrong)?).ok_or_else(wrong)?;
        rest = &rest[end..];
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn go(text: &str) -> Result<Flags, String> {
        parse(
            &text
                .split(' ')
                .map(|w| if w == "''" { String::new() } else { w.to_owned() })
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn both_styles() {
        let go_style = go("-platform file -stage fetch -root '' -log-to-stdout -config-cache T/i.json -neednet N -state-file S").unwrap();
        let ours = go("--platform=file --stage=fetch --root= --log-to-stdout --config-cache=T/i.json --neednet=N --state-file=S").unwrap();
        assert_eq!(go_style, ours);
        assert!(go_style.log_to_stdout && go_style.platform == Platform::File);
        assert_eq!(
            go("-stage files -root /r -fetch-timeout 1m30s").unwrap().fetch_timeout,
            Duration::from_secs(90)
        );
        assert_eq!(go("-stage fetch -config-cache /c").unwrap().state_file, PathBuf::from("/c.state"));
        for wrong in [
            "",
            "--stage nope",
            "--stage files",
            "-stage",
            "x",
            "-stage fetch -fetch-timeout 5y",
            "-stage fetch -wat",
        ] {
            assert!(go(wrong).is_err(), "{wrong}");
        }
    }
}
