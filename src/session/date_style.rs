//! `DateStyle` is two parameters in one: `SET datestyle = dmy` leaves the style as it is, and `iso` the order of day,
//! month and year. What a session has is told to servers whole, for they may have been somebody else's before.

use super::params::Setting;

/// One half of the parameter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    /// As it was.
    Old,
    /// The server's default.
    Default,
    /// This word.
    Given(&'static str),
}

/// The setting, with what it leaves as it is from the one before it, or else from the server's default.
pub(super) fn whole(setting: Setting, before: Option<&Setting>) -> Setting {
    match (halves(&setting), before.and_then(halves)) {
        // Words that Postgres does not take, or nothing is missing.
        (None, _) | (Some((Half::Given(_), Half::Given(_))), _) => setting,
        (Some((style, order)), before) => {
            let (style_before, order_before) = before.unwrap_or((Half::Default, Half::Default));
            let style = if style == Half::Old { style_before } else { style };
            let order = if order == Half::Old { order_before } else { order };
            let word = |half| match half {
                Half::Given(word) => Some(word),
                Half::Old | Half::Default => None,
            };
            let given: Vec<_> = [style, order].into_iter().filter_map(word).collect();
            let default = if given.len() < 2 { Some("default") } else { None };
            let words: Vec<_> = given.into_iter().chain(default).collect();
            Setting::Value(words.join(", ").into_bytes())
        }
    }
}

/// What it sets (`check_datestyle`); `None` where Postgres would not take it.
fn halves(setting: &Setting) -> Option<(Half, Half)> {
    let (Setting::Value(text) | Setting::Words(text)) = setting else { return None };
    let text = text.to_ascii_lowercase();
    // Of a list of literals and names only commas, blanks and quotes are no words.
    let separates = |byte: &u8| b", \t\r\n\x0b\x0c'\"".contains(byte);
    let (mut style, mut order) = (Half::Old, Half::Old);
    let (mut has_style, mut has_order) = (false, false);
    for word in text.split(separates).filter(|word| !word.is_empty()) {
        let names_style = match word {
            b"iso" => Some("iso"),
            b"sql" => Some("sql"),
            b"german" => Some("german"),
            word if word.starts_with(b"postgres") => Some("postgres"),
            _ => None,
        };
        let names_order = match word {
            b"ymd" => Some("ymd"),
            b"dmy" => Some("dmy"),
            b"mdy" | b"us" => Some("mdy"),
            word if word.starts_with(b"euro") => Some("dmy"),
            word if word.starts_with(b"noneuro") => Some("mdy"),
            _ => None,
        };
        match (names_style, names_order) {
            (Some(name), _) => {
                (style, has_style) = (Half::Given(name), true);
                if name == "german" && !has_order {
                    order = Half::Given("dmy");
                }
            }
            (None, Some(name)) => (order, has_order) = (Half::Given(name), true),
            (None, None) if word == b"default" => {
                style = if has_style { style } else { Half::Default };
                order = if has_order { order } else { Half::Default };
            }
            (None, None) => return None,
        }
    }
    Some((style, order))
}

#[cfg(test)]
mod tests {
    use super::{Setting, whole};

    fn check(before: Option<&str>, set: &str, expected: &str) {
        let value = |text: &str| Setting::Value(text.into());
        let before = before.map(value);
        assert_eq!(whole(value(set), before.as_ref()), value(expected), "{before:?} {set}");
    }

    #[test]
    fn the_half_that_is_not_set_stays() {
        check(Some("Postgres, MDY"), "ymd", "postgres, ymd");
        check(Some("Postgres, MDY"), "ISO", "iso, mdy");
        check(Some("iso, ymd"), "euro", "iso, dmy");
        check(Some("iso, ymd"), "SQL, DMY", "SQL, DMY");
        check(Some("iso, ymd"), "German", "German");
        check(Some("iso, ymd"), "German, US", "German, US");
        check(Some("iso, ymd"), "ymd, german", "ymd, german");
        check(Some("iso, ymd"), "", "iso, ymd");
    }

    #[test]
    fn what_was_never_set_is_the_servers_default() {
        check(None, "ymd", "ymd, default");
        check(None, "iso", "iso, default");
        check(Some("ymd, default"), "iso", "iso, ymd");
        check(Some("ymd, default"), "dmy", "dmy, default");
        check(Some("iso, ymd"), "default", "default");
        check(Some("iso, ymd"), "sql, default", "sql, default");
        check(Some("iso, ymd"), "german, default", "german, default");
    }

    #[test]
    fn words_are_found_in_lists_too() {
        let words = |text: &str| Setting::Words(text.into());
        let expected = Setting::Value(b"iso, ymd".to_vec());
        assert_eq!(whole(words("'ymd'"), Some(&words("iso , 'DMY'"))), expected);
        assert_eq!(whole(words("iso , dmy"), None), words("iso , dmy"));
    }

    #[test]
    fn what_postgres_refuses_stays_as_it_is() {
        check(Some("iso, ymd"), "nonsense", "nonsense");
        check(Some("nonsense"), "ymd", "ymd, default");
    }
}
