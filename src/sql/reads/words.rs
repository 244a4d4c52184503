//! Words that mean something to the walk over a query, and words that no function can be called by.

/// A word that the walk acts on, where it stands as a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// ALL and DISTINCT.
    All,
    As,
    /// UNION and its family: a query is to come.
    Combines,
    Delete,
    /// What ends a FROM clause.
    Ends,
    For,
    From,
    Insert,
    Into,
    Is,
    Join,
    Merge,
    On,
    Only,
    Rows,
    Select,
    Table,
    Treat,
    Update,
    Using,
    Values,
    With,
    Within,
    /// Any other that is reserved.
    Reserved,
    /// No keyword that matters.
    Name,
}

/// What the walk acts on, and the rest of what is reserved in every version (RESERVED_KEYWORD of Postgres 14): neither a
/// function nor a relation has such a name without quotes. Sorted.
#[rustfmt::skip]
const TABLE: &[(&str, Word)] = &[
    ("all", Word::All), ("analyse", Word::Reserved), ("analyze", Word::Reserved), ("and", Word::Reserved),
    ("any", Word::Reserved), ("array", Word::Reserved), ("as", Word::As), ("asc", Word::Reserved),
    ("asymmetric", Word::Reserved), ("both", Word::Reserved), ("case", Word::Reserved), ("cast", Word::Reserved),
    ("check", Word::Reserved), ("collate", Word::Reserved), ("column", Word::Reserved),
    ("constraint", Word::Reserved), ("create", Word::Reserved), ("current_catalog", Word::Reserved),
    ("current_date", Word::Reserved), ("current_role", Word::Reserved), ("current_time", Word::Reserved),
    ("current_timestamp", Word::Reserved), ("current_user", Word::Reserved), ("default", Word::Reserved),
    ("deferrable", Word::Reserved), ("delete", Word::Delete), ("desc", Word::Reserved), ("distinct", Word::All),
    ("do", Word::Reserved), ("else", Word::Reserved), ("end", Word::Reserved), ("except", Word::Combines),
    ("false", Word::Reserved), ("fetch", Word::Ends), ("for", Word::For), ("foreign", Word::Reserved),
    ("from", Word::From), ("grant", Word::Reserved), ("group", Word::Ends), ("having", Word::Ends),
    ("in", Word::Reserved), ("initially", Word::Reserved), ("insert", Word::Insert), ("intersect", Word::Combines),
    ("into", Word::Into), ("is", Word::Is), ("join", Word::Join), ("lateral", Word::Only),
    ("leading", Word::Reserved), ("limit", Word::Ends), ("localtime", Word::Reserved),
    ("localtimestamp", Word::Reserved), ("merge", Word::Merge), ("not", Word::Reserved), ("null", Word::Reserved),
    ("offset", Word::Ends), ("on", Word::On), ("only", Word::Only), ("or", Word::Reserved), ("order", Word::Ends),
    ("placing", Word::Reserved), ("primary", Word::Reserved), ("references", Word::Reserved),
    ("returning", Word::Ends), ("rows", Word::Rows), ("select", Word::Select), ("session_user", Word::Reserved),
    ("some", Word::Reserved), ("symmetric", Word::Reserved), ("table", Word::Table), ("then", Word::Reserved),
    ("to", Word::Reserved), ("trailing", Word::Reserved), ("treat", Word::Treat), ("true", Word::Reserved),
    ("union", Word::Combines), ("unique", Word::Reserved), ("update", Word::Update), ("user", Word::Reserved),
    ("using", Word::Using), ("values", Word::Values), ("variadic", Word::Reserved), ("when", Word::Reserved),
    ("where", Word::Ends), ("window", Word::Ends), ("with", Word::With), ("within", Word::Within),
];

/// Longest word in the table.
const LONGEST: usize = "current_timestamp".len();

/// What an unquoted word is; case counts for nothing.
#[inline]
pub(super) fn word(raw: &[u8]) -> Word {
    // Nearly every name is told apart by its first letter and its length.
    let lengths = raw.first().and_then(|first| LENGTHS.get(usize::from(first & 31)));
    match lengths {
        Some(lengths) if raw.len() <= LONGEST && lengths >> raw.len() & 1 == 1 => look_up(raw),
        _ => Word::Name,
    }
}

fn look_up(raw: &[u8]) -> Word {
    let mut buffer = [0_u8; LONGEST];
    let Some(lower) = buffer.get_mut(..raw.len()) else { return Word::Name };
    lower.copy_from_slice(raw);
    lower.make_ascii_lowercase();
    let found = TABLE.binary_search_by(|(known, _)| known.as_bytes().cmp(lower));
    found.ok().and_then(|at| TABLE.get(at)).map_or(Word::Name, |(_, word)| *word)
}

/// The lengths of the words in the table, as bits, by their first letter's low five bits.
const LENGTHS: [u32; 32] = lengths();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn lengths() -> [u32; 32] {
    let mut lengths = [0; 32];
    let mut at = 0;
    while at < TABLE.len() {
        let word = TABLE[at].0.as_bytes();
        lengths[(word[0] & 31) as usize] |= 1 << word.len();
        at += 1;
    }
    lengths
}

/// Words that are no function's name although names of columns (COL_NAME_KEYWORD of Postgres 14, sorted): constructs of
/// the grammar, and types. What they do lies in `pg_catalog`, and is harmless. SUBSTRING and OVERLAY call what a name
/// means when their arguments are written as those of a call, and are none of these.
#[rustfmt::skip]
const CONSTRUCTS: &[&[u8]] = &[
    b"between", b"bigint", b"bit", b"boolean", b"char", b"character", b"coalesce", b"dec", b"decimal", b"exists",
    b"extract", b"float", b"greatest", b"grouping", b"inout", b"int", b"integer", b"interval", b"least", b"national",
    b"nchar", b"none", b"normalize", b"nullif", b"numeric", b"out", b"position", b"precision", b"real",
    b"row", b"setof", b"smallint", b"time", b"timestamp", b"treat", b"trim", b"values", b"varchar",
    b"xmlattributes", b"xmlconcat", b"xmlelement", b"xmlexists", b"xmlforest", b"xmlnamespaces", b"xmlparse",
    b"xmlpi", b"xmlroot", b"xmlserialize", b"xmltable",
];

/// True for an unquoted word that stands before a parenthesis without calling a function of that name.
pub(super) fn is_construct(raw: &[u8]) -> bool {
    CONSTRUCTS.binary_search_by(|known| known.iter().copied().cmp(lower(raw))).is_ok()
}

fn lower(raw: &[u8]) -> impl Iterator<Item = u8> {
    raw.iter().map(u8::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted() {
        assert!(TABLE.is_sorted_by_key(|(word, _)| word) && CONSTRUCTS.is_sorted());
        assert!(TABLE.iter().all(|(word, _)| word.len() <= LONGEST));
        assert!(is_construct(b"Coalesce") && !is_construct(b"lower"));
        assert_eq!(word(b"CURRENT_timestamp"), Word::Reserved);
        assert_eq!(word(b"SELECT"), Word::Select);
        assert_eq!(word(b"a_name_that_is_longer_than_any_of_them"), Word::Name);
    }
}
