//! Whether a close look finds what the parse tree says: columns assigned twice, and SELECTs of whole tables.

use std::collections::BTreeMap;

use pg_query::NodeEnum;
use pg_query::protobuf::{Node, SelectStmt, SetOperation, WithClause};
use pgweir::sql::commands::{Assigns, Command};
use pgweir::sql::{Commands, Kind, LexOptions, Lexer, Span};

use crate::explained::Reason;
use crate::referee::{self, Judgement};

/// Compares what is found in one text with its parse tree.
pub fn judge(text: &str) -> Judgement {
    let parsed = {
        let _turn = referee::turn();
        pg_query::parse(text, pg_query::ParserOptions::DEFAULT)
    };
    let Ok(parsed) = parsed else { return Judgement::NoAnswer };
    let found = Commands::closely(text.as_bytes(), LexOptions::default());
    let statements = parsed.protobuf.stmts.iter();
    let nodes = statements.filter_map(|s| s.stmt.as_ref().and_then(|node| node.node.as_ref()));
    let mut answer = Judgement::NoAnswer;
    for (at, node) in nodes.enumerate() {
        let Some(mut theirs) = Theirs::of(node) else { continue };
        let mut ours = Vec::new();
        let mut whole = false;
        let mut unread = false;
        for one in found.found().iter().filter(|one| one.statement == at) {
            match &one.command {
                Command::AssignedTwice { column, assigns } => {
                    ours.push(format!("{} {column:?}", assigns_word(*assigns)));
                }
                Command::WholeSelect { .. } => whole = true,
                other => return Judgement::Different(format!("{other:?} is not for a close look")),
            }
        }
        if let Some(span) =
            pgweir::sql::Statements::new(text.as_bytes(), LexOptions::default()).nth(at)
        {
            unread = is_unread(text, span);
        }
        let told = theirs.whole.is_none_or(|theirs| theirs == whole || unread && !whole);
        if !told {
            return Judgement::Different(format!("ours {whole}, theirs {:?}: whole", theirs.whole));
        }
        ours.sort();
        theirs.twice.sort();
        if ours != theirs.twice {
            // WITH that writes inside of a query is refused by the server, but not by its grammar.
            let buried =
                theirs.twice.iter().all(|line| ours.contains(line)) && theirs.writes < writes(node);
            if !buried {
                return Judgement::Different(format!("ours {ours:?}, theirs {:?}", theirs.twice));
            }
            answer = Judgement::Explained(Reason::Cautious);
        } else if !matches!(answer, Judgement::Explained(_)) {
            answer = Judgement::Same;
        }
    }
    answer
}

/// Parentheses that the tree does not show: around the query, and around what is behind FROM, JOIN or a comma.
fn is_unread(text: &str, span: Span) -> bool {
    let mut behind = true;
    Lexer::within(text.as_bytes(), span, LexOptions::default()).any(|token| {
        let word = token.span.of(text.as_bytes()).to_ascii_lowercase();
        let opens = behind && token.kind == Kind::Symbol(b'(');
        behind = matches!(word.as_slice(), b"from" | b"join" | b",");
        opens
    })
}

fn assigns_word(assigns: Assigns) -> &'static str {
    match assigns {
        Assigns::Set => "set",
        Assigns::Columns => "columns",
    }
}

/// How many writes are anywhere in a tree.
fn writes(node: &NodeEnum) -> usize {
    let printed = format!("{node:?}");
    ["InsertStmt(", "UpdateStmt(", "MergeStmt("]
        .iter()
        .map(|kind| printed.matches(kind).count())
        .sum()
}

/// What the tree says.
#[derive(Default)]
struct Theirs {
    twice: Vec<String>,
    /// Writes that were looked at.
    writes: usize,
    /// It sends every row of a table; None where that is not compared.
    whole: Option<bool>,
}

impl Theirs {
    /// None for what is not compared.
    fn of(node: &NodeEnum) -> Option<Self> {
        let mut theirs = Self { whole: Some(false), ..Self::default() };
        let node = match node {
            NodeEnum::PrepareStmt(prepared) => prepared.query.as_ref()?.node.as_ref()?,
            node => node,
        };
        match node {
            NodeEnum::SelectStmt(select) => theirs.whole = is_whole(select),
            NodeEnum::InsertStmt(_)
            | NodeEnum::UpdateStmt(_)
            | NodeEnum::MergeStmt(_)
            | NodeEnum::DeleteStmt(_) => {}
            _ => return None,
        }
        theirs.query(node);
        Some(theirs)
    }

    fn query(&mut self, node: &NodeEnum) {
        match node {
            NodeEnum::SelectStmt(select) => self.with(select.with_clause.as_ref()),
            NodeEnum::DeleteStmt(delete) => self.with(delete.with_clause.as_ref()),
            NodeEnum::InsertStmt(insert) => {
                self.writes += 1;
                self.list(Assigns::Columns, &insert.cols);
                if let Some(conflict) = &insert.on_conflict_clause {
                    self.list(Assigns::Set, &conflict.target_list);
                }
                self.with(insert.with_clause.as_ref());
            }
            NodeEnum::UpdateStmt(update) => {
                self.writes += 1;
                self.list(Assigns::Set, &update.target_list);
                self.with(update.with_clause.as_ref());
            }
            NodeEnum::MergeStmt(merge) => {
                self.writes += 1;
                for when in &merge.merge_when_clauses {
                    if let Some(NodeEnum::MergeWhenClause(when)) = &when.node {
                        let inserts = when.command_type() == pg_query::protobuf::CmdType::CmdInsert;
                        let assigns = if inserts { Assigns::Columns } else { Assigns::Set };
                        self.list(assigns, &when.target_list);
                    }
                }
                self.with(merge.with_clause.as_ref());
            }
            _ => {}
        }
    }

    fn with(&mut self, with: Option<&WithClause>) {
        for table in with.iter().flat_map(|with| &with.ctes) {
            if let Some(NodeEnum::CommonTableExpr(table)) = &table.node
                && let Some(inner) = table.ctequery.as_ref().and_then(|node| node.node.as_ref())
            {
                self.query(inner);
            }
        }
    }

    fn list(&mut self, assigns: Assigns, targets: &[Node]) {
        let mut seen: BTreeMap<&str, bool> = BTreeMap::new();
        for target in targets {
            let Some(NodeEnum::ResTarget(target)) = &target.node else { continue };
            let whole = target.indirection.is_empty();
            if seen.get(target.name.as_str()).is_some_and(|before| *before || whole) {
                self.twice.push(format!("{} {:?}", assigns_word(assigns), target.name));
                return;
            }
            seen.insert(&target.name, whole);
        }
    }
}

/// None where the tree is not read that closely: aggregates, constant conditions and limits, queries of WITH.
fn is_whole(select: &SelectStmt) -> Option<bool> {
    let bounded = select.op() != SetOperation::SetopNone
        || select.from_clause.is_empty()
        || !select.distinct_clause.is_empty()
        || !select.group_clause.is_empty()
        || select.having_clause.is_some()
        || select.into_clause.is_some()
        || !select.from_clause.iter().all(is_table);
    if bounded {
        return Some(false);
    }
    let simple = !format!("{:?}", select.target_list).contains("FuncCall")
        && select.where_clause.is_none()
        && select.limit_count.is_none()
        && select.with_clause.is_none();
    simple.then_some(true)
}

fn is_table(node: &Node) -> bool {
    match &node.node {
        Some(NodeEnum::RangeVar(table)) => match table.schemaname.as_str() {
            "" => !table.relname.starts_with("pg_"),
            schema => schema != "pg_catalog" && schema != "information_schema",
        },
        Some(NodeEnum::JoinExpr(join)) => {
            join.larg.iter().all(|node| is_table(node))
                && join.rarg.iter().all(|node| is_table(node))
        }
        _ => false,
    }
}
