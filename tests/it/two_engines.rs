//! A primary and its streaming replica in one container.

use crate::common::{
    BOOT, Exit, Instance, Port, Process, SOON, Signal, append, as_user, finish, pg_bin, postgres_user,
};

/// The two of them, up and streaming.
struct Pair {
    instance: Instance,
    port: Port,
}

/// A query on the replica.
fn ask(instance: &Instance, port: &Port, query: &str) -> Result<String, String> {
    let mut psql = as_user(postgres_user(), pg_bin().join("psql"));
    psql.env("PGCONNECT_TIMEOUT", "10").args(["-X", "-U", "postgres", "-d", "postgres", "-Atc", query]);
    psql.arg("-h").arg(instance.path("sock")).arg("-p").arg(port.number().to_string());
    let done = finish(psql, SOON);
    if done.status.success() { Ok(done.success()) } else { Err(done.stderr) }
}

impl Pair {
    fn new() -> Self {
        let mut instance = Instance::builder().with_database().start();
        instance.ready();
        let port = Port::claim();
        let replica = instance.path("replica");
        instance.spec.dir.folder("replica");
        let arguments = ["-R", "--checkpoint=fast", "-U", "postgres", "-D"].map(str::to_owned).into_iter();
        let (sock, primary) = (instance.path("sock"), instance.spec.port.number());
        let place = [
            replica.display().to_string(),
            "-h".into(),
            sock.display().to_string(),
            "-p".into(),
            primary.to_string(),
        ];
        instance.pg("pg_basebackup", arguments.chain(place)).success();
        append(&replica.join("postgresql.conf"), &format!("port = {}", port.number()));
        let keys = format!(
            "kind = \"postgres\"\ndata_dir = \"$DIR/replica\"\nport = {}\nsocket_dir = \"$DIR/sock\"\n\
             lock_file = \"$DIR/replica_lock\"\nlog_link = \"$DIR/log/replica_log\"\nafter = [\"engine\"]\n\
             parameters = {{ listen_addresses = \"127.0.0.1\", shared_buffers = \"16MB\" }}",
            port.number()
        );
        let mut pair = Pair { instance: instance.reload(|it| it.program("replica", &keys)), port };
        pair.streams();
        pair
    }

    /// Waits until what is written on the primary is read on the replica.
    fn streams(&mut self) {
        self.instance.ready();
        let port = &self.port;
        self.instance.until("the replica to answer", |it| ask(it, port, "select 1").is_ok());
        assert_eq!(ask(&self.instance, port, "select pg_is_in_recovery()"), Ok("t".into()));
        self.instance.sql("create table if not exists told (n int)");
        self.instance.sql("insert into told select count(*) from told");
        let written = self.instance.sql("select count(*) from told");
        self.instance.until("the replica to have it", |it| {
            ask(it, port, "select count(*) from told") == Ok(written.clone())
        });
    }

    fn postmaster_of(&self, folder: &str) -> Option<Process> {
        let text = std::fs::read_to_string(self.instance.path(folder).join("postmaster.pid")).ok()?;
        let pid: i32 = text.lines().next()?.trim().parse().ok()?;
        self.instance.processes().into_iter().find(|it| it.inner == pid && it.state != 'Z')
    }

    /// Where these come in the log, which has to be in this order.
    fn assert_in_order(&self, texts: &[&str]) {
        let log = self.instance.log();
        let mut from = 0;
        for text in texts {
            let at =
                log[from..].find(text).unwrap_or_else(|| panic!("no {text:?} after {}: {log}", &log[..from]));
            from += at + text.len();
        }
    }
}

#[test]
fn up_in_their_order_and_down_with_the_primary_first() {
    let mut pair = Pair::new();
    assert_eq!(pair.instance.stop(Signal::SIGTERM), Exit::Code(0), "{}", pair.instance.log());
    pair.assert_in_order(&["engine: stopped", "replica: stopped"]);
    pair.instance.boot();
    pair.streams();
    pair.assert_in_order(&["engine: ready", "replica: started", "replica: ready"]);
    assert_eq!(pair.instance.stop(Signal::SIGTERM), Exit::Code(0));
    pair.assert_in_order(&["engine: stopped", "replica: stopped"]);
    let control = std::fs::read_to_string(pair.instance.path("replica/postmaster.pid"));
    assert!(control.is_err(), "the replica has left its pid file: {control:?}");
}

#[test]
fn either_is_back_after_its_death_and_the_other_one_is_left_alone() {
    let mut pair = Pair::new();
    for (killed, other) in [("data", "replica"), ("replica", "data")] {
        let (victim, left) = (pair.postmaster_of(killed).unwrap(), pair.postmaster_of(other).unwrap());
        victim.signal(Signal::SIGKILL);
        crate::common::until("another postmaster", BOOT, || {
            pair.postmaster_of(killed).is_some_and(|it| it.pid != victim.pid)
        });
        pair.streams();
        assert_eq!(pair.postmaster_of(other).map(|it| it.pid), Some(left.pid), "{}", pair.instance.log());
    }
    assert_eq!(pair.instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn both_are_killed_at_once_and_both_are_back() {
    let mut pair = Pair::new();
    let victims = [pair.postmaster_of("data").unwrap(), pair.postmaster_of("replica").unwrap()];
    victims.iter().for_each(|it| it.signal(Signal::SIGKILL));
    for (folder, victim) in ["data", "replica"].iter().zip(&victims) {
        crate::common::until("another postmaster", BOOT, || {
            pair.postmaster_of(folder).is_some_and(|it| it.pid != victim.pid)
        });
    }
    pair.streams();
    assert_eq!(pair.instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn which_of_them_is_the_standby_is_known_and_a_promotion_is_seen() {
    let mut pair = Pair::new();
    let said = |it: &Instance, program: &str, standby: bool| {
        it.signal(Signal::SIGUSR1);
        let lines = it.said_of(program);
        lines
            .iter()
            .rfind(|line| line.contains("running for"))
            .is_some_and(|it| it.contains(", standby") == standby)
    };
    pair.instance.until("the word of the standby", |it| said(it, "replica", true));
    assert!(said(&pair.instance, "engine", false));
    let replica = pair.instance.path("replica").display().to_string();
    pair.instance.pg("pg_ctl", ["promote", "-w", "-D", &replica]).success();
    pair.instance.until("the word of the promotion", |it| said(it, "replica", false));
    assert_eq!(pair.instance.stop(Signal::SIGTERM), Exit::Code(0));
}
