//! What is called in which order, and what comes of it.

use std::fs;

use super::yard::{ENGINE, MANAGER, PACKAGES, Yard, argument, git, value};
use crate::bed::Ctl;
use crate::terminal::on_terminal;

/// A manager before its engine, and one more engine.
fn images() -> String {
    let other = ENGINE.replace("id: e", "id: f").replace("p/e", "p/f:1.0").replace("De", "Df");
    format!("{MANAGER}{ENGINE}{PACKAGES}{other}    engine_image: h/x:3\n    engine_prefix: /u\n")
}

fn yard() -> Yard {
    let yard = Yard::new(&images());
    fs::write(yard.at("top/docker/Df"), "").unwrap();
    yard
}

#[test]
fn base_then_engines_then_managers() {
    let yard = yard();
    let ran = yard.build("");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(yard.done(), ["base", "build ./docker/De", "build ./docker/Df", "build docker/Dm"]);
    assert!(yard.record().contains(&vec!["base".into(), "polardb_pg/polardb_pg_base:bookworm".into()]));
    let steps: Vec<&str> = ran.stderr.lines().map(|line| line.split(": ").nth(1).unwrap()).collect();
    assert_eq!(steps, ["[1/4] base", "[2/4] e", "[3/4] f", "[4/4] m"]);
}

#[test]
fn tags_labels_and_results() {
    let yard = yard();
    let before = jiff::Timestamp::now().strftime("%Y%m%d%H%M%S").to_string();
    let printed = yard.build("").stdout;
    let commit = git(&yard.at("top"), &["rev-parse", "HEAD"]);
    let (engine, manager) = (yard.build_of("./docker/De"), yard.build_of("docker/Dm"));
    let full = value(&engine, "--tag");
    // Of the version, the day of the commit in UTC, the commit, and the time.
    let time =
        full.strip_prefix(&format!("p/e:15.20260103.{}.", &commit[..8])).unwrap_or_else(|| panic!("{full}"));
    assert!(time.len() == 14 && *time >= *before, "{time} {before}");
    assert_eq!(value(&manager, "--tag"), format!("p/m:{time}.{}", &commit[..8]));
    assert_eq!(value(&yard.build_of("./docker/Df"), "--tag"), "p/f:1.0");
    for (words, latest) in [(&engine, "p/e:latest"), (&manager, "p/m:latest")] {
        assert!(words.iter().any(|word| word == latest), "{words:?}");
        assert_eq!(argument(words, "CodeSource").as_deref(), Some("https://host/own.git"));
        assert_eq!(argument(words, "CodeBranch").as_deref(), Some("trunk"));
        assert_eq!(argument(words, "CodeVersion"), Some(commit.clone()));
        assert!(argument(words, "BuildBy").unwrap().starts_with("ann@"));
        assert_eq!(words.last().unwrap(), ".");
    }
    assert_eq!(argument(&engine, "BASE_IMAGE").as_deref(), Some("polardb_pg/polardb_pg_base:bookworm"));
    assert_eq!(argument(&engine, "ENGINE_PACKAGES").as_deref(), Some("postgresql-15"));
    assert_eq!(argument(&manager, "ENGINE_IMAGE_FULL_NAME").as_deref(), Some(full.as_str()));
    let other = yard.build_of("./docker/Df");
    assert_eq!(argument(&other, "ENGINE_IMAGE").as_deref(), Some("h/x:3"));
    assert_eq!(argument(&other, "ENGINE_PREFIX").as_deref(), Some("/u"));
    assert_eq!(argument(&other, "ENGINE_PACKAGES").as_deref(), Some(""));

    let names = format!("{full}\np/f:1.0\n{}\n", value(&manager, "--tag"));
    assert_eq!((yard.result().unwrap(), printed), (names.clone(), names));
    let json = yard.json();
    assert_eq!(json["images"].as_array().unwrap().len(), 3);
    let first = serde_json::json!({
        "id": "e", "type": "engine", "name": full, "image_id": "sha256:abc", "digests": ["p/x@sha256:def"], "pushed": false
    });
    assert_eq!(json["images"][0], first);
    // Nothing that is called has the password of the origin.
    assert!(!fs::read_to_string(yard.at("state/record")).unwrap().contains("sesame"));
    // Each image has its log, with the command first.
    let log = fs::read_to_string(yard.at("top/.image/log/e.log")).unwrap();
    assert!(log.starts_with("$ docker build") && log.contains("\nStep 1/2"), "{log}");
}

#[test]
fn who_builds_is_who_git_says() {
    let yard = yard();
    fs::write(yard.at("home/.gitconfig"), "[user]\nemail = ann@example.com\n").unwrap();
    assert_eq!(yard.build("").code, 0);
    assert_eq!(argument(&yard.build_of("docker/Dm"), "BuildBy").as_deref(), Some("ann@example.com"));
}

#[test]
fn the_environments_proxy_without_its_value() {
    let yard = yard();
    let ran = yard.command("").env("https_proxy", "http://me:sesame@proxy:1").ran();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(value(&yard.build_of("./docker/De"), "--build-arg"), "https_proxy");
    assert!(!fs::read_to_string(yard.at("state/record")).unwrap().contains("sesame"));
}

#[test]
fn as_json() {
    let yard = yard();
    let ran = yard.build("--output json");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.json(), yard.json());
    yard.fails("build --file docker/Dm", "why");
    let ran = yard.build("--output json");
    assert_eq!(ran.json()["error"]["code"], "step");
}

#[test]
fn without_what_docker_remembers() {
    for option in ["-n", "--no-cache", "--no_cache"] {
        let yard = yard();
        assert_eq!(yard.build(option).code, 0);
        for file in ["./docker/De", "docker/Dm"] {
            assert!(yard.build_of(file).iter().any(|word| word == "--no-cache"));
        }
    }
}

#[test]
fn pushes_once_all_is_built() {
    let yard = yard();
    yard.file(&images().replacen("push: false", "push: true", 1));
    assert_eq!(yard.build("").code, 0);
    let manager = value(&yard.build_of("docker/Dm"), "--tag");
    assert_eq!(yard.done()[3..], ["build docker/Dm".to_owned(), format!("push {manager}")]);
    assert_eq!(yard.json()["images"][2]["pushed"], true);
    for (option, pushes) in [("--push", 3), ("--no-push", 0)] {
        fs::remove_file(yard.at("state/record")).unwrap();
        assert_eq!(yard.build(option).code, 0);
        let done = yard.done();
        assert_eq!(done.iter().filter(|line| line.starts_with("push")).count(), pushes, "{done:?}");
        assert!(done[..4].iter().all(|line| !line.starts_with("push")), "{done:?}");
    }
    assert_eq!(yard.build("--push --no-push").code, 2);
}

#[test]
fn one_alone() {
    let yard = yard();
    assert_eq!(yard.build("--only f").code, 0);
    assert_eq!(yard.done(), ["base", "build ./docker/Df"]);
    assert_eq!(yard.result().unwrap(), "p/f:1.0\n");
    let ran = yard.build("--only g --only ee");
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("there is no image g; did you mean") && ran.stderr.contains("known: m, e, f"),
        "{ran:?}"
    );
}

#[test]
fn one_that_is_not_enabled_is_built_where_it_is_named() {
    let yard = Yard::new(&format!("{MANAGER}{ENGINE}{PACKAGES}    enable: false\n"));
    assert_eq!(yard.build("--only m --only e").code, 0);
    assert_eq!(yard.done(), ["base", "build ./docker/De", "build docker/Dm"]);
}

#[test]
fn an_engine_that_is_not_built_is_this_machines_newest() {
    let yard = Yard::new(&format!("{MANAGER}{ENGINE}{PACKAGES}    enable: false\n"));
    let ran = yard.build("");
    assert_eq!(ran.code, 1);
    for said in ["m is built on e, which is not built by this run", "no image p/e; build it in the same run"]
    {
        assert!(ran.stderr.contains(said), "{ran:?}");
    }
    assert!(yard.done().is_empty() && yard.result().is_none());
    yard.state("listed", "p/e:latest\np/e:<none>\np/e:15.2\np/e:15.1");
    assert_eq!(yard.build("").code, 0);
    // No engine is built: so no base.
    assert_eq!(yard.done(), ["build docker/Dm"]);
    assert_eq!(argument(&yard.build_of("docker/Dm"), "ENGINE_IMAGE_FULL_NAME").as_deref(), Some("p/e:15.2"));
}

#[test]
fn a_dry_run_calls_nothing_and_leaves_nothing() {
    let yard = yard();
    let before = fs::read_dir(yard.at("top")).unwrap().count();
    let ran = yard.build("--dry-run --push");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!((ran.code, lines.len(), ran.stderr.as_str()), (0, 8, ""));
    assert!(lines[0].starts_with("would: base image: docker/base/build.sh polardb_pg/"), "{lines:?}");
    assert!(lines[1].contains("--tag 'p/e:15.<date>.<sha8>.<time>'"), "{lines:?}");
    assert_eq!(lines[6], "would: m: docker push 'p/m:<time>.<sha8>'");
    assert_eq!(lines[7], "would: write ./image.result, ./image.result.json");
    assert!(yard.record().is_empty());
    assert_eq!(fs::read_dir(yard.at("top")).unwrap().count(), before);
    let ran = yard.build("--dry-run --output json");
    assert_eq!(ran.json()["would"].as_array().unwrap().len(), 5);
}

#[test]
fn the_result_goes_where_the_file_says() {
    let yard = yard();
    let text = fs::read_to_string(yard.at("top/image.yml")).unwrap();
    fs::write(yard.at("top/image.yml"), format!("result: made.txt\npfsd_rpm: bash\n{text}")).unwrap();
    let ran = yard.build("");
    assert!(ran.stderr.contains("pfsd_rpm is of the predecessor, and means nothing here"), "{ran:?}");
    assert_eq!(fs::read_to_string(yard.at("top/made.txt")).unwrap().lines().count(), 3);
    assert!(yard.at("top/made.txt.json").exists() && yard.result().is_none());
}

#[test]
fn the_words_of_the_predecessor() {
    let yard = yard();
    let path = format!("{}:{}", yard.at("bin").display(), std::env::var("PATH").unwrap());
    let line = Ctl::new("image build --no_cache").option("--image_config", &yard.at("top/image.yml"));
    let ran = line.env("PATH", path).env("HOME", yard.at("home")).ran();
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn a_terminal_has_a_line_that_moves_and_goes_away() {
    let yard = yard();
    // Long enough for the line to be drawn.
    yard.program("top/docker/base/build.sh", "#!/bin/sh\necho unpacking\nsleep 1\n");
    let shown = on_terminal(yard.command("").env("TERM", "xterm"));
    assert!(shown.contains("[1/4] base") && shown.contains(": unpacking"), "{shown:?}");
    let last = shown.rsplit("\x1b[2K").next().unwrap();
    assert!(last.starts_with("p/e:15.") && !last.contains('['), "{shown:?}");
}
