//! Plays many scripts to two targets, side by side in several databases, and judges the outcome.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;

use pgweir::cluster::{Node, SqlConnection, quote_identifier};

use super::explained::Explained;
use super::play::{Random, SILENCE, Target, Writing, play};
use super::script::Script;

/// A comparison to be made; ends with [`Differential::run`].
pub struct Differential<'a> {
    node: &'a Node,
    direct: Target,
    through: Target,
    lanes: usize,
    splits: usize,
    seed: u64,
    chosen: Option<String>,
}

impl<'a> Differential<'a> {
    /// Compares `direct`, which is `node` itself, with `through`, which leads to it.
    ///
    /// Both use the databases `diff_0`, `diff_1` and so on, which belong to `direct`'s role and are made
    /// here; what stands between must serve them.
    pub fn new(node: &'a Node, direct: Target, through: Target) -> Self {
        let chosen = std::env::var("PGWEIR_SEED").ok().and_then(|text| text.parse().ok());
        let seed = chosen.unwrap_or_else(|| RandomState::new().hash_one(0_u8) >> 32);
        let only = std::env::var("PGWEIR_SCRIPT").ok();
        Self { node, direct, through, lanes: 2, splits: 2, seed, chosen: only }
    }

    /// The database of a lane.
    pub fn database(lane: usize) -> String {
        format!("diff_{lane}")
    }

    /// How many databases, and threads, to use; 2 unless set.
    pub fn lanes(mut self, lanes: usize) -> Self {
        self.lanes = lanes;
        self
    }

    /// How many times each script is played in random pieces; 2 unless set.
    pub fn splits(mut self, splits: usize) -> Self {
        self.splits = splits;
        self
    }

    /// The seed of the random pieces; else `$PGWEIR_SEED`, else a new one.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Makes the role and the databases. [`Differential::run`] does it too; call it before starting
    /// something that connects to them at once.
    pub fn prepare(&self) {
        let mut sql = self.node.open_sql("postgres").expect("a direct connection");
        let role = quote_identifier(&self.direct.login.user);
        let have = |sql: &mut SqlConnection, question: String| {
            !sql.run(&question).expect("a look into the catalog").is_empty()
        };
        let user = self.direct.login.user.replace('\'', "''");
        if !have(&mut sql, format!("SELECT 1 FROM pg_roles WHERE rolname = '{user}'")) {
            sql.run(&format!("CREATE ROLE {role} LOGIN")).expect("a role");
        }
        for lane in 0..self.lanes {
            let name = Self::database(lane);
            if !have(&mut sql, format!("SELECT 1 FROM pg_database WHERE datname = '{name}'")) {
                sql.run(&format!("CREATE DATABASE {name} OWNER {role}")).expect("a database");
            }
        }
    }

    /// Plays every script, or those whose name holds `$PGWEIR_SCRIPT`; of these it prints the
    /// expected replies.
    pub fn run(&self, scripts: &[Script]) -> Outcome {
        self.prepare();
        println!("{} scripts, PGWEIR_SEED={}", scripts.len(), self.seed);
        let chosen = self.chosen.as_deref().unwrap_or_default();
        let waiting = Mutex::new(scripts.iter().filter(|script| script.name.contains(chosen)));
        let outcome = Mutex::new(Outcome {
            seed: self.seed,
            played: BTreeSet::new(),
            differences: Vec::new(),
            broken: Vec::new(),
        });
        std::thread::scope(|scope| {
            for lane in 0..self.lanes {
                let (waiting, outcome) = (&waiting, &outcome);
                scope.spawn(move || {
                    let mut lane = Lane::open(self, lane);
                    loop {
                        let next = waiting.lock().expect("the queue").next();
                        let Some(script) = next else { break };
                        let (differences, broken) = lane.compare(script);
                        let mut outcome = outcome.lock().expect("the outcome");
                        outcome.played.insert(script.name.clone());
                        outcome.differences.extend(differences);
                        outcome.broken.extend(broken);
                    }
                });
            }
        });
        let mut outcome = outcome.into_inner().expect("the outcome");
        outcome.differences.sort_by(|a, b| a.script.cmp(&b.script));
        outcome
    }
}

/// One database, in which one script at a time is played.
struct Lane<'a> {
    run: &'a Differential<'a>,
    direct: Target,
    through: Target,
    sql: SqlConnection,
}

impl<'a> Lane<'a> {
    fn open(run: &'a Differential<'a>, lane: usize) -> Self {
        let database = Differential::database(lane);
        let (mut direct, mut through) = (run.direct.clone(), run.through.clone());
        direct.login.database.clone_from(&database);
        through.login.database.clone_from(&database);
        let sql = run.node.open_sql(&database).expect("a direct connection");
        Self { run, direct, through, sql }
    }

    fn compare(&mut self, script: &Script) -> (Vec<Difference>, Option<String>) {
        let expected = match self.play(script, Side::Direct, Writing::Whole) {
            Ok(lines) if lines.iter().any(|line| line.starts_with(SILENCE)) => {
                let lines = lines.join("\n    ");
                return (Vec::new(), Some(format!("{}: stuck\n    {lines}", script.name)));
            }
            Ok(lines) => lines,
            Err(error) => return (Vec::new(), Some(format!("{}: {error}", script.name))),
        };
        if self.run.chosen.is_some() {
            println!("=== {}\n    {}", script.name, expected.join("\n    "));
        }
        let mut differences = Vec::new();
        for turn in 0..=self.run.splits {
            let mut random = Random::new(self.run.seed ^ turn as u64);
            let (writing, variant) = match turn {
                0 => (Writing::Whole, "whole".to_owned()),
                turn => (Writing::Split(&mut random), format!("split {turn}")),
            };
            let got = self
                .play(script, Side::Through, writing)
                .unwrap_or_else(|error| vec![format!("(not played: {error})")]);
            if got != expected {
                differences.push(Difference {
                    script: script.name.clone(),
                    variant,
                    direct: expected.clone(),
                    through: got,
                });
            }
        }
        (differences, None)
    }

    /// Plays it in a fresh schema.
    fn play(
        &mut self,
        script: &Script,
        side: Side,
        writing: Writing<'_>,
    ) -> Result<Vec<String>, String> {
        let role = quote_identifier(&self.direct.login.user);
        // A script that cut its connection may leave a backend that still holds locks for a moment.
        let fresh = format!(
            "RESET ROLE; SET lock_timeout = '10s'; SET client_min_messages = error; \
             DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION {role}; SET ROLE {role}"
        );
        self.sql.run(&fresh).map_err(|error| format!("a fresh schema: {error}"))?;
        for statement in &script.setup {
            self.sql.run(statement).map_err(|error| format!("setup: {error}"))?;
        }
        let target = match side {
            Side::Direct => &self.direct,
            Side::Through => &self.through,
        };
        play(script, target, writing, &mut self.sql)
    }
}

enum Side {
    Direct,
    Through,
}

/// Two unequal reply streams.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The script.
    pub script: String,
    /// How its bytes were written.
    pub variant: String,
    direct: Vec<String>,
    through: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({}): - direct, + through", self.script, self.variant)?;
        let (direct, through) = (&self.direct, &self.through);
        let common = |pairs: &mut dyn Iterator<Item = (&String, &String)>| {
            pairs.take_while(|(a, b)| a == b).count()
        };
        let head = common(&mut direct.iter().zip(through));
        let tail = common(&mut direct[head..].iter().rev().zip(through[head..].iter().rev()));
        let (old, new) = (&direct[head..direct.len() - tail], &through[head..through.len() - tail]);
        let line = |f: &mut fmt::Formatter<'_>, mark, lines: &[String]| {
            lines.iter().try_for_each(|line| writeln!(f, "  {mark} {line}"))
        };
        line(f, ' ', &direct[head.saturating_sub(3)..head])?;
        line(f, '-', old)?;
        line(f, '+', new)?;
        line(f, ' ', &direct[direct.len() - tail..(direct.len() - tail + 2).min(direct.len())])
    }
}

/// What a run found.
#[derive(Debug)]
pub struct Outcome {
    /// The seed of the random pieces.
    pub seed: u64,
    /// Every script that was played.
    pub played: BTreeSet<String>,
    /// What differed.
    pub differences: Vec<Difference>,
    /// Scripts that do not even work with Postgres.
    pub broken: Vec<String>,
}

impl Outcome {
    /// The names of the scripts that differed.
    pub fn differed(&self) -> BTreeSet<String> {
        self.differences.iter().map(|difference| difference.script.clone()).collect()
    }

    /// Everything that is wrong with this outcome, or an empty text.
    pub fn complaints(&self, explained: &Explained) -> String {
        let mut text = String::new();
        for broken in &self.broken {
            let _ = writeln!(text, "broken script: {broken}");
        }
        for difference in self.differences.iter().filter(|d| !explained.covers(&d.script)) {
            let _ = write!(text, "{difference}");
        }
        let differed = self.differed();
        for name in explained.stale(&self.played, &differed) {
            let _ = writeln!(text, "{name} is explained but does not differ any more");
        }
        text
    }

    /// Panics unless exactly the explained scripts differed.
    pub fn assert_explained(&self, explained: &Explained) {
        let complaints = self.complaints(explained);
        assert!(complaints.is_empty(), "PGWEIR_SEED={}\n{complaints}", self.seed);
    }
}
