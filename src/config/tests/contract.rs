//! The configuration that people were promised, to the letter.

use std::time::Duration;

use super::*;

/// Every section, an engine, and what goes before it.
const CONTRACT: &str = include_str!("contract.toml");

/// What comes after it.
const MORE: &str = r#"
[program.extensions]
kind = "oneshot"
command = ["psql", "-c", "CREATE EXTENSION pg_stat_statements"]
requires = ["engine"]
restart = { policy = "on-failure", give_up_after = 3 }

[program.exporter]
kind = "command"
command = ["postgres_exporter"]
user = "postgres"
requires = ["engine"]
after = ["extensions"]
bound = true
ready = { tcp = "localhost:9187", timeout = "5s" }
output = { file = "exporter.log" }
"#;

#[test]
fn the_contract_is_accepted_to_the_letter() {
    let config = good(&format!("{CONTRACT}{MORE}"));
    assert_eq!(good(&to_toml(&config)), config);
    let names: Vec<&str> = config.programs.iter().map(|program| program.name.as_str()).collect();
    assert_eq!(names, ["engine", "exporter", "extensions", "pfsd", "serve"]);
    let [engine, exporter, extensions, pfsd, _] = config.programs.as_slice() else { panic!("{names:?}") };

    let postgres = engine.kind.engine().expect("an engine");
    assert!(postgres.follow_engine_log && engine.critical && engine.live.is_none());
    assert_eq!(engine.needs, Needs { after: vec!["pfsd".into()], ..Needs::default() });
    assert_eq!(engine.output, Output::Inherit);

    let Kind::Command(command) = &pfsd.kind else { panic!("{:?}", pfsd.kind) };
    assert_eq!(command.command.len(), 5);
    let exec = ["test", "-e", "/var/run/pfsd/nvme1n1"].map(str::to_owned).to_vec();
    assert_eq!(command.ready, Some(Ready { check: Check::Exec(exec), timeout: Duration::from_secs(40) }));
    assert_eq!((command.stop_signal, command.kill_reach), (2, KillReach::Tree));
    let live = pfsd.live.as_ref().expect("live");
    assert_eq!(live.check, Check::Tcp("127.0.0.1:1".parse().expect("an address")));
    assert_eq!(
        (live.period, live.timeout, live.failures),
        (Duration::from_secs(10), Duration::from_secs(3), 3)
    );
    assert_eq!((pfsd.output.clone(), pfsd.critical), (Output::Prefix, false));
    assert_eq!((pfsd.process.user.as_deref(), pfsd.process.nice), (None, Some(0)));
    assert_eq!((pfsd.restart.policy, pfsd.stop_timeout), (RestartPolicy::Always, Duration::from_secs(10)));

    let Kind::Oneshot(command) = &extensions.kind else { panic!("{:?}", extensions.kind) };
    assert_eq!((command.stop_signal, command.working_dir.as_path()), (15, Path::new("/")));
    assert_eq!((extensions.restart.policy, extensions.restart.give_up_after), (RestartPolicy::OnFailure, 3));

    let needs = Needs { after: vec!["extensions".into()], requires: vec!["engine".into()], bound: true };
    assert_eq!(exporter.needs, needs);
    let Output::File(file) = &exporter.output else { panic!("{:?}", exporter.output) };
    assert_eq!((file.file.as_path(), file.size, file.keep), (Path::new("/log/exporter.log"), 10 << 20, 15));
}

#[test]
fn health_and_metrics_are_one_program_more() {
    let config = good(CONTRACT);
    let serve = config.programs.last().expect("a program");
    assert_eq!(
        (serve.name.as_str(), serve.critical, serve.process.user.as_deref()),
        ("serve", false, Some("postgres"))
    );
    let command = serve.kind.command().expect("a command");
    let wanted = "polarctl --socket /run/polardb/supervisor.sock serve --listen 127.0.0.1:9188";
    assert_eq!(command.command.join(" "), wanted);
    let text = to_toml(&config);
    assert!(
        text.contains("\n[serve]\nlisten = \"127.0.0.1:9188\"\n") && !text.contains("program.serve"),
        "{text}"
    );
    assert!(!to_toml(&good("[serve]")).contains("serve"));
    assert_eq!(good("[serve]"), good(""));
    // It is the first engine's user, whose own name it may differ from.
    let user = |text: &str| good(text).programs.last().expect("a program").process.user.clone();
    assert_eq!(
        user("serve.listen = '[::]:1'\n[program.db]\nkind = 'postgres'\nuser = 'pg'").as_deref(),
        Some("pg")
    );
    // Where there is no engine, PID 1's own, whose the socket is then.
    assert_eq!(
        user("serve.listen = '[::]:1'\n[program.x]\nkind = 'oneshot'\ncommand = ['x']\nuser = 'nobody'"),
        None
    );
    assert_eq!(
        good("serve.listen = '[::]:1'\nsupervisor.stop_timeout = '5s'").programs[1].stop_timeout,
        Duration::from_secs(5)
    );
}
