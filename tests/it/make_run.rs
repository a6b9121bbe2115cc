//! What `make run` starts, behind its build, and what the README says of it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::common::{
    Builder, Done, Exit, Instance, Output, Process, SOON, SUPERVISOR, Signal, finish, postgres_user,
};

const RUN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/run");
const READMES: [&str; 2] = ["README.md", "README-CN.md"];

fn readme(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The script over a place of its own, in the foreground of a terminal, as in a person's shell.
struct Script {
    shell: Instance,
    dir: PathBuf,
    port: u16,
}

impl Script {
    fn start() -> Self {
        Self::beside(Instance::builder())
    }

    /// With what `builder` has in its environment.
    fn beside(builder: Builder) -> Self {
        // A person's shell does not end with Ctrl-C; `$?` is the status that it would see.
        let script = format!("#!/bin/sh\ntrap : INT\n{RUN} start {SUPERVISOR}\necho \"ended with $?.\"\n");
        let builder = builder.without_config().stand_in(&script).output(Output::Terminal);
        let (dir, port) = (builder.dir.path("place"), builder.port.number());
        let builder = builder.env("DIR", &dir).env("PORT", port.to_string()).env("LC_ALL", "C.UTF-8");
        Self { shell: builder.start(), dir, port }
    }

    fn served(&mut self) {
        self.shell.until("the supervisor to say that it is ready", |it| it.log().contains("ready after"));
    }

    fn supervisor(&self) -> Process {
        let all = self.shell.processes();
        let mut own =
            all.into_iter().filter(|process| process.name == "polar-superviso" && process.inner != 1);
        own.find(|process| !process.command.contains(" prepare")).expect("a supervisor")
    }

    /// The printed line that begins with this.
    fn printed(&self, beginning: &str) -> String {
        let log = self.shell.log();
        let mut lines = log.lines().map(str::trim);
        lines
            .find(|line| line.starts_with(beginning))
            .unwrap_or_else(|| panic!("no {beginning} in {log}"))
            .to_owned()
    }

    /// What is asked by the psql command line that was printed, as the user who was told it.
    fn asked(&self, query: &str) -> String {
        let command = self.printed("psql -h ").replace('\r', "");
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{command} -X -w -Atc \"$1\""), "sh", query]);
        finish(shell, SOON).success()
    }

    /// Standard output of the polarctl command line that was printed, with another verb; run inside, as the engine's
    /// user, once the supervisor can be asked.
    #[cfg(feature = "ctl")]
    fn ctl(&self, verb: &str) -> String {
        let command = self.printed(&format!("{}/bin/polarctl ", self.dir.display()));
        let line = command.trim().strip_suffix("status").expect("the status first").to_owned() + verb;
        self.shell.enter("sh", ["-c", &line]).success()
    }

    fn ended(mut self, code: i32) {
        assert_eq!(self.shell.wait(), Exit::Code(0));
        // What a terminal shows may be read after the end.
        self.shell.wait_log_count(&format!("ended with {code}."), 1);
    }
}

#[test]
fn a_database_is_served_and_reached_as_printed_and_ctrl_c_stops_it_in_order() {
    let mut script = Script::start();
    script.served();
    assert!(script.printed("data ").contains(script.dir.join("data").to_str().unwrap()));
    assert!(script.printed("listens on ").contains(&format!("localhost:{}", script.port)));
    assert_eq!(
        script.asked("select current_user, current_setting('port')"),
        format!("postgres|{}", script.port)
    );
    script.asked("create table kept as select 42 as n");
    // As from the keyboard: the terminal sends it to all in the foreground.
    script.shell.type_text("\x03");
    script.shell.wait_log("asked to stop: programs end in order");
    script.shell.wait_log_count("ended with 0.", 1);
    assert!(!script.dir.join("data/postmaster.pid").exists());

    // The next one on the same folder serves the same database, and is stopped by a signal to it alone.
    script.shell.wait();
    script.shell.boot();
    script.served();
    assert!(script.shell.log().contains("serves the database that is there"));
    assert_eq!(script.asked("select n from kept"), "42");
    kill(Pid::from_raw(script.supervisor().pid), Signal::SIGINT).unwrap();
    script.ended(0);
}

#[cfg(feature = "ctl")]
#[test]
fn the_programs_of_a_file_run_beside_it_and_polarctl_answers_as_printed() {
    let claim = Instance::builder();
    let builder = Instance::builder()
        .env("PROGRAMS", "examples/sidecars.toml")
        .env("POLAR_SERVE_LISTEN", format!("127.0.0.1:{}", claim.port.number()));
    let mut script = Script::beside(builder);
    script.served();
    script.shell.wait_log("serve | listening on http://127.0.0.1:");
    script.shell.wait_log("crasher: failures in a row: 2");
    let status = script.ctl("status");
    let names: Vec<&str> = status.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["NAME", "crasher", "dependent", "engine", "flood", "never", "serve"]);
    assert!(script.ctl("explain dependent").contains("requires never, which is starting"));
    // The one beside the supervisor, wherever a person has built it: the engine's user can pass there.
    let serve = script.shell.processes().into_iter().find(|process| process.name == "polarctl").unwrap();
    assert_eq!(serve.uid, postgres_user().uid);
    assert!(serve.command.starts_with(script.dir.join("bin/polarctl ").to_str().unwrap()), "{serve:?}");
    script.shell.type_text("\x03");
    script.ended(0);
}

#[test]
fn a_file_of_programs_that_does_not_do_is_told_with_its_own_lines() {
    let builder = Instance::builder();
    let (dir, port) = (builder.dir.path("place"), builder.port.number().to_string());
    let refused_with = |file: &str, mode: &[&str]| {
        let mut run = Command::new(RUN);
        run.args(mode).env("DIR", &dir).env("PORT", &port).env("PROGRAMS", file);
        let Done { status, stdout, stderr } = finish(run, SOON);
        assert_eq!((status.code(), stdout.as_str()), (Some(1), ""), "{stderr}");
        stderr
    };
    let missing = builder.dir.path("missing.toml");
    for mode in [&["check"][..], &["start", SUPERVISOR]] {
        let said = refused_with(missing.to_str().unwrap(), mode);
        assert!(said.contains("missing.toml: there is no such file"), "{said}");
        assert!(!dir.exists());
    }
    let text = "[program.more]\nkind = \"command\"\ncommand = [\"sleep\", \"60\"]\nafter = [\"engin\"]\n";
    let file = builder.dir.file("more.toml", text, 0o644);
    let said = refused_with(file.to_str().unwrap(), &["start", SUPERVISOR]);
    assert!(said.contains("nothing was started"), "{said}");
    assert!(said.contains(&format!("{}:4: program.more.after", file.display())), "{said}");
    assert!(said.contains("engine"), "the nearest name: {said}");
    // What is twice there is a mistake as well, and no configuration is left that anybody would start from.
    let file = builder.dir.file("twice.toml", "[program.engine]\nport = 5433\n", 0o644);
    let said = refused_with(file.to_str().unwrap(), &["start", SUPERVISOR]);
    assert!(said.contains(&format!("{}:1", file.display())), "{said}");
    assert!(!dir.join("supervisor.toml").exists() && !dir.join("data").exists());
}

/// The script's end before it starts anything.
fn refused(dir: &str, port: &str, mode: &[&str]) -> String {
    let mut run = Command::new(RUN);
    run.args(mode).env("DIR", dir).env("PORT", port).env_remove("XDG_DATA_HOME");
    let Done { status, stdout, stderr } = finish(run, SOON);
    assert_eq!((status.code(), stdout.as_str()), (Some(1), ""), "{stderr}");
    stderr
}

#[test]
fn a_taken_port_is_told_before_anything_is_made() {
    let builder = Instance::builder();
    let listener = TcpListener::bind(("127.0.0.1", builder.port.number())).unwrap();
    let port = listener.local_addr().unwrap().port();
    let dir = builder.dir.path("place");
    for mode in [&["check"][..], &["start", SUPERVISOR]] {
        let said = refused(dir.to_str().unwrap(), &port.to_string(), mode);
        assert!(said.contains(&format!("port {port} is taken")), "{said}");
        assert!(said.contains(&format!("make run PORT={}", port + 1)), "{said}");
        assert!(!dir.exists());
    }
}

#[test]
fn a_port_that_is_none_is_told() {
    let dir = Instance::builder().dir.path("place");
    for port in ["0", "65536", "many", "-1", "123456"] {
        let said = refused(dir.to_str().unwrap(), port, &["check"]);
        assert!(said.contains(&format!("PORT={port} is no port")) && said.contains("1 to 65535"), "{said}");
    }
}

#[test]
fn a_place_that_does_not_do_is_told_with_the_way_out() {
    let builder = Instance::builder();
    let port = builder.port.number().to_string();
    let path = |name: &str| builder.dir.path(name).to_str().unwrap().to_owned();
    builder.dir.file("file", "", 0o644);
    builder.dir.folder("somebodys");
    fs::create_dir(path("closed")).unwrap();
    fs::set_permissions(path("closed"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    fs::create_dir(path("full")).unwrap();
    fs::write(path("full/thesis.tex"), "").unwrap();
    std::os::unix::fs::symlink(path("log"), path("link")).unwrap();
    let long = path(&"x".repeat(100));
    for (dir, texts) in [
        ("relative/place".to_owned(), vec!["is not absolute".to_owned(), "make run DIR=/".to_owned()]),
        (path("file"), vec![format!("{} is there and is no folder", path("file"))]),
        (path("file/below"), vec![format!("{} is there and is no folder", path("file"))]),
        (
            path("closed/place"),
            vec![format!("cannot pass through {}", path("closed")), format!("chmod o+x {}", path("closed"))],
        ),
        (path("somebodys"), vec!["belongs to postgres".to_owned(), "make run DIR=/another/path".to_owned()]),
        (path("full"), vec!["holds files and is not from an earlier".to_owned()]),
        (path("link"), vec!["is a link".to_owned()]),
        (path("a b"), vec!["letters, digits".to_owned()]),
        (path("a/../b"), vec!["without . and ..".to_owned()]),
        ("/".to_owned(), vec!["the whole machine".to_owned()]),
        (long, vec!["too long".to_owned()]),
    ] {
        for mode in [&["check"][..], &["start", SUPERVISOR]] {
            let said = refused(&dir, &port, mode);
            for text in &texts {
                assert!(said.contains(text), "{text:?} is not in {said}");
            }
        }
    }
    assert_eq!(fs::read_dir(path("full")).unwrap().count(), 1);
}

/// The first code block below a heading.
fn code_block(text: &str, heading: &str) -> String {
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).expect(heading);
    let (_, block) = section.split_once("\n```\n").expect("a code block");
    block.split_once("```").expect("its end").0.to_owned()
}

#[test]
fn the_quick_start_is_two_commands_that_make_knows() {
    for (name, heading) in READMES.into_iter().zip(["Quick start", "快速开始"]) {
        assert_eq!(code_block(&readme(name), heading), "make run\nmake test\n", "{name}");
    }
    let mut make = Command::new("make");
    make.args(["-n", "run", "test", "PORT=5433", "DIR=/path"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let plan = finish(make, SOON).success();
    for step in
        ["scripts/setup run", "scripts/run check", "scripts/run start", "scripts/setup test", "scripts/test"]
    {
        assert!(plan.contains(step), "{step} is not in {plan}");
    }
}

/// A line without what differs from run to run: numbers, and the folder.
fn plain(line: &str, dir: &Path) -> String {
    let line = line.replace(dir.join("data").to_str().unwrap(), "...");
    let mut plain = String::new();
    for part in line.split_inclusive(|c: char| !c.is_ascii_digit()) {
        let digits = part.trim_start_matches(|c: char| c.is_ascii_digit());
        if digits.len() < part.len() {
            plain.push('0');
        }
        plain.push_str(digits);
    }
    plain.replace("0.0", "0")
}

#[test]
fn what_the_readme_says_to_try_does_what_it_says() {
    let blocks = READMES.map(|name| {
        let heading = if name == "README.md" { "Try it" } else { "试一试" };
        code_block(&readme(name), heading)
    });
    let steps = |block: &str| -> Vec<(String, Vec<String>)> {
        let mut steps: Vec<(String, Vec<String>)> = Vec::new();
        for line in block.lines().filter(|line| !line.is_empty()) {
            let (command, said) = line.rsplit_once("# ").unwrap_or_else(|| panic!("nothing beside {line}"));
            if !command.trim().is_empty() {
                steps.push((command.trim().to_owned(), Vec::new()));
            }
            steps.last_mut().unwrap().1.push(said.trim().to_owned());
        }
        steps
    };
    let english = steps(&blocks[0]);
    let commands = |steps: &[(String, Vec<String>)]| -> Vec<String> {
        steps.iter().map(|(command, _)| command.clone()).collect()
    };
    assert_eq!(commands(&english), commands(&steps(&blocks[1])));

    let mut script = Script::start();
    script.served();
    assert_eq!(english.len(), 5, "psql, kill, touch, rm, tail");
    for (command, said) in english {
        let before = script.shell.log().lines().count();
        let line = command.replace("5432", &script.port.to_string());
        let line = format!("DIR={}; {line}", script.dir.display());
        let done = script.shell.enter("sh", ["-c", &line]);
        assert_eq!(done.code(), 0, "{line}: {done:?}");
        // Beside psql and tail stands what they are, not what the supervisor says.
        if command.starts_with("psql") || command.starts_with("tail") {
            continue;
        }
        let dir = script.dir.clone();
        for said in said {
            let wanted = plain(&said, &dir);
            script.shell.until(&format!("\"{wanted}\" after {command}"), |it| {
                it.log().lines().skip(before).any(|line| plain(line, &dir).contains(&wanted))
            });
        }
    }
    assert!(readme("README.md").contains("`asked to stop: programs end in order`"));
    script.shell.type_text("\x03");
    script.shell.wait_log("asked to stop: programs end in order");
    script.ended(0);
}

#[test]
fn as_oneself_the_engine_runs_as_oneself() {
    // Whoever is not root needs no root: the folder, the engine and its role's peer are all one's own.
    let user = postgres_user();
    let builder = Instance::builder().without_config();
    let (dir, port) = (builder.dir.folder("home").join("place"), builder.port.number());
    let scripts = builder.dir.file("run-script", fs::read(RUN).unwrap(), 0o755);
    let folder = builder.dir.folder("copy/scripts");
    fs::rename(scripts, folder.join("run")).unwrap();
    let script = format!("#!/bin/sh\n{} start \"$PROGRAM\"\n", folder.join("run").display());
    let program = builder.dir.file("supervisor", fs::read(SUPERVISOR).unwrap(), 0o755);
    let builder = builder.stand_in(&script).account(user.uid, user.gid);
    let builder = builder.env("DIR", &dir).env("PORT", port.to_string()).env("PROGRAM", program);
    let mut shell = builder.start();
    shell.until("the database", |it| it.log().contains("ready after"));
    let postmaster = shell.processes().into_iter().find(|process| process.name == "postgres").unwrap();
    assert_eq!(postmaster.uid, user.uid);
    assert!(shell.log().contains("the engine as user postgres"), "{}", shell.log());
    let supervisor = shell.processes().into_iter().find(|p| p.name == "supervisor").unwrap();
    supervisor.signal(Signal::SIGINT);
    assert_eq!(shell.wait(), Exit::Code(0));
}
