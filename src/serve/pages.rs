//! A request becomes a response.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use jiff::Timestamp;

use super::look::{Answer, Look, Seen, at_engine, at_supervisor};
use super::metrics;
use super::say;
use super::verdict::{Greetings, Probe, engines, judge, runs};
use crate::control::protocol::{Engine, Lock};

/// The limit of an answer, all in all: an orchestrator's own is a second or more.
const WITHIN: Duration = Duration::from_millis(1900);
/// The limit of the supervisor's part in it.
const SUPERVISOR_WITHIN: Duration = Duration::from_millis(1500);
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

const HELP: &str = "\
/startupz  200 when each engine has been ready once, or is held down by a lock or a person
/livez     200 while the supervisor answers and no engine has given up
/readyz    200 while each engine runs, is ready and takes a connection
/status    all programs as JSON, as `polarctl status --output json`
/metrics   OpenMetrics
The first three answer with text, with ?verbose more of it, and as JSON to `Accept: application/json`.
";

/// What all connections share.
#[derive(Debug)]
pub(super) struct Pages {
    supervisor: Look<Seen>,
    /// As `supervisor`, with what the lock files say: a look at the disk, which may hang.
    status: Look<Seen>,
    engines: Mutex<Vec<Known>>,
    /// Whether the supervisor answered last, for the log.
    answered: Mutex<Option<bool>>,
}

/// An engine that was asked.
#[derive(Debug, Clone)]
struct Known {
    name: String,
    engine: Engine,
    look: Arc<Look<Result<(), String>>>,
}

impl Pages {
    /// Of the supervisor that listens on `socket`; `fill_in` reads what a lock file says.
    pub(super) fn new(socket: PathBuf, fill_in: fn(&mut Lock)) -> Self {
        let place = socket.clone();
        let status = move || {
            let mut seen = at_supervisor(&place);
            let programs = seen.iter_mut().flat_map(|answer| &mut answer.programs);
            programs.filter_map(|program| program.lock.as_mut()).for_each(fill_in);
            seen
        };
        Pages {
            supervisor: Look::new(move || at_supervisor(&socket)),
            status: Look::new(status),
            engines: Mutex::new(Vec::new()),
            answered: Mutex::new(None),
        }
    }

    /// Answers. The body is never read.
    pub(super) async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        let probe = match path {
            "/startupz" => Some(Probe::Startup),
            "/livez" => Some(Probe::Live),
            "/readyz" => Some(Probe::Ready),
            "/status" | "/metrics" => None,
            _ => return respond(StatusCode::NOT_FOUND, TEXT, format!("there is no {path} here\n{HELP}")),
        };
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let text = format!("{} is not allowed: this only reads; GET or HEAD\n", request.method());
            let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, text);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let begun = Instant::now();
        if path == "/status" {
            self.status.begin();
        }
        let seen = self.see(begun + WITHIN).await;
        match probe {
            Some(probe) => {
                let greetings = match (probe, seen.as_ref()) {
                    (Probe::Ready, Ok(answer)) => self.greet(answer, begun + WITHIN).await,
                    _ => Greetings::new(),
                };
                let verdict = judge(probe, &seen, &greetings);
                let status = if verdict.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                if wants_json(request.headers()) {
                    respond(status, JSON, json(&verdict))
                } else {
                    respond(status, TEXT, verdict.text(is_verbose(request.uri().query())))
                }
            }
            None if path == "/metrics" => {
                respond(StatusCode::OK, metrics::CONTENT_TYPE, metrics::render(&seen, Timestamp::now()))
            }
            None => match seen.as_ref() {
                Ok(answer) => {
                    let full = self.status.see(SUPERVISOR_WITHIN, begun + WITHIN).await;
                    let full = full.as_deref().and_then(|full| full.as_ref().ok()).unwrap_or(answer);
                    respond(StatusCode::OK, JSON, json(&full.programs))
                }
                Err(cause) => {
                    let error = format!("the supervisor does not answer: {cause}");
                    respond(
                        StatusCode::SERVICE_UNAVAILABLE,
                        JSON,
                        json(&serde_json::json!({ "error": error })),
                    )
                }
            },
        }
    }

    async fn see(&self, until: Instant) -> Arc<Seen> {
        let seen = self.supervisor.see(SUPERVISOR_WITHIN, until).await.unwrap_or_else(|| {
            Arc::new(Err(format!(
                "no answer within {} s; it is busy or stopped",
                SUPERVISOR_WITHIN.as_secs_f32()
            )))
        });
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let before = answered.replace(seen.is_ok());
        match seen.as_ref() {
            Err(cause) if before != Some(false) => say(&format!("the supervisor does not answer: {cause}")),
            Ok(_) if before == Some(false) => say("the supervisor answers again"),
            _ => {}
        }
        seen
    }

    /// Connects to the engines that run, to all at the same time.
    async fn greet(&self, answer: &Answer, until: Instant) -> Greetings {
        let asked = self.known(answer);
        for known in &asked {
            known.look.begin();
        }
        let mut greetings = Greetings::new();
        for known in asked {
            let greeting = match known.look.see(WITHIN, until).await {
                Some(greeting) => greeting.as_ref().clone(),
                None => Err("no answer in time; its storage may hang".to_owned()),
            };
            greetings.insert(known.name, greeting);
        }
        greetings
    }

    /// The engines that run; those that have gone, or are elsewhere, are forgotten.
    fn known(&self, answer: &Answer) -> Vec<Known> {
        let mut known = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |known: &Known, name: &str, engine: &Engine| known.name == name && known.engine == *engine;
        let present: Vec<(&str, &Engine, bool)> = engines(answer)
            .filter_map(|status| Some((status.name.as_str(), status.engine.as_ref()?, runs(status))))
            .collect();
        known.retain(|it| present.iter().any(|(name, engine, _)| same(it, name, engine)));
        let mut asked = Vec::new();
        for (name, engine, runs) in present {
            if !known.iter().any(|it| same(it, name, engine)) {
                let place = engine.clone();
                known.push(Known {
                    name: name.to_owned(),
                    engine: engine.clone(),
                    look: Arc::new(Look::new(move || at_engine(&place))),
                });
            }
            asked.extend(known.iter().find(|it| runs && same(it, name, engine)).cloned());
        }
        asked
    }
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn json(value: &impl serde::Serialize) -> String {
    // Plain data with text keys: there is nothing that could not be written.
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}

/// `?verbose`, `?verbose=1`, `?x&verbose`.
fn is_verbose(query: Option<&str>) -> bool {
    let mut pairs =
        query.unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.any(|(key, value)| key == "verbose" && !matches!(value, "0" | "false"))
}

/// Whether JSON is named, and liked no less than text.
fn wants_json(headers: &HeaderMap) -> bool {
    let (mut json, mut text) = (0.0_f32, 0.0_f32);
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for range in values.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
        match kind.as_str() {
            JSON => json = json.max(weight),
            "text/plain" | "text/*" => text = text.max(weight),
            _ => {}
        }
    }
    json > 0.0 && json >= text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gets_json() {
        for (accept, wanted) in [
            (vec![], false),
            (vec!["*/*"], false),
            (vec!["text/plain"], false),
            (vec!["application/json"], true),
            (vec!["Application/JSON; q=0.5, */*"], true),
            (vec!["application/json, text/plain, */*"], true),
            (vec!["text/plain, application/json;q=0.9"], false),
            (vec!["text/*;q=0.1", "application/json;q=0.9"], true),
            (vec!["application/json;q=0"], false),
            (vec!["application/json;q=much"], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in &accept {
                headers.append(ACCEPT, HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(wants_json(&headers), wanted, "{accept:?}");
        }
    }

    #[test]
    fn who_gets_more_text() {
        for (query, more) in [
            (None, false),
            (Some(""), false),
            (Some("verbose"), true),
            (Some("verbose=1"), true),
            (Some("a=b&verbose=true"), true),
            (Some("verbose=0"), false),
            (Some("verbose=false"), false),
            (Some("verbosely"), false),
        ] {
            assert_eq!(is_verbose(query), more, "{query:?}");
        }
    }
}
