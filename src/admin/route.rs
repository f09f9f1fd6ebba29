//! Paths, queries and what is wrong with them. Nothing here looks at anything but the request.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::json::json;
use super::list::{Cursor, Page, StreamSort};
use super::metrics::Format;
use crate::config::listen::Network;
use crate::http::pages;
use crate::http::path;
use crate::http::response::Response;
use crate::limits;
use crate::worker::bans::{BanTarget, NewBan};
use crate::worker::query::{ClientSort, Role, State, WantedClients};

/// Where bans are; the only page for PUT.
pub const BANS: &str = "/api/v1/bans";

/// Rows of a list unless the request says how many.
const ROWS: usize = 100;

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Figures for Prometheus, in this format.
    Metrics(Format),
    /// What the API is.
    OpenApi,
    /// The settings.
    Config,
    /// The workers.
    Workers,
    /// Streams.
    Streams {
        /// Which streams, and what they are sorted by.
        wanted: WantedStreams,
        /// Which of them.
        page: Page,
    },
    /// One stream.
    Stream(Arc<str>),
    /// Clients.
    Clients {
        /// Which clients, and what they are sorted by.
        wanted: WantedClients,
        /// Which of those.
        page: Page,
    },
    /// One client.
    Client(u64),
    /// The end of one client.
    Kick {
        /// The client.
        id: u64,
        /// For how long the names that it publishes are banned.
        ban: Option<Duration>,
    },
    /// What is banned.
    Bans,
    /// A new ban.
    Ban(NewBan),
    /// The end of a ban.
    Lift(BanTarget),
}

/// Why a request gets no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The status of HTTP.
    pub status: u16,
    /// What it is called; stable.
    pub code: &'static str,
    /// The same in words.
    pub message: String,
}

impl ApiError {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    /// There is nothing of that name.
    pub fn not_found(what: &str) -> Self {
        Self::new(404, "not_found", format!("no such {what}"))
    }

    /// The request has no token, or another one.
    pub fn unauthorized() -> Self {
        Self::new(401, "unauthorized", "a token is needed")
    }

    /// The request may not come from there.
    pub fn forbidden(why: &str) -> Self {
        Self::new(403, "forbidden", why)
    }

    /// There are as many bans as there may be.
    pub fn full() -> Self {
        let message = format!("{} bans are in force; lift some", limits::BANS_MAX);
        Self::new(409, "full", message)
    }

    /// The workers did not answer.
    pub fn busy() -> Self {
        Self::new(503, "busy", "the workers do not answer; try again")
    }

    /// What is said to the request.
    pub fn response(&self) -> Response {
        #[derive(Serialize)]
        struct Body<'a> {
            error: Error<'a>,
        }
        #[derive(Serialize)]
        struct Error<'a> {
            code: &'a str,
            message: &'a str,
        }
        let (code, message) = (self.code, &*self.message);
        let error = Error { code, message };
        let response = json(self.status, &Body { error });
        match self.status {
            401 => response.with("WWW-Authenticate", "Bearer"),
            _ => response,
        }
    }
}

/// Which streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedStreams {
    /// Those of this app.
    pub app: Option<String>,
    /// Those whose name has this in it, in whatever case; in lower case here.
    pub text: Option<String>,
    /// Those in this state.
    pub state: Option<State>,
    /// What they are sorted by.
    pub sort: StreamSort,
}

/// What is at `path` for everybody who reaches the port: health, and the page with what belongs to
/// it. The page holds no figures: it asks for those, with the token.
pub fn public(path: &str, is_draining: bool) -> Option<Response> {
    match path {
        "/" => Some(pages::status()),
        _ => Response::health(path, is_draining).or_else(|| pages::file(path)),
    }
}

/// What a request of `method` for `path` is for, with what follows `?` in `query`, neither of them
/// decoded yet, and the value of its `Accept` field.
///
/// # Errors
/// There is no such page, or not with that method or query.
pub fn route(method: &str, path: &str, query: &str, accept: &str) -> Result<Route, ApiError> {
    let mut asked = Asked::new(query)?;
    let is_get = matches!(method, "GET" | "HEAD");
    let id = path.strip_prefix("/api/v1/clients/");
    let id = id.filter(|id| !id.is_empty());
    if path == BANS && !is_get {
        return bans(method, asked);
    }
    let route = match (path, id) {
        (_, Some(id)) => {
            // A number that is too large is nobody's.
            let id = whole_number(id).ok_or_else(|| ApiError::not_found("client"))?;
            match method {
                "DELETE" => {
                    let most = limits::BAN_TIME_MAX.as_secs();
                    let ban = asked.number("ban", 1, most)?.map(Duration::from_secs);
                    asked.end()?;
                    return Ok(Route::Kick { id, ban });
                }
                _ => Route::Client(id),
            }
        }
        (BANS, _) => Route::Bans,
        ("/metrics", _) => Route::Metrics(Format::of_accept(accept)),
        ("/api/v1/openapi.json", _) => Route::OpenApi,
        ("/api/v1/config", _) => Route::Config,
        ("/api/v1/workers", _) => Route::Workers,
        ("/api/v1/streams", _) => {
            let sort = asked.one_of("sort", StreamSort::ALL, StreamSort::name)?;
            let wanted = WantedStreams {
                app: asked.text("app"),
                text: asked.part()?,
                state: asked.one_of("state", State::ALL, State::name)?,
                sort: sort.unwrap_or_default(),
            };
            let page = asked.page(wanted.sort == StreamSort::Name)?;
            Route::Streams { wanted, page }
        }
        ("/api/v1/clients", _) => {
            let sort = asked.one_of("sort", ClientSort::ALL, ClientSort::name)?;
            let wanted = WantedClients {
                stream: asked.text("stream").map(Arc::from),
                role: asked.one_of("role", Role::ALL, Role::name)?,
                text: asked.part()?,
                sort: sort.unwrap_or_default(),
            };
            let page = asked.page(wanted.sort == ClientSort::Id)?;
            Route::Clients { wanted, page }
        }
        (path, _) => {
            let name = path.strip_prefix("/api/v1/streams/");
            let name = name.and_then(decoded).filter(|name| !name.is_empty());
            Route::Stream(name.ok_or_else(|| ApiError::not_found("page"))?.into())
        }
    };
    if !is_get {
        let message = "GET and HEAD are allowed, DELETE for a client or a ban, PUT for a ban";
        return Err(ApiError::new(405, "method_not_allowed", message));
    }
    asked.end()?;
    Ok(route)
}

/// A request that makes or lifts a ban.
fn bans(method: &str, mut asked: Asked) -> Result<Route, ApiError> {
    let target = match (asked.text("stream"), asked.text("address")) {
        (Some(name), None) if !name.is_empty() => BanTarget::Stream(name.into()),
        (None, Some(text)) => match Network::parse(&text) {
            Some(network) => BanTarget::Network(network),
            None => {
                return Err(bad(
                    "address is an address, or a network such as 10.0.0.0/8",
                ));
            }
        },
        _ => return Err(bad("either stream=APP/NAME or address=ADDRESS is needed")),
    };
    let route = match method {
        "PUT" => {
            let most = limits::BAN_TIME_MAX.as_secs();
            let time = asked.number("seconds", 1, most)?.map(Duration::from_secs);
            let reason = asked.text("reason").unwrap_or_default();
            if reason.chars().count() > limits::BAN_REASON_CHARS
                || reason.contains(char::is_control)
            {
                let most = limits::BAN_REASON_CHARS;
                return Err(bad(&format!(
                    "reason is one line of {most} characters at most"
                )));
            }
            Route::Ban(NewBan {
                target,
                time,
                reason,
            })
        }
        "DELETE" => Route::Lift(target),
        _ => {
            let message = "GET, HEAD, PUT and DELETE are allowed";
            return Err(ApiError::new(405, "method_not_allowed", message));
        }
    };
    asked.end()?;
    Ok(route)
}

/// The parts of a query that nobody has taken yet.
struct Asked(Vec<(String, String)>);

impl Asked {
    fn new(query: &str) -> Result<Self, ApiError> {
        let parts = query.split('&').filter(|part| !part.is_empty());
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Some((decoded(name)?, decoded(value)?))
        };
        let pairs = parts.map(pair).collect::<Option<Vec<_>>>();
        pairs
            .map(Self)
            .ok_or_else(|| bad("the query cannot be read"))
    }

    fn text(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    fn number(&mut self, name: &str, min: u64, max: u64) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let number = whole_number(&text);
        let number = number.filter(|number| (min..=max).contains(number));
        let message = || bad(&format!("{name} is a number of {min} to {max}"));
        number.map(Some).ok_or_else(message)
    }

    /// The page of a list that is sorted by its keys alone, if `by_key`.
    fn page(&mut self, by_key: bool) -> Result<Page, ApiError> {
        let limit = self.number("limit", 1, limits::PAGE_ROWS_MAX as u64)?;
        let offset = self.number("offset", 0, u64::from(u32::MAX))?;
        let order = self.one_of("order", &["asc", "desc"], |order| order)?;
        let cursor = self.text("cursor");
        let after = cursor.map(|text| Cursor::parse(&text).ok_or_else(|| bad("no such cursor")));
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Ok(Page {
            limit: limit.map_or(ROWS, size),
            offset: offset.map_or(0, size),
            descending: order == Some("desc"),
            by_key,
            after: after.transpose()?,
        })
    }

    /// What rows are searched for, in lower case.
    fn part(&mut self) -> Result<Option<String>, ApiError> {
        let text = self.text("q").filter(|text| !text.is_empty());
        if text
            .as_ref()
            .is_some_and(|text| text.len() > limits::NAME_BYTES_MAX)
        {
            return Err(bad("q is longer than any name"));
        }
        Ok(text.map(|text| text.to_lowercase()))
    }

    /// The value of `parameter`, which is the name of one of `all`.
    fn one_of<T: Copy>(
        &mut self,
        parameter: &str,
        all: &[T],
        name: fn(T) -> &'static str,
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(parameter) else {
            return Ok(None);
        };
        let found = all.iter().copied().find(|one| name(*one) == text);
        let names = || {
            all.iter()
                .map(|one| name(*one))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let message = || bad(&format!("{parameter} is one of {}", names()));
        found.map(Some).ok_or_else(message)
    }

    /// Nothing that is not known has been asked for: what is misspelt is not left out silently.
    fn end(self) -> Result<(), ApiError> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(bad(&format!("{name} means nothing here"))),
        }
    }
}

fn bad(message: &str) -> ApiError {
    ApiError::new(400, "bad_query", message)
}

/// Percent-encoded text; None when it is not, or is no UTF-8.
fn decoded(text: &str) -> Option<String> {
    String::from_utf8(path::unescaped(text)?).ok()
}

/// The number that these digits are, without a sign.
fn whole_number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str, query: &str) -> Result<Route, u16> {
        route("GET", path, query, "").map_err(|error| error.status)
    }

    #[test]
    fn paths_lead_to_pages_and_no_others() {
        for (path, wanted) in [
            ("/metrics", Ok(Route::Metrics(Format::Classic))),
            ("/api/v1/openapi.json", Ok(Route::OpenApi)),
            ("/api/v1/config", Ok(Route::Config)),
            ("/api/v1/workers", Ok(Route::Workers)),
            ("/api/v1/clients/7", Ok(Route::Client(7))),
            ("/api/v1/clients/x", Err(404)),
            ("/api/v1/clients/+1", Err(404)),
            ("/api/v1/clients/99999999999999999999", Err(404)),
            ("/api/v1/clients/", Err(404)),
            (
                "/api/v1/streams/live/cam",
                Ok(Route::Stream("live/cam".into())),
            ),
            (
                "/api/v1/streams/a/b/c%20d",
                Ok(Route::Stream("a/b/c d".into())),
            ),
            ("/api/v1/streams/live/%zz", Err(404)),
            ("/api/v1/streams/live/%ff", Err(404)),
            ("/api/v1/streams/live/%4", Err(404)),
            ("/api/v1/", Err(404)),
            ("/api/v2/workers", Err(404)),
            ("/", Err(404)),
            ("", Err(404)),
        ] {
            assert_eq!(get(path, ""), wanted, "{path}");
            assert_eq!(public(path, false).is_some(), path == "/", "{path}");
        }
    }

    #[test]
    fn queries_choose_and_what_is_wrong_is_said() {
        let page = |limit, offset| Page {
            limit,
            offset,
            by_key: true,
            ..Page::default()
        };
        let streams = |app: Option<&str>, page| {
            let wanted = WantedStreams {
                app: app.map(str::to_owned),
                ..WantedStreams::default()
            };
            Ok(Route::Streams { wanted, page })
        };
        let path = "/api/v1/streams";
        assert_eq!(get(path, ""), streams(None, page(100, 0)));
        let all = "limit=1000&offset=5&app=a%2fb";
        assert_eq!(get(path, all), streams(Some("a/b"), page(1_000, 5)));
        for query in [
            "limit=0",
            "limit=1001",
            "limit=",
            "limit=-1",
            "offset=x",
            "limt=5",
            "limit=5&limit=6",
            "app=%f",
            "role=player",
            "sort=weight",
            "order=up",
            "state=dead",
            "cursor=5",
        ] {
            assert_eq!(get(path, query), Err(400), "{query}");
        }
        let long = format!("q={}", "x".repeat(limits::NAME_BYTES_MAX + 1));
        assert_eq!(get(path, &long), Err(400));
        let sorted = "sort=players&order=desc&state=live&q=CAM&cursor=7.live%2Fa.b";
        let wanted = WantedStreams {
            text: Some("cam".to_owned()),
            state: Some(State::Live),
            sort: StreamSort::Players,
            app: None,
        };
        let page = Page {
            descending: true,
            by_key: false,
            after: Cursor::parse("7.live/a.b"),
            ..page(100, 0)
        };
        assert_eq!(get(path, sorted), Ok(Route::Streams { wanted, page }));
    }

    #[test]
    fn lists_of_clients_are_chosen_from() {
        let stream = WantedClients {
            stream: Some("live/cam".into()),
            ..WantedClients::default()
        };
        let role = WantedClients {
            role: Some(Role::Waiting),
            sort: ClientSort::Lag,
            ..WantedClients::default()
        };
        for (query, wanted) in [
            ("stream=live%2Fcam", stream),
            ("role=waiting&sort=lag_ms", role),
        ] {
            let page = Page {
                limit: 100,
                by_key: wanted.sort == ClientSort::Id,
                ..Page::default()
            };
            let route = Ok(Route::Clients { wanted, page });
            assert_eq!(get("/api/v1/clients", query), route, "{query}");
        }
        assert_eq!(get("/api/v1/clients", "role=king"), Err(400));
        assert_eq!(get("/metrics", "name=x"), Err(400));
    }

    #[test]
    fn only_clients_can_be_deleted() {
        let delete = |path, query| route("DELETE", path, query, "").map_err(|error| error.status);
        let kick = |ban| Ok(Route::Kick { id: 7, ban });
        assert_eq!(delete("/api/v1/clients/7", ""), kick(None));
        let minute = Some(Duration::from_secs(60));
        assert_eq!(delete("/api/v1/clients/7", "ban=60"), kick(minute));
        for query in ["ban=0", "ban=31536001", "ban=", "bann=60"] {
            assert_eq!(delete("/api/v1/clients/7", query), Err(400), "{query}");
        }
        assert_eq!(delete("/api/v1/streams/live/cam", ""), Err(405));
        for method in ["POST", "PUT", "OPTIONS", "get", ""] {
            let routed = route(method, "/api/v1/clients/7", "", "");
            assert_eq!(routed.map_err(|error| error.status), Err(405), "{method}");
        }
        assert_eq!(route("HEAD", "/api/v1/bans", "", ""), Ok(Route::Bans));
    }

    #[test]
    fn bans_are_for_a_stream_or_an_address() {
        let bans = |method, query| {
            let routed = route(method, "/api/v1/bans", query, "");
            routed.map_err(|error| error.status)
        };
        let network = |text| BanTarget::Network(Network::parse(text).unwrap());
        let cam = || BanTarget::Stream("live/cam".into());
        let ban = |target, time: Option<u64>, reason: &str| {
            Ok(Route::Ban(NewBan {
                target,
                time: time.map(Duration::from_secs),
                reason: reason.to_owned(),
            }))
        };
        assert_eq!(bans("GET", ""), Ok(Route::Bans));
        assert_eq!(bans("PUT", "stream=live%2Fcam"), ban(cam(), None, ""));
        let query = "address=10.0.0.0/8&seconds=60&reason=a%20b";
        assert_eq!(
            bans("PUT", query),
            ban(network("10.0.0.0/8"), Some(60), "a b")
        );
        assert_eq!(bans("DELETE", "stream=live/cam"), Ok(Route::Lift(cam())));
        for query in [
            "",
            "stream=",
            "stream=a&address=10.0.0.1",
            "address=10.0.0.1/8",
            "address=unix",
            "address=host",
            "stream=a&seconds=0",
            "stream=a&reason=%0a",
            "stream=a&for=7",
        ] {
            assert_eq!(bans("PUT", query), Err(400), "{query}");
        }
        assert_eq!(bans("DELETE", "stream=a&reason=x"), Err(400));
        assert_eq!(bans("POST", "stream=a"), Err(405));
    }

    #[test]
    fn errors_are_json_with_their_words_escaped() {
        let error = get_error("/api/v1/streams", "%22%0a=1");
        let body = String::from_utf8(error.response().body.into_owned()).unwrap();
        let wanted = r#"{"error":{"code":"bad_query","message":"\"\n means nothing here"}}"#;
        assert_eq!(body, wanted);
    }

    fn get_error(path: &str, query: &str) -> ApiError {
        route("GET", path, query, "").unwrap_err()
    }
}
