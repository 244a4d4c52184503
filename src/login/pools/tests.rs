use super::*;
use crate::route::{Health, Picture, PrimaryIs};

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

/// Two hosts that may be the primary, and a replica.
const FLEET: &str = "[databases.shop]\nprimary = 'host=a,b port=1,1'\nreplicas = ['host=c port=1']\n\
                     [databases.shop_ro]\nalias_of = 'shop'\n\
                     [databases.shop_bi]\nalias_of = 'shop'\nrouting.max_lag = '1min'\n\
                     [roles.web]\npassword = 'x'\nmin_pool_size = 3\n[roles.app]\npassword = 'x'\n";

/// These nodes as the primary and as ready standbys.
fn show(fleet: &Fleet, primary: usize, standbys: &[usize]) {
    let mut picture = Picture::unknown(fleet.topology.nodes.len());
    picture.primary = PrimaryIs::Node(primary);
    for node in standbys {
        picture.nodes[*node].health = Health::Up;
        picture.nodes[*node].in_recovery = Some(true);
    }
    fleet.topology.show(picture);
}

fn hosts(pool: &PoolSpec) -> String {
    let hosts = pool.settings.load().database.primary.hosts.clone();
    hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[test]
fn a_pool_is_the_primarys_and_has_a_reader_for_each_server() {
    let (pools, edition) = (Pools::default(), edition(FLEET));
    let web = find(&pools, &edition.config, "shop", "web");
    let fleet = web.fleet().unwrap();
    assert_eq!(hosts(&web), "a:1,b:1");
    assert!(web.headless().is_some() && web.reader_of().is_none());
    let readers: Vec<_> = fleet.readers.iter().map(|r| (hosts(r), r.reader_of())).collect();
    let expected = [("a:1", 0), ("b:1", 1), ("c:1", 2)];
    assert_eq!(readers, expected.map(|(host, node)| (host.to_owned(), Some(node))));
    let ids: std::collections::HashSet<_> = fleet.readers.iter().map(|r| r.id).collect();
    assert!(ids.len() == 3 && !ids.contains(&web.id));
    // What logs in is known to all at once.
    let credential = edition.server_credential(&web.settings.load()).unwrap();
    web.set_credential(credential);
    assert!(fleet.readers.iter().all(|reader| reader.credential().is_some()));

    show(&fleet, 1, &[0, 2]);
    let place = web.place();
    fleet.look_again(&web);
    assert_eq!((hosts(&web), web.place()), ("b:1".to_owned(), place + 1));
    assert!(web.headless().is_none());
    let warm: Vec<_> = fleet.readers.iter().map(|reader| reader.limits().min).collect();
    assert_eq!((web.limits().min, warm.as_slice()), (3, &[3, 0, 3][..]));
    // Whoever comes later leads there as well, and a reload changes nothing about it.
    let app = find(&pools, &edition.config, "shop", "app");
    assert_eq!(hosts(&app), "b:1");
    assert!(Arc::ptr_eq(&app.fleet().unwrap().topology, &fleet.topology));
    pools.follow(&edition);
    assert_eq!((hosts(&web), web.place()), ("b:1".to_owned(), place + 1));
    assert!(Arc::ptr_eq(&web.fleet().unwrap(), &fleet));
}

#[test]
fn an_alias_has_the_tables_topology_unless_its_limits_differ() {
    let (pools, edition) = (Pools::default(), edition(FLEET));
    let [bi, ro, shop] = ["shop_bi", "shop_ro", "shop"].map(|database| {
        find(&pools, &edition.config, database, "web").fleet().unwrap().topology.clone()
    });
    assert!(Arc::ptr_eq(&ro, &shop) && !Arc::ptr_eq(&bi, &shop));
    assert_eq!((shop.name.as_str(), bi.name.as_str()), ("shop", "shop_bi"));
}

#[test]
fn a_reload_keeps_the_readers_of_servers_that_stay() {
    let (pools, before) = (Pools::default(), edition(FLEET));
    let web = find(&pools, &before.config, "shop", "web");
    let fleet = web.fleet().unwrap();
    show(&fleet, 1, &[0, 2]);
    fleet.look_again(&web);
    pools.follow(&edition(&FLEET.replace("host=c port=1", "host=d port=1")));
    let after = web.fleet().unwrap();
    assert!(after.topology.begun() > fleet.topology.begun());
    // Nobody has asked them yet: until then what is under way goes on.
    assert!(web.headless().is_none());
    assert_eq!(hosts(&web), "b:1");
    let stays = |node: usize| Arc::ptr_eq(&fleet.readers[node], &after.readers[node]);
    assert_eq!([0, 1, 2].map(stays), [true, true, false]);
    assert!(fleet.readers[2].servers_are_gone() && !fleet.readers[1].servers_are_gone());
    pools.follow(&edition(
        &FLEET.replace("host=a,b port=1,1", "host=a port=1").replace("'host=c port=1'", ""),
    ));
    assert!(web.fleet().is_none() && web.headless().is_none());
    assert!(after.readers.iter().all(|reader| reader.servers_are_gone()));
    assert_eq!(hosts(&web), "a:1");
}

#[test]
fn readers_are_those_of_the_role_that_logs_in() {
    let shared = FLEET.replace("replicas", "server_role = 'app'\nserver_password = 'x'\nreplicas");
    let (pools, edition) = (Pools::default(), edition(&shared));
    let web = find(&pools, &edition.config, "shop", "web");
    let app = web.servers();
    assert!(Arc::ptr_eq(&web.fleet().unwrap(), &app.fleet().unwrap()));
    assert_eq!(app.fleet().unwrap().readers[2].server_role(), "app");
    pools.follow(&self::edition(
        &shared.replace("databases.shop", "databases.crm").replace("'shop'", "'crm'"),
    ));
    assert!(app.fleet().unwrap().readers.iter().all(|reader| reader.servers_are_gone()));
}
