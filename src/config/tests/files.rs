//! Configurations of several files, and the files that they name.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A directory of a test's own, removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("pgweir-config-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    /// Writes a file with a mode; directories in its name are made.
    fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// Every problem, with the directory's name left off.
    fn problems(&self, path: &Path) -> Vec<String> {
        let problems = match Config::load(path) {
            Ok(loaded) => loaded.warnings,
            Err(refused) => refused.problems,
        };
        let here = format!("{}/", self.0.display());
        let line = |problem: &Problem| {
            let file = problem.location.as_ref().map_or("-", |at| &at.file).replace(&here, "");
            let also = problem.also.as_ref().map_or_else(String::new, |(_, at)| {
                format!(" ({}:{}:{})", at.file.replace(&here, ""), at.line, at.column)
            });
            let at = problem.location.as_ref().map_or((0, 0), |at| (at.line, at.column));
            format!(
                "{} {file}:{}:{} {}{also}",
                problem.severity.as_str(),
                at.0,
                at.1,
                problem.message.replace(&here, "")
            )
        };
        problems.iter().map(line).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const SHOP: &str =
    "databases.shop.primary = 'host=localhost'\nroles.web.password = '${PGWEIR_NONE:-x}'\n";

#[test]
fn included_files_are_merged_in_order() {
    let dir = Directory::new("merge");
    let main = dir.file(
        "pgweir.toml",
        &format!("include = ['conf.d/*.toml', 'more.toml']\n{SHOP}"),
        0o644,
    );
    dir.file(
        "conf.d/20.toml",
        "[[access]]\nrole = 'second'\n[databases.crm]\nprimary = 'host=localhost'\n",
        0o644,
    );
    dir.file(
        "conf.d/10.toml",
        "config_version = 1\n[[access]]\nrole = 'first'\n[databases.shop]\npool_size = 3\n",
        0o644,
    );
    dir.file("conf.d/.hidden.toml", "nonsense", 0o644);
    dir.file("conf.d/notes.txt", "nonsense", 0o644);
    dir.file("more.toml", "[databases.shop.roles.web]\npool_size = 4\n", 0o644);
    let config = Config::load(&main).unwrap_or_else(|problems| panic!("{problems}")).config;
    assert_eq!(config.files.len(), 4);
    assert_eq!(config.resolve("shop", "web").unwrap().pool_size, 4);
    assert_eq!(config.resolve("shop", "x").unwrap().pool_size, 3);
    assert!(config.resolve("crm", "x").is_some());
    let roles: Vec<_> = config.access.iter().flatten().map(|rule| rule.roles[0].as_str()).collect();
    assert_eq!(roles, ["first", "second"]);
    let origin = config.origin("shop", "x", "pool_size").unwrap().to_string();
    assert!(origin.ends_with("conf.d/10.toml:5"), "{origin}");
}

#[test]
fn what_two_files_set_is_an_error_that_names_both() {
    let dir = Directory::new("twice");
    let main = dir.file(
        "pgweir.toml",
        &format!("include = ['a.toml', 'b*.toml', 'c.toml']\n{SHOP}[defaults]\npool_size = 1\n"),
        0o644,
    );
    dir.file("a.toml", "[defaults]\npool_size = 2\npool_mod = 'session'\n", 0o644);
    dir.file(
        "b1.toml",
        "include = ['x']\n[databases.shop]\nprimary = 'host=::1'\nserver = 5\n",
        0o644,
    );
    assert_eq!(
        dir.problems(&main),
        [
            "error pgweir.toml:1:34 cannot read c.toml: No such file or directory (os error 2)",
            "error a.toml:2:1 `defaults.pool_size` is set in two files (pgweir.toml:5:1)",
            "error a.toml:3:1 unknown key `pool_mod` in [defaults]",
            "error b1.toml:1:1 an included file cannot include others",
            "error b1.toml:3:1 `databases.shop.primary` is set in two files (pgweir.toml:2:16)",
            "error b1.toml:4:1 unknown key `server` in [databases.shop]",
        ]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_told_apart() {
    let dir = Directory::new("absent");
    let refused = Config::load(&dir.0.join("none.toml")).unwrap_err();
    assert!(refused.unreadable);
    assert_eq!(refused.count(Severity::Error), 1);
}

#[test]
fn secrets_that_others_can_read_are_warned_of() {
    let dir = Directory::new("modes");
    dir.file("key", "k", 0o644);
    dir.file("crt", "c", 0o644);
    dir.file("secret", "s\n", 0o604);
    let text = "databases.shop.primary = 'host=localhost'\n[server.tls]\ncertificate = 'crt'\nprivate_key = 'key'\n\
                client_ca = 'crt'\n[auth]\nuserlist = 'userlist.txt'\n[roles.a]\npassword = '${file:secret}'\n[roles.b]\npassword = 'plain'\n";
    let main = dir.file("pgweir.toml", text, 0o644);
    dir.file("userlist.txt", "", 0o640);
    assert_eq!(
        dir.problems(&main),
        [
            "warning pgweir.toml:4:15 others can read or change key (mode 644)",
            "warning pgweir.toml:9:12 others can read or change secret (mode 604)",
            "warning pgweir.toml:11:12 others can read or change pgweir.toml (mode 644)",
        ]
    );
    let config = Config::load(&main).unwrap().config;
    assert_eq!(config.role_password("a").unwrap().expose(), "s");
    assert_eq!(config.auth.userlist, Some(dir.0.join("userlist.txt")));
}

#[test]
fn a_file_that_is_needed_and_not_there_is_an_error_with_its_place() {
    let dir = Directory::new("needed");
    let text = |mode: &str, sslmode: &str| {
        format!(
            "[databases.shop]\nprimary = 'host=localhost sslmode={sslmode} sslrootcert=/none/root'\n\
             [server.tls]\nmode = '{mode}'\ncertificate = 'crt'\nprivate_key = 'key'\n\
             client_ca = 'ca'\n[auth]\nuserlist = 'userlist.txt'\n"
        )
    };
    let absent = "No such file or directory (os error 2)";
    let main = dir.file("pgweir.toml", &text("prefer", "verify-full"), 0o640);
    assert_eq!(
        dir.problems(&main),
        [
            format!("error pgweir.toml:2:11 cannot read /none/root: {absent}"),
            format!("error pgweir.toml:5:15 cannot read crt: {absent}"),
            format!("error pgweir.toml:6:15 cannot read key: {absent}"),
            format!("error pgweir.toml:7:13 cannot read ca: {absent}"),
            format!("error pgweir.toml:9:12 cannot read userlist.txt: {absent}"),
        ]
    );
    // Nobody opens what is switched off.
    dir.file("userlist.txt", "", 0o640);
    let main = dir.file("pgweir.toml", &text("off", "disable"), 0o640);
    assert_eq!(dir.problems(&main), Vec::<String>::new());
}
