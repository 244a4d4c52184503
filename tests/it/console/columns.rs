//! Names, types and order of columns, as PgBouncer 1.25 has them.

use pgweir::cluster::Cluster;

use super::{Table, console, in_front_of, show};

const TEXT: u32 = 25;
const INT4: u32 = 23;
const INT8: u32 = 20;
const NUMERIC: u32 = 1700;

/// As 1.25.2 sent them: table, then columns with the letter of their type (t text, i int4, q int8,
/// n numeric).
const TABLES: [(&str, &str); 20] = [
    ("VERSION", "t:version"),
    (
        "POOLS",
        "t:database t:user i:cl_active i:cl_waiting i:cl_active_cancel_req \
         i:cl_waiting_cancel_req i:sv_active i:sv_active_cancel i:sv_being_canceled i:sv_idle \
         i:sv_used i:sv_tested i:sv_login i:maxwait i:maxwait_us t:pool_mode t:load_balance_hosts",
    ),
    ("CLIENTS", CONNECTION),
    ("SERVERS", CONNECTION),
    ("SOCKETS", SOCKET),
    ("ACTIVE_SOCKETS", SOCKET),
    (
        "STATS",
        "t:database n:total_server_assignment_count n:total_xact_count n:total_query_count \
         n:total_received n:total_sent n:total_xact_time n:total_query_time n:total_wait_time \
         n:total_client_parse_count n:total_server_parse_count n:total_bind_count \
         n:avg_server_assignment_count n:avg_xact_count n:avg_query_count n:avg_recv n:avg_sent \
         n:avg_xact_time n:avg_query_time n:avg_wait_time n:avg_client_parse_count \
         n:avg_server_parse_count n:avg_bind_count",
    ),
    (
        "STATS_TOTALS",
        "t:database n:server_assignment_count n:xact_count n:query_count n:bytes_received \
         n:bytes_sent n:xact_time n:query_time n:wait_time n:client_parse_count \
         n:server_parse_count n:bind_count",
    ),
    (
        "STATS_AVERAGES",
        "t:database n:server_assignment_count n:xact_count n:query_count n:bytes_received \
         n:bytes_sent n:xact_time n:query_time n:wait_time n:avg_client_parse_count \
         n:avg_server_parse_count n:avg_bind_count",
    ),
    ("TOTALS", "t:name n:value"),
    (
        "DATABASES",
        "t:name t:host i:port t:database t:force_user i:pool_size i:min_pool_size \
         i:reserve_pool_size i:server_lifetime t:pool_mode t:load_balance_hosts i:max_connections \
         i:current_connections i:max_client_connections i:current_client_connections i:paused \
         i:disabled",
    ),
    ("LISTS", "t:list i:items"),
    (
        "USERS",
        "t:name t:pool_size t:reserve_pool_size t:pool_mode i:max_user_connections \
         i:current_connections i:max_user_client_connections i:current_client_connections",
    ),
    ("MEM", "t:name i:size i:used i:free i:memtotal"),
    ("STATE", "t:key t:value"),
    ("PEERS", "i:peer_id t:host i:port i:pool_size"),
    (
        "PEER_POOLS",
        "i:peer_id i:cl_active_cancel_req i:cl_waiting_cancel_req i:sv_active_cancel i:sv_login",
    ),
    ("DNS_HOSTS", "t:hostname q:ttl t:addrs"),
    ("DNS_ZONES", "t:zonename q:serial i:count"),
    ("CONFIG", "t:key t:value t:default t:changeable"),
];

const CONNECTION: &str = "t:type t:user t:database t:replication t:state t:addr i:port \
    t:local_addr i:local_port t:connect_time t:request_time i:wait i:wait_us i:close_needed t:ptr \
    t:link i:remote_pid t:tls t:application_name i:prepared_statements i:id";

const SOCKET: &str = "t:type t:user t:database t:replication t:state t:addr i:port \
    t:local_addr i:local_port t:connect_time t:request_time i:wait i:wait_us i:close_needed t:ptr \
    t:link i:remote_pid t:tls t:application_name i:prepared_statements i:id i:recv_pos i:pkt_pos \
    i:pkt_remain i:send_pos i:send_remain i:pkt_avail i:send_avail";

fn expected(columns: &str) -> Vec<(String, u32)> {
    let one = |word: &str| {
        let (kind, name) = word.split_once(':').expect("a type and a name");
        let oid = match kind {
            "t" => TEXT,
            "i" => INT4,
            "q" => INT8,
            "n" => NUMERIC,
            other => panic!("type {other}"),
        };
        (name.to_owned(), oid)
    };
    columns.split_whitespace().map(one).collect()
}

/// pgweir's own.
const PINS: &str = "t:database t:user t:addr i:port i:id t:ptr t:link i:server_pid t:reasons q:age_s \
    q:idle_s t:application_name";
const ROUTE: &str = "t:database t:user t:target t:reason q:requests";

#[test]
fn every_table_has_the_columns_of_pgbouncer() {
    let cluster = Cluster::start().expect("a Postgres");
    let pgweir = in_front_of(&cluster).start();
    let mut app = pgweir.client(&super::app());
    app.ask("BEGIN; SELECT 1");
    let mut console = console(&pgweir);
    for (name, columns) in TABLES {
        let table = show(&mut console, name);
        assert_eq!(table.columns, expected(columns), "SHOW {name}");
        for row in &table.rows {
            assert_eq!(row.len(), table.columns.len(), "SHOW {name}");
            for (value, (column, oid)) in row.iter().zip(&table.columns) {
                let number = value.as_ref().is_none_or(|value| value.parse::<u64>().is_ok());
                assert!(*oid == TEXT || number, "SHOW {name}: {column} is {value:?}");
            }
        }
        let empty = ["PEERS", "PEER_POOLS", "DNS_HOSTS", "DNS_ZONES"].contains(&name);
        assert_eq!(table.rows.is_empty(), empty, "SHOW {name}");
    }
    assert_eq!(show(&mut console, "PINS").columns, expected(PINS));
    let route = show(&mut console, "ROUTE");
    assert_eq!((route.columns, route.rows.len()), (expected(ROUTE), 0), "one server");
    // Exporters rely on the names of the rows as well.
    let names = |table: &Table| {
        let first = table.rows.iter().map(|row| row[0].clone().expect("a name"));
        first.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        names(&show(&mut console, "LISTS")),
        "databases users peers pools peer_pools free_clients used_clients login_clients \
         free_servers used_servers dns_names dns_zones dns_queries dns_pending"
    );
    assert_eq!(names(&show(&mut console, "STATE")), "active paused suspended");
    let config = show(&mut console, "CONFIG");
    for key in ["max_client_conn", "max_user_connections", "default_pool_size"] {
        config.number(&[("key", key)], "value");
    }
    let version = show(&mut console, "VERSION").rows[0][0].clone().expect("a version");
    assert!(version.starts_with("PgBouncer 1.25.0 (pgweir "), "{version}");
}
