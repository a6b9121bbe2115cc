//! A folder as the builder needs one, and the programs that it finds.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::bed::{Ctl, Ran};

/// Writes what it was called with. What it is to say lies in files beside the record; `fail` holds words of the call that
/// is to fail, `hang` of the one that goes on until it is interrupted.
const DOCKER: &str = r#"#!/bin/sh
state=${0%/*}/../state
said() { [ ! -e "$state/$1" ] || while IFS= read -r line; do printf '%s\n' "$line"; done <"$state/$1"; }
printf 'docker' >>"$state/record"
for word; do printf '\t%s' "$word" >>"$state/record"; done
printf '\n' >>"$state/record"
match() { [ -e "$state/$1" ] && { read -r words <"$state/$1"; case "$all" in *"$words"*) return 0 ;; esac; }; return 1; }
all=$*
if match hang; then
    trap 'echo cancelled >>"$state/record"; exit 1' INT
    : >"$state/hangs"
    while [ -e "$state/hang" ]; do /bin/sleep 0.02; done
fi
if match fail; then said why >&2; exit 1; fi
case "$1 $2" in
"version "*) echo 20.10 ;;
"image ls") said listed ;;
"image inspect") echo 'sha256:abc ["p/x@sha256:def"]' ;;
"build "*) echo 'Step 1/2 : FROM x' ;;
esac
"#;

/// Writes what it was called with, and does it.
const GIT: &str = r#"#!/bin/sh
state=${0%/*}/../state
printf 'git' >>"$state/record"
for word; do printf '\t%s' "$word" >>"$state/record"; done
printf '\n' >>"$state/record"
exec GIT "$@"
"#;

const BASE: &str = "#!/bin/sh\nprintf 'base\\t%s\\n' \"$1\" >>STATE/record\n[ ! -e STATE/base ]\n";

pub const ENGINE: &str = "  - id: e
    type: engine
    build_image_name: p/e
    build_image_dockerfile: ./docker/De
    push: false
";
pub const PACKAGES: &str = "    engine_packages: [postgresql-15]\n";
pub const MANAGER: &str = "  - id: m
    type: manager
    build_image_name: p/m
    build_image_dockerfile: docker/Dm
    engine_image_id: e
    push: false
";

/// The folder, with `image.yml` and all that is called.
pub struct Yard {
    pub dir: TempDir,
}

impl Yard {
    /// With these images, in a git repository whose origin has a password in its address.
    pub fn new(images: &str) -> Self {
        let yard = Yard { dir: TempDir::new().unwrap() };
        for folder in ["bin", "state", "home", "top/docker/base", "top/target/release"] {
            fs::create_dir_all(yard.at(folder)).unwrap();
        }
        for file in ["docker/De", "docker/Dm", "target/release/polar-supervisor", "target/release/polarctl"] {
            fs::write(yard.at("top").join(file), "").unwrap();
        }
        yard.program("bin/docker", DOCKER);
        yard.program("bin/git", &GIT.replace("GIT", real_git().to_str().unwrap()));
        yard.program("top/docker/base/build.sh", &BASE.replace("STATE", yard.at("state").to_str().unwrap()));
        yard.file(images);
        fs::write(yard.at("top/.gitignore"), "*\n!docker\n").unwrap();
        commit(&yard.at("top"));
        git(&yard.at("top"), &["remote", "add", "origin", "https://me:sesame@host/own.git"]);
        yard
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub fn file(&self, images: &str) {
        fs::write(self.at("top/image.yml"), format!("images:\n{images}")).unwrap();
    }

    pub fn program(&self, path: &str, text: &str) {
        fs::write(self.at(path), text).unwrap();
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Something that `docker` is to do.
    pub fn state(&self, name: &str, text: &str) {
        fs::write(self.at("state").join(name), format!("{text}\n")).unwrap();
    }

    /// The one that fails, and what it says.
    pub fn fails(&self, words: &str, why: &str) {
        self.state("fail", words);
        self.state("why", why);
    }

    /// With its own programs before all others.
    pub fn command(&self, options: &str) -> Ctl {
        let path = format!("{}:{}", self.at("bin").display(), std::env::var("PATH").unwrap());
        self.only_path(&path, options)
    }

    pub fn only_path(&self, path: &str, options: &str) -> Ctl {
        let line = Ctl::new(&format!("image build {options}")).option("-f", &self.at("top/image.yml"));
        line.env("PATH", path).env("HOME", self.at("home")).env("GIT_CONFIG_NOSYSTEM", "1").env("USER", "ann")
    }

    /// Nothing on PATH but these programs.
    pub fn poor(&self, programs: &[&str]) -> Ctl {
        let poor = self.at("poor");
        fs::create_dir(&poor).unwrap();
        for program in programs {
            let from = self.at("bin").join(program);
            let from = if from.exists() { from } else { Path::new("/bin").join(program) };
            // A script takes its folder from how it is called.
            fs::create_dir_all(self.at("state")).unwrap();
            symlink(from, poor.join(program)).unwrap();
        }
        self.only_path(poor.to_str().unwrap(), "")
    }

    pub fn build(&self, options: &str) -> Ran {
        self.command(options).ran()
    }

    /// What was called, each with its words.
    pub fn record(&self) -> Vec<Vec<String>> {
        let text = fs::read_to_string(self.at("state/record")).unwrap_or_default();
        text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    }

    /// What changed something: the base, builds, pushes.
    pub fn done(&self) -> Vec<String> {
        let short = |words: &Vec<String>| match words.first().map(String::as_str) {
            Some("base") => Some("base".to_owned()),
            Some("docker") if words[1] == "build" => Some(format!("build {}", value(words, "--file"))),
            Some("docker") if words[1] == "push" => Some(format!("push {}", words[2])),
            _ => None,
        };
        self.record().iter().filter_map(short).collect()
    }

    /// The call of `docker build` with this Dockerfile.
    pub fn build_of(&self, dockerfile: &str) -> Vec<String> {
        let mut found = self.record().into_iter().filter(|words| words.iter().any(|word| word == dockerfile));
        found.next_back().unwrap_or_else(|| panic!("{:?}", self.record()))
    }

    pub fn result(&self) -> Option<String> {
        fs::read_to_string(self.at("top/image.result")).ok()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.at("top/image.result.json")).unwrap()).unwrap()
    }
}

/// The word behind this one.
pub fn value(words: &[String], option: &str) -> String {
    let at = words.iter().position(|word| word == option).unwrap();
    words[at + 1].clone()
}

/// A build argument of that name.
pub fn argument(words: &[String], name: &str) -> Option<String> {
    words.iter().find_map(|word| word.strip_prefix(&format!("{name}=")).map(str::to_owned))
}

fn real_git() -> PathBuf {
    let path = std::env::var("PATH").unwrap();
    path.split(':').map(|folder| Path::new(folder).join("git")).find(|git| git.is_file()).expect("a git")
}

/// git itself, which no configuration of this machine tells anything.
pub fn git(folder: &Path, words: &[&str]) -> String {
    let mut command = Command::new(real_git());
    command.args(words).current_dir(folder).env("HOME", folder).env("GIT_CONFIG_NOSYSTEM", "1");
    command.env("GIT_COMMITTER_DATE", "2026-01-02T23:30:00-0500");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Commits all that is in the folder, which becomes a repository where it is none; the hash.
pub fn commit(folder: &Path) -> String {
    if !folder.join(".git").exists() {
        git(folder, &["init", "-q", "-b", "trunk"]);
    }
    git(folder, &["add", "-A"]);
    git(folder, &["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"]);
    git(folder, &["rev-parse", "HEAD"])
}
