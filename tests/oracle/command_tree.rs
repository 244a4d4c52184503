//! A parse tree in the words of `commands`.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    self as tree, AlterTableType as A, ConstrType, DropBehavior, Node, ObjectType, OnCommitAction,
    RangeVar, ReindexObjectType,
};

use crate::recognised::analyzes;

/// Adds a line for each command of the statement.
pub fn describe(node: &NodeEnum, out: &mut Vec<String>) {
    match node {
        NodeEnum::IndexStmt(index) => out.push(format!(
            "index unique={} concurrently={} ine={} {} on {} only={}",
            index.unique,
            index.concurrent,
            index.if_not_exists,
            word(&index.idxname),
            relation(index.relation.as_ref()),
            index.relation.as_ref().is_some_and(|relation| !relation.inh)
        )),
        NodeEnum::DropStmt(drop) => out.extend(drop_line(drop)),
        NodeEnum::DropdbStmt(drop) => out.push(format!(
            "drop Database exists={} cascade=false [{}]",
            drop.missing_ok,
            word(&drop.dbname)
        )),
        NodeEnum::DropOwnedStmt(drop) => {
            // The names of roles have forms of their own.
            let cascade = drop.behavior() == DropBehavior::DropCascade;
            out.push(format!("drop Owned exists=false cascade={cascade} {}", roles(&drop.roles)));
        }
        NodeEnum::ReindexStmt(reindex) => out.push(reindex_line(reindex)),
        NodeEnum::CreateStmt(create) => out.push(create_line("Table", create)),
        NodeEnum::CreateForeignTableStmt(create) => {
            out.extend(create.base_stmt.as_ref().map(|base| create_line("ForeignTable", base)));
        }
        NodeEnum::CreateTableAsStmt(create) => out.extend(create_as_line(create)),
        NodeEnum::ViewStmt(view) => {
            out.push(plain_create("View", view.view.as_ref(), false, view.replace, "query", false));
        }
        NodeEnum::CreateSeqStmt(sequence) => out.push(plain_create(
            "Sequence",
            sequence.sequence.as_ref(),
            sequence.if_not_exists,
            false,
            "columns",
            false,
        )),
        NodeEnum::CreateSchemaStmt(schema) => {
            out.push(format!("schema {} ine={}", word(&schema.schemaname), schema.if_not_exists));
            for element in schema.schema_elts.iter().filter_map(|node| node.node.as_ref()) {
                describe(element, out);
            }
        }
        NodeEnum::CreateDomainStmt(domain) => {
            let constrained = constraints(&domain.constraints).any(|constraint| {
                matches!(constraint.contype(), ConstrType::ConstrCheck | ConstrType::ConstrNotnull)
            });
            let name = strings(&domain.domainname);
            out.push(format!("domain {name} constrained={constrained}"));
        }
        NodeEnum::AlterTableStmt(alter) => out.extend(alter_line(alter)),
        NodeEnum::AlterSeqStmt(alter) => out.push(format!(
            "alter Sequence exists={} {} only=false: other",
            alter.missing_ok,
            relation(alter.sequence.as_ref())
        )),
        NodeEnum::AlterTableMoveAllStmt(alter) => out.extend(
            kind(alter.objtype())
                .map(|kind| format!("alter {kind} exists=false - only=false: tablespace")),
        ),
        NodeEnum::RenameStmt(rename) => out.extend(rename_line(rename)),
        NodeEnum::AlterObjectSchemaStmt(alter) => out.extend(schema_line(alter)),
        NodeEnum::AlterEnumStmt(alter) => {
            let action = if alter.old_val.is_empty() {
                format!("add value placed={}", !alter.new_val_neighbor.is_empty())
            } else {
                "rename value".to_owned()
            };
            out.push(format!("type {} {action}", strings(&alter.type_name)));
        }
        NodeEnum::AlterDomainStmt(alter) => {
            let def = alter.def.as_ref().and_then(|def| def.node.as_ref());
            let action = match (alter.subtype.as_str(), def) {
                ("C", Some(NodeEnum::Constraint(constraint))) => {
                    format!("add not_valid={}", constraint.skip_validation)
                }
                ("O", _) => "set not null".to_owned(),
                ("V", _) => "validate".to_owned(),
                _ => return,
            };
            out.push(format!("alter domain {} {action}", strings(&alter.type_name)));
        }
        NodeEnum::ClusterStmt(cluster) => {
            out.push(format!("cluster {}", relation(cluster.relation.as_ref())));
        }
        NodeEnum::VacuumStmt(vacuum) if vacuum.is_vacuumcmd => {
            let full = option(&vacuum.options, "full").unwrap_or(false);
            let tables = vacuum.rels.iter().filter_map(|node| match &node.node {
                Some(NodeEnum::VacuumRelation(table)) => Some(relation(table.relation.as_ref())),
                _ => None,
            });
            let tables: Vec<_> = tables.collect();
            out.push(format!("vacuum full={full} [{}]", tables.join(" ")));
        }
        NodeEnum::RefreshMatViewStmt(refresh) => out.push(format!(
            "refresh {} {}",
            relation(refresh.relation.as_ref()),
            refresh.concurrent
        )),
        NodeEnum::LockStmt(lock) => out.push(format!(
            "lock {} mode={} nowait={}",
            relations(&lock.relations),
            lock.mode,
            lock.nowait
        )),
        NodeEnum::TruncateStmt(truncate) => out.push(format!(
            "truncate {} cascade={}",
            relations(&truncate.relations),
            truncate.behavior() == DropBehavior::DropCascade
        )),
        NodeEnum::CopyStmt(copy) => {
            if copy.is_program || !copy.filename.is_empty() {
                out.push(format!("copy program={}", copy.is_program));
            }
            inner(copy.query.as_deref(), out);
        }
        NodeEnum::ExplainStmt(explain) if analyzes(explain) => {
            inner(explain.query.as_deref(), out);
        }
        NodeEnum::PrepareStmt(prepare) => inner(prepare.query.as_deref(), out),
        NodeEnum::DeclareCursorStmt(declare) => inner(declare.query.as_deref(), out),
        _ if is_query(node) => query(node, out),
        _ => {}
    }
}

fn inner(node: Option<&Node>, out: &mut Vec<String>) {
    if let Some(node) = node.and_then(|node| node.node.as_ref()) {
        describe(node, out);
    }
}

/// How many UPDATEs and DELETEs the tree has, wherever they stand.
pub fn count_writes(node: &NodeEnum) -> usize {
    let printed = format!("{node:?}");
    printed.matches("UpdateStmt(").count() + printed.matches("DeleteStmt(").count()
}

/// True for SELECT and the statements that write rows.
fn is_query(node: &NodeEnum) -> bool {
    matches!(
        node,
        NodeEnum::SelectStmt(_)
            | NodeEnum::InsertStmt(_)
            | NodeEnum::UpdateStmt(_)
            | NodeEnum::DeleteStmt(_)
            | NodeEnum::MergeStmt(_)
    )
}

/// SELECT INTO anywhere, and writes without a condition, also behind WITH.
fn query(node: &NodeEnum, out: &mut Vec<String>) {
    let printed = format!("{node:?}");
    for clause in printed.split("into_clause: Some(IntoClause { rel: Some(RangeVar { ").skip(1) {
        let field = |name: &str| {
            let value = clause.split_once(&format!("{name}: \"")).map_or("", |(_, rest)| rest);
            unquoted(value)
        };
        let into = RangeVar {
            catalogname: field("catalogname"),
            schemaname: field("schemaname"),
            relname: field("relname"),
            relpersistence: field("relpersistence"),
            ..RangeVar::default()
        };
        out.push(plain_create("Table", Some(&into), false, false, "query", false));
    }
    writes(node, out);
}

/// What was printed up to the closing quote, with escaped quotes and backslashes as they were.
fn unquoted(printed: &str) -> String {
    let mut value = String::new();
    let mut chars = printed.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => break,
            '\\' => value.extend(chars.next()),
            _ => value.push(char),
        }
    }
    value
}

fn writes(node: &NodeEnum, out: &mut Vec<String>) {
    let with = match node {
        NodeEnum::SelectStmt(select) => select.with_clause.as_ref(),
        NodeEnum::InsertStmt(insert) => insert.with_clause.as_ref(),
        NodeEnum::UpdateStmt(update) => {
            if update.where_clause.is_none() {
                out.push(format!("write update {}", relation(update.relation.as_ref())));
            }
            update.with_clause.as_ref()
        }
        NodeEnum::DeleteStmt(delete) => {
            if delete.where_clause.is_none() {
                out.push(format!("write delete {}", relation(delete.relation.as_ref())));
            }
            delete.with_clause.as_ref()
        }
        NodeEnum::MergeStmt(merge) => merge.with_clause.as_ref(),
        _ => None,
    };
    for table in with.iter().flat_map(|with| &with.ctes) {
        if let Some(NodeEnum::CommonTableExpr(table)) = &table.node
            && let Some(inner) = table.ctequery.as_ref().and_then(|node| node.node.as_ref())
        {
            writes(inner, out);
        }
    }
}

fn word(name: &str) -> String {
    if name.is_empty() { "-".to_owned() } else { format!("{name:?}") }
}

fn relation(relation: Option<&RangeVar>) -> String {
    let Some(relation) = relation else { return "-".to_owned() };
    let parts = [&relation.catalogname, &relation.schemaname, &relation.relname];
    let parts: Vec<_> =
        parts.iter().filter(|part| !part.is_empty()).map(|part| format!("{part:?}")).collect();
    parts.join(".")
}

fn relations(nodes: &[Node]) -> String {
    let all = nodes.iter().filter_map(|node| match &node.node {
        Some(NodeEnum::RangeVar(table)) => Some(relation(Some(table))),
        _ => None,
    });
    format!("[{}]", all.collect::<Vec<_>>().join(" "))
}

/// A name that is a list of strings.
fn strings(nodes: &[Node]) -> String {
    let parts = nodes.iter().filter_map(|node| match &node.node {
        Some(NodeEnum::String(part)) => Some(format!("{:?}", part.sval)),
        _ => None,
    });
    parts.collect::<Vec<_>>().join(".")
}

fn roles(nodes: &[Node]) -> String {
    let mut complete = "";
    let mut all = Vec::new();
    for node in nodes {
        match &node.node {
            Some(NodeEnum::RoleSpec(role)) if !role.rolename.is_empty() => {
                all.push(format!("{:?}", role.rolename));
            }
            _ => complete = "…",
        }
    }
    format!("[{}]{complete}", all.join(" "))
}

fn drop_line(drop: &tree::DropStmt) -> Option<String> {
    let kind = match drop.remove_type() {
        ObjectType::ObjectIndex => {
            format!("index concurrently={}", drop.concurrent)
        }
        ObjectType::ObjectSchema => "Schema".to_owned(),
        ObjectType::ObjectType => "Type".to_owned(),
        ObjectType::ObjectDomain => "Domain".to_owned(),
        other => kind(other)?.to_owned(),
    };
    let names = drop.objects.iter().map(|object| match &object.node {
        Some(NodeEnum::List(list)) => strings(&list.items),
        Some(NodeEnum::String(name)) => format!("{:?}", name.sval),
        Some(NodeEnum::TypeName(name)) => strings(&name.names),
        _ => "?".to_owned(),
    });
    Some(format!(
        "drop {kind} exists={} cascade={} [{}]",
        drop.missing_ok,
        drop.behavior() == DropBehavior::DropCascade,
        names.collect::<Vec<_>>().join(" ")
    ))
}

/// The kinds of relations, in the words of `ObjectKind`.
fn kind(object: ObjectType) -> Option<&'static str> {
    Some(match object {
        ObjectType::ObjectTable => "Table",
        ObjectType::ObjectForeignTable => "ForeignTable",
        ObjectType::ObjectView => "View",
        ObjectType::ObjectMatview => "MaterializedView",
        ObjectType::ObjectSequence => "Sequence",
        ObjectType::ObjectIndex => "Index",
        _ => return None,
    })
}

fn reindex_line(reindex: &tree::ReindexStmt) -> String {
    let kind = match reindex.kind() {
        ReindexObjectType::ReindexObjectIndex => "Index",
        ReindexObjectType::ReindexObjectTable => "Table",
        ReindexObjectType::ReindexObjectSchema => "Schema",
        ReindexObjectType::ReindexObjectSystem => "System",
        ReindexObjectType::ReindexObjectDatabase => "Database",
        ReindexObjectType::Undefined => "Unknown",
    };
    let name = match &reindex.relation {
        Some(table) => relation(Some(table)),
        None => word(&reindex.name),
    };
    let concurrently = option(&reindex.params, "concurrently").unwrap_or(false);
    format!("reindex {kind} concurrently={concurrently} {name}")
}

/// Whether an option is on, as `defGetBoolean` reads the last one of that name; None where it refuses the value.
fn option(options: &[Node], name: &str) -> Option<bool> {
    let mut on = Some(false);
    for option in options {
        let Some(NodeEnum::DefElem(option)) = &option.node else { continue };
        if option.defname != name {
            continue;
        }
        on = match option.arg.as_ref().and_then(|arg| arg.node.as_ref()) {
            None => Some(true),
            Some(NodeEnum::Integer(number)) => match number.ival {
                0 => Some(false),
                1 => Some(true),
                _ => None,
            },
            Some(NodeEnum::String(text)) => match text.sval.to_ascii_lowercase().as_str() {
                "true" | "on" => Some(true),
                "false" | "off" => Some(false),
                _ => None,
            },
            Some(_) => None,
        };
    }
    // An empty VACUUM (full nonsense) fails; ours takes the careful side.
    if name == "full" { Some(on != Some(false)) } else { on }
}

fn persistence(relation: Option<&RangeVar>) -> &'static str {
    match relation.map_or("p", |relation| relation.relpersistence.as_str()) {
        "t" => "Temporary",
        "u" => "Unlogged",
        _ => "Permanent",
    }
}

fn plain_create(
    kind: &str,
    name: Option<&RangeVar>,
    if_not_exists: bool,
    replace: bool,
    form: &str,
    drop: bool,
) -> String {
    format!(
        "create {kind} {} ine={if_not_exists} replace={replace} {} {form} partitioned=false inherits=[] references=[] drop={drop}",
        persistence(name),
        relation(name)
    )
}

fn create_as_line(create: &tree::CreateTableAsStmt) -> Option<String> {
    let into = create.into.as_ref()?;
    let drop = into.on_commit() == OnCommitAction::OncommitDrop;
    let kind = kind(create.objtype())?;
    Some(plain_create(kind, into.rel.as_ref(), create.if_not_exists, false, "query", drop))
}

fn create_line(kind: &str, create: &tree::CreateStmt) -> String {
    let parents = relations(&create.inh_relations);
    let (form, inherits) = if create.partbound.is_some() {
        (format!("partition of {}", parents.trim_matches(['[', ']'])), "[]".to_owned())
    } else if create.of_typename.is_some() {
        ("of".to_owned(), "[]".to_owned())
    } else {
        ("columns".to_owned(), parents)
    };
    let mut references = Vec::new();
    for element in &create.table_elts {
        let found: Vec<&tree::Constraint> = match &element.node {
            Some(NodeEnum::ColumnDef(column)) => constraints(&column.constraints).collect(),
            Some(NodeEnum::Constraint(constraint)) => vec![constraint],
            _ => Vec::new(),
        };
        let foreign =
            |constraint: &&&tree::Constraint| constraint.contype() == ConstrType::ConstrForeign;
        for constraint in found.iter().filter(foreign) {
            references.push(relation(constraint.pktable.as_ref()));
        }
    }
    format!(
        "create {kind} {} ine={} replace=false {} {form} partitioned={} inherits={inherits} references=[{}] drop={}",
        persistence(create.relation.as_ref()),
        create.if_not_exists,
        relation(create.relation.as_ref()),
        create.partspec.is_some(),
        references.join(" "),
        create.oncommit() == OnCommitAction::OncommitDrop
    )
}

fn constraints(nodes: &[Node]) -> impl Iterator<Item = &tree::Constraint> {
    nodes.iter().filter_map(|node| match &node.node {
        Some(NodeEnum::Constraint(constraint)) => Some(&**constraint),
        _ => None,
    })
}

fn alter_line(alter: &tree::AlterTableStmt) -> Option<String> {
    let table = alter.relation.as_ref();
    if alter.objtype() == ObjectType::ObjectType {
        return Some(format!("type {} attributes", relation(table)));
    }
    let actions = alter.cmds.iter().filter_map(|command| match &command.node {
        Some(NodeEnum::AlterTableCmd(command)) => Some(action(command)),
        _ => None,
    });
    let only = table.is_some_and(|table| !table.inh);
    Some(format!(
        "alter {} exists={} {} only={only}: {}",
        kind(alter.objtype())?,
        alter.missing_ok,
        relation(table),
        actions.collect::<Vec<_>>().join(", ")
    ))
}

fn action(command: &tree::AlterTableCmd) -> String {
    let name = word(&command.name);
    let def = command.def.as_ref().and_then(|def| def.node.as_ref());
    match (command.subtype(), def) {
        (A::AtAddColumn, Some(NodeEnum::ColumnDef(column))) => {
            add_column(column, command.missing_ok)
        }
        (A::AtDropColumn, _) => {
            let cascade = command.behavior() == DropBehavior::DropCascade;
            format!("drop column {name} cascade={cascade}")
        }
        (A::AtAddConstraint, Some(NodeEnum::Constraint(constraint))) => add_constraint(constraint),
        (A::AtValidateConstraint, _) => format!("validate {name}"),
        (A::AtDropConstraint, _) => format!("drop constraint {name}"),
        (A::AtSetNotNull, _) => format!("set not null {name}"),
        (A::AtDropNotNull, _) => format!("drop not null {name}"),
        (A::AtAlterColumnType, Some(NodeEnum::ColumnDef(column))) => {
            format!("type of {name} using={}", column.raw_default.is_some())
        }
        (A::AtSetExpression, _) => format!("expression of {name}"),
        (A::AtSetTableSpace, _) => "tablespace".to_owned(),
        (A::AtSetLogged, _) => "logged".to_owned(),
        (A::AtSetUnLogged, _) => "unlogged".to_owned(),
        (A::AtSetAccessMethod, _) => "access method".to_owned(),
        (A::AtAttachPartition, Some(NodeEnum::PartitionCmd(partition))) => {
            format!("attach {}", relation(partition.name.as_ref()))
        }
        (A::AtDetachPartition, Some(NodeEnum::PartitionCmd(partition))) => {
            format!("detach {} {} false", relation(partition.name.as_ref()), partition.concurrent)
        }
        (A::AtDetachPartitionFinalize, Some(NodeEnum::PartitionCmd(partition))) => {
            format!("detach {} false true", relation(partition.name.as_ref()))
        }
        _ => "other".to_owned(),
    }
}

fn add_column(column: &tree::ColumnDef, if_not_exists: bool) -> String {
    let has = |kind: ConstrType| constraints(&column.constraints).any(|c| c.contype() == kind);
    let last =
        |kind: ConstrType| constraints(&column.constraints).filter(|c| c.contype() == kind).last();
    let default = last(ConstrType::ConstrDefault).map_or_else(
        || "-".to_owned(),
        |constraint| {
            let value = constraint.raw_expr.as_ref().and_then(|expr| expr.node.as_ref());
            let null = matches!(value, Some(NodeEnum::AConst(value)) if value.isnull);
            format!("null={null}")
        },
    );
    let references = last(ConstrType::ConstrForeign)
        .map_or_else(|| "-".to_owned(), |constraint| relation(constraint.pktable.as_ref()));
    let type_name = column.type_name.as_ref().map_or(String::new(), |name| strings(&name.names));
    const SERIALS: [&str; 6] =
        ["serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"];
    let serial = SERIALS.iter().any(|serial| type_name == format!("{serial:?}"));
    // The server refuses more than one; the last is as good as any.
    let generates = constraints(&column.constraints).filter(|constraint| {
        matches!(constraint.contype(), ConstrType::ConstrGenerated | ConstrType::ConstrIdentity)
    });
    let generated = match generates.last() {
        Some(constraint) if constraint.contype() == ConstrType::ConstrIdentity => "identity",
        Some(constraint) if constraint.generated_kind == "s" => "stored",
        Some(_) => "virtual",
        None if serial => "serial",
        None => "plain",
    };
    format!(
        "add column {} ine={if_not_exists} not_null={} default={default} {generated} unique={} primary={} check={} references={references}",
        word(&column.colname),
        has(ConstrType::ConstrNotnull),
        has(ConstrType::ConstrUnique),
        has(ConstrType::ConstrPrimary),
        has(ConstrType::ConstrCheck)
    )
}

fn add_constraint(constraint: &tree::Constraint) -> String {
    let index = word(&constraint.indexname);
    let kind = match constraint.contype() {
        ConstrType::ConstrCheck => "check".to_owned(),
        ConstrType::ConstrNotnull => format!("not null {}", strings(&constraint.keys)),
        ConstrType::ConstrUnique => format!("unique {index}"),
        ConstrType::ConstrPrimary => format!("primary {index}"),
        ConstrType::ConstrExclusion => "exclude".to_owned(),
        ConstrType::ConstrForeign => format!("foreign {}", relation(constraint.pktable.as_ref())),
        _ => "unknown".to_owned(),
    };
    let can_be_invalid = matches!(
        constraint.contype(),
        ConstrType::ConstrCheck | ConstrType::ConstrForeign | ConstrType::ConstrNotnull
    );
    // NOT ENFORCED implies that nothing is validated.
    let not_enforced = can_be_invalid
        && !constraint.is_enforced
        && constraint.contype() != ConstrType::ConstrNotnull;
    format!(
        "add constraint {} {kind} not_valid={} not_enforced={not_enforced}",
        word(&constraint.conname),
        constraint.skip_validation
    )
}

fn object_name(node: Option<&Node>) -> String {
    match node.and_then(|node| node.node.as_ref()) {
        Some(NodeEnum::List(list)) => strings(&list.items),
        Some(NodeEnum::TypeName(name)) => strings(&name.names),
        Some(NodeEnum::String(name)) => format!("{:?}", name.sval),
        _ => "?".to_owned(),
    }
}

fn rename_line(rename: &tree::RenameStmt) -> Option<String> {
    let table = rename.relation.as_ref();
    let (from, to) = (word(&rename.subname), word(&rename.newname));
    let only = table.is_some_and(|table| !table.inh);
    let alter = |kind: &str, action: String| {
        let exists = rename.missing_ok;
        Some(format!("alter {kind} exists={exists} {} only={only}: {action}", relation(table)))
    };
    let object = object_name(rename.object.as_deref());
    match rename.rename_type() {
        ObjectType::ObjectColumn => {
            alter(kind(rename.relation_type())?, format!("rename column {from} to {to}"))
        }
        ObjectType::ObjectTabconstraint => alter("Table", "rename constraint".to_owned()),
        ObjectType::ObjectAttribute => Some(format!("type {} rename attribute", relation(table))),
        ObjectType::ObjectType => Some(format!("type {object} rename to {to}")),
        ObjectType::ObjectDomain => Some(format!("alter domain {object} rename to {to}")),
        ObjectType::ObjectSchema => Some(format!("rename Schema {from} to {to}")),
        ObjectType::ObjectDatabase => Some(format!("rename Database {from} to {to}")),
        other => alter(kind(other)?, format!("rename to {to}")),
    }
}

fn schema_line(alter: &tree::AlterObjectSchemaStmt) -> Option<String> {
    let to = word(&alter.newschema);
    let object = object_name(alter.object.as_deref());
    match alter.object_type() {
        ObjectType::ObjectType => Some(format!("type {object} set schema {to}")),
        ObjectType::ObjectDomain => Some(format!("alter domain {object} set schema {to}")),
        other => {
            let table = alter.relation.as_ref();
            let only = table.is_some_and(|table| !table.inh);
            Some(format!(
                "alter {} exists={} {} only={only}: set schema {to}",
                kind(other)?,
                alter.missing_ok,
                relation(table)
            ))
        }
    }
}
