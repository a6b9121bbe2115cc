//! A postmaster is never ended with the processes of a command, whoever has started it.

use std::fs;

use crate::adopted::postmasters;
use crate::common::{Exit, Instance, Process, Signal, pg_bin};

/// An agent that has stopped the engine and started it again as a child of its own, which PID 1 has adopted.
fn adopted_from_agent(reach: &str) -> (Instance, Process) {
    let builder = Instance::builder().with_database().set("program.engine.restart.clean_exit_delay", "60s");
    let dir = builder.dir.path("");
    let line = format!(
        "cd {dir}; trap 'echo asked >> run/asked' TERM; until [ -e run/go ]; do sleep 0.05; done\n\
         if mkdir run/once; then {bin}/pg_ctl stop -D data -m fast\n\
         {bin}/postgres -D {dir}/data >> run/by_agent.log 2>&1 & fi\n\
         while :; do sleep 0.05; done",
        dir = dir.display(),
        bin = pg_bin().display()
    );
    let keys = format!("user = \"postgres\"\nstop_timeout = \"2s\"\nkill_reach = \"{reach}\"");
    let mut instance = builder.command("agent", &line, &keys).start();
    instance.ready();
    instance.sql("create table kept as select 7 as n");
    fs::write(instance.path("run/go"), "").unwrap();
    instance.wait_log("is adopted");
    instance.ready();
    instance.wait_log_count("ready after", 2);
    let adopted = instance.postmaster();
    let agent = agent(&instance).unwrap();
    assert_eq!(adopted.parent, agent.pid, "the agent's own child: {:?}", instance.processes());
    (instance, adopted)
}

fn agent(instance: &Instance) -> Option<Process> {
    instance
        .processes()
        .into_iter()
        .find(|it| it.command.contains("run/once") && it.parent == instance.pid1())
}

/// It is the same postmaster, and it has not been asked to end.
fn serves_on(instance: &mut Instance, adopted: &Process) {
    assert_eq!(instance.sql("select n from kept"), "7");
    assert_eq!(postmasters(instance).iter().map(|it| it.pid).collect::<Vec<_>>(), [adopted.pid]);
    let by_agent = fs::read_to_string(instance.path("run/by_agent.log")).unwrap_or_default();
    assert!(!by_agent.contains("shutdown request"), "{by_agent}");
    assert_eq!(instance.said_of("engine").iter().filter(|line| line.contains("adopted")).count(), 1);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0), "{}", instance.log());
    assert_eq!(instance.cluster_state(), "shut down");
}

#[test]
fn the_kill_of_an_agent_spares_the_engine_that_it_started() {
    for reach in ["tree", "group"] {
        let (mut instance, adopted) = adopted_from_agent(reach);
        let before = agent(&instance).unwrap();
        instance.ctl("stop agent");
        assert!(!Process::lives(before.pid), "{reach}");
        assert!(instance.log().contains("it takes too long: killing its processes"), "{}", instance.log());
        serves_on(&mut instance, &adopted);
    }
}

#[test]
fn what_an_agent_leaves_behind_is_ended_but_for_the_engine() {
    for reach in ["tree", "group"] {
        let (mut instance, adopted) = adopted_from_agent(reach);
        let before = agent(&instance).unwrap();
        before.signal(Signal::SIGKILL);
        instance.until("another agent", |it| agent(it).is_some_and(|it| it.pid != before.pid));
        let (status, said) = (instance.status("agent"), instance.said_of("agent").join("\n"));
        assert_eq!(status["ready"], true, "{reach}: {status}");
        assert!(!said.contains("killing"), "{reach}: {said}");
        instance.ctl("stop agent");
        serves_on(&mut instance, &adopted);
    }
}

#[test]
fn a_one_shot_may_start_an_engine_that_is_no_program() {
    // Its mark can be read: PID 1 may look into the environment of another user's process.
    let builder = Instance::builder().with_database().without("engine");
    let builder = builder.capabilities("-all,+setuid,+setgid,+dac_override,+kill,+sys_ptrace");
    let line = format!("{}/pg_ctl -w -D $DIR/data -l $DIR/run/once.log start", pg_bin().display());
    let keys = format!("kind = \"oneshot\"\nuser = \"postgres\"\ncommand = [\"sh\", \"-c\", \"{line}\"]");
    let mut instance = builder.program("once", &keys).command("steady", "exec sleep 6001", "").start();
    instance.find("sleep 6001");
    instance.until("its completion", |it| {
        let status = it.status("once");
        status["state"] == "down" && status["reason"] == "completed"
    });
    // Its leftovers were looked for before that.
    assert_eq!(instance.sql("select 1"), "1");
    let log = fs::read_to_string(instance.path("run/once.log")).unwrap();
    assert!(!log.contains("shutdown request"), "{log}");
    assert!(!instance.log().contains("are left"), "{}", instance.log());
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0), "{}", instance.log());
}
