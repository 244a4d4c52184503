//! Client encodings in which a byte of a multibyte character may look like ASCII.
//!
//! Owns the lengths of such characters. The server converts a text to its own encoding, in which every byte of a
//! multibyte character has its high bit set, before it looks for tokens; a lexer that reads the client's bytes must
//! step over these characters whole, or it sees backslashes and semicolons that are not there.
//!
//! Deliberately absent: validity and conversion. A text that is invalid in its encoding is refused by the server
//! whole (`pg_client_to_server`), so its tokens do not matter.

/// How the bytes of one character hang together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Every byte below 0x80 is an ASCII character: UTF8, the LATIN and WIN families, the EUC family, SQL_ASCII.
    #[default]
    AsciiSafe,
    /// SJIS and SHIFT_JIS_2004: two bytes, but 0xA1 to 0xDF stand alone.
    Sjis,
    /// BIG5, GBK, UHC: two bytes.
    TwoByte,
    /// GB18030: two bytes, or four where the second is a digit.
    Gb18030,
    /// JOHAB: two bytes, three after 0x8F.
    Johab,
}

impl Encoding {
    /// The encoding of a `client_encoding` value, spelled as the server reports it or as a client writes it: case
    /// and everything but letters and digits count for nothing (`clean_encoding_name`).
    pub fn from_name(name: &[u8]) -> Self {
        let mut clean = [0_u8; 16];
        let letters = name.iter().filter(|b| b.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase);
        let mut len = 0;
        for letter in letters {
            let Some(slot) = clean.get_mut(len) else { return Self::AsciiSafe };
            *slot = letter;
            len += 1;
        }
        match clean.get(..len).unwrap_or_default() {
            b"sjis" | b"mskanji" | b"shiftjis" | b"win932" | b"windows932" | b"shiftjis2004" => {
                Self::Sjis
            }
            b"big5" | b"win950" | b"windows950" | b"gbk" | b"win936" | b"windows936" | b"uhc"
            | b"win949" | b"windows949" => Self::TwoByte,
            b"gb18030" => Self::Gb18030,
            b"johab" => Self::Johab,
            _ => Self::AsciiSafe,
        }
    }

    /// Bytes of the character at the front of `rest`: at least 1, at most `rest.len()`, except that it is 1 for
    /// nothing at all. No character takes in a byte below 0x30: quotes, comment starts and newlines are always
    /// themselves, also in texts that the server would refuse.
    pub fn char_len(self, rest: &[u8]) -> usize {
        let lead = rest.first().copied().unwrap_or_default();
        if lead < 0x80 {
            return 1;
        }
        let digit_second = rest.get(1).is_some_and(u8::is_ascii_digit);
        let wanted = match self {
            Self::AsciiSafe => 1,
            Self::Sjis if (0xA1..=0xDF).contains(&lead) => 1,
            Self::Gb18030 if digit_second => 4,
            Self::Johab if lead == 0x8F => 3,
            Self::Sjis | Self::TwoByte | Self::Gb18030 | Self::Johab => 2,
        };
        let trail = rest.iter().skip(1).take(wanted - 1);
        1 + trail.take_while(|b| **b >= 0x30).count()
    }
}
