//! What a neighbour has that no other session has: what it sets, what it keeps on its server, and what it must see.

/// How the sessions of one neighbour are set up.
struct Way {
    role: &'static str,
    time_zone: &'static str,
    date_style: &'static str,
    interval_style: &'static str,
}

/// No two have anything in common, and Django has none of it.
const WAYS: [Way; 4] = [
    Way {
        role: "pg_read_all_settings",
        time_zone: "Asia/Kathmandu",
        date_style: "German, DMY",
        interval_style: "sql_standard",
    },
    Way {
        role: "pg_read_all_stats",
        time_zone: "Pacific/Chatham",
        date_style: "SQL, DMY",
        interval_style: "postgres_verbose",
    },
    Way {
        role: "pg_stat_scan_tables",
        time_zone: "America/St_Johns",
        date_style: "SQL, MDY",
        interval_style: "iso_8601",
    },
    Way {
        role: "pg_monitor",
        time_zone: "Australia/Eucla",
        date_style: "Postgres, YMD",
        interval_style: "postgres",
    },
];

/// How many different neighbours there are.
pub const KINDS: usize = WAYS.len();

/// What a neighbour looks at, and how. Nothing here is state of a session or sets any.
const LOOKED_AT: [(&str, &str); 14] = [
    ("TimeZone", "current_setting('TimeZone')"),
    ("DateStyle", "current_setting('DateStyle')"),
    ("IntervalStyle", "current_setting('IntervalStyle')"),
    ("search_path", "current_setting('search_path')"),
    ("lock_timeout", "current_setting('lock_timeout')"),
    ("bytea_output", "current_setting('bytea_output')"),
    ("application_name", "current_setting('application_name')"),
    ("app.neighbour", "coalesce(current_setting('app.neighbour', true), '')"),
    ("default_transaction_read_only", "current_setting('default_transaction_read_only')"),
    ("transaction_isolation", "current_setting('transaction_isolation')"),
    ("role", "current_user"),
    (
        "temporary tables",
        "coalesce((SELECT string_agg(objid::regclass::text, ',') FROM pg_depend WHERE classid = 1259 \
         AND refclassid = 2615 AND refobjid = pg_my_temp_schema()), '')",
    ),
    (
        "held cursors",
        "coalesce((SELECT string_agg(name, ',') FROM pg_cursors WHERE is_holdable), '')",
    ),
    (
        "advisory locks",
        "coalesce((SELECT string_agg(objid::text, ',') FROM pg_locks WHERE locktype = 'advisory' \
         AND pid = pg_backend_pid()), '')",
    ),
];

/// A table of Django's.
const TABLE: &str = "django_content_type";

/// What keeps a session's server, and is used as long as it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belonging {
    /// A temporary table, with a row of the neighbour's.
    Table,
    /// A session advisory lock, with a key of the neighbour's.
    Lock,
    /// A cursor WITH HOLD, whose rows are the neighbour's.
    Cursor,
}

impl Belonging {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Table, Self::Lock, Self::Cursor];

    /// As [`LOOKED_AT`] calls it.
    pub fn aspect(self) -> &'static str {
        match self {
            Self::Table => "temporary tables",
            Self::Lock => "advisory locks",
            Self::Cursor => "held cursors",
        }
    }
}

/// One neighbour on one visit.
#[derive(Debug)]
pub struct Own {
    kind: usize,
    visit: usize,
    /// What stands in every place that takes any text.
    mark: String,
}

impl Own {
    /// That of a neighbour of this kind.
    pub fn new(database: &str, kind: usize, visit: usize) -> Self {
        Self { kind, visit, mark: format!("{database} {kind}.{visit}") }
    }

    fn way(&self) -> &'static Way {
        &WAYS[self.kind]
    }

    fn search_path(&self) -> String {
        format!("pg_catalog, neighbour_{}", self.kind)
    }

    /// A key that no other session uses, nor this neighbour on another visit.
    fn key(&self) -> usize {
        1_000_000 + self.visit * KINDS + self.kind
    }

    /// What sets its session up.
    pub fn moves_in(&self) -> Vec<String> {
        let Way { role, time_zone, date_style, interval_style } = self.way();
        let (mark, search_path, lock_ms) = (&self.mark, self.search_path(), self.kind + 1);
        vec![
            format!(
                "SET TimeZone = '{time_zone}'; SET DateStyle = '{date_style}'; \
                 SET IntervalStyle = '{interval_style}'; SET search_path = {search_path}; \
                 SET lock_timeout = '{lock_ms}ms'; SET bytea_output = 'escape'; \
                 SET application_name = '{mark}'; SET app.neighbour = '{mark}'; \
                 SET default_transaction_read_only = on; \
                 SET default_transaction_isolation = 'serializable'; SET ROLE {role}"
            ),
            format!("PREPARE own AS SELECT '{mark}'"),
        ]
    }

    /// What it looks around with: a row of what it sees, with the process id of its server at the end. It takes a
    /// while, for others to want the server.
    pub fn look() -> String {
        let columns = LOOKED_AT.map(|(_, expression)| expression).join(", ");
        format!("SELECT {columns}, pg_backend_pid() FROM pg_sleep(0.01)")
    }

    /// What that must show, each with what it is about.
    pub fn sees(&self, having: Option<Belonging>) -> Vec<(&'static str, String)> {
        let Way { role, time_zone, date_style, interval_style } = self.way();
        let only = |belonging, what: String| {
            if having == Some(belonging) { what } else { String::new() }
        };
        let shown = [
            (*time_zone).to_owned(),
            (*date_style).to_owned(),
            (*interval_style).to_owned(),
            self.search_path(),
            format!("{}ms", self.kind + 1),
            "escape".to_owned(),
            self.mark.clone(),
            self.mark.clone(),
            "on".to_owned(),
            "serializable".to_owned(),
            (*role).to_owned(),
            only(Belonging::Table, TABLE.to_owned()),
            only(Belonging::Cursor, "held".to_owned()),
            only(Belonging::Lock, self.key().to_string()),
        ];
        LOOKED_AT.iter().map(|(aspect, _)| *aspect).zip(shown).collect()
    }

    /// What it asks for by a name that all neighbours use, and the answer.
    pub fn asks_by_name(&self) -> (String, String) {
        ("EXECUTE own".to_owned(), self.mark.clone())
    }

    /// What makes it have something.
    pub fn takes(&self, belonging: Belonging) -> Vec<String> {
        let (mark, key) = (&self.mark, self.key());
        match belonging {
            Belonging::Table => vec![
                "BEGIN READ WRITE".to_owned(),
                format!("CREATE TEMP TABLE {TABLE} AS SELECT '{mark}' AS owner"),
                "COMMIT".to_owned(),
            ],
            Belonging::Lock => vec![format!("SELECT pg_advisory_lock({key})")],
            Belonging::Cursor => vec![format!(
                "DECLARE held CURSOR WITH HOLD FOR \
                 SELECT '{mark} ' || n FROM generate_series(0, 9) AS n"
            )],
        }
    }

    /// What uses what it has, for the n-th time, and the answer.
    pub fn uses(&self, belonging: Belonging, time: usize) -> (String, String) {
        match belonging {
            Belonging::Table => (format!("SELECT owner FROM {TABLE}"), self.mark.clone()),
            // Locks are counted, so that it still has the first.
            Belonging::Lock => (
                format!(
                    "SELECT pg_advisory_lock({key}), pg_advisory_unlock({key})",
                    key = self.key()
                ),
                "|t".to_owned(),
            ),
            Belonging::Cursor => ("FETCH held".to_owned(), format!("{} {time}", self.mark)),
        }
    }

    /// What ends that it has something.
    pub fn gives_up(&self, belonging: Belonging) -> Vec<String> {
        match belonging {
            Belonging::Table => {
                let texts = ["BEGIN READ WRITE", &format!("DROP TABLE {TABLE}"), "COMMIT"];
                texts.map(str::to_owned).into()
            }
            Belonging::Lock => vec![format!("SELECT pg_advisory_unlock({})", self.key())],
            Belonging::Cursor => vec!["CLOSE held".to_owned()],
        }
    }

    /// What is left on the server by a neighbour that leaves without a word, some of it under names that Django uses.
    pub fn leaves_behind(&self) -> Vec<String> {
        vec![
            "RESET ROLE".to_owned(),
            "BEGIN READ WRITE".to_owned(),
            format!("CREATE TEMP TABLE {TABLE} (); CREATE TEMP TABLE auth_user ()"),
            "COMMIT".to_owned(),
            format!(
                "PREPARE _pg3_0 AS SELECT 1; DECLARE held CURSOR WITH HOLD FOR SELECT 1; \
                 SELECT pg_advisory_lock({})",
                self.key()
            ),
        ]
    }
}
