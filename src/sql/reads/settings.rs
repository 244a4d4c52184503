//! Parameters whose value is the session's, whichever server it is read from.

/// Sorted. A session brings what it has set to every server; what it has not set comes from the database and the role,
/// which a standby has too, or from a configuration that primary and standby are to share.
const OF_THE_SESSION: &[&[u8]] = &[
    b"application_name",
    b"array_nulls",
    b"bytea_output",
    b"client_encoding",
    b"client_min_messages",
    b"datestyle",
    b"default_text_search_config",
    b"default_transaction_isolation",
    b"extra_float_digits",
    b"integer_datetimes",
    b"intervalstyle",
    b"lc_collate",
    b"lc_ctype",
    b"lc_messages",
    b"lc_monetary",
    b"lc_numeric",
    b"lc_time",
    b"lock_timeout",
    b"max_identifier_length",
    b"quote_all_identifiers",
    b"role",
    b"row_security",
    b"search_path",
    b"server_encoding",
    b"server_version",
    b"server_version_num",
    b"session_authorization",
    b"standard_conforming_strings",
    b"statement_timeout",
    b"timezone",
    b"timezone_abbreviations",
    b"transaction_isolation",
    b"xmlbinary",
    b"xmloption",
];

/// True for a parameter (lower case) that means the same on every server of a database: one of the session, or one of
/// the application's own (`app.tenant`).
pub fn is_of_the_session(parameter: &[u8]) -> bool {
    parameter.contains(&b'.') || OF_THE_SESSION.binary_search(&parameter).is_ok()
}
