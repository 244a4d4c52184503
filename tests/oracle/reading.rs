//! Whether a text that is said to only read does so in the parse tree, and whether its names are all there.
//!
//! The tree is walked as JSON: one walk for all kinds of nodes, which knows what WITH hides.

use pg_query::NodeEnum;
use pgweir::route::functions;
use pgweir::sql::commands::ObjectName;
use pgweir::sql::reads::{Kind, Reading, reading};
use pgweir::sql::{LexOptions, Name};
use serde_json::Value;

use crate::explained::Reason;
use crate::recognised::analyzes;
use crate::referee::{self, Judgement};

/// How often the two sides agree about what nothing depends on but speed.
#[derive(Default)]
pub struct Shares {
    /// Texts that only read, by their trees.
    pub reads: usize,
    /// Those of them that are not said to.
    pub missed: Vec<String>,
    /// Those with a name that the tree does not have, and that no list of Postgres' own has either.
    pub extra: Vec<String>,
}

/// Compares what is said of one text with its parse tree.
pub fn judge(text: &str, shares: &mut Shares) -> Judgement {
    let parsed = {
        let _turn = referee::turn();
        pg_query::parse(text, pg_query::ParserOptions::DEFAULT)
    };
    let Ok(parsed) = parsed else { return Judgement::NoAnswer };
    let ours = reading(text.as_bytes(), LexOptions::default());
    let mut theirs = Theirs { only_reads: !parsed.protobuf.stmts.is_empty(), ..Theirs::default() };
    for statement in &parsed.protobuf.stmts {
        match statement.stmt.as_ref().and_then(|node| node.node.as_ref()) {
            Some(node) => theirs.statement(node),
            None => return Judgement::NoAnswer,
        }
    }
    if theirs.only_reads {
        shares.reads += 1;
        if ours.kind != Kind::Read {
            shares.missed.push(format!("{:?} in {text:?}", ours.kind));
        }
    }
    let named = match ours.kind {
        Kind::Read if !theirs.only_reads => {
            return Judgement::Different("said to read, and it does not".to_owned());
        }
        Kind::Cursor if !theirs.only_reads && !theirs.is_cursor => {
            return Judgement::Different("said to be of a cursor, and it is not".to_owned());
        }
        Kind::Write(_) if theirs.only_reads => return Judgement::Explained(Reason::Cautious),
        Kind::Read | Kind::Cursor | Kind::Execute(_) => true,
        Kind::Session | Kind::Control | Kind::Write(_) | Kind::Unknown => false,
    };
    if !named {
        return Judgement::Same;
    }
    for (what, theirs, ours) in [
        ("function", &theirs.functions, listed(&ours.functions)),
        ("relation", &theirs.relations, listed(&ours.relations)),
        ("part", &theirs.parts, ours.dotted.iter().map(of_bytes).collect()),
    ] {
        if let Some(missed) = theirs.iter().find(|name| !ours.contains(name)) {
            return Judgement::Different(format!("{what} {missed:?} is not among {ours:?}"));
        }
    }
    if let Some(name) = extra(&ours, &theirs) {
        shares.extra.push(format!("{name} in {text:?}"));
    }
    Judgement::Same
}

fn of_bytes(name: &Name) -> String {
    String::from_utf8_lossy(name.as_bytes()).into_owned()
}

fn one(name: &ObjectName) -> String {
    let schema = name.schema.as_ref().map_or_else(String::new, |schema| of_bytes(schema) + ".");
    schema + &of_bytes(&name.name)
}

fn listed(names: &[ObjectName]) -> Vec<String> {
    names.iter().map(one).collect()
}

/// A name that keeps a text from replicas although its tree does not have it.
fn extra(ours: &Reading, theirs: &Theirs) -> Option<String> {
    let known = |name: &&ObjectName| {
        let name = name.name.as_bytes();
        functions::is_harmless(name) || functions::is_construct(name)
    };
    let function = ours.functions.iter().filter(|name| !known(name)).map(one);
    let function = function.into_iter().find(|name| !theirs.functions.contains(name));
    let relation = || ours.relations.iter().map(one).find(|name| !theirs.relations.contains(name));
    function.or_else(relation)
}

/// What the trees of a text say.
#[derive(Default)]
struct Theirs {
    only_reads: bool,
    /// A statement about a cursor.
    is_cursor: bool,
    functions: Vec<String>,
    relations: Vec<String>,
    /// Parts of names behind a point.
    parts: Vec<String>,
    writes: bool,
}

impl Theirs {
    fn statement(&mut self, node: &NodeEnum) {
        self.writes = false;
        let query = |node: &NodeEnum| matches!(node, NodeEnum::SelectStmt(_));
        let (inner, runs) = match node {
            NodeEnum::ExplainStmt(explain) => {
                (explain.query.as_ref().and_then(|node| node.node.as_ref()), analyzes(explain))
            }
            NodeEnum::DeclareCursorStmt(declare) => {
                self.is_cursor = true;
                let inner = declare.query.as_ref().and_then(|node| node.node.as_ref());
                let held = declare.options & 0x20 != 0;
                (inner.filter(|node| query(node) && !held), true)
            }
            NodeEnum::CopyStmt(copy) => {
                let to_client = !copy.is_from && !copy.is_program && copy.filename.is_empty();
                self.only_reads &= to_client;
                match copy.query.as_ref().and_then(|node| node.node.as_ref()) {
                    Some(query) => (Some(query), true),
                    None => {
                        self.walk(&json(node), &mut Vec::new());
                        return;
                    }
                }
            }
            NodeEnum::VariableShowStmt(_) => return,
            NodeEnum::FetchStmt(_) | NodeEnum::ClosePortalStmt(_) => {
                self.is_cursor = true;
                self.only_reads = false;
                return;
            }
            NodeEnum::ExecuteStmt(_) => {
                self.walk(&json(node), &mut Vec::new());
                self.only_reads = false;
                return;
            }
            node => (Some(node), true),
        };
        let Some(inner) = inner else {
            self.only_reads = false;
            return;
        };
        self.only_reads &= match inner {
            NodeEnum::SelectStmt(_) => true,
            NodeEnum::InsertStmt(_)
            | NodeEnum::UpdateStmt(_)
            | NodeEnum::DeleteStmt(_)
            | NodeEnum::MergeStmt(_)
            | NodeEnum::DeclareCursorStmt(_)
            | NodeEnum::CreateTableAsStmt(_) => !runs,
            _ => false,
        };
        self.walk(&json(inner), &mut Vec::new());
        self.only_reads &= !runs || !self.writes;
        self.only_reads &= !matches!(node, NodeEnum::DeclareCursorStmt(_));
    }

    /// `hidden` are the names that WITH gives in this place.
    fn walk(&mut self, value: &Value, hidden: &mut Vec<String>) {
        match value {
            Value::Array(all) => all.iter().for_each(|one| self.walk(one, hidden)),
            Value::Object(fields) => {
                let before = hidden.len();
                if let Some(with @ Value::Object(_)) = fields.get("with_clause") {
                    self.with(with, hidden);
                }
                for (key, value) in fields {
                    match (key.as_str(), value) {
                        ("with_clause" | "locked_rels", _) => {}
                        // A table that is made.
                        ("rel", _) => {}
                        // A table that is written, or copied.
                        ("relation", Value::Object(table)) if table.contains_key("relname") => {
                            self.relation(value, &[]);
                        }
                        ("RangeVar", _) => self.relation(value, hidden),
                        _ => self.walk(value, hidden),
                    }
                    match key.as_str() {
                        "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => {
                            self.writes = true;
                        }
                        "locking_clause" => self.writes |= value != &Value::Array(Vec::new()),
                        "into_clause" => self.writes |= !value.is_null(),
                        "funcname" => self.function(value),
                        "ColumnRef" => self.parts(&value["fields"], 1),
                        "AIndirection" => self.parts(&value["indirection"], 0),
                        _ => {}
                    }
                }
                hidden.truncate(before);
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn with(&mut self, with: &Value, hidden: &mut Vec<String>) {
        let queries = with["ctes"].as_array().cloned().unwrap_or_default();
        let queries: Vec<_> =
            queries.iter().map(|one| &one["node"]["CommonTableExpr"]).cloned().collect();
        let name = |query: &Value| query["ctename"].as_str().unwrap_or_default().to_owned();
        let recursive = with["recursive"] == Value::Bool(true);
        if recursive {
            hidden.extend(queries.iter().map(name));
        }
        for query in &queries {
            self.walk(query, hidden);
            if !recursive {
                hidden.push(name(query));
            }
        }
    }

    fn relation(&mut self, relation: &Value, hidden: &[String]) {
        let part = |key: &str| relation[key].as_str().unwrap_or_default();
        let (schema, name) = (part("schemaname"), part("relname"));
        if schema.is_empty() && !hidden.iter().any(|known| known == name) {
            self.relations.push(name.to_owned());
        } else if !schema.is_empty() {
            self.relations.push(format!("{schema}.{name}"));
        }
    }

    fn function(&mut self, name: &Value) {
        let parts = strings(name);
        match &parts[..] {
            [name] => self.functions.push(name.clone()),
            // What the grammar makes of its constructs stands there with this schema.
            [schema, name] if schema == "pg_catalog" && MADE.contains(&name.as_str()) => {}
            [.., schema, name] => self.functions.push(format!("{schema}.{name}")),
            [] => {}
        }
    }

    fn parts(&mut self, list: &Value, skipped: usize) {
        let all = list.as_array().cloned().unwrap_or_default();
        let behind = all.iter().skip(skipped).filter_map(string);
        self.parts.extend(behind);
    }
}

/// Functions of constructs: `x AT TIME ZONE y`, `x LIKE y ESCAPE z` and the like.
const MADE: &[&str] = &[
    "btrim",
    "extract",
    "is_normalized",
    "json_object",
    "like_escape",
    "ltrim",
    "normalize",
    "overlaps",
    "overlay",
    "pg_collation_for",
    "position",
    "rtrim",
    "similar_to_escape",
    "substring",
    "system_user",
    "timezone",
    "xmlexists",
];

fn json(node: &NodeEnum) -> Value {
    serde_json::to_value(node).expect("a tree is JSON")
}

fn string(node: &Value) -> Option<String> {
    node["node"]["String"]["sval"].as_str().map(str::to_owned)
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(string).collect()
}
