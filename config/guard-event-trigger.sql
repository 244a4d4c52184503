-- The backstop of pgweir's query guard, inside of Postgres: index DDL that blocks and that only the server can see, for it
-- stands in a function, a procedure, a trigger or a DO block.
--
-- Optional. What it refuses, what it lets through, who is exempt and what it cannot catch: docs/event-trigger.md.
--
--   install, in each database, as a superuser:   psql -X -1 -v ON_ERROR_STOP=1 -d DATABASE -f guard-event-trigger.sql
--   uninstall, in each database:                 DROP SCHEMA pgweir_guard CASCADE;
--   exempt a role, in all databases:             GRANT pgweir_guard_exempt TO migrator;
--
-- Plain SQL for Postgres 14 to 18. Installing it again replaces it.

DROP SCHEMA IF EXISTS pgweir_guard CASCADE;
CREATE SCHEMA pgweir_guard;
-- Event triggers run as whoever runs the statement.
GRANT USAGE ON SCHEMA pgweir_guard TO PUBLIC;

-- Its members may do what they like. It belongs to all databases of the server, so uninstalling leaves it.
DO $$
BEGIN
    CREATE ROLE pgweir_guard_exempt NOLOGIN;
EXCEPTION WHEN duplicate_object THEN NULL;
END $$;

-- Whether the one who logged in may. SET ROLE changes nothing about it, and superusers are members only if they were
-- made so.
CREATE FUNCTION pgweir_guard.is_exempt() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE roles(id) AS (
        SELECT oid FROM pg_roles WHERE rolname = session_user
        UNION
        SELECT m.roleid FROM pg_auth_members m JOIN roles r ON m.member = r.id
    )
    SELECT EXISTS (
        SELECT FROM roles JOIN pg_roles ON pg_roles.oid = roles.id WHERE pg_roles.rolname = 'pgweir_guard_exempt'
    )
$$;

-- Whether nobody but this session can want a relation: a temporary table, one that this transaction has made, an empty
-- one, an index of such a one, or nothing at all (NULL).
CREATE FUNCTION pgweir_guard.is_own(relation oid) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    seen record;
    distance bigint;
BEGIN
    SELECT t.oid, t.relkind, t.relpersistence INTO seen
        FROM pg_class r LEFT JOIN pg_index i ON i.indexrelid = r.oid
        JOIN pg_class t ON t.oid = coalesce(i.indrelid, r.oid)
        WHERE r.oid = relation;
    IF NOT FOUND OR seen.relpersistence = 't' THEN
        RETURN true;
    END IF;
    IF seen.relkind = 'p' THEN
        IF NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = seen.oid) THEN
            RETURN true;
        END IF;
    ELSIF seen.relkind IN ('r', 'm') AND pg_relation_size(seen.oid) = 0 THEN
        RETURN true;
    END IF;
    IF seen.relkind = 'p' THEN
        -- An existing table may have been attached to a new parent.
        RETURN false;
    END IF;
    -- The rows of a table's system columns are written when it is made, and never again. Of those that can be seen, the
    -- ones of a transaction that has not ended are our own. age() is the distance to our transaction's number; those of
    -- its savepoints are higher.
    SELECT age(xmin) INTO distance FROM pg_attribute WHERE attrelid = seen.oid AND attname = 'tableoid' AND attnum < 0;
    IF distance IS NULL OR distance > 0 THEN
        RETURN false;
    END IF;
    RETURN pg_xact_status((pg_current_xact_id()::text::bigint - distance)::text::xid8) = 'in progress';
END $$;

-- Whether a statement of index DDL, as it stands in code, is about such relations only. Understands the plain forms, without
-- comments; in doubt the answer is no.
CREATE FUNCTION pgweir_guard.touches_own_only(statement text) RETURNS boolean
LANGUAGE plpgsql
-- No search_path of its own: names mean what they mean to the code.
AS $$
DECLARE
    name constant text := '(?:"(?:[^"]|"")+"|[[:alpha:]_][[:alnum:]_$]*)';
    object constant text := '(?:' || name || '\s*\.\s*)?' || name;
    part text[];
    one text;
    relation oid;
BEGIN
    part := pg_catalog.regexp_match(
        statement,
        '^\s*create\s+(?:unique\s+)?index\s+(?:if\s+not\s+exists\s+)?(?:' || name || '\s+)?on\s+(only\s+)?(' || object
            || ')\s*(?:using\s|\()[^;]*;?\s*$',
        'i');
    IF part IS NOT NULL THEN
        relation := pg_catalog.to_regclass(part[2]);
        IF relation IS NULL OR pg_catalog.lower(part[2]) = 'only' THEN
            RETURN false; -- ONLY (t); and what the server refuses in any case.
        END IF;
        IF part[1] IS NOT NULL AND EXISTS (
            SELECT FROM pg_catalog.pg_class c WHERE c.oid = relation AND c.relkind = 'p'
        ) THEN
            RETURN true; -- The catalog alone is touched.
        END IF;
        RETURN pgweir_guard.is_own(relation);
    END IF;
    part := pg_catalog.regexp_match(
        statement,
        '^\s*drop\s+index\s+(?:if\s+exists\s+)?(' || object || '(?:\s*,\s*' || object || ')*)(?:\s+restrict)?\s*;?\s*$',
        'i');
    IF part IS NULL THEN
        part := pg_catalog.regexp_match(
            statement, '^\s*reindex\s*(?:\([^()]*\)\s*|\s)(?:table|index)\s+(' || object || ')\s*;?\s*$', 'i');
    END IF;
    IF part IS NULL THEN
        RETURN false;
    END IF;
    FOR one IN
        SELECT m[1] FROM pg_catalog.regexp_matches(part[1], '(' || object || ')(?:\s*,\s*|$)', 'g') AS m
    LOOP
        IF NOT pgweir_guard.is_own(pg_catalog.to_regclass(one)) THEN
            RETURN false;
        END IF;
    END LOOP;
    RETURN true;
END $$;

CREATE FUNCTION pgweir_guard.refuse_index_ddl_in_code() RETURNS event_trigger
LANGUAGE plpgsql
AS $$
DECLARE
    stack text;
    quote text := '["]';
    statement text;
BEGIN
    -- What runs whom, the innermost first: this function, and nothing else where a client has sent the statement
    -- itself, alone or in a string of several. That is for pgweir to judge.
    GET DIAGNOSTICS stack = PG_CONTEXT;
    IF pg_catalog.strpos(stack, E'\n') = 0 THEN
        RETURN;
    END IF;
    -- Scripts of extensions. From Postgres 18 on these stand in the stack, too.
    IF pg_catalog.current_query() ~* '^\s*(create|alter)\s+extension\s' THEN
        RETURN;
    END IF;
    -- The second entry has the statement, in quotes behind words in the server's language: SQL statement "...". In
    -- functions of language SQL it has not.
    IF pg_catalog.getdatabaseencoding() = 'UTF8' THEN
        quote := pg_catalog.format('["%s%s%s%s%s]', pg_catalog.chr(171), pg_catalog.chr(187), pg_catalog.chr(8220),
            pg_catalog.chr(8221), pg_catalog.chr(12301));
    END IF;
    statement := pg_catalog.substring(
        stack,
        '^[^\n]*\n[^\n' || pg_catalog.substr(quote, 2) || '*' || quote || '((?:(?!' || quote || '\n).)*)' || quote || '\n');
    IF statement IS NOT NULL AND pgweir_guard.touches_own_only(statement) THEN
        RETURN;
    END IF;
    IF pgweir_guard.is_exempt() THEN
        RETURN;
    END IF;
    RAISE EXCEPTION USING
        ERRCODE = 'insufficient_privilege',
        MESSAGE = pg_catalog.format('%s refused inside of code: it would block its table, and code cannot do it CONCURRENTLY',
            tg_tag),
        DETAIL = 'Event trigger pgweir_guard, the backstop of the query guard.',
        HINT = 'Send the statement itself, with CONCURRENTLY and outside of a transaction block; or run it as a member of '
            'pgweir_guard_exempt.';
END $$;

CREATE EVENT TRIGGER pgweir_guard ON ddl_command_start WHEN TAG IN ('CREATE INDEX', 'DROP INDEX')
    EXECUTE FUNCTION pgweir_guard.refuse_index_ddl_in_code();

-- Postgres 14 to 16 have no event for REINDEX.
DO $$
BEGIN
    IF pg_catalog.current_setting('server_version_num')::int >= 170000 THEN
        CREATE EVENT TRIGGER pgweir_guard_reindex ON ddl_command_start WHEN TAG IN ('REINDEX')
            EXECUTE FUNCTION pgweir_guard.refuse_index_ddl_in_code();
    END IF;
END $$;
