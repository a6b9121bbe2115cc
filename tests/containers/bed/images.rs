//! The images, built once in a run.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use super::docker::{docker, run};
use super::sweep;

const SOURCES: &str = env!("CARGO_MANIFEST_DIR");
/// `target/tmp`; the static programs are in `target/release` beside it.
const TARGET_TMP: &str = env!("CARGO_TARGET_TMPDIR");
const BASE: &str = "polardb_pg/polardb_pg_base:bookworm";

/// The names of the images.
pub struct Images {
    pub base: String,
    pub engine: String,
    pub release: String,
    pub manager: String,
}

/// The images, or none where no docker answers: said once, or a failure where it is required.
pub fn ours() -> Option<&'static Images> {
    static IMAGES: OnceLock<Result<Images, String>> = OnceLock::new();
    let images = IMAGES.get_or_init(|| {
        let found = Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]).output();
        let trouble = match found {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Some(format!("docker cannot be run: {error}")),
        };
        if let Some(trouble) = trouble {
            // Past the capture of the test harness: it is to be seen although the tests pass.
            let line = "=".repeat(100);
            writeln!(
                std::io::stderr(),
                "\n{line}\nNOT TESTED: the images and their containers: no docker answers: {trouble}\n{line}"
            )
            .ok();
            return Err(trouble);
        }
        sweep::of_the_dead();
        Ok(built())
    });
    match images {
        Ok(images) => Some(images),
        Err(trouble) => {
            let required = std::env::var("REQUIRE_DOCKER").is_ok_and(|value| value == "1");
            assert!(!required, "REQUIRE_DOCKER=1, and no docker answers: {trouble}");
            None
        }
    }
}

fn built() -> Images {
    let _turn = turn();
    let made = run(Command::new(Path::new(SOURCES).join("docker/base/build.sh")).arg(BASE));
    assert_eq!(made.code, 0, "the base image: {made:?}");
    let context = context();
    let engine =
        image(&context, "engine", "docker/Dockerfile.pg.engine.test", &[&format!("BASE_IMAGE={BASE}")]);
    let release =
        image(&context, "release", "docker/Dockerfile.pg.engine.release", &[&format!("BASE_IMAGE={BASE}")]);
    let manager = image(
        &context,
        "manager",
        "docker/Dockerfile.manager",
        &[&format!("ENGINE_IMAGE_FULL_NAME={engine}")],
    );
    Images { base: BASE.to_owned(), engine, release, manager }
}

/// One test process builds at a time: two would exchange each other's images.
fn turn() -> fs::File {
    let file = fs::File::create(Path::new(TARGET_TMP).join("containers.lock")).unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    file
}

/// What `docker build` is given: the Dockerfiles, rootfs and the programs, as `.dockerignore` leaves them.
pub fn context() -> TempDir {
    let context = TempDir::new_in(TARGET_TMP).unwrap();
    let programs = context.path().join("target/release");
    fs::create_dir_all(&programs).unwrap();
    for program in ["polar-supervisor", "polarctl"] {
        let built = Path::new(TARGET_TMP).parent().unwrap().join("release").join(program);
        let age = |path: &Path| path.metadata().and_then(|data| data.modified());
        let made = age(&built).unwrap_or_else(|error| panic!("{}: {error}: make build", built.display()));
        assert!(
            made >= newest(&Path::new(SOURCES).join("src")),
            "{} is older than src: make build",
            built.display()
        );
        fs::copy(&built, programs.join(program)).unwrap();
    }
    for part in ["docker", "rootfs"] {
        run(Command::new("cp").arg("-a").arg(Path::new(SOURCES).join(part)).arg(context.path())).success();
    }
    context
}

fn newest(folder: &Path) -> SystemTime {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let ages =
        entries.map(
            |path: PathBuf| {
                if path.is_dir() { newest(&path) } else { path.metadata().unwrap().modified().unwrap() }
            },
        );
    ages.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Builds one that stays for the next run, whose build finds its layers; the one that it takes the place of goes.
fn image(context: &TempDir, id: &str, dockerfile: &str, arguments: &[&str]) -> String {
    let name = format!("polardb_pg/containers_{id}:test");
    let found = || docker(["image", "inspect", "--format", "{{.Id}}", &name]).stdout.trim().to_owned();
    let before = found();
    let mut words = vec!["build".to_owned(), "-q".into(), "--force-rm".into(), "-f".into()];
    words.push(context.path().join(dockerfile).display().to_string());
    for argument in arguments.iter().chain(&["http_proxy", "https_proxy", "no_proxy"]) {
        words.extend(["--build-arg".to_owned(), (*argument).to_owned()]);
    }
    words.extend(["-t".to_owned(), name.clone(), context.path().display().to_string()]);
    let done = docker(words);
    assert_eq!(done.code, 0, "{dockerfile}: {done:?}");
    if !before.is_empty() && before != found() {
        docker(["rmi", &before]);
    }
    name
}
