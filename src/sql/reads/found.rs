//! The names that a text has, each once.

use super::super::commands::ObjectName;
use super::super::literal;
use super::super::literal::Name;
use super::super::{Kind, Token};
use super::settings::is_of_the_session;

/// More functions or relations than this are not kept, and then nothing is proven.
const NAMES_MAX: usize = 256;
/// The same for the last parts of names with points: wide tables have many columns.
const DOTTED_MAX: usize = 512;

/// What has been found so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) functions: Set<ObjectName, NAMES_MAX>,
    pub(super) relations: Set<ObjectName, NAMES_MAX>,
    pub(super) dotted: Set<Name, DOTTED_MAX>,
    pub(super) setting: Option<Name>,
    /// A name that is being compared.
    scratch: Vec<u8>,
}

/// A part of a name, as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) token: Token,
    pub(super) escape: u8,
}

impl Part {
    pub(super) fn name(self, text: &[u8]) -> Name {
        literal::name(self.token, text, self.escape)
    }
}

impl Found {
    /// A part of a name behind a point. Most are columns, and many are met twice: nothing is allocated for those.
    pub(super) fn dotted(&mut self, part: Part, text: &[u8]) {
        let raw = part.token.span.of(text);
        self.scratch.clear();
        match part.token.kind {
            Kind::Word => self.scratch.extend(raw.iter().map(u8::to_ascii_lowercase)),
            Kind::QuotedWord => {
                self.scratch.extend_from_slice(raw.get(1..raw.len() - 1).unwrap_or(raw));
            }
            _ => return self.dotted.insert(part.name(text)),
        }
        // Doubled quotes are one, and long names are cut.
        if self.scratch.len() > 63 || self.scratch.contains(&b'"') {
            return self.dotted.insert(part.name(text));
        }
        self.dotted.insert_bytes(&self.scratch);
    }

    /// A parameter is read.
    pub(super) fn reads(&mut self, parameter: Name) {
        if !is_of_the_session(parameter.as_bytes()) {
            self.setting.get_or_insert(parameter);
        }
    }

    /// True when names were too many to keep.
    pub(super) fn overflows(&self) -> bool {
        self.functions.overflows || self.relations.overflows || self.dotted.overflows
    }
}

/// Up to `MAX` different names, in the order in which they were met.
#[derive(Debug)]
pub(super) struct Set<T, const MAX: usize> {
    pub(super) names: Vec<T>,
    /// Of each name; looked through first, since names lie anywhere and these side by side.
    marks: Vec<u32>,
    overflows: bool,
}

impl<T, const MAX: usize> Default for Set<T, MAX> {
    fn default() -> Self {
        Self { names: Vec::new(), marks: Vec::new(), overflows: false }
    }
}

impl<T: Marked + PartialEq, const MAX: usize> Set<T, MAX> {
    pub(super) fn insert(&mut self, name: T) {
        let mark = name.mark();
        let known = self.marks.iter().zip(&self.names).any(|(m, n)| *m == mark && *n == name);
        if known {
            return;
        }
        if self.names.len() >= MAX {
            self.overflows = true;
            return;
        }
        self.marks.push(mark);
        self.names.push(name);
    }
}

impl<const MAX: usize> Set<Name, MAX> {
    fn insert_bytes(&mut self, name: &[u8]) {
        let mark = mark(name);
        let is = |known: &Name| known.as_bytes() == name;
        if !self.marks.iter().zip(&self.names).any(|(m, n)| *m == mark && is(n)) {
            self.insert(Name::new(name));
        }
    }
}

/// FNV-1a: names that were chosen to collide cost comparisons, and those are bounded.
fn mark(name: &[u8]) -> u32 {
    name.iter().fold(0x811C_9DC5, |mark, byte| (mark ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// What has a number that equal values share.
pub(super) trait Marked {
    fn mark(&self) -> u32;
}

impl Marked for Name {
    fn mark(&self) -> u32 {
        mark(self.as_bytes())
    }
}

impl Marked for ObjectName {
    fn mark(&self) -> u32 {
        self.name.mark()
    }
}
