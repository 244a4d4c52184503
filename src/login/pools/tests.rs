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
    assert!(Arc::ptr_eq(web.servers(), &app) && Arc::ptr_eq(reports.servers(), &app));
    assert!(Arc::ptr_eq(app.servers(), &app));
    assert_eq!(app.limits().size, 7, "what holds for the server role, whoever logs in first");
    assert_eq!(app.server_role(), "app");
    assert_eq!((web.role.as_str(), web.settings.load().pool_size), ("web", 3));
    let elsewhere = find(&pools, &config, "other", "web");
    assert!(!Arc::ptr_eq(elsewhere.servers(), &app));
}

#[test]
fn a_forgotten_pool_leaves_nothing_behind_unless_somebody_holds_it() {
    let (pools, config) = (Pools::default(), config());
    let app = find(&pools, &config, "other", "web").servers().clone();
    let kept = find(&pools, &config, "shop", "app");
    let logging_in = find(&pools, &config, "other", "reports");
    pools.forget(&app);
    assert!(Arc::ptr_eq(find(&pools, &config, "other", "reports").servers(), &app));
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
