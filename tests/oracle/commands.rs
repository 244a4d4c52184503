//! Whether the guard's commands are those that the parser sees.
//!
//! Both sides are put into lines of words, one for each command, and the lines are compared.

use pg_query::NodeEnum;
use pgweir::sql::commands::{
    AlterTable, Column, Command, Condition, Constraint, ConstraintKind, CreateTable, DomainAction,
    Found, Generated, ObjectKind, ObjectList, ObjectName, Place, TableAction, TableForm,
    TypeAction, UsingIndex, WriteVerb, is_ordinary,
};
use pgweir::sql::{LexOptions, Name, commands, plain};

use crate::command_tree;
use crate::explained::Reason;
use crate::referee::{self, Judgement};

/// Compares the commands of one text with its parse tree.
pub fn judge(text: &str) -> Judgement {
    let options = LexOptions::default();
    let told = plain(text.as_bytes(), options).is_some_and(|found| found.ordinary);
    if told && !is_ordinary(text.as_bytes(), options) {
        return Judgement::Different("ordinary at the first look only".to_owned());
    }
    let parsed = {
        let _turn = referee::turn();
        pg_query::parse(text, pg_query::ParserOptions::DEFAULT)
    };
    let Ok(parsed) = parsed else { return Judgement::NoAnswer };
    let found = commands(text.as_bytes(), options);
    if is_ordinary(text.as_bytes(), options)
        && let Some(missed) = missed(text)
    {
        return Judgement::Different(format!("ordinary, but {missed:?}"));
    }
    let statements = parsed.protobuf.stmts.iter();
    let nodes = statements.filter_map(|s| s.stmt.as_ref().and_then(|node| node.node.as_ref()));
    let mut explained = None;
    for (at, node) in nodes.enumerate() {
        let ours = found.found().iter().filter(|found| found.statement == at);
        let ours: Vec<_> = ours.collect();
        if let Some(judgement) = compare(node, &ours) {
            match judgement {
                Judgement::Explained(reason) => explained = Some(reason),
                Judgement::Same
                | Judgement::BothRefuse
                | Judgement::NoAnswer
                | Judgement::Different(_) => return judgement,
            }
        }
    }
    explained.map_or(Judgement::Same, Judgement::Explained)
}

/// Compares what is found in a DO block around `inner` with the parse tree of `inner`.
pub fn judge_block(inner: &str, block: &str) -> Judgement {
    let parsed = {
        let _turn = referee::turn();
        (
            pg_query::parse(inner, pg_query::ParserOptions::DEFAULT),
            pg_query::parse(block, pg_query::ParserOptions::DEFAULT).is_ok(),
        )
    };
    let (Ok(parsed), true) = parsed else { return Judgement::NoAnswer };
    let mut theirs = Vec::new();
    for statement in &parsed.protobuf.stmts {
        if let Some(node) = statement.stmt.as_ref().and_then(|node| node.node.as_ref()) {
            command_tree::describe(node, &mut theirs);
        }
    }
    let found = commands(block.as_bytes(), LexOptions::default());
    let ours: Vec<_> = found.found().iter().filter_map(|f| describe_command(&f.command)).collect();
    if ours == theirs {
        return Judgement::Same;
    }
    Judgement::Different(format!("ours {ours:?}\n    theirs {theirs:?}"))
}

/// The commands of a text when it is looked at all the same, though it is ordinary; those of queries only.
fn missed(text: &str) -> Option<Found> {
    let longer = format!("analyze;{text}");
    let found = commands(longer.as_bytes(), LexOptions::default());
    found.found().get(1).cloned()
}

/// None where both are the same.
fn compare(node: &NodeEnum, ours: &[&Found]) -> Option<Judgement> {
    // What code executes need not be SQL.
    let unknown = |found: &&&Found| {
        matches!(found.command, Command::Unknown { .. })
            && !matches!(found.place, Place::Code { .. } | Place::Assembled)
    };
    if ours.iter().any(|found| unknown(&found)) {
        return Some(Judgement::Different("ours cannot read it".to_owned()));
    }
    let mut theirs = Vec::new();
    command_tree::describe(node, &mut theirs);
    let lines = |want: fn(&str) -> bool, all: &[String]| {
        let mut all: Vec<_> = all.iter().filter(|line| want(line)).cloned().collect();
        all.sort();
        all
    };
    let ours: Vec<String> = ours.iter().filter_map(|found| describe(found)).collect();
    let written = |line: &str| line.starts_with("write ");
    let ddl = |line: &str| !line.starts_with("write ");
    if lines(ddl, &ours) != lines(ddl, &theirs) {
        return Some(Judgement::Different(format!("ours {ours:?}\n    theirs {theirs:?}")));
    }
    let (ours, theirs) = (lines(written, &ours), lines(written, &theirs));
    if ours != theirs {
        // The server takes WITH that writes at the top level only; ours does not look where it stands.
        let buried = theirs.iter().all(|line| ours.contains(line))
            && command_tree::count_writes(node) > theirs.len();
        return Some(if buried {
            Judgement::Explained(Reason::Cautious)
        } else {
            Judgement::Different(format!("ours {ours:?}\n    theirs {theirs:?}"))
        });
    }
    None
}

/// One of ours as a line; None for what is not compared.
pub fn describe(found: &Found) -> Option<String> {
    if matches!(found.place, Place::Code { .. } | Place::Assembled) {
        return None;
    }
    describe_command(&found.command)
}

/// A command as a line; None for what is not compared.
pub fn describe_command(command: &Command) -> Option<String> {
    Some(match command {
        Command::CreateIndex(index) => format!(
            "index unique={} concurrently={} ine={} {} on {} only={}",
            index.unique,
            index.concurrently,
            index.if_not_exists,
            name(index.name.as_ref()),
            object(index.table.as_ref()),
            index.only
        ),
        Command::DropIndex(drop) => format!(
            "drop index concurrently={} exists={} cascade={} {}",
            drop.concurrently,
            drop.if_exists,
            drop.cascade,
            list(&drop.indexes)
        ),
        Command::Reindex(reindex) => format!(
            "reindex {:?} concurrently={} {}",
            reindex.kind,
            reindex.concurrently,
            object(reindex.name.as_ref())
        ),
        Command::CreateTable(table) => create(table),
        Command::CreateSchema(schema) => {
            format!("schema {} ine={}", name(schema.name.as_ref()), schema.if_not_exists)
        }
        Command::CreateDomain(domain) => {
            format!("domain {} constrained={}", object(domain.name.as_ref()), domain.constrained)
        }
        Command::Drop(drop) if drop.kind == ObjectKind::Other => return None,
        Command::Drop(drop) => format!(
            "drop {:?} exists={} cascade={} {}",
            drop.kind,
            drop.if_exists,
            drop.cascade,
            list(&drop.names)
        ),
        Command::AlterTable(alter) => alter_table(alter),
        Command::AlterType(alter) => {
            let action = match &alter.action {
                TypeAction::AddValue { placed } => format!("add value placed={placed}"),
                TypeAction::RenameValue => "rename value".to_owned(),
                TypeAction::RenameAttribute => "rename attribute".to_owned(),
                TypeAction::Rename(to) => format!("rename to {}", name(to.as_ref())),
                TypeAction::Attributes => "attributes".to_owned(),
                TypeAction::SetSchema(to) => format!("set schema {}", name(to.as_ref())),
                TypeAction::Other => return None,
            };
            format!("type {} {action}", object(alter.name.as_ref()))
        }
        Command::AlterDomain(alter) => {
            let action = match &alter.action {
                DomainAction::AddConstraint { not_valid } => format!("add not_valid={not_valid}"),
                DomainAction::SetNotNull => "set not null".to_owned(),
                DomainAction::Validate => "validate".to_owned(),
                DomainAction::Rename(to) => format!("rename to {}", name(to.as_ref())),
                DomainAction::SetSchema(to) => format!("set schema {}", name(to.as_ref())),
                DomainAction::Other => return None,
            };
            format!("alter domain {} {action}", object(alter.name.as_ref()))
        }
        Command::Rename { kind: ObjectKind::Other, .. } => return None,
        Command::Rename { kind, from, to } => {
            format!("rename {kind:?} {} to {}", object(from.as_ref()), name(to.as_ref()))
        }
        Command::Cluster(cluster) => format!("cluster {}", object(cluster.table.as_ref())),
        Command::Vacuum(vacuum) => format!("vacuum full={} {}", vacuum.full, list(&vacuum.tables)),
        Command::Refresh(refresh) => {
            format!("refresh {} {}", object(refresh.view.as_ref()), refresh.concurrently)
        }
        Command::LockTable(lock) => format!(
            "lock {} mode={} nowait={}",
            list(&lock.tables),
            lock.mode as i32 + 1,
            lock.nowait
        ),
        Command::Truncate(truncate) => {
            format!("truncate {} cascade={}", list(&truncate.tables), truncate.cascade)
        }
        Command::Write(write) if write.condition == Condition::Missing => {
            let verb = match write.verb {
                WriteVerb::Update => "update",
                WriteVerb::Delete => "delete",
                WriteVerb::Merge => "merge",
            };
            format!("write {verb} {}", object(write.table.as_ref()))
        }
        Command::ServerSideCopy { program } => format!("copy program={program}"),
        Command::CreateRoutine(_)
        | Command::Repack(_)
        | Command::Analyze
        | Command::Write(_)
        | Command::AdvisoryLock
        | Command::UnboundedCount { .. }
        | Command::Offset(_)
        | Command::InList { .. }
        | Command::WholeSelect { .. }
        | Command::AssignedTwice { .. }
        | Command::Transaction(_)
        | Command::Parameter(_)
        | Command::StoredParameter(_)
        | Command::Discard(_)
        | Command::Call { .. }
        | Command::Opaque(_)
        | Command::OtherDdl
        | Command::Unknown { .. } => return None,
    })
}

fn name(name: Option<&Name>) -> String {
    name.map_or_else(|| "-".to_owned(), |name| format!("{name:?}"))
}

fn object(object: Option<&ObjectName>) -> String {
    object.map_or_else(|| "-".to_owned(), |object| format!("{object:?}"))
}

fn list(list: &ObjectList) -> String {
    let all: Vec<_> = list.names.iter().map(|one| object(Some(one))).collect();
    format!("[{}]{}", all.join(" "), if list.complete { "" } else { "…" })
}

fn create(table: &CreateTable) -> String {
    let form = match &table.form {
        TableForm::Columns => "columns".to_owned(),
        TableForm::OfType => "of".to_owned(),
        TableForm::PartitionOf(parent) => format!("partition of {}", object(parent.as_ref())),
        TableForm::Query => "query".to_owned(),
    };
    format!(
        "create {:?} {:?} ine={} replace={} {} {form} partitioned={} inherits={} references={} drop={}",
        table.kind,
        table.persistence,
        table.if_not_exists,
        table.or_replace,
        object(table.name.as_ref()),
        table.partitioned,
        list(&table.inherits),
        list(&table.references),
        table.on_commit_drop
    )
}

fn alter_table(alter: &AlterTable) -> String {
    let actions: Vec<_> = alter.actions.iter().map(action).collect();
    format!(
        "alter {:?} exists={} {} only={}: {}{}",
        alter.kind,
        alter.if_exists,
        object(alter.table.as_ref()),
        alter.only,
        actions.join(", "),
        if alter.complete { "" } else { "…" }
    )
}

fn action(action: &TableAction) -> String {
    match action {
        TableAction::AddColumn(column) => add_column(column),
        TableAction::DropColumn { column, cascade } => {
            format!("drop column {} cascade={cascade}", name(column.as_ref()))
        }
        TableAction::AddConstraint(constraint) => add_constraint(constraint),
        TableAction::ValidateConstraint(which) => format!("validate {}", name(which.as_ref())),
        TableAction::DropConstraint(which) => format!("drop constraint {}", name(which.as_ref())),
        TableAction::SetNotNull(column) => format!("set not null {}", name(column.as_ref())),
        TableAction::DropNotNull(column) => format!("drop not null {}", name(column.as_ref())),
        TableAction::SetType { column, using, .. } => {
            format!("type of {} using={using}", name(column.as_ref()))
        }
        TableAction::SetExpression(column) => format!("expression of {}", name(column.as_ref())),
        TableAction::SetTablespace => "tablespace".to_owned(),
        TableAction::SetLogged => "logged".to_owned(),
        TableAction::SetUnlogged => "unlogged".to_owned(),
        TableAction::SetAccessMethod => "access method".to_owned(),
        TableAction::Attach { partition } => format!("attach {}", object(partition.as_ref())),
        TableAction::Detach { partition, concurrently, finalize } => {
            format!("detach {} {concurrently} {finalize}", object(partition.as_ref()))
        }
        TableAction::RenameColumn { from, to } => {
            format!("rename column {} to {}", name(from.as_ref()), name(to.as_ref()))
        }
        TableAction::RenameConstraint => "rename constraint".to_owned(),
        TableAction::Rename(to) => format!("rename to {}", name(to.as_ref())),
        TableAction::SetSchema(to) => format!("set schema {}", name(to.as_ref())),
        TableAction::MovePartitions | TableAction::Other => "other".to_owned(),
    }
}

fn add_column(column: &Column) -> String {
    let default = match &column.default {
        None => "-".to_owned(),
        Some(default) => format!("null={}", default.null),
    };
    let references = match &column.references {
        None => "-".to_owned(),
        Some(table) => object(table.as_ref()),
    };
    format!(
        "add column {} ine={} not_null={} default={default} {} unique={} primary={} check={} references={references}",
        name(column.name.as_ref()),
        column.if_not_exists,
        column.not_null,
        match column.generated {
            Generated::No => "plain",
            Generated::Serial => "serial",
            Generated::Identity => "identity",
            Generated::Stored => "stored",
            Generated::Virtual => "virtual",
        },
        column.unique,
        column.primary_key,
        column.check
    )
}

fn add_constraint(constraint: &Constraint) -> String {
    let index = |using: &UsingIndex| match using {
        UsingIndex::Builds => "-".to_owned(),
        UsingIndex::Existing(index) => name(index.as_ref()),
    };
    let kind = match &constraint.kind {
        ConstraintKind::Check => "check".to_owned(),
        ConstraintKind::NotNull(column) => format!("not null {}", name(column.as_ref())),
        ConstraintKind::Unique(using) => format!("unique {}", index(using)),
        ConstraintKind::PrimaryKey(using) => format!("primary {}", index(using)),
        ConstraintKind::Exclude => "exclude".to_owned(),
        ConstraintKind::ForeignKey(table) => format!("foreign {}", object(table.as_ref())),
        ConstraintKind::Unknown => "unknown".to_owned(),
    };
    format!(
        "add constraint {} {kind} not_valid={} not_enforced={}",
        name(constraint.name.as_ref()),
        // What is not enforced is not validated either.
        constraint.not_valid || constraint.not_enforced,
        constraint.not_enforced
    )
}
