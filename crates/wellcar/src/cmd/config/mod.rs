//! `wellcar config`: render and check configs. [`compile_files`] is what `wellcar run` calls too.

mod files;
mod output;

use crate::failure::Failure;
use clap::{Args, Subcommand, ValueEnum};
use std::io::Read;
use std::path::{Path, PathBuf};
use transpile::{Input, Options, Outcome, Spec, compile};

/// Largest config that is read, in bytes; the compiler refuses one byte more.
const LIMIT: u64 = (64 << 20) + 1;

/// The `wellcar config` commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Translate a Container Linux Config, a Butane file or Ignition JSON into one Ignition config.
    #[command(after_help = RENDER_HELP)]
    Render(Render),
    /// Check a config and say everything that is wrong with it, without writing anything.
    #[command(after_help = CHECK_HELP)]
    Check(Check),
}

const RENDER_HELP: &str = "\
Examples:
  wellcar config render node.yaml                           the Ignition config on standard output
  wellcar config render node.yaml --snippet site.yaml -o node.ign
  wellcar config render etcd.yaml --platform ec2 --pretty   fills {PRIVATE_IPV4} and its like
  wellcar config render node.bu --files-dir files           reads `local:` below `files`
  wellcar config render node.yaml --spec 2.3 --lax          what `ct` would have written
  cat node.yaml | wellcar config render -

Exit codes: 0 done, 1 the config is invalid, 2 wrong usage, 3 the work failed.";

const CHECK_HELP: &str = "\
Examples:
  wellcar config check node.yaml
  wellcar config check node.yaml --snippet site.yaml --snippet rack.yaml
  wellcar config check node.bu --format sarif > node.sarif

Exit codes: 0 valid, 1 invalid, 2 wrong usage, 3 the work failed.";

/// What render and check have in common.
#[derive(Debug, Args)]
pub struct Source {
    /// The config: Container Linux Config, Butane or Ignition JSON; `-` is standard input
    #[arg(value_name = "CONFIG")]
    config: PathBuf,
    /// A config that is laid over the first one; several are laid over it in order
    #[arg(long = "snippet", value_name = "FILE")]
    snippets: Vec<PathBuf>,
    /// The platform whose dynamic data is used: azure, digitalocean, ec2, gce, packet,
    /// openstack-metadata, vagrant-virtualbox, cloudstack-configdrive, custom
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// The directory below which `local:` and `trees:` are read
    #[arg(long, value_name = "DIR")]
    files_dir: Option<PathBuf>,
    /// The Ignition version of the result: 3.x (the config's own), 2.3 (what `ct` writes), or a
    /// certain one such as 3.4
    #[arg(long, value_name = "SPEC", default_value = "3.x", value_parser = parse_spec)]
    spec: SpecChoice,
    /// Take unknown keys as warnings, as the reference programs do
    #[arg(long)]
    lax: bool,
}

/// `--spec`.
#[derive(Debug, Clone, Copy)]
pub struct SpecChoice(Option<Spec>);

fn parse_spec(text: &str) -> Result<SpecChoice, String> {
    Spec::parse(text).map(SpecChoice).ok_or_else(|| "it is `3.x`, `2.3`, or one of 3.0 to 3.6".to_owned())
}

/// Arguments of `wellcar config render`.
#[derive(Debug, Args)]
pub struct Render {
    #[command(flatten)]
    source: Source,
    /// Indent the result
    #[arg(long)]
    pretty: bool,
    /// Write to a file instead of standard output; it appears complete or not at all
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
}

/// Arguments of `wellcar config check`.
#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    source: Source,
    /// How findings are written
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// How findings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON document.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
}

/// Runs the command.
pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Render(args) => render(args),
        Command::Check(args) => check(args),
    }
}

fn render(args: &Render) -> Result<(), Failure> {
    let outcome = compile_source(&args.source)?;
    output::reports(&outcome);
    let json = outcome.json(args.pretty).ok_or(Failure::Input)?;
    match &args.output {
        Some(path) if path.as_os_str() != "-" => output::file(path, json.as_bytes()),
        _ => output::standard(json.as_bytes()),
    }
}

fn check(args: &Check) -> Result<(), Failure> {
    let outcome = compile_source(&args.source)?;
    match args.format {
        Format::Text => output::reports(&outcome),
        Format::Json => output::standard(report::json(&outcome.reports, &outcome.sources).as_bytes())?,
        Format::Sarif => {
            let text = report::sarif(&outcome.reports, &outcome.sources, env!("CARGO_PKG_VERSION"));
            output::standard(text.as_bytes())?;
        }
    }
    if outcome.ok() { Ok(()) } else { Err(Failure::Input) }
}

fn compile_source(source: &Source) -> Result<Outcome, Failure> {
    compile_paths(
        Some(&source.config),
        &source.snippets,
        source.platform.as_deref(),
        source.files_dir.as_deref(),
        source.spec.0,
        source.lax,
    )
}

/// Reads and compiles a config with its snippets for a machine, prints what was found to standard
/// error, and gives the Ignition JSON. No config at all is the empty one.
///
/// # Errors
/// A file cannot be read, or the config is invalid (then its reports were printed).
pub fn compile_files(
    config: Option<&Path>,
    snippets: &[PathBuf],
    platform: Option<&str>,
    files_dir: Option<&Path>,
    lax: bool,
) -> Result<String, Failure> {
    if config.is_none() && snippets.is_empty() {
        return Ok(format!("{{\"ignition\":{{\"version\":\"{}\"}}}}", ignition::Version::STABLE.as_str()));
    }
    let outcome = compile_paths(config, snippets, platform, files_dir, None, lax)?;
    output::reports(&outcome);
    outcome.json(false).ok_or(Failure::Input)
}

fn compile_paths(
    config: Option<&Path>,
    snippets: &[PathBuf],
    platform: Option<&str>,
    files_dir: Option<&Path>,
    spec: Option<Spec>,
    lax: bool,
) -> Result<Outcome, Failure> {
    let paths: Vec<&Path> = config.into_iter().chain(snippets.iter().map(PathBuf::as_path)).collect();
    if paths.iter().filter(|path| path.as_os_str() == "-").count() > 1 {
        return Err(Failure::Usage("standard input can be read only once".to_owned()));
    }
    let inputs = paths.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let files = files_dir.map(files::Directory::open).transpose()?;
    let files = files.as_ref().map(|files| files as &dyn transpile::Files);
    Ok(compile(inputs, &Options { platform, lax, spec, files }))
}

/// Reads one input up to the limit.
fn read(path: &Path) -> Result<Input, Failure> {
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        output::waiting_for_input();
        std::io::stdin().lock().take(LIMIT).read_to_end(&mut bytes).map_err(|error| {
            Failure::from(anyhow::Error::new(error).context("failed to read standard input"))
        })?;
        return Ok(Input { name: "-".to_owned(), bytes });
    }
    let name = path.display().to_string();
    let open = std::fs::File::open(path).and_then(|file| file.take(LIMIT).read_to_end(&mut bytes));
    match open {
        Ok(_) => Ok(Input { name, bytes }),
        Err(error) => {
            let hint = match error.kind() {
                std::io::ErrorKind::NotFound => "check the path; `-` is standard input",
                std::io::ErrorKind::IsADirectory => "give a file",
                _ => "check who may read it",
            };
            Err(Failure::work(anyhow::Error::new(error).context(format!("failed to read `{name}`")), hint))
        }
    }
}
