//! Whether the recognisers see in a statement what the parser sees.
//!
//! Both sides are put into one line of words, from the parse tree and from the facts, and the lines are compared.
//! Effects of calls are compared on their own: each watched function that the tree calls must be among the effects.

use pg_query::NodeEnum;
use pg_query::protobuf::{self as tree, TransactionStmtKind as T, VariableSetKind as V};
use pgweir::sql::{
    Action, CopyDirection, Discard, EffectSet, Explain, LexOptions, Name, Scope, StatementFacts,
    StatementKind, Target, TransactionControl, facts,
};

use crate::explained::Reason;
use crate::referee::{self, Judgement};

/// Compares the facts of one text with its parse tree.
pub fn judge(text: &str) -> Judgement {
    let parsed = {
        let _turn = referee::turn();
        pg_query::parse(text, pg_query::ParserOptions::DEFAULT)
    };
    let found = facts(text.as_bytes(), LexOptions::default());
    let parsed = match (parsed, found.transaction_control()) {
        (Ok(parsed), _) => parsed,
        (Err(pg_query::Error::Parse(error)), Some(control)) => {
            return Judgement::Different(format!("ours sees {control:?}, theirs refuses: {error}"));
        }
        (Err(_), _) => return Judgement::NoAnswer,
    };
    if found.count() != parsed.protobuf.stmts.len() {
        return Judgement::Different(format!(
            "{} statements, theirs {}",
            found.count(),
            parsed.protobuf.stmts.len()
        ));
    }
    for (at, statement) in parsed.protobuf.stmts.iter().enumerate() {
        let Some(node) = statement.stmt.as_ref().and_then(|node| node.node.as_ref()) else {
            continue;
        };
        let theirs = describe_tree(node);
        let ours = found.statements().get(at).map_or_else(|| "query".to_owned(), describe_facts);
        let plain = ours == "query" && theirs.starts_with("query");
        let other_create = theirs == "other" && ours.starts_with("create");
        if ours != theirs
            && ours.replace(" temp", "") == theirs
            && text.to_ascii_lowercase().contains("pg_temp")
        {
            return Judgement::Explained(Reason::Cautious);
        }
        if ours != theirs && !plain && !other_create {
            return Judgement::Different(format!("ours {ours:?}, theirs {theirs:?}"));
        }
    }
    match &parsed.protobuf.stmts[..] {
        [only] => match only.stmt.as_ref().and_then(|node| node.node.as_ref()) {
            Some(node) => calls(node, &functions(node), found.effects()),
            None => Judgement::Same,
        },
        _ => Judgement::Same,
    }
}

const WATCHED: &[(&str, EffectSet)] = &[
    ("setseed", EffectSet::SETSEED),
    ("nextval", EffectSet::SEQUENCE_MOVE),
    ("setval", EffectSet::SEQUENCE_MOVE),
    ("currval", EffectSet::SEQUENCE_READ),
    ("lastval", EffectSet::SEQUENCE_READ),
    ("pg_advisory_lock", EffectSet::ADVISORY_LOCK),
    ("pg_advisory_lock_shared", EffectSet::ADVISORY_LOCK),
    ("pg_try_advisory_lock", EffectSet::ADVISORY_LOCK),
    ("pg_try_advisory_lock_shared", EffectSet::ADVISORY_LOCK),
    ("pg_advisory_unlock", EffectSet::ADVISORY_UNLOCK),
    ("pg_advisory_unlock_shared", EffectSet::ADVISORY_UNLOCK),
    ("pg_advisory_unlock_all", EffectSet::ADVISORY_UNLOCK),
    ("pg_advisory_xact_lock", EffectSet::ADVISORY_XACT_LOCK),
    ("pg_advisory_xact_lock_shared", EffectSet::ADVISORY_XACT_LOCK),
    ("pg_try_advisory_xact_lock", EffectSet::ADVISORY_XACT_LOCK),
    ("pg_try_advisory_xact_lock_shared", EffectSet::ADVISORY_XACT_LOCK),
    ("current_setting", EffectSet::READS_PARAMETER),
    ("pg_export_snapshot", EffectSet::EXPORT_SNAPSHOT),
    ("pg_notify", EffectSet::NOTIFY),
    ("lo_open", EffectSet::LARGE_OBJECT),
    ("lo_close", EffectSet::LARGE_OBJECT),
    ("loread", EffectSet::LARGE_OBJECT),
    ("lowrite", EffectSet::LARGE_OBJECT),
    ("lo_lseek", EffectSet::LARGE_OBJECT),
    ("lo_lseek64", EffectSet::LARGE_OBJECT),
    ("lo_tell", EffectSet::LARGE_OBJECT),
    ("lo_tell64", EffectSet::LARGE_OBJECT),
    ("lo_truncate", EffectSet::LARGE_OBJECT),
    ("lo_truncate64", EffectSet::LARGE_OBJECT),
    ("lo_creat", EffectSet::LARGE_OBJECT),
    ("lo_create", EffectSet::LARGE_OBJECT),
    ("lo_unlink", EffectSet::LARGE_OBJECT),
    ("lo_import", EffectSet::LARGE_OBJECT),
    ("lo_export", EffectSet::LARGE_OBJECT),
    ("lo_from_bytea", EffectSet::LARGE_OBJECT),
    ("lo_get", EffectSet::LARGE_OBJECT),
    ("lo_put", EffectSet::LARGE_OBJECT),
    ("query_to_xml", EffectSet::OPAQUE),
    ("query_to_xmlschema", EffectSet::OPAQUE),
    ("query_to_xml_and_xmlschema", EffectSet::OPAQUE),
    ("ts_stat", EffectSet::OPAQUE),
    ("ts_rewrite", EffectSet::OPAQUE),
];

/// The functions that a tree calls anywhere, by their last name. pg_query's own list leaves out what stands in VALUES,
/// in RETURNING, in arrays and elsewhere, so this reads the tree as it is printed.
fn functions(node: &NodeEnum) -> Vec<String> {
    let printed = format!("{node:?}");
    let names = printed.split("funcname: [").skip(1).filter_map(|rest| {
        let list = rest.split_once("}]").map_or(rest, |(list, _)| list);
        let words: Vec<_> =
            list.split("sval: \"").skip(1).map(|word| word.split('"').next()).collect();
        match words[..] {
            [Some(name)] | [Some("pg_catalog"), Some(name)] => Some(name.to_owned()),
            _ => None,
        }
    });
    names.collect()
}

const SETS: EffectSet = EffectSet::SET.with(EffectSet::SET_LOCAL).with(EffectSet::SET_UNTRACKED);

/// What the tree calls must be among the effects, and what is among the effects must be called.
fn calls(node: &NodeEnum, functions: &[String], effects: EffectSet) -> Judgement {
    let query = matches!(
        node,
        NodeEnum::SelectStmt(_)
            | NodeEnum::InsertStmt(_)
            | NodeEnum::UpdateStmt(_)
            | NodeEnum::DeleteStmt(_)
            | NodeEnum::MergeStmt(_)
            | NodeEnum::CreateTableAsStmt(_)
            | NodeEnum::CopyStmt(_)
    );
    if !query {
        return Judgement::Same;
    }
    let called = |name: &str| functions.iter().any(|function| function == name);
    let named = |name: &str| functions.iter().any(|function| function.eq_ignore_ascii_case(name));
    let mut watched: Vec<_> = WATCHED.to_vec();
    watched.push(("set_config", SETS));
    for (name, effect) in watched.iter().copied() {
        let others = watched.iter().any(|(other, e)| e.has(effect) && called(other));
        if called(name) && !effects.has(effect) {
            return Judgement::Different(format!("{name} is called, effects are {effects:?}"));
        }
        if !others && effects.has(effect) {
            // UPDATE pg_settings sets parameters; which table an UPDATE is of is not looked at.
            let may_set = name == "set_config"
                && matches!(node, NodeEnum::UpdateStmt(_) | NodeEnum::MergeStmt(_))
                && format!("{node:?}").contains("relname: \"pg_settings\"");
            if may_set || watched.iter().any(|(other, e)| e.has(effect) && named(other)) {
                return Judgement::Explained(Reason::Cautious);
            }
            return Judgement::Different(format!(
                "nothing like {name} is called, effects are {effects:?}"
            ));
        }
    }
    Judgement::Same
}

fn quoted(name: &str) -> String {
    format!("{name:?}")
}

fn describe_tree(node: &NodeEnum) -> String {
    match node {
        NodeEnum::ExplainStmt(explain) => {
            let inner = explain.query.as_ref().and_then(|node| node.node.as_ref());
            let inner = inner.map_or_else(String::new, describe_tree);
            if analyzes(explain) {
                return format!("analyze {inner}");
            }
            // A table that is only planned to be made is not among the effects.
            format!(
                "plan {}",
                if inner.starts_with("query select into") { "query select" } else { &inner }
            )
        }
        NodeEnum::SelectStmt(select) => {
            format!("query select{}", into(leftmost(select).into_clause.as_deref()))
        }
        NodeEnum::InsertStmt(_) => "query insert".to_owned(),
        NodeEnum::UpdateStmt(_) => "query update".to_owned(),
        NodeEnum::DeleteStmt(_) => "query delete".to_owned(),
        NodeEnum::MergeStmt(_) => "query merge".to_owned(),
        NodeEnum::TransactionStmt(transaction) => transaction_tree(transaction),
        NodeEnum::VariableSetStmt(set) => set_tree(set),
        NodeEnum::VariableShowStmt(show) => format!("show {}", show.name.to_ascii_lowercase()),
        NodeEnum::ConstraintsSetStmt(_) => "set constraints".to_owned(),
        NodeEnum::PrepareStmt(prepare) => format!("prepare {}", quoted(&prepare.name)),
        NodeEnum::ExecuteStmt(execute) => format!("execute {}", quoted(&execute.name)),
        NodeEnum::DeallocateStmt(s) if s.isall => "deallocate all".to_owned(),
        NodeEnum::DeallocateStmt(s) => format!("deallocate {}", quoted(&s.name)),
        NodeEnum::DiscardStmt(discard) => format!("discard {}", discard.target),
        NodeEnum::ListenStmt(listen) => format!("listen {}", quoted(&listen.conditionname)),
        NodeEnum::UnlistenStmt(s) if s.conditionname.is_empty() => "unlisten all".to_owned(),
        NodeEnum::UnlistenStmt(s) => format!("unlisten {}", quoted(&s.conditionname)),
        NodeEnum::NotifyStmt(notify) => format!("notify {}", quoted(&notify.conditionname)),
        NodeEnum::LoadStmt(_) => "load".to_owned(),
        NodeEnum::DeclareCursorStmt(s) => {
            format!("declare {} hold={}", quoted(&s.portalname), s.options & 0x20 != 0)
        }
        NodeEnum::FetchStmt(fetch) => format!("fetch {}", quoted(&fetch.portalname)),
        NodeEnum::ClosePortalStmt(s) if s.portalname.is_empty() => "close all".to_owned(),
        NodeEnum::ClosePortalStmt(s) => format!("close {}", quoted(&s.portalname)),
        NodeEnum::CopyStmt(copy) => {
            let server = !copy.filename.is_empty() || copy.is_program;
            let way = if copy.is_from { "from client" } else { "to client" };
            format!("copy {}", if server { "on server" } else { way })
        }
        NodeEnum::DoStmt(_) => "do".to_owned(),
        NodeEnum::CallStmt(_) => "call".to_owned(),
        NodeEnum::CreateStmt(s) => format!("create{}", temporary(s.relation.as_ref())),
        NodeEnum::CreateSeqStmt(s) => format!("create{}", temporary(s.sequence.as_ref())),
        NodeEnum::ViewStmt(s) => format!("create{}", temporary(s.view.as_ref())),
        NodeEnum::CreateTableAsStmt(s) => {
            let rel = s.into.as_ref().and_then(|into| into.rel.as_ref());
            let query = s.query.as_ref().and_then(|query| query.node.as_ref());
            let executes = match query {
                Some(NodeEnum::ExecuteStmt(execute)) => {
                    format!(" executes {}", quoted(&execute.name))
                }
                _ => String::new(),
            };
            format!("create{}{executes}", temporary(rel))
        }
        _ => "other".to_owned(),
    }
}

fn leftmost(select: &tree::SelectStmt) -> &tree::SelectStmt {
    let mut select = select;
    while let Some(left) = select.larg.as_deref() {
        select = left;
    }
    select
}

fn into(clause: Option<&tree::IntoClause>) -> String {
    clause.map_or_else(String::new, |into| format!(" into{}", temporary(into.rel.as_ref())))
}

fn temporary(relation: Option<&tree::RangeVar>) -> String {
    let named =
        |rel: &tree::RangeVar| rel.relpersistence == "t" || rel.schemaname.starts_with("pg_temp");
    if relation.is_some_and(named) { " temp".to_owned() } else { String::new() }
}

pub fn analyzes(explain: &tree::ExplainStmt) -> bool {
    let mut found = false;
    for option in &explain.options {
        let Some(NodeEnum::DefElem(option)) = &option.node else { continue };
        if option.defname == "analyze" {
            let value = option.arg.as_ref().and_then(|arg| arg.node.as_ref());
            found = match value {
                Some(NodeEnum::String(text)) => {
                    !matches!(text.sval.to_ascii_lowercase().as_str(), "off" | "false")
                }
                Some(NodeEnum::Integer(number)) => number.ival != 0,
                _ => true,
            };
        }
    }
    found
}

fn transaction_tree(s: &tree::TransactionStmt) -> String {
    let name = quoted(&s.savepoint_name);
    match T::try_from(s.kind) {
        Ok(T::TransStmtBegin | T::TransStmtStart) => format!("begin{}", modes_tree(&s.options)),
        Ok(T::TransStmtCommit) => format!("commit chain={}", s.chain),
        Ok(T::TransStmtRollback) => format!("rollback chain={}", s.chain),
        Ok(T::TransStmtSavepoint) => format!("savepoint {name}"),
        Ok(T::TransStmtRelease) => format!("release {name}"),
        Ok(T::TransStmtRollbackTo) => format!("rollback to {name}"),
        Ok(T::TransStmtPrepare) => "prepare transaction".to_owned(),
        Ok(T::TransStmtCommitPrepared) => "commit prepared".to_owned(),
        Ok(T::TransStmtRollbackPrepared) => "rollback prepared".to_owned(),
        Ok(T::Undefined) | Err(_) => "undefined".to_owned(),
    }
}

/// The last value of each mode.
fn modes_tree(options: &[tree::Node]) -> String {
    let mut isolation = None;
    let (mut read_only, mut deferrable) = (None, None);
    for option in options {
        let Some(NodeEnum::DefElem(option)) = &option.node else { continue };
        let Some(NodeEnum::AConst(value)) = option.arg.as_ref().and_then(|arg| arg.node.as_ref())
        else {
            continue;
        };
        match (option.defname.as_str(), &value.val) {
            ("transaction_isolation", Some(tree::a_const::Val::Sval(text))) => {
                isolation = Some(text.sval.clone());
            }
            ("transaction_read_only", Some(tree::a_const::Val::Ival(number))) => {
                read_only = Some(number.ival != 0);
            }
            ("transaction_deferrable", Some(tree::a_const::Val::Ival(number))) => {
                deferrable = Some(number.ival != 0);
            }
            _ => {}
        }
    }
    format!(" {isolation:?} {read_only:?} {deferrable:?}")
}

fn set_tree(s: &tree::VariableSetStmt) -> String {
    let name = s.name.to_ascii_lowercase();
    let scope = if s.is_local { "local" } else { "session" };
    match V::try_from(s.kind) {
        Ok(V::VarSetMulti) if name == "transaction" => {
            format!("set transaction{}", modes_tree(&s.args))
        }
        Ok(V::VarSetMulti) if name == "transaction snapshot" => {
            "set transaction snapshot".to_owned()
        }
        Ok(V::VarSetMulti) => format!("set characteristics {scope}"),
        Ok(V::VarSetValue) => format!("set {name} value {scope}"),
        Ok(V::VarSetDefault) => format!("set {name} default {scope}"),
        Ok(V::VarSetCurrent) => format!("set {name} current {scope}"),
        Ok(V::VarReset) => format!("reset {name}"),
        Ok(V::VarResetAll) => "reset all".to_owned(),
        Ok(V::Undefined) | Err(_) => "undefined".to_owned(),
    }
}

fn describe_facts(found: &StatementFacts) -> String {
    let inner = describe_kind(found);
    match found.explain {
        Explain::No => inner,
        Explain::Plan => format!("plan {inner}"),
        Explain::Analyze => format!("analyze {inner}"),
    }
}

fn describe_kind(found: &StatementFacts) -> String {
    let text = |name: &Name| quoted(&String::from_utf8_lossy(name.as_bytes()));
    match &found.kind {
        StatementKind::Select if found.explain == Explain::Plan => "query select".to_owned(),
        StatementKind::Select if found.effects.has(EffectSet::DDL) => {
            format!(
                "query select into{}",
                if found.effects.has(EffectSet::TEMP) { " temp" } else { "" }
            )
        }
        StatementKind::Select => "query select".to_owned(),
        StatementKind::Insert => "query insert".to_owned(),
        StatementKind::Update => "query update".to_owned(),
        StatementKind::Delete => "query delete".to_owned(),
        StatementKind::Merge => "query merge".to_owned(),
        StatementKind::Transaction(control) => describe_control(control),
        StatementKind::Set | StatementKind::Reset | StatementKind::Show => describe_use(found),
        StatementKind::SetConstraints => "set constraints".to_owned(),
        StatementKind::Prepare { name, .. } => format!("prepare {}", text(name)),
        StatementKind::Execute { name } => format!("execute {}", text(name)),
        StatementKind::Deallocate { name } => {
            format!("deallocate {}", name.as_ref().map_or_else(|| "all".to_owned(), text))
        }
        StatementKind::Discard(what) => {
            let target = match what {
                Discard::All => 1,
                Discard::Plans => 2,
                Discard::Sequences => 3,
                Discard::Temp => 4,
            };
            format!("discard {target}")
        }
        StatementKind::Listen { channel } => format!("listen {}", text(channel)),
        StatementKind::Unlisten { channel } => {
            format!("unlisten {}", channel.as_ref().map_or_else(|| "all".to_owned(), text))
        }
        StatementKind::Notify { channel } => format!("notify {}", text(channel)),
        StatementKind::Load => "load".to_owned(),
        StatementKind::Declare { cursor, hold } => format!("declare {} hold={hold}", text(cursor)),
        StatementKind::Fetch { cursor } => format!("fetch {}", text(cursor)),
        StatementKind::Close { cursor } => {
            format!("close {}", cursor.as_ref().map_or_else(|| "all".to_owned(), text))
        }
        StatementKind::Copy(CopyDirection::FromClient) => "copy from client".to_owned(),
        StatementKind::Copy(CopyDirection::ToClient) => "copy to client".to_owned(),
        StatementKind::Copy(CopyDirection::OnServer) => "copy on server".to_owned(),
        StatementKind::Do => "do".to_owned(),
        StatementKind::Call => "call".to_owned(),
        StatementKind::Create(create) => {
            let temp = create.temporary || found.effects.has(EffectSet::TEMP);
            let executes = create.executes.as_ref().map(|name| format!(" executes {}", text(name)));
            format!("create{}{}", if temp { " temp" } else { "" }, executes.unwrap_or_default())
        }
        StatementKind::Utility => "other".to_owned(),
        StatementKind::Unknown => "unknown".to_owned(),
    }
}

fn describe_control(control: &TransactionControl) -> String {
    let text = |name: &Name| quoted(&String::from_utf8_lossy(name.as_bytes()));
    match control {
        TransactionControl::Begin(modes) => {
            format!(
                "begin {:?} {:?} {:?}",
                modes.isolation.map(pgweir::sql::Isolation::name),
                modes.read_only,
                modes.deferrable
            )
        }
        TransactionControl::SetTransaction(modes) if modes.snapshot => {
            "set transaction snapshot".to_owned()
        }
        TransactionControl::SetTransaction(modes) => {
            let isolation = modes.isolation.map(pgweir::sql::Isolation::name);
            format!("set transaction {isolation:?} {:?} {:?}", modes.read_only, modes.deferrable)
        }
        TransactionControl::Commit { chain } => format!("commit chain={chain}"),
        TransactionControl::Rollback { chain } => format!("rollback chain={chain}"),
        TransactionControl::Savepoint(name) => format!("savepoint {}", text(name)),
        TransactionControl::Release(name) => format!("release {}", text(name)),
        TransactionControl::RollbackTo(name) => format!("rollback to {}", text(name)),
        TransactionControl::PrepareTransaction => "prepare transaction".to_owned(),
        TransactionControl::CommitPrepared => "commit prepared".to_owned(),
        TransactionControl::RollbackPrepared => "rollback prepared".to_owned(),
    }
}

fn describe_use(found: &StatementFacts) -> String {
    let Some(used) = found.parameters.first() else { return "no parameter".to_owned() };
    let name = match &used.target {
        Target::Named(name) => String::from_utf8_lossy(name.as_bytes()).into_owned(),
        Target::All => "all".to_owned(),
        Target::Param(_) | Target::Expression => "?".to_owned(),
    };
    let scope = if used.scope == Scope::Local { "local" } else { "session" };
    match (&found.kind, &used.action) {
        (StatementKind::Reset, _) => format!("reset {name}"),
        (StatementKind::Show, _) => format!("show {name}"),
        (_, Action::Value(_)) => format!("set characteristics {scope}"),
        (_, Action::Default) => format!("set {name} default {scope}"),
        (_, Action::Current) => format!("set {name} current {scope}"),
        _ => format!("set {name} value {scope}"),
    }
}
