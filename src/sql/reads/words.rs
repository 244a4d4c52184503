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

/// Longest word in the tables.
const LONGEST: usize = "current_timestamp".len();

/// What an unquoted word is.
pub(super) fn word(raw: &[u8]) -> Word {
    let mut buffer = [0_u8; LONGEST];
    let Some(lower) = buffer.get_mut(..raw.len()) else { return Word::Name };
    lower.copy_from_slice(raw);
    lower.make_ascii_lowercase();
    match &*lower {
        b"as" => Word::As,
        b"delete" => Word::Delete,
        b"where" | b"group" | b"having" | b"window" | b"order" | b"limit" | b"offset"
        | b"fetch" | b"returning" => Word::Ends,
        b"union" | b"intersect" | b"except" => Word::Combines,
        b"all" | b"distinct" => Word::All,
        b"for" => Word::For,
        b"from" => Word::From,
        b"insert" => Word::Insert,
        b"into" => Word::Into,
        b"is" => Word::Is,
        b"join" => Word::Join,
        b"merge" => Word::Merge,
        b"on" => Word::On,
        b"only" | b"lateral" => Word::Only,
        b"rows" => Word::Rows,
        b"select" => Word::Select,
        b"table" => Word::Table,
        b"treat" => Word::Treat,
        b"update" => Word::Update,
        b"using" => Word::Using,
        b"values" => Word::Values,
        b"with" => Word::With,
        b"within" => Word::Within,
        lower if RESERVED.binary_search(&lower).is_ok() => Word::Reserved,
        _ => Word::Name,
    }
}

/// The rest of what is reserved in every version (RESERVED_KEYWORD of Postgres 14, sorted): neither a function nor a
/// relation has such a name without quotes.
#[rustfmt::skip]
const RESERVED: &[&[u8]] = &[
    b"analyse", b"analyze", b"and", b"any", b"array", b"asc", b"asymmetric", b"both", b"case", b"cast",
    b"check", b"collate", b"column", b"constraint", b"create", b"current_catalog", b"current_date", b"current_role",
    b"current_time", b"current_timestamp", b"current_user", b"default", b"deferrable", b"desc", b"do",
    b"else", b"end", b"false", b"foreign", b"grant", b"in", b"initially", b"leading", b"localtime", b"localtimestamp",
    b"not", b"null", b"or", b"placing", b"primary", b"references", b"session_user", b"some", b"symmetric", b"then",
    b"to", b"trailing", b"true", b"unique", b"user", b"variadic", b"when",
];

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

/// True for an unquoted word (lower case) that stands before a parenthesis without calling a function of that name.
pub(super) fn is_construct(lower: &[u8]) -> bool {
    CONSTRUCTS.binary_search(&lower).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted() {
        assert!(RESERVED.is_sorted() && CONSTRUCTS.is_sorted());
        assert!(RESERVED.iter().all(|word| word.len() <= LONGEST));
        assert_eq!(word(b"CURRENT_timestamp"), Word::Reserved);
        assert_eq!(word(b"SELECT"), Word::Select);
        assert_eq!(word(b"a_name_that_is_longer_than_any_of_them"), Word::Name);
    }
}
