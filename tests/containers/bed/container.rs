//! One container.

use std::path::Path;

use serde_json::Value;

use super::docker::{Done, docker};
use super::{Bed, until};

/// A container that is not there yet.
pub struct Run<'a> {
    bed: &'a Bed,
    name: String,
    image: String,
    options: Vec<String>,
    command: Vec<String>,
}

/// A container, running or not. Its bed removes it.
pub struct Container {
    pub name: String,
}

impl<'a> Run<'a> {
    pub(super) fn new(bed: &'a Bed, what: &str, image: &str) -> Self {
        let options = vec!["--health-interval=1s".to_owned()];
        Run { bed, name: bed.name(what), image: image.to_owned(), options, command: Vec::new() }
    }

    /// Options of `docker run`, as they are typed: words with blanks between.
    pub fn with(mut self, options: &str) -> Self {
        self.options.extend(options.split_whitespace().map(str::to_owned));
        self
    }

    /// Mounts a volume, or a folder of the host.
    pub fn mount(mut self, source: impl AsRef<Path>, target: &str) -> Self {
        self.options.extend(["-v".to_owned(), format!("{}:{target}", source.as_ref().display())]);
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.options.extend(["-e".to_owned(), format!("{name}={value}")]);
        self
    }

    /// Another image than the bed's.
    pub fn image(mut self, image: &str) -> Self {
        image.clone_into(&mut self.image);
        self
    }

    /// The words behind the image.
    pub fn command(mut self, words: &[&str]) -> Self {
        self.command.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// `docker run` in the foreground, to its end.
    pub fn run(self) -> Done {
        self.call(&["run", "--rm"])
    }

    /// `docker run -d`.
    pub fn start(self) -> Container {
        let name = self.name.clone();
        self.bed.made.lock().unwrap().push(name.clone());
        self.call(&["run", "-d"]).success();
        Container { name }
    }

    /// `docker run -d` of an engine, which is awaited.
    pub fn serving(self) -> Container {
        let container = self.start();
        container.ready();
        container
    }

    fn call(self, verb: &[&str]) -> Done {
        let verb = verb.iter().map(|word| (*word).to_owned()).chain(["--name".to_owned(), self.name]);
        docker(verb.chain(self.options).chain([self.image]).chain(self.command))
    }
}

impl Container {
    /// `docker exec`, with these words.
    pub fn exec(&self, words: &[&str]) -> Done {
        docker(["exec", &self.name].iter().chain(words))
    }

    /// The same as a user.
    pub fn exec_as(&self, user: &str, words: &[&str]) -> Done {
        docker(["exec", "-u", user, &self.name].iter().chain(words))
    }

    /// A shell's line in it.
    pub fn sh(&self, line: &str) -> String {
        self.exec(&["sh", "-c", line]).success()
    }

    /// One value, asked for by `psql` as root.
    #[track_caller]
    pub fn sql(&self, statement: &str) -> String {
        self.exec(&["psql", "-U", "postgres", "-XAtqc", statement]).success()
    }

    /// What it has written, both streams.
    pub fn logs(&self) -> String {
        let done = docker(["logs", &self.name]);
        done.stdout + &done.stderr
    }

    /// Waits for a line of its log that holds this.
    pub fn said(&self, what: &str) {
        until(&format!("{}: {what}", self.name), || self.logs().contains(what));
    }

    /// Waits until its engine is ready.
    pub fn ready(&self) {
        until(&format!("{} to be ready", self.name), || self.healthy_by("health"));
    }

    /// Whether `polarctl` finds it so: `health`, or `health --live`.
    pub fn healthy_by(&self, verb: &str) -> bool {
        let words: Vec<&str> = ["polarctl"].into_iter().chain(verb.split_whitespace()).collect();
        self.exec(&words).code == 0
    }

    /// What `docker inspect` says at a place such as `/State/Status`.
    pub fn at(&self, pointer: &str) -> Value {
        let document: Value = serde_json::from_str(&docker(["inspect", &self.name]).success()).unwrap();
        document[0].pointer(pointer).cloned().unwrap_or(Value::Null)
    }

    /// `running`, `exited`, `restarting`.
    pub fn status(&self) -> String {
        self.at("/State/Status").as_str().unwrap().to_owned()
    }

    /// How often Docker has started it again.
    pub fn restarts(&self) -> u64 {
        self.at("/RestartCount").as_u64().unwrap()
    }

    /// Waits for Docker's own judgement: `healthy`, `unhealthy`.
    pub fn health_is(&self, wanted: &str) {
        until(&format!("{} to be {wanted}", self.name), || self.at("/State/Health/Status") == wanted);
    }

    /// Waits for its end; its exit status.
    pub fn ended(&self) -> i64 {
        until(&format!("the end of {}", self.name), || self.status() == "exited");
        self.at("/State/ExitCode").as_i64().unwrap()
    }

    /// `docker stop` with room for the whole of it; its exit status.
    pub fn stop(&self) -> i64 {
        docker(["stop", "-t", "60", &self.name]).success();
        self.at("/State/ExitCode").as_i64().unwrap()
    }

    /// `docker start`.
    pub fn start(&self) {
        docker(["start", &self.name]).success();
    }

    /// `docker rm`, without its volumes.
    pub fn remove(self) {
        docker(["rm", "-f", &self.name]).success();
    }

    /// The postmaster's process id, in its container.
    pub fn postmaster(&self) -> String {
        self.sh("head -n 1 /data/postmaster.pid")
    }
}
