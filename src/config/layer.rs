//! Structs whose fields may each be set by several tables, the most specific last.

/// Declares a struct of values, and the layer type that holds what one table sets of them.
macro_rules! layered {
    ($(#[$outer:meta])* $config:ident, $layer:ident { $($(#[$doc:meta])* $name:ident: $type:ty,)+ }) => {
        $(#[$outer])*
        #[derive(Clone, Debug)]
        pub struct $config { $($(#[$doc])* pub $name: $type,)+ }

        /// What one table sets of it.
        #[derive(Clone, Debug, Default)]
        pub(super) struct $layer { $(pub $name: Option<Set<$type>>,)+ }

        impl $layer {
            /// Takes the allowed keys out of a table; all others are left to the caller.
            pub fn read(section: &mut Section<'_>, allowed: impl Fn(&str) -> bool) -> Self {
                $layer {
                    $($name: if allowed(stringify!($name)) { section.optional(stringify!($name)) } else { None },)+
                }
            }

            /// Replaces what this layer sets.
            pub fn apply(&self, values: &mut $config) {
                $(if let Some(set) = &self.$name { values.$name.clone_from(&set.value); })+
            }

            /// Where this layer sets `key`.
            pub fn origin(&self, key: &str) -> Option<&Origin> {
                match key {
                    $(stringify!($name) => self.$name.as_ref().map(|set| &set.origin),)+
                    _ => None,
                }
            }
        }

        impl $config {
            /// The keys, in the order of the declaration.
            pub const KEYS: &[&str] = &[$(stringify!($name),)+];

            /// Every value as text, secrets as `***`, in the order of the keys.
            pub(super) fn shown(&self) -> Vec<(&'static str, String)> {
                vec![$((stringify!($name), self.$name.show()),)+]
            }
        }
    };
}

pub(super) use layered;
