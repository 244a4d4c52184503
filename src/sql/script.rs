//! A file as psql sends it: one message for each statement, without psql's own commands and COPY's data.
//!
//! Owns the differences between a file and the text of a message. What psql keeps for itself is blanked out in the text, so
//! that offsets and lines stay those of the file. How the file is read may change from one message to the next (a SET
//! of `standard_conforming_strings`), so each is asked for by itself.
//!
//! Deliberately absent: variables (`:name`), conditions (`\if`: both branches are read), files that `\i` names.

use super::facts::{CopyDirection, StatementFacts, StatementKind};
use super::split::Nesting;
use super::{Cursor, Kind, LexOptions, Lexer, Span, facts};

/// A file and how far it has been read.
#[derive(Clone, Debug)]
pub struct Script {
    text: Vec<u8>,
    at: usize,
    /// Where the last line is that is `\.`: behind it there are no data.
    last_end_of_data: usize,
}

/// What comes next in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A message: mostly one statement, several where `\;` stands between them. Without the last `;`.
    Message(Span),
    /// `\connect`, at this offset: what follows is another session's.
    Connect(usize),
    /// `\i` or `\ir`, at this offset: another file is read here.
    Include(usize),
    /// `\copy … from`, at this offset: psql puts rows into a table.
    Copy(usize),
}

/// Commands of psql that send what has been written so far.
const SENDS: [&[u8]; 9] = [
    b"g",
    b"gx",
    b"gset",
    b"gexec",
    b"gdesc",
    b"crosstabview",
    b"watch",
    b"parse",
    b"sendpipeline",
];

/// Commands of psql whose argument is the rest of the line, backslashes and all.
const WHOLE_LINE: [&[u8]; 8] = [b"!", b"copy", b"ef", b"ev", b"h", b"help", b"sf", b"sv"];

/// Why reading stops.
enum Stop {
    /// At a `;` that ends a statement, which is behind this offset.
    Semicolon(usize),
    /// At a backslash.
    Backslash(usize),
    End,
}

/// What a command of psql does to the messages.
enum Meta {
    /// `\;`: the statement is over, the message is not.
    Joins,
    Sends,
    Resets,
    Connects,
    Includes,
    /// `\copy … from`; lines of data may follow.
    Copies {
        from_stdin: bool,
    },
    Nothing,
}

impl Script {
    /// At the beginning of a file.
    pub fn new(text: Vec<u8>) -> Self {
        let at = if text.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        let mut last_end_of_data = 0;
        let mut start = 0;
        for line in text.split(|byte| *byte == b'\n') {
            if is_end_of_data(line) {
                last_end_of_data = start;
            }
            start += line.len() + 1;
        }
        Self { text, at, last_end_of_data }
    }

    /// The file; what is psql's own has been blanked out as far as it was read.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// What comes next, in a session that reads texts like this. None at the end of the file.
    pub fn next_part(&mut self, options: LexOptions) -> Option<Part> {
        let mut nesting = Nesting::default();
        let mut message: Option<Span> = None;
        loop {
            match self.read(&mut nesting, &mut message, options) {
                Stop::End => return message.map(Part::Message),
                Stop::Semicolon(_) => {
                    if let Some(span) = message {
                        self.skip_data(span, options);
                        return Some(Part::Message(span));
                    }
                }
                Stop::Backslash(at) => match self.meta(at) {
                    Meta::Joins => nesting = Nesting::default(),
                    Meta::Sends => {
                        if let Some(span) = message {
                            self.skip_data(span, options);
                            return Some(Part::Message(span));
                        }
                    }
                    Meta::Resets => {
                        nesting = Nesting::default();
                        message = None;
                    }
                    Meta::Connects if message.is_none() => return Some(Part::Connect(at)),
                    Meta::Includes if message.is_none() => return Some(Part::Include(at)),
                    Meta::Copies { from_stdin } => {
                        if from_stdin {
                            let begin = self.line_end(self.at);
                            self.blank_data(begin);
                        }
                        if message.is_none() {
                            return Some(Part::Copy(at));
                        }
                    }
                    Meta::Connects | Meta::Includes | Meta::Nothing => {}
                },
            }
        }
    }

    /// Reads on to where something has to be decided.
    fn read(
        &mut self,
        nesting: &mut Nesting,
        message: &mut Option<Span>,
        options: LexOptions,
    ) -> Stop {
        let rest = Span { start: self.at, end: self.text.len() };
        let mut lexer = Lexer::within(&self.text, rest, options);
        let stop = loop {
            let Some(token) = lexer.next() else { break Stop::End };
            let Span { start, end } = token.span;
            match token.kind {
                Kind::Stray(b'\\') => break Stop::Backslash(start),
                Kind::Symbol(b';') if nesting.is_open() => break Stop::Semicolon(end),
                _ => {}
            }
            let first = message.map_or(start, |span| span.start);
            *message = Some(Span { start: first, end });
            nesting.step(token, &self.text);
        };
        self.at = match stop {
            Stop::Semicolon(end) => end,
            Stop::Backslash(at) => at,
            Stop::End => self.text.len(),
        };
        stop
    }

    /// Blanks out the command of psql at `at`, and goes on behind it.
    fn meta(&mut self, at: usize) -> Meta {
        let rest = self.text.get(at + 1..).unwrap_or_default();
        match rest.first() {
            Some(b';') => {
                self.blank(Span { start: at, end: at + 1 });
                self.at = at + 2;
                return Meta::Joins;
            }
            // A colon that begins no variable; a backslash that ends a command.
            Some(b':') => {
                self.blank(Span { start: at, end: at + 1 });
                return Meta::Nothing;
            }
            Some(b'\\') => {
                self.blank(Span { start: at, end: at + 2 });
                return Meta::Nothing;
            }
            _ => {}
        }
        let is_name = |byte: &&u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'!' | b'?');
        let name = rest.get(..rest.iter().take_while(is_name).count()).unwrap_or_default();
        let end = if WHOLE_LINE.contains(&name) {
            self.line_end(at)
        } else {
            self.arguments_end(at + 1 + name.len())
        };
        let copies = || {
            let words = self.text.get(at..end).unwrap_or_default().to_ascii_lowercase();
            let mut words = words.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            words.any(|word| word == b"from").then(|| words.next() == Some(b"stdin"))
        };
        let meta = match name {
            b"r" | b"reset" => Meta::Resets,
            b"c" | b"connect" => Meta::Connects,
            b"i" | b"include" | b"ir" | b"include_relative" => Meta::Includes,
            b"copy" => copies().map_or(Meta::Nothing, |from_stdin| Meta::Copies { from_stdin }),
            name if SENDS.contains(&name) => Meta::Sends,
            _ => Meta::Nothing,
        };
        self.blank(Span { start: at, end });
        self.at = end;
        meta
    }

    /// Where the arguments of a command end: at the end of the line, or at a backslash that begins another command.
    fn arguments_end(&self, start: usize) -> usize {
        let mut quote = None;
        let mut at = start;
        while let Some(&byte) = self.text.get(at) {
            match (byte, quote) {
                (b'\n', _) | (b'\\', None) => break,
                (b'\\', Some(b'\'')) if self.text.get(at + 1) != Some(&b'\n') => at += 1,
                (b'\'' | b'"' | b'`', None) => quote = Some(byte),
                (_, Some(open)) if byte == open => quote = None,
                _ => {}
            }
            at += 1;
        }
        at.min(self.text.len())
    }

    /// Behind a COPY FROM STDIN the lines up to `\.` are data.
    fn skip_data(&mut self, message: Span, options: LexOptions) {
        let facts = facts(message.of(&self.text), options);
        let has_data = |statement: &StatementFacts| {
            let mut at = Cursor::new(message.of(&self.text), statement.span, options);
            at.bump();
            // A query takes no rows: the server refuses that.
            statement.kind == StatementKind::Copy(CopyDirection::FromClient) && !at.at_symbol(b'(')
        };
        if facts.statements().iter().any(has_data) {
            let begin = self.line_end(self.at);
            self.blank_data(begin);
        }
    }

    /// Blanks out the lines behind the end of line `begin`, up to one that is `\.`, and that one too. Where there is none,
    /// psql would read data to the end of the file; that they are is not believed, for no statement may be hidden so.
    fn blank_data(&mut self, begin: usize) {
        let mut start = begin + 1;
        while start <= self.last_end_of_data {
            let line = Span { start, end: self.line_end(start) };
            let is_last = is_end_of_data(line.of(&self.text));
            self.blank(line);
            if is_last {
                return;
            }
            start = line.end + 1;
        }
    }

    /// Offset of the newline that ends the line of `at`, or of the end of the file.
    fn line_end(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        rest.iter().position(|byte| *byte == b'\n').map_or(self.text.len(), |more| at + more)
    }

    fn blank(&mut self, part: Span) {
        let bytes = self.text.get_mut(part.start..part.end).unwrap_or_default();
        bytes.iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
    }
}

/// Whether a line ends COPY's data.
fn is_end_of_data(line: &[u8]) -> bool {
    line.trim_ascii_end() == b"\\."
}
