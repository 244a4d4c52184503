//! What a parameter is set to, as far as a text shows it.

use super::history::Scene;
use crate::session::belt;
use crate::sql::{Action, Cursor, Span, names_temp_schema};

/// The value of a SET or `set_config`, where it is one literal, word or number.
pub(super) fn value(action: &Action, scene: &Scene) -> Option<Vec<u8>> {
    match action {
        Action::Value(value) => Some(value.to_vec()),
        Action::Tokens(span) => single(*span, scene),
        Action::Read
        | Action::Default
        | Action::Current
        | Action::Param(_)
        | Action::Null
        | Action::Expression => None,
    }
}

fn single(span: Span, scene: &Scene) -> Option<Vec<u8>> {
    let mut at = Cursor::new(scene.text, span, scene.options);
    let token = at.peek()?;
    let value = if token.kind.is_string() {
        at.string()?.into_owned()
    } else if token.kind.is_word() {
        at.name()?.as_bytes().to_vec()
    } else {
        at.bump();
        token.span.of(scene.text).to_vec()
    };
    at.at_end().then_some(value)
}

/// A duration in milliseconds; 0 is none.
pub(super) fn millis(action: &Action, scene: &Scene) -> Option<u32> {
    belt::millis_of(&value(action, scene)?)
}

/// True for a list of schemas that may name the temporary one, also where it cannot be read.
pub(super) fn names_temp(action: &Action, scene: &Scene) -> bool {
    match action {
        Action::Value(value) => names_temp_schema(value),
        Action::Tokens(span) => {
            let raw = span.of(scene.text);
            // A name may be spelled with escapes.
            names_temp_schema(raw) || raw.contains(&b'\\') || raw.contains(&b'&')
        }
        Action::Read | Action::Default | Action::Current | Action::Null => false,
        Action::Param(_) | Action::Expression => true,
    }
}
