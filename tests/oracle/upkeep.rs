//! Whether the limits of a statement are told as the parser would tell them: maintenance, and DDL that others queue behind.

use pg_query::NodeEnum;
use pg_query::protobuf::{self as tree, AlterTableType, DropBehavior, Node, ObjectType};
use pgweir::sql::{LexOptions, Upkeep, facts, upkeep};

use crate::referee::{self, Judgement};

/// Compares what each statement of one text is.
pub fn judge(text: &str) -> Judgement {
    let parsed = {
        let _turn = referee::turn();
        pg_query::parse(text, pg_query::ParserOptions::DEFAULT)
    };
    let Ok(parsed) = parsed else { return Judgement::NoAnswer };
    let found = facts(text.as_bytes(), LexOptions::default());
    let mut answered = false;
    for (at, statement) in parsed.protobuf.stmts.iter().enumerate() {
        let node = statement.stmt.as_ref().and_then(|node| node.node.as_ref());
        let Some(theirs) = node.and_then(of_tree) else { continue };
        let ours = found.statements().get(at);
        let options = LexOptions::default();
        let ours = ours.map_or_else(Upkeep::default, |s| upkeep(s, text.as_bytes(), options));
        if ours != theirs {
            return Judgement::Different(format!("ours {ours:?}, theirs {theirs:?}"));
        }
        answered = true;
    }
    if answered { Judgement::Same } else { Judgement::NoAnswer }
}

fn either(maintenance: bool) -> Upkeep {
    Upkeep { maintenance, ddl: !maintenance }
}

fn ddl(ddl: bool) -> Upkeep {
    Upkeep { maintenance: false, ddl }
}

/// What the tree says, for the statements that it can be read from.
fn of_tree(node: &NodeEnum) -> Option<Upkeep> {
    Some(match node {
        NodeEnum::IndexStmt(index) => either(index.concurrent),
        NodeEnum::DropStmt(drop) => of_drop(drop),
        NodeEnum::ReindexStmt(reindex) => either(option(&reindex.params, "concurrently")?),
        NodeEnum::VacuumStmt(vacuum) => {
            let full = vacuum.is_vacuumcmd && option(&vacuum.options, "full")?;
            Upkeep { maintenance: true, ddl: full }
        }
        NodeEnum::AlterTableStmt(alter) => of_alter(alter),
        NodeEnum::AlterDomainStmt(alter) => Upkeep { maintenance: alter.subtype == "V", ddl: true },
        NodeEnum::RefreshMatViewStmt(refresh) => ddl(!refresh.concurrent),
        NodeEnum::CreateTrigStmt(_)
        | NodeEnum::RuleStmt(_)
        | NodeEnum::CreatePolicyStmt(_)
        | NodeEnum::TruncateStmt(_)
        | NodeEnum::ClusterStmt(_)
        | NodeEnum::DropOwnedStmt(_)
        | NodeEnum::ReassignOwnedStmt(_) => ddl(true),
        NodeEnum::ViewStmt(view) => ddl(view.replace),
        NodeEnum::SelectStmt(_)
        | NodeEnum::InsertStmt(_)
        | NodeEnum::UpdateStmt(_)
        | NodeEnum::DeleteStmt(_)
        | NodeEnum::MergeStmt(_)
        | NodeEnum::CopyStmt(_)
        | NodeEnum::CommentStmt(_)
        | NodeEnum::GrantStmt(_)
        | NodeEnum::LockStmt(_)
        | NodeEnum::CreateFunctionStmt(_)
        | NodeEnum::CreateTableAsStmt(_)
        | NodeEnum::CreateStatsStmt(_)
        | NodeEnum::TransactionStmt(_)
        | NodeEnum::VariableSetStmt(_)
        | NodeEnum::ExplainStmt(_) => ddl(false),
        _ => return None,
    })
}

/// Whether an option is on: the last one counts. `None` where its value is an expression to be read.
fn option(options: &[Node], name: &str) -> Option<bool> {
    let mut on = false;
    for option in options {
        if let Some(NodeEnum::DefElem(option)) = &option.node
            && option.defname == name
        {
            on = option.arg.is_none();
            if !on {
                return None;
            }
        }
    }
    Some(on)
}

fn of_drop(drop: &tree::DropStmt) -> Upkeep {
    match drop.remove_type() {
        ObjectType::ObjectIndex => either(drop.concurrent),
        ObjectType::ObjectTable
        | ObjectType::ObjectView
        | ObjectType::ObjectMatview
        | ObjectType::ObjectSequence
        | ObjectType::ObjectForeignTable
        | ObjectType::ObjectTrigger
        | ObjectType::ObjectRule
        | ObjectType::ObjectPolicy
        | ObjectType::ObjectExtension => ddl(true),
        _ => ddl(drop.behavior() == DropBehavior::DropCascade),
    }
}

fn of_alter(alter: &tree::AlterTableStmt) -> Upkeep {
    let mut found = Upkeep::default();
    for command in &alter.cmds {
        let Some(NodeEnum::AlterTableCmd(command)) = &command.node else { continue };
        let partition = command.def.as_ref().and_then(|def| def.node.as_ref());
        match (command.subtype(), partition) {
            (AlterTableType::AtValidateConstraint, _) => found.maintenance = true,
            (AlterTableType::AtDetachPartition, Some(NodeEnum::PartitionCmd(partition))) => {
                found.ddl |= !partition.concurrent;
            }
            _ => found.ddl = true,
        }
    }
    found
}
