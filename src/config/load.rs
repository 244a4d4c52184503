//! Reading: files, includes, tables, checks, in this order.

use super::auth::{AuthConfig, read_access};
use super::checks::{self, Checked};
use super::database::{read_databases, read_roles};
use super::diff::Written;
use super::guard::read_policies;
use super::include::{matching_files, merge};
use super::interpolate::{Discreet, Elsewhere, Process, Surroundings};
use super::node::{Entry, Node, Table, TreeReader, Value};
use super::problem::{ConfigProblems, Location, Problem, Severity};
use super::report::Report;
use super::resolve::settle_databases;
use super::section::Section;
use super::server::ServerConfig;
use super::settings::{Layer, Level};
use super::source::Place;
use super::surface::{AdminConfig, HttpConfig, LogConfig};
use super::value::FromNode;
use super::{Config, Loaded, Places, not_yet};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use toml::de::DeTable;

/// The version of the file's format that this pgweir reads.
const CONFIG_VERSION: i64 = 1;

impl Config {
    /// Reads a file, the files that it includes, and checks everything.
    pub fn load(path: &Path) -> Result<Loaded, ConfigProblems> {
        let name = path.display().to_string();
        match read_text(path) {
            Ok(text) => read(&text, &name, &Process, Files::Look),
            Err(error) => Err(unreadable(&name, &error)),
        }
    }

    /// Reads a file on a machine where pgweir does not run: certificates, secrets and variables that it names need not be
    /// there. What comes out is good for looking things up in, not for serving clients.
    pub fn load_elsewhere(path: &Path) -> Result<Loaded, ConfigProblems> {
        let name = path.display().to_string();
        match read_text(path) {
            Ok(text) => read(&text, &name, &Elsewhere, Files::Ignore),
            Err(error) => Err(unreadable(&name, &error)),
        }
    }

    /// Reads a text as if it stood in a file called `name`. The files that it names are not looked at, except those
    /// that it includes.
    pub fn parse(text: &str, name: &str) -> Result<Loaded, ConfigProblems> {
        read(text, name, &Process, Files::Ignore)
    }
}

/// Whether certificates, keys and password files are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Files {
    Look,
    Ignore,
}

/// A file's text. Where it is not UTF-8, the error says in which line.
fn read_text(path: &Path) -> std::io::Result<String> {
    String::from_utf8(std::fs::read(path)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        let message = format!("line {line} is not UTF-8");
        std::io::Error::new(std::io::ErrorKind::InvalidData, message)
    })
}

fn unreadable(name: &str, error: &std::io::Error) -> ConfigProblems {
    let problem = Problem {
        severity: Severity::Error,
        message: format!("cannot read {name}: {error}"),
        key: None,
        location: None,
        also: None,
        help: None,
    };
    ConfigProblems { problems: vec![problem], unreadable: true }
}

/// Reads a text with everything that it includes.
pub(super) fn read(
    text: &str,
    name: &str,
    surroundings: &dyn Surroundings,
    files: Files,
) -> Result<Loaded, ConfigProblems> {
    let mut report = Report::default();
    let mut syntax = SyntaxErrors::default();
    let surroundings = Discreet::new(surroundings);
    let mut root = read_file(text, name, &surroundings, &mut report, &mut syntax);
    read_includes(&mut root, name, &surroundings, &mut report, &mut syntax);
    let tables = Tables::read(&root, &mut report);
    // After a syntax error, absence proves nothing: only what is there was judged.
    let config =
        if syntax.lines.is_empty() { Some(tables.check(files, &mut report)) } else { None };
    syntax.settle(&mut report);
    report.hide(&surroundings.into_secrets());
    match config {
        Some(config) if !report.has_errors() => {
            let not_yet = not_yet::find(&root, &config, &report.sources);
            let (warnings, sources) = report.into_sorted_with_sources();
            Ok(Loaded { config, warnings, not_yet, places: Places::of(&root, sources) })
        }
        _ => Err(ConfigProblems { problems: report.into_sorted(), unreadable: false }),
    }
}

/// What TOML could not make sense of.
#[derive(Default)]
struct SyntaxErrors {
    found: Vec<Problem>,
    /// Lines whose values, or whose table, the parser made up.
    lines: BTreeSet<(Arc<str>, u32)>,
}

impl SyntaxErrors {
    fn add(&mut self, error: &toml::de::Error, file: usize, report: &mut Report) {
        let place = Place::new(file, error.span().unwrap_or(0..0));
        let problem = report.error(place, "", format!("not TOML: {}", error.message())).clone();
        report.problems.pop();
        let Some(at) = &problem.location else { return };
        // One broken line often breaks the parser's view several times.
        if !self.lines.insert((at.file.clone(), at.line)) {
            return;
        }
        // What follows a broken header is taken for part of another table.
        let lines = report.sources.lines_from(place);
        if lines.first().is_some_and(|line| is_header(line)) {
            let below = lines.iter().skip(1).take_while(|line| !is_header(line));
            self.lines
                .extend((at.line + 1..).zip(below).map(|(number, _)| (at.file.clone(), number)));
        }
        self.found.push(problem);
    }

    /// Removes what was reported about values that the parser made up, and adds the errors themselves.
    fn settle(self, report: &mut Report) {
        report.problems.retain(|problem| {
            let made_up = |at: &Location| self.lines.contains(&(at.file.clone(), at.line));
            !problem.location.as_ref().is_some_and(made_up)
        });
        report.problems.extend(self.found);
    }
}

fn is_header(line: &str) -> bool {
    line.trim_start().starts_with('[')
}

/// One file as a tree, without its `config_version`.
fn read_file(
    text: &str,
    name: &str,
    surroundings: &dyn Surroundings,
    report: &mut Report,
    syntax: &mut SyntaxErrors,
) -> Table {
    let file = report.sources.add(name, text);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        syntax.add(error, file, report);
    }
    let base = report.sources.directory(file);
    let mut reader = TreeReader { file, base: &base, surroundings, report };
    let mut table = reader.table(document.get_ref(), "");
    check_version(&mut table, report);
    table
}

fn check_version(table: &mut Table, report: &mut Report) {
    let Some(Entry { node, .. }) = table.entries.remove("config_version") else { return };
    match node.value {
        Value::Integer(CONFIG_VERSION) => {}
        Value::Integer(version) => {
            let message =
                format!("this pgweir reads version {CONFIG_VERSION} of the format, not {version}");
            report.error(node.place, "config_version", message);
        }
        other => {
            report.error(
                node.place,
                "config_version",
                format!("expected the number 1, found {}", other.kind()),
            );
        }
    }
}

/// Reads and merges the files under `include`.
fn read_includes(
    root: &mut Table,
    name: &str,
    surroundings: &dyn Surroundings,
    report: &mut Report,
    syntax: &mut SyntaxErrors,
) {
    let Some(Entry { node, .. }) = root.entries.remove("include") else { return };
    let Some(patterns) = Vec::<String>::from_node(&node, "include", report) else { return };
    let base = Path::new(name).parent().unwrap_or(Path::new("")).to_path_buf();
    let mut seen = BTreeSet::new();
    for pattern in patterns {
        let place = report.sources.find_in(node.place, &pattern);
        let paths = match matching_files(&base, &pattern) {
            Ok(paths) => paths,
            Err(error) => {
                report.error(place, "include", format!("cannot read {pattern}: {error}"));
                continue;
            }
        };
        for path in paths.into_iter().filter(|path| path.as_path() != Path::new(name)) {
            if !seen.insert(path.clone()) {
                continue;
            }
            let included = path.display().to_string();
            match read_text(&path) {
                Ok(text) => {
                    let mut table = read_file(&text, &included, surroundings, report, syntax);
                    if let Some(entry) = table.entries.remove("include") {
                        report
                            .error(entry.key, "include", "an included file cannot include others")
                            .help = Some(format!("name them in {name}"));
                    }
                    merge(root, table, "", report);
                }
                Err(error) => {
                    report.error(place, "include", format!("cannot read {included}: {error}"));
                }
            }
        }
    }
}

/// Every table, typed, before anything is checked that takes two of them.
struct Tables {
    config: Config,
    checked: Checked,
}

impl Tables {
    fn read(root: &Table, report: &mut Report) -> Self {
        let start = Place::new(0, 0..0);
        let mut top = Section::new("", start, root, report);
        let server =
            section(&mut top, "server").map_or_else(ServerConfig::default, ServerConfig::read);
        let auth = section(&mut top, "auth").map_or_else(AuthConfig::default, AuthConfig::read);
        let access = access(&mut top);
        let defaults = section(&mut top, "defaults").map_or_else(Layer::default, |mut section| {
            let layer = Level::Defaults.read(&mut section);
            section.finish();
            layer
        });
        let tables = section(&mut top, "databases").map(read_databases).unwrap_or_default();
        let roles = section(&mut top, "roles")
            .map(|section| read_roles(section, Level::Role))
            .unwrap_or_default();
        let policies = read_policies(section(&mut top, "guard"));
        let admin = section(&mut top, "admin").map_or_else(AdminConfig::default, AdminConfig::read);
        let http = section(&mut top, "http").map_or_else(HttpConfig::default, HttpConfig::read);
        let log = section(&mut top, "log").map_or_else(LogConfig::default, LogConfig::read);
        let places = |key: &str| root.entries.get(key).map(|entry| entry.key);
        let mut checked = Checked {
            server: places("server"),
            auth: places("auth"),
            databases: places("databases"),
            ..Checked::default()
        };
        // Known here, though taken out of the tree before.
        top.accept("config_version");
        top.accept("include");
        top.finish();

        let (rules, rule_places) = access
            .map(|rules| rules.into_iter().unzip())
            .map_or((None, Vec::new()), |(rules, places)| (Some(rules), places));
        checked.access = rule_places;
        let config = Config {
            server,
            auth,
            access: rules,
            admin,
            http,
            log,
            policies,
            files: report.sources.names(),
            written: Written::of(root),
            defaults,
            tables,
            settled: Default::default(),
            roles,
        };
        Tables { config, checked }
    }

    fn check(self, files: Files, report: &mut Report) -> Config {
        let Tables { mut config, checked } = self;
        config.settled = settle_databases(&config.tables, report);
        checks::check(&config, &checked, report);
        if files == Files::Look {
            checks::check_files(&config, report);
        }
        config
    }
}

/// The section under a top-level key.
fn section<'s>(top: &'s mut Section<'_>, key: &str) -> Option<Section<'s>> {
    let (table, place) = top.table(key)?;
    Some(Section::new(key, place, table, top.report))
}

type PlacedRules = Vec<(super::AccessRule, Place)>;

fn access(top: &mut Section<'_>) -> Option<PlacedRules> {
    let (node, _): (&Node, Place) = top.node("access")?;
    match &node.value {
        Value::Array(items) => Some(read_access(items, top.report)),
        other => {
            let message = format!("`access` is a list of tables, not {}", other.kind());
            top.report.error(node.place, "access", message).help =
                Some("write [[access]]".to_owned());
            None
        }
    }
}
