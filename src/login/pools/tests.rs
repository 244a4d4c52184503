use super::*;

fn config() -> Config {
    let text = "
        [databases.shop]
        primary = 'postgres://localhost/shop'
        [databases.shop.roles.app]
        pool_size = 7
        [databases.'*']
        primary = 'postgres://localhost'
        [roles.web]
        server_role = 'app'
        server_password = 'secret'
        pool_size = 3
        [roles.reports]
        server_role = 'app'
        server_password = 'secret'
        [roles.app]
        password = 'secret'
    ";
    Config::parse(text, "pools.toml").unwrap_or_else(|p| panic!("{p}")).config
}

fn find(pools: &Pools, config: &Config, database: &str, role: &str) -> Arc<PoolSpec> {
    let settings = Arc::new(config.resolve(database, role).unwrap());
    pools.find_or_make(config, database, role, settings)
}

#[test]
fn roles_with_one_server_role_share_the_pool_of_that_role() {
    let (pools, config) = (Pools::default(), config());
    let web = find(&pools, &config, "shop", "web");
    let reports = find(&pools, &config, "shop", "reports");
    let app = find(&pools, &config, "shop", "app");
    assert!(Arc::ptr_eq(&web.servers(), &app) && Arc::ptr_eq(&reports.servers(), &app));
    assert!(Arc::ptr_eq(&app.servers(), &app));
    assert_eq!(app.limits().size, 7, "what holds for the server role, whoever logs in first");
    assert_eq!(app.server_role(), "app");
    assert_eq!((web.role.as_str(), web.settings.load().pool_size), ("web", 3));
    let elsewhere = find(&pools, &config, "other", "web");
    assert!(!Arc::ptr_eq(&elsewhere.servers(), &app));
}

#[test]
fn a_forgotten_pool_leaves_nothing_behind_unless_somebody_holds_it() {
    let (pools, config) = (Pools::default(), config());
    let app = find(&pools, &config, "other", "web").servers();
    let kept = find(&pools, &config, "shop", "app");
    let logging_in = find(&pools, &config, "other", "reports");
    pools.forget(&app);
    assert!(Arc::ptr_eq(&find(&pools, &config, "other", "reports").servers(), &app));
    drop(logging_in);
    pools.forget(&app);
    let left: Vec<_> = pools.all().iter().map(|pool| pool.database.clone()).collect();
    assert_eq!(left, ["shop"]);
    let other_of_that_name =
        Arc::new(PoolSpec::new(99, "shop".into(), "app".into(), kept.settings.load_full()));
    drop(kept);
    pools.forget(&other_of_that_name);
    assert_eq!(pools.all().len(), 1);
}

fn edition(text: &str) -> Edition {
    let config = Config::parse(text, "pools.toml").unwrap_or_else(|p| panic!("{p}")).config;
    Edition::open(Arc::new(config), Arc::default(), None).unwrap()
}

const ROLES: &str = "[databases.shop]\nprimary = 'postgres://localhost/shop'\n[roles.web]\n\
                     password = 'x'\n[roles.reports]\npassword = 'x'\n[roles.app]\npassword = 'x'\n";

/// With one server role for everybody.
fn shared() -> String {
    ROLES.replace("/shop'\n", "/shop'\nserver_role = 'app'\nserver_password = 'secret'\n")
}

#[test]
fn a_reload_leads_roles_to_the_servers_that_they_share_now() {
    let (pools, before) = (Pools::default(), edition(ROLES));
    let [web, reports] = ["web", "reports"].map(|role| find(&pools, &before.config, "shop", role));
    assert!(Arc::ptr_eq(&web.servers(), &web));
    pools.follow(&edition(&shared()));
    let app = web.servers();
    assert_eq!((app.role.as_str(), app.server_role().as_str()), ("app", "app"));
    assert!(Arc::ptr_eq(&reports.servers(), &app));
    assert!(app.credential().is_some());
    assert!(web.servers_are_gone() && !app.servers_are_gone());
    assert!(!web.clients_are_gone());
    pools.follow(&before);
    assert!(Arc::ptr_eq(&web.servers(), &web) && Arc::ptr_eq(&reports.servers(), &reports));
    assert!(!web.servers_are_gone());
}

#[test]
fn shared_servers_stay_where_they_are_when_nothing_changes() {
    let (pools, edition) = (Pools::default(), edition(&shared()));
    let app = find(&pools, &edition.config, "shop", "web").servers();
    find(&pools, &edition.config, "shop", "reports");
    let place = app.place();
    for _ in 0..3 {
        pools.follow(&edition);
    }
    assert_eq!(app.place(), place);
    pools.follow(&self::edition(&shared().replace("'secret'", "'changed'")));
    assert_eq!(app.place(), place + 1);
}

#[test]
fn servers_of_a_role_that_cannot_log_in_itself_stay_for_those_who_use_them() {
    let (pools, before) = (Pools::default(), edition(&shared()));
    let web = find(&pools, &before.config, "shop", "web");
    let app = web.servers();
    pools.follow(&edition(&shared().replace("[roles.app]\npassword = 'x'\n", "")));
    assert!(!app.servers_are_gone() && app.clients_are_gone());
    assert!(!web.clients_are_gone());
    let gone = shared().replace("[roles.web]\npassword = 'x'\n", "");
    pools.follow(&edition(&gone));
    assert!(web.clients_are_gone());
    pools.follow(&edition(&gone.replace("databases.shop", "databases.crm")));
    assert!(app.servers_are_gone() && app.clients_are_gone() && web.servers_are_gone());
}
