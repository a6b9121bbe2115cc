//! An engine of a repository: a real one.

use std::fs;
use std::path::{Path, PathBuf};

use super::yard::{ENGINE, Yard, argument, commit, git, value};

/// A repository with a version, a template, and a submodule.
fn repo(yard: &Yard) -> PathBuf {
    let (inner, repo) = (yard.at("inner"), yard.at("Engine.git"));
    fs::create_dir_all(&inner).unwrap();
    fs::write(inner.join("part"), "").unwrap();
    commit(&inner);
    fs::create_dir_all(repo.join("src")).unwrap();
    fs::write(repo.join("configure"), "#! /bin/sh\nPACKAGE_VERSION='15.8'\n").unwrap();
    fs::write(repo.join("src/template.conf"), "port = 1\n").unwrap();
    git_init(&repo);
    let inner = format!("file://{}", inner.display());
    git(&repo, &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &inner, "inner"]);
    commit(&repo);
    repo
}

fn git_init(folder: &Path) {
    git(folder, &["init", "-q", "-b", "trunk"]);
}

fn images(repo: &Path) -> String {
    format!(
        "{ENGINE}    engine_repo: file://{}\n    engine_branch: trunk\n    engine_config_template: src/template.conf\n    \
         engine_build_command: ./make it\n",
        repo.display()
    )
}

fn yard() -> (Yard, PathBuf) {
    let yard = Yard::new("");
    // git lets a submodule come from a file for who allows it alone.
    fs::write(yard.at("home/.gitconfig"), "[protocol \"file\"]\nallow = always\n").unwrap();
    let repo = repo(&yard);
    yard.file(&images(&repo));
    (yard, repo)
}

/// The subcommands of git that touched the clone.
fn of_git(yard: &Yard) -> Vec<String> {
    let changing = ["clone", "fetch", "checkout", "clean"];
    let words = yard.record().into_iter().filter(|words| words[0] == "git");
    words.filter_map(|words| words.into_iter().find(|word| changing.contains(&word.as_str()))).collect()
}

#[test]
fn it_is_cloned_once_and_then_brought_up_to_date() {
    let (yard, repo) = yard();
    // What a clone that was killed leaves behind.
    let ran = yard.build("");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(of_git(&yard), ["clone"]);
    let first = git(&repo, &["rev-parse", "HEAD"]);
    let words = yard.build_of("./docker/De");
    let full = value(&words, "--tag");
    assert!(full.starts_with(&format!("p/e:15.8.20260103.{}.", &first[..8])), "{full}");
    let clone = argument(&words, "POLAR_SOURCE_DIR").unwrap();
    assert!(clone.starts_with(".image/source/Engine-trunk-"), "{clone}");
    assert_eq!(git(&yard.at("top").join(&clone), &["rev-list", "--count", "HEAD"]), "1");
    assert!(yard.at("top").join(&clone).join("inner/part").exists());
    let template = argument(&words, "CONF_TEMPLATE").unwrap();
    assert_eq!(fs::read_to_string(yard.at("top").join(template)).unwrap(), "port = 1\n");
    assert_eq!(argument(&words, "ENGINE_BUILD_COMMAND").as_deref(), Some("./make it"));
    assert_eq!(argument(&words, "PolarSource"), Some(format!("file://{}", repo.display())));
    assert_eq!(argument(&words, "PolarBranch").as_deref(), Some("trunk"));
    assert_eq!(argument(&words, "PolarVersion"), Some(first));

    // Somebody has worked in the clone, and its repository went on, with another past.
    fs::write(yard.at("top").join(&clone).join("configure"), "x").unwrap();
    fs::write(yard.at("top").join(&clone).join("made.o"), "x").unwrap();
    fs::write(repo.join("configure"), "PACKAGE_VERSION='15.9'\n").unwrap();
    git(&repo, &["checkout", "-q", "--orphan", "other"]);
    git(&repo, &["branch", "-q", "-D", "trunk"]);
    git(&repo, &["checkout", "-q", "-b", "trunk"]);
    let second = commit(&repo);
    fs::remove_file(yard.at("state/record")).unwrap();
    assert_eq!(yard.build("").code, 0);
    assert_eq!(of_git(&yard), ["fetch", "checkout", "clean"]);
    let words = yard.build_of("./docker/De");
    assert!(value(&words, "--tag").starts_with(&format!("p/e:15.9.20260103.{}.", &second[..8])), "{words:?}");
    assert!(!yard.at("top").join(&clone).join("made.o").exists());
}

#[test]
fn a_clone_that_was_killed_is_made_anew() {
    let (yard, _) = yard();
    let clone = yard.build("--dry-run").stdout;
    let clone = clone.split_whitespace().find(|word| word.contains(".image/source/")).unwrap().to_owned();
    let half = yard.at("top").join(format!("{clone}.unfinished"));
    fs::create_dir_all(half.join(".git")).unwrap();
    // Nor is a folder without a repository one.
    fs::create_dir_all(yard.at("top").join(&clone).join("rubbish")).unwrap();
    let ran = yard.build("");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!half.exists() && !yard.at("top").join(clone).join("rubbish").exists());
}

#[test]
fn two_images_of_one_branch_share_a_clone() {
    let (yard, repo) = yard();
    let one = images(&repo);
    let two = one.replace("id: e", "id: f").replace("p/e", "p/f").replace("/De", "/Dm");
    yard.file(&format!("{one}{two}"));
    assert_eq!(yard.build("").code, 0);
    assert_eq!(of_git(&yard)[0], "clone");
    assert_eq!(of_git(&yard)[1], "fetch");
    let of = |file| argument(&yard.build_of(file), "POLAR_SOURCE_DIR").unwrap();
    assert_eq!(of("./docker/De"), of("./docker/Dm"));
}

#[test]
fn a_repository_or_a_branch_that_is_not_there() {
    let (yard, repo) = yard();
    yard.file(&images(&repo).replace("branch: trunk", "branch: trunc"));
    let ran = yard.build("");
    assert_eq!(ran.code, 1);
    for said in ["Remote branch trunc not found", "engine_branch is a branch or a tag of that repository"] {
        assert!(ran.stderr.contains(said), "{ran:?}");
    }
    yard.file(&images(&yard.at("nowhere")));
    let ran = yard.build("--output json");
    assert_eq!(ran.json()["error"]["code"], "fetch");
    assert!(!yard.done().iter().any(|line| line.starts_with("build")) && yard.result().is_none());
}

#[test]
fn no_network_to_the_repository() {
    let (yard, _) = yard();
    // A name that no server knows (RFC 2606).
    yard.file(&images(Path::new("/")).replace("file:///", "https://host.invalid/r.git"));
    let ran = yard.build("");
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("e: https://host.invalid/r.git, branch trunk: "), "{ran:?}");
    assert!(ran.stderr.contains("no network to that host"), "{ran:?}");
}

#[test]
fn a_template_that_is_not_there_or_leads_out() {
    let (yard, repo) = yard();
    yard.file(&images(&repo).replace("src/template.conf", "src/other.conf"));
    let ran = yard.build("");
    assert!(ran.code == 1 && ran.stderr.contains("the repository has no file src/other.conf"), "{ran:?}");
    // A link to a file of this machine.
    fs::write(yard.at("secret"), "sesame").unwrap();
    std::os::unix::fs::symlink(yard.at("secret"), repo.join("src/link.conf")).unwrap();
    commit(&repo);
    yard.file(&images(&repo).replace("src/template.conf", "src/link.conf"));
    let ran = yard.build("");
    assert!(ran.code == 1 && ran.stderr.contains("the repository has no file src/link.conf"), "{ran:?}");
    assert!(!yard.done().iter().any(|line| line.starts_with("build")));
}
