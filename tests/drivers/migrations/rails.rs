//! The statements that ActiveRecord 7 sends to Postgres, written down: Ruby is not needed to run this, and Rails is not
//! run. `schema` is what `db:schema:load` makes of a `schema.rb`, statement by statement and outside of a transaction;
//! a `structure.sql` goes by psql and is a dump.

/// Tables of the schema.
const TABLES: usize = 20;

/// What each connection begins with.
pub fn session() -> Vec<String> {
    owned(&[
        "SET client_min_messages TO 'warning'",
        "SET standard_conforming_strings = on",
        "SET intervalstyle = iso_8601",
        "SET SESSION timezone TO 'UTC'",
        "SELECT t.oid, t.typname FROM pg_type as t WHERE t.typname IN ('int2', 'int4', 'int8')",
    ])
}

/// `ActiveRecord::Schema[7.1].define`.
pub fn schema() -> Vec<String> {
    let mut all = owned(&["CREATE EXTENSION IF NOT EXISTS \"plpgsql\""]);
    for n in 0..TABLES {
        all.extend([
            format!("DROP TABLE IF EXISTS \"users_{n}\" CASCADE"),
            format!(
                "CREATE TABLE \"users_{n}\" (\"id\" bigserial primary key, \"email\" character varying NOT NULL, \
                 \"account_id\" bigint, \"tags\" character varying[] DEFAULT '{{}}', \"data\" jsonb, \
                 \"deleted_at\" timestamp(6), \"created_at\" timestamp(6) NOT NULL, \"updated_at\" timestamp(6) NOT NULL)"
            ),
            format!("CREATE INDEX \"index_users_{n}_on_account_id\" ON \"users_{n}\" (\"account_id\")"),
            format!("CREATE UNIQUE INDEX \"index_users_{n}_on_email\" ON \"users_{n}\" (\"email\")"),
            format!("CREATE INDEX \"index_users_{n}_on_tags\" ON \"users_{n}\" USING gin (\"tags\")"),
            format!("CREATE INDEX \"index_users_{n}_on_data\" ON \"users_{n}\" USING gin (\"data\" jsonb_path_ops)"),
            format!("CREATE INDEX \"index_users_{n}_on_lower_email\" ON \"users_{n}\" (lower((email)::text)) WHERE (deleted_at IS NULL)"),
            format!("CREATE INDEX \"index_users_{n}_on_created_at_and_id\" ON \"users_{n}\" (\"created_at\" DESC, \"id\")"),
        ]);
    }
    for n in 1..TABLES {
        all.push(format!(
            "ALTER TABLE \"users_{n}\" ADD CONSTRAINT \"fk_rails_{n}\" FOREIGN KEY (\"account_id\") REFERENCES \"users_{}\" (\"id\")",
            n - 1
        ));
    }
    all.extend(owned(&[
        "CREATE TABLE IF NOT EXISTS \"schema_migrations\" (\"version\" character varying NOT NULL PRIMARY KEY)",
        "DELETE FROM \"schema_migrations\" WHERE \"version\" IN ('20240101000000', '20240102000000')",
        "INSERT INTO \"schema_migrations\" (version) VALUES ('20240102000000'), ('20240101000000')",
        "CREATE TABLE IF NOT EXISTS \"ar_internal_metadata\" (\"key\" character varying NOT NULL PRIMARY KEY, \"value\" character varying, \"created_at\" timestamp(6) NOT NULL, \"updated_at\" timestamp(6) NOT NULL)",
    ]));
    all
}

/// Rows in every table.
pub fn rows() -> Vec<String> {
    let fill = |n| {
        format!(
            "INSERT INTO \"users_{n}\" (\"email\", \"created_at\", \"updated_at\") VALUES ('a@example.com', now(), now())"
        )
    };
    (0..TABLES).map(fill).collect()
}

/// `db:migrate` on a database with rows, as a careful application does it.
pub fn migrations() -> Vec<String> {
    let mut all = owned(&["SELECT pg_try_advisory_lock(4027963021234567890)"]);
    let in_transaction = |statements: &[&str]| {
        let mut all = owned(&["BEGIN"]);
        all.extend(owned(statements));
        all.push("COMMIT".to_owned());
        all
    };
    // create_table with its indexes.
    all.extend(in_transaction(&[
        "CREATE TABLE \"orders\" (\"id\" bigserial primary key, \"user_id\" bigint NOT NULL, \"state\" character varying, \"created_at\" timestamp(6) NOT NULL, CONSTRAINT \"fk_rails_user\" FOREIGN KEY (\"user_id\") REFERENCES \"users_0\" (\"id\"))",
        "CREATE INDEX \"index_orders_on_user_id\" ON \"orders\" (\"user_id\")",
        "COMMENT ON TABLE \"orders\" IS 'What was ordered'",
        "CREATE UNIQUE INDEX \"index_orders_on_state\" ON \"orders\" (\"state\", \"id\")",
        "INSERT INTO \"schema_migrations\" (\"version\") VALUES ('20240103000000') RETURNING \"version\"",
    ]));
    // create_join_table, with rows of its own.
    all.extend(in_transaction(&[
        "CREATE TABLE \"orders_users\" (\"order_id\" bigint NOT NULL, \"user_id\" bigint NOT NULL)",
        "INSERT INTO \"orders_users\" SELECT 1, id FROM \"users_0\"",
        "CREATE INDEX \"index_orders_users_on_order_id\" ON \"orders_users\" (\"order_id\")",
        "INSERT INTO \"schema_migrations\" (\"version\") VALUES ('20240104000000') RETURNING \"version\"",
    ]));
    // disable_ddl_transaction!, algorithm: :concurrently
    all.extend(owned(&[
        "CREATE INDEX CONCURRENTLY \"index_users_0_on_updated_at\" ON \"users_0\" (\"updated_at\")",
        "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS \"index_users_1_on_email_and_id\" ON \"users_1\" (\"email\", \"id\")",
        "DROP INDEX CONCURRENTLY IF EXISTS \"index_users_1_on_created_at_and_id\"",
        "INSERT INTO \"schema_migrations\" (\"version\") VALUES ('20240105000000') RETURNING \"version\"",
    ]));
    // add_column, add_reference with index: false, add_foreign_key with validate: false, rename_index
    all.extend(in_transaction(&[
        "ALTER TABLE \"users_2\" ADD \"nickname\" character varying",
        "ALTER TABLE \"users_2\" ADD \"order_id\" bigint",
        "ALTER TABLE \"users_2\" ADD CONSTRAINT \"fk_rails_order\" FOREIGN KEY (\"order_id\") REFERENCES \"orders\" (\"id\") NOT VALID",
        "ALTER INDEX \"index_users_2_on_tags\" RENAME TO \"index_users_2_on_labels\"",
        "INSERT INTO \"schema_migrations\" (\"version\") VALUES ('20240106000000') RETURNING \"version\"",
    ]));
    all.extend(owned(&[
        "ALTER TABLE \"users_2\" VALIDATE CONSTRAINT \"fk_rails_order\"",
        "SELECT pg_advisory_unlock(4027963021234567890)",
    ]));
    all
}

fn owned(statements: &[&str]) -> Vec<String> {
    statements.iter().map(|sql| (*sql).to_owned()).collect()
}
