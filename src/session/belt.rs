//! The limits of time that a session's server keeps by itself: its `statement_timeout` and `lock_timeout`.
//!
//! What the role's limits are, what a session may make of them, and which hold while maintenance or DDL runs, come
//! together here into the parameters that a server is to have. Limits are milliseconds, as Postgres counts them, and 0
//! is none. Deliberately absent: pgweir's own clock; when a server is given what.

use std::sync::Arc;

use super::params::{ParamSet, Setting};
use super::{TextEffects, Timing};
use crate::sql::Upkeep;

/// A parameter of Postgres that limits a statement and leaves the session alive when it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `statement_timeout`.
    Statement,
    /// `lock_timeout`.
    Lock,
}

impl Limit {
    /// Both.
    pub const ALL: [Limit; 2] = [Limit::Statement, Limit::Lock];

    /// The parameter's name, which is that of the key of the configuration, too.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Limit::Statement => "statement_timeout",
            Limit::Lock => "lock_timeout",
        }
    }

    /// The limit with this name, in lower case.
    #[must_use]
    pub fn of(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|limit| limit.name().as_bytes() == name)
    }
}

/// Something for each limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerLimit<T> {
    /// For `statement_timeout`.
    pub statement: T,
    /// For `lock_timeout`.
    pub lock: T,
}

impl<T: Copy> PerLimit<T> {
    /// What is there for one.
    #[must_use]
    pub fn get(&self, limit: Limit) -> T {
        match limit {
            Limit::Statement => self.statement,
            Limit::Lock => self.lock,
        }
    }

    /// Puts something there for one.
    pub fn set(&mut self, limit: Limit, to: T) {
        match limit {
            Limit::Statement => self.statement = to,
            Limit::Lock => self.lock = to,
        }
    }
}

/// What was put into a server's startup packet; 0: nothing was.
pub type Startup = PerLimit<u32>;

impl Startup {
    /// Whether nothing was.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Startup::default()
    }

    /// As parameters: what RESET takes the server to.
    #[must_use]
    pub fn params(&self) -> ParamSet {
        let set = |limit: Limit| {
            let value = self.get(limit).to_string().into_bytes();
            (limit.name().as_bytes().to_vec(), value)
        };
        ParamSet::new(Limit::ALL.into_iter().filter(|limit| self.get(*limit) != 0).map(set))
    }
}

/// What ALTER ROLE or ALTER DATABASE has set for the role that servers are logged in as.
pub type OwnLimits = PerLimit<Option<u32>>;

/// What a session may do with its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaySet {
    /// Nothing.
    #[default]
    Nothing,
    /// Lower them.
    Lower,
    /// Anything.
    Anything,
}

/// A role's limits as its sessions' servers are to keep them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Belt {
    limits: PerLimit<u32>,
    /// The limit of statements while maintenance runs; of locks while DDL does.
    instead: PerLimit<u32>,
    /// For which texts that makes a difference.
    matters: Upkeep,
    own: OwnLimits,
    may: MaySet,
}

impl Belt {
    /// Limits for plain texts, and those for maintenance (statements) and DDL (locks; 0: as for plain texts).
    #[must_use]
    pub fn new(limits: PerLimit<u32>, instead: PerLimit<u32>, own: OwnLimits, may: MaySet) -> Self {
        let limits = PerLimit {
            statement: with_own(limits.statement, own.statement, may),
            lock: with_own(limits.lock, own.lock, may),
        };
        let matters = Upkeep {
            maintenance: instead.statement != limits.statement,
            ddl: instead.lock != 0 && instead.lock != limits.lock,
        };
        Belt { limits, instead, matters, own, may }
    }

    /// What a server of this role's own is dialled with.
    #[must_use]
    pub fn startup(&self) -> Startup {
        self.limits
    }

    /// A limit of statements as pgweir's clock is to keep it; 0: none.
    #[must_use]
    pub fn on_the_clock(&self, limit: u32) -> u32 {
        if self.may_be_anything() { with_own(limit, self.own.statement, self.may) } else { limit }
    }

    /// Whether a session may set them to anything.
    #[must_use]
    pub fn may_be_anything(&self) -> bool {
        self.may == MaySet::Anything
    }

    /// Whether there is any limit.
    #[must_use]
    #[inline]
    pub fn is_on(&self) -> bool {
        self.limits.statement | self.limits.lock | self.instead.statement | self.instead.lock != 0
    }

    /// Which of its other limits a text wants.
    #[must_use]
    #[inline]
    pub fn upkeep(&self, effects: &TextEffects) -> Upkeep {
        Upkeep {
            maintenance: (effects.timing == Timing::Maintenance) & self.matters.maintenance,
            ddl: effects.ddl & self.matters.ddl,
        }
    }

    /// The limit for texts of a kind; 0: none.
    #[must_use]
    pub fn limit(&self, limit: Limit, upkeep: Upkeep) -> u32 {
        let is_other = match limit {
            Limit::Statement => upkeep.maintenance,
            Limit::Lock => upkeep.ddl,
        };
        if is_other { self.instead.get(limit) } else { self.limits.get(limit) }
    }

    /// What holds where a session has set `asked`.
    #[must_use]
    pub fn clamp(&self, limit: Limit, asked: u32, upkeep: Upkeep) -> u32 {
        let most = self.limit(limit, upkeep);
        match self.may {
            MaySet::Anything => asked,
            MaySet::Nothing if self.limits.get(limit) != 0 || most != 0 => most,
            MaySet::Lower if most != 0 && (asked == 0 || asked > most) => most,
            MaySet::Nothing | MaySet::Lower => asked,
        }
    }

    /// What a session is told that has set `asked`: the limit that holds in its place, and whether it could not have
    /// lowered it either. `None`: its value holds.
    #[must_use]
    pub fn refuses(&self, limit: Limit, asked: u32) -> Option<(u32, MaySet)> {
        let holds = self.clamp(limit, asked, Upkeep::default());
        (holds != asked).then_some((holds, self.may))
    }

    /// The parameters that a server is to have for a session with `params`; `None`: those.
    #[must_use]
    pub fn over(&self, params: &ParamSet, upkeep: Upkeep) -> Option<ParamSet> {
        if !self.is_on() {
            return None;
        }
        let mut over: Option<ParamSet> = None;
        for limit in Limit::ALL {
            let name = limit.name().as_bytes();
            let holds = match params.setting(name) {
                Some(setting) => {
                    let asked = millis(setting);
                    let holds = self.clamp(limit, asked.unwrap_or(0), upkeep);
                    let stands = asked == Some(holds) || self.may == MaySet::Anything;
                    (!stands).then_some(holds)
                }
                None => {
                    let (holds, plain) = (self.limit(limit, upkeep), self.limits.get(limit));
                    // No limit, where there is one for plain texts, is a value as well.
                    (holds != 0 || plain != 0).then_some(holds)
                }
            };
            if let Some(holds) = holds {
                over = Some(over.as_ref().unwrap_or(params).with(name, value(holds)));
            }
        }
        over
    }

    /// The same on a server that was dialled with limits which this session is not to have: RESET would bring them
    /// back, so they are set to what they would be without.
    #[must_use]
    pub fn covering(&self, wanted: Arc<ParamSet>, dialled: &ParamSet) -> Arc<ParamSet> {
        let mut wanted = wanted;
        for limit in Limit::ALL {
            let name = limit.name().as_bytes();
            if dialled.setting(name).is_some() && wanted.setting(name).is_none() {
                let own = self.own.get(limit).unwrap_or(0);
                wanted = Arc::new(wanted.with(name, value(own)));
            }
        }
        wanted
    }
}

/// A limit where ALTER ROLE or ALTER DATABASE says something else: what is lower holds, as if a session had set it.
fn with_own(limit: u32, own: Option<u32>, may: MaySet) -> u32 {
    match own {
        _ if limit == 0 => 0,
        Some(own) if may == MaySet::Anything => own,
        Some(own) if own != 0 => limit.min(own),
        Some(_) | None => limit,
    }
}

fn value(millis: u32) -> Setting {
    Setting::Value(millis.to_string().into_bytes())
}

/// What a parameter is set to, as Postgres reads a duration whose unit is a millisecond (`parse_int` in guc.c). `None`:
/// in a spelling that is not looked at (hexadecimal), or none that Postgres takes.
#[must_use]
pub fn millis(setting: &Setting) -> Option<u32> {
    match setting {
        Setting::Value(text) | Setting::Words(text) => millis_of(text),
        Setting::Unset => None,
    }
}

/// The same of a value.
#[must_use]
pub fn millis_of(text: &[u8]) -> Option<u32> {
    let text = str::from_utf8(text).ok()?.trim();
    let is_digit = |c: char| c.is_ascii_digit() || c == '.';
    let end = text.find(|c| !is_digit(c)).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if number.len() > 1 && number.starts_with('0') && !number.contains('.') {
        // Octal.
        return None;
    }
    let factor = match unit.trim_start() {
        "" | "ms" => 1.0,
        "us" => 0.001,
        "s" => 1_000.0,
        "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    let millis = (number.parse::<f64>().ok()? * factor).round_ties_even();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within i32")]
    (0.0..=f64::from(i32::MAX)).contains(&millis).then_some(millis as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Upkeep = Upkeep { maintenance: false, ddl: false };
    const MAINTENANCE: Upkeep = Upkeep { maintenance: true, ddl: false };
    const DDL: Upkeep = Upkeep { maintenance: false, ddl: true };

    fn belt(limits: (u32, u32), instead: (u32, u32), may: MaySet) -> Belt {
        let per = |(statement, lock)| PerLimit { statement, lock };
        Belt::new(per(limits), per(instead), OwnLimits::default(), may)
    }

    fn set(pairs: &[(&str, &str)]) -> ParamSet {
        ParamSet::new(pairs.iter().map(|(a, b)| (a.as_bytes().to_vec(), b.as_bytes().to_vec())))
    }

    fn both(params: &ParamSet) -> String {
        let one = |limit: Limit| match params.setting(limit.name().as_bytes()) {
            Some(Setting::Value(value)) => String::from_utf8(value.clone()).unwrap(),
            Some(other) => format!("{other:?}"),
            None => "-".to_owned(),
        };
        format!("{} {}", one(Limit::Statement), one(Limit::Lock))
    }

    #[test]
    fn durations_are_read_as_postgres_reads_them() {
        let check = |text: &str, expected: Option<u32>| {
            assert_eq!(millis_of(text.as_bytes()), expected, "{text}");
        };
        check("0", Some(0));
        check("5000", Some(5_000));
        check(" 5 s ", Some(5_000));
        check("1.5s", Some(1_500));
        check("250ms", Some(250));
        check("2min", Some(120_000));
        check("1h", Some(3_600_000));
        check("1d", Some(86_400_000));
        check("1500us", Some(2));
        check("2147483647", Some(2_147_483_647));
        for text in ["", "2147483648", "-1", "- 1", "0x10", "010", "5 S", "5 sec", "s", "1.5.5s"] {
            check(text, None);
        }
    }

    #[test]
    fn a_servers_limits_are_the_roles_and_what_its_session_may_make_of_them() {
        use MaySet::{Anything, Lower, Nothing};
        let check = |may: MaySet, upkeep: Upkeep, params: &[(&str, &str)], expected: &str| {
            let belt = belt((15_000, 1_000), (0, 5_000), may);
            let params = set(params);
            let over = belt.over(&params, upkeep);
            assert_eq!(both(over.as_ref().unwrap_or(&params)), expected, "{may:?} {params:?}");
        };
        for may in [Nothing, Lower, Anything] {
            check(may, PLAIN, &[], "15000 1000");
            check(may, MAINTENANCE, &[], "0 1000");
            check(may, DDL, &[], "15000 5000");
        }
        let raises = [("statement_timeout", "0"), ("lock_timeout", "1min")];
        check(Lower, PLAIN, &raises, "15000 1000");
        check(Nothing, PLAIN, &raises, "15000 1000");
        check(Anything, PLAIN, &raises, "0 1min");
        check(Lower, MAINTENANCE, &raises, "0 1000");
        check(Lower, DDL, &raises, "15000 5000");
        let lowers = [("statement_timeout", "5s"), ("lock_timeout", "200")];
        check(Lower, PLAIN, &lowers, "5s 200");
        check(Nothing, PLAIN, &lowers, "15000 1000");
        check(Anything, PLAIN, &lowers, "5s 200");
        check(Lower, MAINTENANCE, &lowers, "5s 200");
        check(Nothing, MAINTENANCE, &lowers, "0 1000");
        check(Lower, DDL, &lowers, "5s 200");
        check(Lower, PLAIN, &[("statement_timeout", "0x10")], "15000 1000");
    }

    #[test]
    fn where_there_is_no_limit_nothing_is_clamped() {
        let off = belt((0, 0), (0, 0), MaySet::Nothing);
        assert!(!off.is_on());
        let params = set(&[("statement_timeout", "0"), ("lock_timeout", "1h")]);
        assert_eq!(off.over(&params, PLAIN), None);
        // Not even where there is one for DDL.
        let ddl = belt((0, 0), (0, 5_000), MaySet::Lower);
        assert_eq!(ddl.over(&params, PLAIN), None);
        assert_eq!(both(&ddl.over(&params, DDL).unwrap()), "0 5000");
        assert_eq!(ddl.over(&set(&[]), PLAIN), None);
        assert_eq!(ddl.refuses(Limit::Lock, 0), None);
    }

    #[test]
    fn other_limits_matter_where_they_are_others() {
        let of = |text: &str| crate::session::facts::effects(text.as_bytes());
        let on = belt((15_000, 0), (0, 5_000), MaySet::Lower);
        assert_eq!(on.upkeep(&of("vacuum t")), MAINTENANCE);
        assert_eq!(on.upkeep(&of("alter table t add a int")), DDL);
        assert_eq!(on.upkeep(&of("select 1")), PLAIN);
        let same = belt((15_000, 5_000), (15_000, 5_000), MaySet::Lower);
        assert_eq!(same.upkeep(&of("vacuum full t")), PLAIN);
        let off = belt((0, 5_000), (0, 0), MaySet::Lower);
        assert_eq!(off.upkeep(&of("vacuum full t")), PLAIN);
    }

    #[test]
    fn what_a_role_has_of_its_own_is_not_raised() {
        let of = |own: u32, may| {
            let own = OwnLimits { statement: Some(own), lock: None };
            let limits = PerLimit { statement: 15_000, lock: 0 };
            Belt::new(limits, PerLimit::default(), own, may).startup().statement
        };
        assert_eq!(of(5_000, MaySet::Lower), 5_000);
        assert_eq!(of(5_000, MaySet::Nothing), 5_000);
        assert_eq!(of(60_000, MaySet::Lower), 15_000);
        assert_eq!(of(0, MaySet::Lower), 15_000);
        assert_eq!(of(60_000, MaySet::Anything), 60_000);
        assert_eq!(of(0, MaySet::Anything), 0);
    }

    #[test]
    fn what_a_server_was_dialled_with_is_covered_where_it_is_not_wanted() {
        let own = OwnLimits { statement: None, lock: Some(7) };
        let off = Belt::new(PerLimit::default(), PerLimit::default(), own, MaySet::Lower);
        let dialled = Startup { statement: 15_000, lock: 1_000 }.params();
        assert_eq!(both(&off.covering(Arc::default(), &dialled)), "0 7");
        let set = Arc::new(set(&[("statement_timeout", "3s")]));
        assert_eq!(both(&off.covering(set, &dialled)), "3s 7");
        assert!(off.covering(Arc::default(), &ParamSet::default()).is_empty());
    }
}
