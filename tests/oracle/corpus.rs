//! The SQL of Postgres' own regression suite, cut into statements.
//!
//! An approximation of psql: meta-commands and COPY data are cut out, and a statement ends at a `;` outside of quotes,
//! comments, parentheses and routine bodies. It shares no code with what is tested; where it cuts wrongly, the pieces
//! are still texts for the referee to judge.

use std::path::PathBuf;

use crate::corpus_folder::corpus_folder;

/// Every script's statements, script by script; empty where there is no corpus.
pub fn scripts() -> Vec<Vec<String>> {
    let Some(folder) = corpus_folder() else { return Vec::new() };
    let entries = std::fs::read_dir(folder).expect("the corpus can be listed");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    paths.sort();
    let read = |path: PathBuf| {
        String::from_utf8_lossy(&std::fs::read(path).expect("a script")).into_owned()
    };
    paths.into_iter().map(|path| statements(&read(path).replace('\0', ""))).collect()
}

/// Cuts one script.
pub fn statements(script: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current = String::new();
    let mut state = Inside::default();
    let mut copying = false;
    for line in script.split_inclusive('\n') {
        if copying {
            copying = line.trim_end() != "\\.";
            continue;
        }
        if line.starts_with('\\') && state.is_outside() {
            continue;
        }
        for char in line.chars() {
            current.push(char);
            if state.step(char) {
                let text = std::mem::take(&mut current);
                let lower = text.to_ascii_lowercase();
                let copies = lower.trim_start().starts_with("copy") && lower.contains("from stdin");
                // Some copies of the suite keep the data as comments; real data never begins with `--`.
                let rest = script[script_offset(script, line) + line.len()..].trim_start();
                copying = copies && rest.contains("\n\\.") && !rest.starts_with("--");
                found.push(text);
            }
        }
    }
    found.push(current);
    found.retain(|text| !text.trim().is_empty());
    found
}

fn script_offset(script: &str, line: &str) -> usize {
    line.as_ptr() as usize - script.as_ptr() as usize
}

/// Where the reader stands.
#[derive(Default)]
struct Inside {
    /// What is open: `'`, `e` (an escape string), `"`, `-`, `*` or `$`.
    open: Option<char>,
    tag: String,
    recent: String,
    parentheses: usize,
    bodies: usize,
    words: Vec<String>,
    word: String,
    escaped: bool,
    comments: usize,
}

impl Inside {
    fn is_outside(&self) -> bool {
        self.open.is_none()
    }

    /// Takes one character; true when it ends a statement.
    fn step(&mut self, char: char) -> bool {
        self.recent.push(char);
        match self.open {
            Some('\'') if char == '\'' => self.open = None,
            Some('e') if self.escaped => self.escaped = false,
            Some('e') if char == '\\' => self.escaped = true,
            Some('e') if char == '\'' => self.open = None,
            Some('"') if char == '"' => self.open = None,
            Some('-') if char == '\n' => self.open = None,
            Some('*') => self.in_comment(),
            Some('$')
                if self.recent.ends_with(&self.tag)
                    && self.recent.len() > 2 * self.tag.len() - 1 =>
            {
                self.open = None;
            }
            Some(_) => {}
            None => return self.outside(char),
        }
        if self.open.is_none() {
            self.recent.clear();
        }
        false
    }

    fn in_comment(&mut self) {
        if self.recent.ends_with("/*") {
            self.comments += 1;
            self.recent.clear();
        } else if self.recent.ends_with("*/") {
            self.comments -= 1;
            self.recent.clear();
            if self.comments == 0 {
                self.open = None;
            }
        }
    }

    fn outside(&mut self, char: char) -> bool {
        if char.is_alphanumeric() || matches!(char, '_') || char == '$' && !self.word.is_empty() {
            self.word.push(char.to_ascii_lowercase());
            return false;
        }
        let word = std::mem::take(&mut self.word);
        if char == '$' || self.recent.starts_with('$') {
            return self.dollar();
        }
        if !word.is_empty() {
            self.end_word(&word);
        }
        match char {
            '\'' => self.open = Some(if word == "e" { 'e' } else { '\'' }),
            '"' => self.open = Some('"'),
            '(' => self.parentheses += 1,
            ')' => self.parentheses = self.parentheses.saturating_sub(1),
            _ if self.recent.ends_with("--") => self.open = Some('-'),
            _ if self.recent.ends_with("/*") => {
                self.open = Some('*');
                self.comments = 1;
            }
            ';' if self.parentheses == 0 && self.bodies == 0 => {
                *self = Self::default();
                return true;
            }
            _ => {}
        }
        if self.open.is_some() || self.recent.len() > 200 {
            self.recent.clear();
        }
        false
    }

    /// At a `$`: the beginning of a tag, or its end.
    fn dollar(&mut self) -> bool {
        let Some(start) = self.recent.find('$') else { return false };
        let tag = self.recent.split_off(start);
        self.recent.clear();
        if tag.len() > 1 && tag.ends_with('$') {
            self.tag.clone_from(&tag);
            self.recent.clone_from(&tag);
            self.open = Some('$');
        } else if tag == "$" {
            self.recent = tag;
        }
        false
    }

    fn end_word(&mut self, word: &str) {
        let creates = self.words.first().is_some_and(|word| word == "create")
            && self.words.iter().take(4).any(|word| word == "function" || word == "procedure");
        match word {
            "atomic" if creates && self.words.last().is_some_and(|word| word == "begin") => {
                self.bodies += 1;
            }
            "case" if self.bodies > 0 => self.bodies += 1,
            "end" if self.bodies > 0 => self.bodies -= 1,
            _ => {}
        }
        self.words.push(word.to_owned());
    }
}
