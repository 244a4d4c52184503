//! ErrorResponse and NoticeResponse as pgweir writes them.

use bytes::{BufMut, BytesMut};
use std::borrow::Cow;

use super::backend;

/// Severity of a report; the word stands in both the `S` and the `V` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The session goes on.
    Error,
    /// The session ends.
    Fatal,
    /// A NoticeResponse.
    Warning,
    /// A NoticeResponse.
    Notice,
}

impl Severity {
    /// The word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
            Severity::Warning => "WARNING",
            Severity::Notice => "NOTICE",
        }
    }
}

/// An error or notice that pgweir itself sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Severity.
    pub severity: Severity,
    /// Five characters of SQLSTATE.
    pub sqlstate: [u8; 5],
    /// Primary message.
    pub message: Cow<'static, str>,
    /// DETAIL, when there is one.
    pub detail: Option<Cow<'static, str>>,
    /// HINT, when there is one.
    pub hint: Option<Cow<'static, str>>,
    /// The `R` field: which part of pgweir speaks.
    pub routine: Cow<'static, str>,
}

impl Report {
    /// A report without DETAIL and HINT.
    pub fn new(
        severity: Severity,
        sqlstate: &[u8; 5],
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Report {
            severity,
            sqlstate: *sqlstate,
            message: message.into(),
            detail: None,
            hint: None,
            routine: Cow::Borrowed("pgweir"),
        }
    }

    /// An ERROR.
    pub fn error(sqlstate: &[u8; 5], message: impl Into<Cow<'static, str>>) -> Self {
        Report::new(Severity::Error, sqlstate, message)
    }

    /// A FATAL.
    pub fn fatal(sqlstate: &[u8; 5], message: impl Into<Cow<'static, str>>) -> Self {
        Report::new(Severity::Fatal, sqlstate, message)
    }

    /// The same with a DETAIL.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same with a HINT.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same from another part of pgweir.
    #[must_use]
    pub fn routine(mut self, routine: impl Into<Cow<'static, str>>) -> Self {
        self.routine = routine.into();
        self
    }

    /// The same with another severity: FATAL becomes ERROR where the session lives on.
    #[must_use]
    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// What a server said, as a report of ours: SQLSTATE, message, detail and hint are kept.
    #[must_use]
    pub fn from_server(body: &[u8]) -> Self {
        let mut report = Report::error(b"XX000", "the server sent an error without a message");
        for (kind, value) in backend::error_fields(body) {
            let text = || Cow::Owned(String::from_utf8_lossy(value).into_owned());
            match kind {
                b'C' => report.sqlstate = value.try_into().unwrap_or(*b"XX000"),
                b'M' => report.message = text(),
                b'D' => report.detail = Some(text()),
                b'H' => report.hint = Some(text()),
                b'V' if value == b"FATAL" || value == b"PANIC" => report.severity = Severity::Fatal,
                _ => {}
            }
        }
        report
    }

    /// SQLSTATE as text.
    #[must_use]
    pub fn sqlstate(&self) -> &str {
        std::str::from_utf8(&self.sqlstate).unwrap_or("XX000")
    }

    /// Appends the whole message: an ErrorResponse, or a NoticeResponse for notices and warnings.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(match self.severity {
            Severity::Error | Severity::Fatal => backend::tag::ERROR_RESPONSE,
            Severity::Warning | Severity::Notice => backend::tag::NOTICE_RESPONSE,
        });
        super::build::sized(out, |out| {
            let mut field = |kind: u8, value: &[u8]| {
                out.push(kind);
                out.extend(value.iter().filter(|&&byte| byte != 0));
                out.push(0);
            };
            field(b'S', self.severity.word().as_bytes());
            field(b'V', self.severity.word().as_bytes());
            field(b'C', &self.sqlstate);
            field(b'M', self.message.as_bytes());
            if let Some(detail) = &self.detail {
                field(b'D', detail.as_bytes());
            }
            if let Some(hint) = &self.hint {
                field(b'H', hint.as_bytes());
            }
            field(b'R', self.routine.as_bytes());
            out.push(0);
        });
    }

    /// The whole message in a buffer of its own.
    #[must_use]
    pub fn to_bytes(&self) -> BytesMut {
        let mut out = Vec::new();
        self.write(&mut out);
        let mut bytes = BytesMut::with_capacity(out.len());
        bytes.put_slice(&out);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_back_as_it_was_written() {
        let report = Report::error(b"53300", "no server\0 free").detail("pool of 5").hint("wait");
        let mut out = Vec::new();
        report.write(&mut out);
        let header = super::super::frame::header(&out, 1000).unwrap().unwrap();
        assert_eq!(header.frame_len(), out.len());
        let back = Report::from_server(&out[5..]);
        assert_eq!(back.message, "no server free");
        assert_eq!(back.sqlstate(), "53300");
        assert_eq!(back.detail.as_deref(), Some("pool of 5"));
        assert_eq!(back.hint.as_deref(), Some("wait"));
        assert_eq!(back.severity, Severity::Error);
    }

    #[test]
    fn a_server_error_without_fields_still_is_a_report() {
        assert_eq!(Report::from_server(b"").sqlstate(), "XX000");
        assert_eq!(Report::from_server(b"Cxx\0\0").sqlstate(), "XX000");
        assert_eq!(Report::from_server(b"VFATAL\0C57P01\0\0").severity, Severity::Fatal);
    }
}
