//! Our lexer, splitter and recognisers against Postgres 18's own scanner and parser.
//!
//! The corpus is the regression suite of Postgres, where it is present; generated texts come on top, 100,000
//! of them and 25,000 spellings of commands, or as many of each as `PGWEIR_ORACLE_TEXTS` says.

mod closely;
mod command_tree;
mod commands;
mod corpus;
mod corpus_folder;
mod explained;
mod generate;
mod read_queries;
mod reading;
mod recognised;
mod referee;
mod sessions;
mod spelling;
mod upkeep;

use std::collections::BTreeMap;
use std::io::Write;

use explained::Reason;
use generate::Dice;
use referee::Judgement;

/// What came out for one kind of question.
struct Tally {
    question: &'static str,
    same: usize,
    both_refuse: usize,
    no_answer: usize,
    explained: BTreeMap<Reason, usize>,
    different: Vec<String>,
}

impl Tally {
    fn new(question: &'static str) -> Self {
        let explained = BTreeMap::new();
        Self { question, same: 0, both_refuse: 0, no_answer: 0, explained, different: Vec::new() }
    }

    fn add(&mut self, text: &str, judgement: Judgement) {
        match judgement {
            Judgement::Same => self.same += 1,
            Judgement::BothRefuse => self.both_refuse += 1,
            Judgement::NoAnswer => self.no_answer += 1,
            Judgement::Explained(reason) => *self.explained.entry(reason).or_default() += 1,
            Judgement::Different(how) => self.different.push(format!("{how}\n    in {text:?}")),
        }
    }

    /// Says the counts, past the harness' capture, and fails on any difference.
    fn finish(self) {
        let Self { question, same, both_refuse, no_answer, explained, different } = self;
        let _ = writeln!(
            std::io::stderr(),
            "oracle: {question}: {same} same, {both_refuse} refused by both, {no_answer} without an answer, \
             explained {explained:?}, {} different",
            different.len()
        );
        let shown: Vec<_> = different.iter().take(20).map(String::as_str).collect();
        assert!(
            different.is_empty(),
            "{question}: {} different, first:\n{}",
            different.len(),
            shown.join("\n")
        );
    }
}

#[test]
fn the_corpus_has_the_same_tokens() {
    let mut tally = Tally::new("tokens of the corpus");
    for script in corpus::scripts() {
        for text in &script {
            tally.add(text, referee::tokens(text));
        }
        let whole = script.concat();
        tally.add("a whole script", referee::tokens(&whole));
    }
    tally.finish();
}

#[test]
fn the_corpus_has_the_same_statements() {
    let mut tally = Tally::new("statements of the corpus");
    let mut together = Tally::new("statements of the corpus, eight in a text");
    for script in corpus::scripts() {
        let mut good = Vec::new();
        for text in script {
            let judgement = referee::statements(&text, true);
            if matches!(judgement, Judgement::Same) {
                good.push(text.clone());
            }
            tally.add(&text, judgement);
        }
        for part in good.chunks(8) {
            let text = part.concat();
            together.add(&text, referee::statements(&text, true));
        }
    }
    tally.finish();
    together.finish();
}

#[test]
fn the_corpus_is_recognised() {
    let mut tally = Tally::new("facts of the corpus");
    for text in corpus::scripts().iter().flatten() {
        tally.add(text, recognised::judge(text));
    }
    tally.finish();
}

#[test]
fn the_limits_of_the_corpus_are_told() {
    let mut tally = Tally::new("limits of the corpus");
    let own = [
        "create index concurrently i on t (a)",
        "reindex (concurrently) table t; reindex table concurrently t; reindex table t",
        "reindex (\"concurrently\") table t; reindex (verbose, \"Concurrently\") table t; vacuum (\"full\") t",
        "alter table t validate constraint c, add a int",
        "alter table only s.t * detach partition p concurrently",
        "alter domain d validate constraint c; drop index concurrently i",
        "vacuum full t; vacuum (full, analyze) t; analyze t",
    ];
    for text in corpus::scripts().iter().flatten().map(String::as_str).chain(own) {
        tally.add(text, upkeep::judge(text));
    }
    tally.finish();
}

#[test]
fn the_commands_of_the_corpus_are_told() {
    let mut tally = Tally::new("commands of the corpus");
    let mut close = Tally::new("what a close look finds in the corpus");
    let mut together = Tally::new("commands of the corpus, eight in a text");
    for script in corpus::scripts() {
        for text in &script {
            tally.add(text, commands::judge(text));
            close.add(text, closely::judge(text));
        }
        for part in script.chunks(8) {
            let text = part.concat();
            together.add(&text, commands::judge(&text));
        }
    }
    tally.finish();
    together.finish();
    close.finish();
}

#[test]
fn what_is_said_to_read_does() {
    let mut tally = Tally::new("reads of the corpus");
    let mut shares = reading::Shares::default();
    for text in corpus::scripts().iter().flatten() {
        tally.add(text, reading::judge(text, &mut shares));
    }
    tally.finish();
    tell("reads of the corpus", &shares);
}

#[test]
fn generated_queries_that_are_said_to_read_do() {
    let mut tally = Tally::new("reads of generated queries");
    let mut others = Tally::new("reads of other generated texts");
    let mut shares = reading::Shares::default();
    let mut more = reading::Shares::default();
    for number in 0..texts(25_000) {
        let mut dice = Dice::new(number.wrapping_add(0x4EAD));
        let text = read_queries::query(&mut dice);
        tally.add(&text, reading::judge(&text, &mut shares));
        if number % 4 == 0 {
            let make =
                [spelling::query, spelling::command, generate::command, sessions::statements];
            let mut text = make[dice.below(make.len())](&mut dice);
            if dice.below(4) == 0 {
                text = format!("{text}\n; {}", read_queries::query(&mut dice));
            }
            others.add(&text, reading::judge(&text, &mut more));
        }
    }
    tally.finish();
    others.finish();
    tell("reads of generated queries", &shares);
}

/// Says how much of what reads is proven to, and fails where that is too little.
fn tell(what: &str, shares: &reading::Shares) {
    let reading::Shares { reads, missed, extra } = shares;
    let _ = writeln!(
        std::io::stderr(),
        "oracle: {what}: {} of {reads} proven, {} with a name too many",
        reads - missed.len(),
        extra.len()
    );
    for (what, list) in [("not proven", missed), ("with a name too many", extra)] {
        let shown: Vec<_> = list.iter().step_by(1 + list.len() / 12).map(String::as_str).collect();
        assert!(list.len() * 100 <= *reads, "{what}: {}, some:\n{}", list.len(), shown.join("\n"));
    }
}

/// How many generated texts there are to be; `usual` of them where nobody says.
fn texts(usual: u64) -> u64 {
    match std::env::var("PGWEIR_ORACLE_TEXTS") {
        Ok(count) => count.parse().expect("PGWEIR_ORACLE_TEXTS is a number"),
        Err(_) => usual,
    }
}

#[test]
fn spellings_of_commands_are_told() {
    let mut alone = Tally::new("spellings of commands");
    let mut queries = Tally::new("spellings of queries");
    let mut close = Tally::new("what a close look finds in spellings of queries");
    let mut several = Tally::new("spellings of commands, several in a text");
    let mut blocks = Tally::new("spellings of commands in DO blocks");
    for number in 0..texts(25_000) {
        let mut dice = Dice::new(number.wrapping_add(0x5E11));
        match number % 10 {
            0..=4 => {
                let text = spelling::command(&mut dice);
                alone.add(&text, commands::judge(&text));
            }
            5 | 6 => {
                let text = spelling::query(&mut dice);
                queries.add(&text, commands::judge(&text));
                close.add(&text, closely::judge(&text));
            }
            7 => {
                let mut text = String::new();
                for _ in 0..2 + dice.below(3) {
                    let query = dice.below(4) == 0;
                    let make = if query { spelling::query } else { spelling::command };
                    text.push_str(&make(&mut dice));
                    text.push_str("\n;");
                }
                several.add(&text, commands::judge(&text));
            }
            _ => {
                let inner = spelling::command(&mut dice);
                let block = spelling::block(&mut dice, &inner);
                blocks.add(&block, commands::judge_block(&inner, &block));
            }
        }
    }
    alone.finish();
    queries.finish();
    close.finish();
    several.finish();
    blocks.finish();
}

#[test]
fn generated_texts_are_cut_alike() {
    let extra: Vec<String> =
        corpus::scripts().into_iter().flatten().step_by(17).filter(|t| t.len() < 400).collect();
    let extra: Vec<String> = extra
        .into_iter()
        .filter(|text| matches!(referee::statements(text, true), Judgement::Same))
        .collect();
    let mut tokens = Tally::new("tokens of generated texts");
    let mut statements = Tally::new("statements of generated texts");
    let mut commands = Tally::new("facts of generated commands");
    let mut sessions = Tally::new("facts of generated statements of sessions");
    let mut escapes = Tally::new("statements of generated texts, standard_conforming_strings off");
    for number in 0..texts(100_000) {
        let mut dice = Dice::new(number);
        match number % 10 {
            0 | 1 => {
                let text = generate::script(&mut dice, &extra);
                statements.add(&text, referee::statements(&text, true));
            }
            2 | 3 => {
                let text = generate::command(&mut dice);
                commands.add(&text, recognised::judge(&text));
            }
            4 => {
                let text = generate::escapes(&mut dice);
                escapes.add(&text, referee::statements(&text, false));
            }
            5 | 6 => {
                let text = sessions::statements(&mut dice);
                sessions.add(&text, recognised::judge(&text));
                statements.add(&text, referee::statements(&text, true));
            }
            _ => {
                let text = generate::salad(&mut dice);
                tokens.add(&text, referee::tokens(&text));
            }
        }
    }
    tokens.finish();
    statements.finish();
    escapes.finish();
    commands.finish();
    sessions.finish();
}
