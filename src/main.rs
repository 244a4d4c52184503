//! The `pgweir` binary: reads arguments and runs one command.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use pgweir::cli::check::{CheckFormat, check};
use pgweir::cli::demo::{self, DemoOptions};
use pgweir::cli::explain::{ExplainFormat, Question, explain};
use pgweir::cli::reload::reload;
use pgweir::process;

/// A Postgres connection pooler and query guard.
///
/// Exit codes: 0 ok, 1 found problems, 2 usage or cannot run.
#[derive(Parser)]
#[command(name = "pgweir", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve clients until SIGTERM (transactions may finish) or SIGINT (at once).
    Run {
        /// The configuration.
        #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
    },
    /// Say everything that is wrong with a configuration, and how many connections it makes.
    Check {
        /// The configuration.
        #[arg(value_name = "FILE", default_value = DEFAULT_CONFIG)]
        file: PathBuf,
        /// How to print it.
        #[arg(long, value_enum, default_value_t)]
        format: CheckFormat,
        /// Treat warnings as problems.
        #[arg(long)]
        strict: bool,
    },
    /// Have the pgweir that runs with a configuration read it again, and say what changed.
    ///
    /// Nothing changes when the configuration has problems: they are printed, and the exit code is
    /// 1. It takes the user that pgweir runs as, or root. SIGHUP does the same without an answer.
    Reload {
        /// The configuration, named as for `run`.
        #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
    },
    /// Print every value that holds for a role in a database, and the file and line that set it.
    ///
    /// Secrets are shown as ***. Values that no file sets are marked "default".
    Explain {
        /// The configuration.
        #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
        /// The database, as clients name it.
        #[arg(long, value_name = "NAME")]
        database: String,
        /// The role. Without it: what holds for any role without tables of its own.
        #[arg(long, value_name = "NAME")]
        role: Option<String>,
        /// How to print it.
        #[arg(long, value_enum, default_value_t)]
        format: ExplainFormat,
    },
    /// Show what pgweir does: a throw-away Postgres, pgweir in front of it, and traffic.
    ///
    /// Every claim it prints is checked: exit code 0 when all held, 1 when one did not, 2 when it
    /// could not run. It needs Postgres' server programs and touches no Postgres of yours.
    Demo {
        /// How long the traffic runs (10 unless told). Without it, on a terminal, the demo stays up
        /// afterwards.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3600))]
        seconds: Option<u64>,
        /// Stay up afterwards, until Ctrl-C.
        #[arg(long)]
        keep: bool,
    },
}

/// Where the configuration is when nobody says.
const DEFAULT_CONFIG: &str = "pgweir.toml";

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run { config } => process::run(&config),
        Command::Check { file, format, strict } => {
            ExitCode::from(u8::try_from(check(&file, format, strict)).unwrap_or(2))
        }
        Command::Reload { config } => ExitCode::from(reload(&config)),
        Command::Explain { config, database, role, format } => {
            let question = Question { database: &database, role: role.as_deref() };
            ExitCode::from(explain(&config, question, format))
        }
        Command::Demo { seconds, keep } => ExitCode::from(demo::run(DemoOptions { seconds, keep })),
    }
}
