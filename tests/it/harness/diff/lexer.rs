//! Words of a script line: bare words, quoted bytes, lists.

/// One word of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Without quotes.
    Bare(String),
    /// Quoted: `"a\n\0\xff"`, also `" "*1000` and `"a"+"b"`.
    Bytes(Vec<u8>),
    /// `[1 null "x"]`
    List(Vec<Word>),
}

/// Splits a line into words.
pub fn words(line: &str) -> Result<Vec<Word>, String> {
    let mut lexer = Lexer { rest: line };
    let mut found = Vec::new();
    while let Some(word) = lexer.word()? {
        found.push(word);
    }
    if lexer.rest.is_empty() { Ok(found) } else { Err(format!("a stray {:?}", lexer.rest)) }
}

struct Lexer<'a> {
    rest: &'a str,
}

impl Lexer<'_> {
    /// `None` at the end of the line, or before a closing bracket.
    fn word(&mut self) -> Result<Option<Word>, String> {
        self.rest = self.rest.trim_start();
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        match first {
            ']' => Ok(None),
            '"' => Ok(Some(Word::Bytes(self.bytes()?))),
            '[' => {
                self.rest = &self.rest[1..];
                let mut list = Vec::new();
                while let Some(word) = self.word()? {
                    list.push(word);
                }
                self.rest = self.rest.strip_prefix(']').ok_or("a list without its end")?;
                Ok(Some(Word::List(list)))
            }
            _ => {
                let end = self.rest.find(|c: char| c.is_whitespace() || c == ']' || c == '[');
                let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                self.rest = rest;
                Ok(Some(Word::Bare(word.to_owned())))
            }
        }
    }

    fn bytes(&mut self) -> Result<Vec<u8>, String> {
        let mut all = Vec::new();
        loop {
            let part = self.quoted()?;
            let mut times = 1;
            if let Some(rest) = self.rest.strip_prefix('*') {
                let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                times = rest[..end].parse().map_err(|_| "a * without a number")?;
                self.rest = &rest[end..];
            }
            all.extend(part.repeat(times));
            match self.rest.strip_prefix('+') {
                Some(rest) => self.rest = rest,
                None => return Ok(all),
            }
        }
    }

    fn quoted(&mut self) -> Result<Vec<u8>, String> {
        let text = self.rest.strip_prefix('"').ok_or("a quoted string was expected")?;
        let mut bytes = Vec::new();
        let mut letters = text.char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.rest = &text[at + 1..];
                    return Ok(bytes);
                }
                '\\' => bytes.push(match letters.next().map(|(_, letter)| letter) {
                    Some('n') => b'\n',
                    Some('t') => b'\t',
                    Some('r') => b'\r',
                    Some('0') => 0,
                    Some('"') => b'"',
                    Some('\\') => b'\\',
                    Some('x') => {
                        let digits = text.get(at + 2..at + 4).ok_or("\\x needs two digits")?;
                        letters.nth(1);
                        u8::from_str_radix(digits, 16).map_err(|_| "\\x needs two digits")?
                    }
                    other => return Err(format!("an unknown escape {other:?}")),
                }),
                letter => bytes.extend(letter.to_string().as_bytes()),
            }
        }
        Err("a string without its end".into())
    }
}
