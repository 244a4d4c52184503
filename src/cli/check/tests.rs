use super::*;
use std::path::PathBuf;

/// Writes a configuration into a file of the test's own, and checks it.
fn checked(name: &str, text: &str, format: CheckFormat, strict: bool) -> CheckResult {
    let path = file(name);
    std::fs::write(&path, text).unwrap();
    let result = examine(&path, format, strict);
    let _ = std::fs::remove_file(&path);
    let output = result.output.replace(&path.display().to_string(), "pgweir.toml");
    CheckResult { output, ..result }
}

fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("pgweir-check-{name}-{}.toml", std::process::id()))
}

const GOOD: &str = "\
server.max_client_connections = 10
[databases.shop]
primary = 'host=localhost'
replicas = ['host=localhost port=5433']
max_server_connections = 30
[databases.shop_ro]
alias_of = 'shop'
[databases.crm]
primary = 'host=localhost'
[roles.web]
password = '${PGWEIR_NONE:-x}'
pool_size = 8
min_pool_size = 2
[roles.migrator]
password = '${PGWEIR_NONE:-x}'
pool_size = 1
reserve_pool_size = 0
route = 'primary'
[http]
dashboard = true
";

#[test]
fn a_good_file_shows_its_budget() {
    let result = checked("good", GOOD, CheckFormat::Text, false);
    let expected = "\
Read and checked, but this version does not act on it:
  pgweir.toml:20: `http.dashboard` does nothing yet

pgweir.toml: ok, 1 key without effect

Connections to each server, for the roles that have tables of their own:
  server          database  min  max  cap  each other role
  localhost:5432  crm         2   14    -              +25
                  shop        4   28   30               +2
                  total       6   42
  localhost:5433  shop        4   28   30               +2
";
    assert_eq!(result.output, expected);
    assert_eq!(result.exit_code, 0);
}

#[test]
fn roles_with_one_server_role_count_as_one_pool() {
    let shared = "
[databases.shop]
primary = 'postgres://app:x@localhost/shop'
pool_size = 10
[roles.web]
password = '${PGWEIR_NONE:-x}'
[roles.reports]
password = '${PGWEIR_NONE:-x}'
";
    let budget = checked("shared", shared, CheckFormat::Json, false).output;
    assert!(budget.contains("\"max\":15,\"cap\":null,\"each_other_role\":0}"), "{budget}");
}

#[test]
fn exit_codes_tell_problems_from_not_running() {
    let warned = "databases.shop.primary = 'host=db1'\nroles.web.password = '${PGWEIR_NONE:-x}'\nserver.max_client_connections = 10\n";
    assert_eq!(checked("warned", warned, CheckFormat::Text, false).exit_code, 0);
    assert_eq!(checked("strict", warned, CheckFormat::Text, true).exit_code, 1);
    let noted = format!("{warned}[defaults]\ndefault_pool_size = 5\n").replace("db1", "localhost");
    assert_eq!(checked("noted", &noted, CheckFormat::Text, true).exit_code, 0);
    let idle = format!("{warned}[http]\ndashboard = true\n").replace("db1", "localhost");
    assert_eq!(checked("idle", &idle, CheckFormat::Text, false).exit_code, 0);
    assert_eq!(checked("idle-strict", &idle, CheckFormat::Text, true).exit_code, 1);
    assert_eq!(checked("wrong", "x = 1", CheckFormat::Text, false).exit_code, 1);
    assert_eq!(examine(&file("absent"), CheckFormat::Text, false).exit_code, 2);
}

#[test]
fn problems_are_shown_with_a_summary() {
    let text = "databases.shop.primary = 'host=localhost'\nroles.web.password = '${PGWEIR_NONE:-x}'\n[defaults]\npool_sze = 5\n";
    let result = checked("text", text, CheckFormat::Text, false);
    let expected = "\
error: unknown key `pool_sze` in [defaults]
 --> pgweir.toml:4:1
  |
4 | pool_sze = 5
  | ^^^^^^^^
  = key: defaults.pool_sze
  = help: did you mean `pool_size`?

pgweir.toml: 1 error, 0 warnings
";
    assert_eq!(result.output, expected);
}

#[test]
fn machines_get_json_or_commands() {
    let text = "x = \"100%\"\ndatabases.shop.primary = 'host=localhost'\n";
    let json = checked("json", text, CheckFormat::Json, false).output;
    assert!(json.starts_with("{\"ok\":false,\"problems\":[{\"severity\":\"error\",\"message\":\"unknown key `x` at the top level\",\"key\":\"x\",\"file\":\"pgweir.toml\",\"line\":1,\"column\":1,\"help\":\"known here:"), "{json}");
    assert!(json.ends_with("}],\"budget\":[]}\n"), "{json}");
    let budget = checked("budget", GOOD, CheckFormat::Json, false).output;
    assert!(budget.contains("{\"server\":\"localhost:5432\",\"database\":\"shop\",\"min\":4,\"max\":28,\"cap\":30,\"each_other_role\":2}"), "{budget}");
    let idle = "{\"severity\":\"warning\",\"message\":\"`http.dashboard` does nothing yet\"";
    assert!(budget.contains(idle), "{budget}");
    let github = checked("github", text, CheckFormat::Github, false).output;
    assert!(github.starts_with("::error file=pgweir.toml,line=1,col=1,title=pgweir check::unknown key `x` at the top level%0Aknown here:"), "{github}");
}
