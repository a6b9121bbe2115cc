//! What can be missing, what can fail, and a Ctrl-C.

use std::fs;
use std::io::Read;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::yard::{ENGINE, MANAGER, PACKAGES, Yard};
use crate::bed::until;

fn yard() -> Yard {
    Yard::new(&format!("{ENGINE}{PACKAGES}{MANAGER}"))
}

/// It fails with this word, and says this.
fn refused(yard: &Yard, exit: i32, code: &str, said: &[&str]) {
    let ran = yard.build("--output json");
    let error = &ran.json()["error"];
    assert_eq!((ran.code, error["code"].as_str().unwrap()), (exit, code), "{ran:?}");
    for said in said {
        assert!(error["message"].as_str().unwrap().contains(said), "{error} without {said}");
    }
}

#[test]
fn a_step_that_fails() {
    let yard = yard();
    fs::write(yard.at("top/image.result"), "old\n").unwrap();
    yard.fails("--file docker/Dm", "line one\nE: Unable to locate package");
    let ran = yard.build("");
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    for said in
        ["m: docker build ended with status 1", ".image/log/m.log:\n", "line one\n", "E: Unable to locate"]
    {
        assert!(ran.stderr.contains(said), "{ran:?} without {said}");
    }
    assert!(fs::read_to_string(yard.at("top/.image/log/m.log")).unwrap().contains("E: Unable to locate"));
    // What an earlier run has written stays, whole.
    assert_eq!(yard.result().unwrap(), "old\n");
    assert!(!yard.at("top/image.result.json").exists());
    assert_eq!(yard.done(), ["base", "build ./docker/De", "build docker/Dm"]);
}

#[test]
fn the_first_error_ends_it() {
    let yard = yard();
    yard.state("base", "");
    refused(&yard, 1, "step", &["base: docker/base/build.sh", "ended with status 1", "(it said nothing)"]);
    assert_eq!(yard.done(), ["base"]);
}

#[test]
fn a_push_that_is_denied() {
    let yard = yard();
    yard.fails("push p/m", "denied: requested access to the resource is denied");
    let ran = yard.build("--push");
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("m: docker push ended with status 1") && ran.stderr.contains("docker login"),
        "{ran:?}"
    );
    assert!(yard.result().is_none());
}

#[test]
fn no_docker() {
    let yard = yard();
    let ran = yard.poor(&["git", "sh"]).ran();
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("image build: there is no program docker on PATH; install docker"),
        "{ran:?}"
    );
    assert!(yard.done().is_empty());
}

#[test]
fn no_daemon_or_not_for_this_user() {
    let yard = yard();
    yard.fails("version", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.");
    refused(&yard, 1, "no_daemon", &["the Docker daemon does not answer: Cannot connect", "DOCKER_HOST"]);
    yard.fails("version", "permission denied while trying to connect to the Docker daemon socket");
    refused(&yard, 77, "not_permitted", &["the group docker"]);
    assert!(yard.done().is_empty());
}

#[test]
fn no_git() {
    // Of packages it goes without, and says what the images lack.
    let yard = yard();
    let ran = yard.poor(&["docker", "sh"]).ran();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("no clone of a git repository (or there is no git)"), "{ran:?}");
    assert!(yard.result().unwrap().contains(".unknown"), "{:?}", yard.result());
    let yard = Yard::new(&format!("{ENGINE}    engine_repo: https://host.invalid/x\n    engine_branch: y\n"));
    let ran = yard.poor(&["docker", "sh"]).ran();
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("there is no program git on PATH; install git"), "{ran:?}");
    assert!(yard.done().is_empty());
}

#[test]
fn files_that_are_not_there() {
    for (file, said) in [
        ("target/release/polarctl", "make build makes it"),
        ("docker/Dm", "build_image_dockerfile is relative to the file's folder"),
        ("docker/base/build.sh", "the top folder of this repository"),
    ] {
        let yard = yard();
        fs::remove_file(yard.at("top").join(file)).unwrap();
        refused(&yard, 1, "missing", &[file, said]);
        assert!(yard.record().is_empty());
    }
    let yard = yard();
    fs::remove_file(yard.at("top/image.yml")).unwrap();
    refused(&yard, 1, "file", &["image.yml: No such file", "-f FILE"]);
}

#[test]
fn a_file_that_says_what_cannot_be() {
    let yard = yard();
    for (images, said) in [
        (format!("{ENGINE}{PACKAGES}{ENGINE}{PACKAGES}"), "is the id of another image"),
        (MANAGER.to_owned(), "m.engine_image_id: there is no image \"e\""),
        (format!("{ENGINE}    engine_pakages: [x]\n"), "did you mean `engine_packages`?"),
    ] {
        yard.file(&images);
        refused(&yard, 1, "bad_configuration", &[said]);
    }
    assert!(yard.record().is_empty());
}

#[test]
fn a_result_that_cannot_be_written() {
    let yard = yard();
    fs::create_dir(yard.at("top/image.result")).unwrap();
    refused(&yard, 1, "file", &["image.result: is a directory"]);
    let text = fs::read_to_string(yard.at("top/image.yml")).unwrap();
    fs::write(yard.at("top/image.yml"), format!("result: no/where\n{text}")).unwrap();
    refused(&yard, 1, "file", &["no: No such file"]);
    // It is seen before anything is built.
    assert!(yard.record().is_empty());
}

/// A build that goes on until it is interrupted, and `polarctl` above it.
fn hanging(yard: &Yard) -> std::process::Child {
    yard.state("hang", "--file docker/Dm");
    let child = yard.command("").spawn();
    until("the manager's image is built", || yard.at("state/hangs").exists());
    child
}

#[test]
fn a_signal_ends_what_runs_and_says_what_is_left() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let yard = yard();
        let mut child = hanging(&yard);
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1), "{said}");
        assert!(
            said.contains("interrupted at m: docker build") && said.contains("built and left: p/e:15."),
            "{said}"
        );
        assert!(said.contains("call it again"), "{said}");
        assert_eq!(yard.record().last().unwrap(), &["cancelled"]);
        assert!(yard.result().is_none());
    }
}

#[test]
fn one_builder_at_a_time_in_a_folder() {
    let yard = yard();
    let mut child = hanging(&yard);
    refused(&yard, 1, "busy", &["another build runs in"]);
    // One that is killed leaves no lock behind. What it has started ends with this file.
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_file(yard.at("state/hang")).unwrap();
    assert_eq!(yard.build("").code, 0);
}
