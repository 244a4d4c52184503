//! The `pgweir` binary: reads arguments and runs one command.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Parser, Subcommand};
use pgweir::cli::check::{CheckFormat, check};
use pgweir::cli::demo::{self, DemoOptions};
use pgweir::cli::explain::{ExplainFormat, Question, Statements, explain, explain_statements};
use pgweir::cli::lint::{LintFormat, LintOptions, lint};
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
    /// Print every value that holds for a role in a database, and the file and line that set it; or, with --sql or
    /// --jsonl, what would be done with a statement.
    ///
    /// Secrets are shown as ***. Values that no file sets are marked "default".
    ///
    /// Of a statement it says what the guard does, where it would run, what the session keeps and which limits in time
    /// hold. Nothing is run.
    #[command(after_help = EXPLAIN_EXAMPLES, group(ArgGroup::new("statements").args(["sql", "jsonl"])))]
    Explain {
        /// The configuration. [default: pgweir.toml; with --sql and --jsonl none, and built-in defaults hold]
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The database, as clients name it.
        #[arg(long, value_name = "NAME", required_unless_present = "statements")]
        database: Option<String>,
        /// The role. Without it: what holds for any role without tables of its own.
        #[arg(long, value_name = "NAME")]
        role: Option<String>,
        /// A statement, or a string of several.
        #[arg(long, value_name = "TEXT")]
        sql: Option<String>,
        /// A message of the same session that has run before it; may be given again.
        #[arg(long, value_name = "TEXT", requires = "sql")]
        context: Vec<String>,
        /// The guard's policy for statements, in place of the role's.
        #[arg(long, value_name = "NAME", requires = "statements")]
        policy: Option<String>,
        /// Many statements, one JSON object a line; - for standard input.
        ///
        /// {"id"?, "sql", "context"?: […], "database"?, "role"?, "policy"?, "parameters"?: {…}}. One answer a line comes
        /// out, with the id; a line that cannot be explained has an "error", and the exit code is 1 then.
        #[arg(long, value_name = "FILE")]
        jsonl: Option<PathBuf>,
        /// Ask the catalog where the guard's verdict depends on it, at the servers of the configuration.
        #[arg(long, requires_all = ["statements", "config"])]
        connect: bool,
        /// How to print it. With --jsonl it is JSON.
        #[arg(long, value_enum, default_value_t)]
        format: ExplainFormat,
    },
    /// Say what the query guard would say to files of migrations, before they are run.
    ///
    /// Each file is one session, its statements in order, each sent by itself as psql does; transactions, settings and
    /// tables that the file itself makes are followed. Nothing is run and no server is asked.
    ///
    /// Exit codes: 0 nothing is rejected, 1 something is, 2 usage or a file cannot be read.
    #[command(after_help = LINT_EXAMPLES)]
    Lint {
        /// Files of SQL; folders, for every *.sql below them; - for standard input.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// The policy: off, observe, default, strict, restore, or a [guard.NAME] of the configuration.
        ///
        /// Without it: what the configuration says for the database and role, else default.
        #[arg(long, value_name = "NAME")]
        policy: Option<String>,
        /// The configuration. Its secrets and certificates need not be here.
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The database that the migrations are for, as clients name it.
        #[arg(long, value_name = "NAME", requires = "config")]
        database: Option<String>,
        /// The role that runs them. Without it: any role without tables of its own.
        #[arg(long, value_name = "NAME", requires = "config")]
        role: Option<String>,
        /// How to print it.
        #[arg(long, value_enum, default_value_t)]
        format: LintFormat,
        /// Each file runs in one transaction, though it has no BEGIN: Prisma, Flyway, sqlx, psql -1.
        #[arg(short = '1', long)]
        single_transaction: bool,
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

/// Behind the help of `explain`.
const EXPLAIN_EXAMPLES: &str = "\
Examples:
  pgweir explain --database shop --role web
  pgweir explain --sql 'CREATE INDEX i ON t (a)'
  pgweir explain --sql 'CREATE INDEX i ON t (a)' --context BEGIN --context 'CREATE TABLE t (a int)' --format json
  pgweir explain -c pgweir.toml --database shop --role web --jsonl statements.jsonl";

/// Behind the help of `lint`.
const LINT_EXAMPLES: &str = "\
Examples:
  pgweir lint migrations/
  pgweir lint --policy strict --format github migrations/0042_orders.sql
  python manage.py sqlmigrate shop 0042 | pgweir lint -
  alembic upgrade head --sql | pgweir lint -
  pgweir lint -c pgweir.toml --database shop --role migrator db/structure.sql";

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run { config } => process::run(&config),
        Command::Check { file, format, strict } => {
            ExitCode::from(u8::try_from(check(&file, format, strict)).unwrap_or(2))
        }
        Command::Reload { config } => ExitCode::from(reload(&config)),
        Command::Explain {
            config,
            database,
            role,
            sql,
            context,
            policy,
            jsonl,
            connect,
            format,
        } => {
            if sql.is_some() || jsonl.is_some() {
                let asked = Statements {
                    sql,
                    context,
                    jsonl,
                    config,
                    database,
                    role,
                    policy,
                    connect,
                    format,
                };
                return ExitCode::from(explain_statements(&asked));
            }
            let config = config.unwrap_or_else(|| PathBuf::from(DEFAULT_CONFIG));
            let database = database.unwrap_or_default();
            let question = Question { database: &database, role: role.as_deref() };
            ExitCode::from(explain(&config, question, format))
        }
        Command::Lint { files, policy, config, database, role, format, single_transaction } => {
            let options =
                LintOptions { files, policy, config, database, role, format, single_transaction };
            ExitCode::from(lint(&options))
        }
        Command::Demo { seconds, keep } => ExitCode::from(demo::run(DemoOptions { seconds, keep })),
    }
}
