//! What is asked for by HTTP: streams and the page that plays them at one kind of listener, the
//! operator's questions at the other. A stream is played as by RTMP, from the same code; only its
//! bytes come from another log.

use std::fmt::Display;

use super::conn::{CloseReason, Conn};
use super::contain::Step;
use super::core::Core;
use super::ids::ConnId;
use super::ingress::Flow;
use super::refusal::{Asked, Refused};
use crate::admin::route::BANS;
use crate::admin::{self, ApiError, Context, Route};
use crate::http::origin::{self, Cors};
use crate::http::request::{Method, Request};
use crate::http::response::Response;
use crate::http::session::Plane;
use crate::http::{pages, path};
use crate::net::transport::Transport;
use crate::report::Answer;
use crate::rtmp::name::{AppName, NameError, StreamName, stream_name};
use crate::stream::log::MSID;

/// What follows the name of a stream in the path of its FLV.
const FLV: &str = ".flv";

impl<S: Transport> Core<S> {
    /// Answers one request of connection `key`, or sees to it that it is answered later.
    pub(super) fn http_request(&mut self, key: ConnId, request: &Request) -> Flow {
        let now = self.now;
        let conn = &mut self.conns[key];
        conn.idle_since = now;
        let id = conn.id;
        self.idle_http.remove(&id);
        let (since, time) = self.role_time(key);
        let is_late = now.saturating_duration_since(since) >= time - time / 4;
        let Some(http) = self.conns[key].session.http() else {
            return Flow::Continue;
        };
        if is_late {
            // A client that has its next request ready makes a connection for it.
            http.keep_no_longer();
        }
        let plane = http.plane();
        let flow = match (self.know_client(key, request), plane) {
            (Err((status, why)), _) => self.refuse_request(key, Response::text(status, why)),
            (Ok(()), Plane::Streams) => self.stream_request(key, request),
            (Ok(()), Plane::Admin) => self.admin_request(key, request),
        };
        let conn = &mut self.conns[key];
        match (flow, conn.session.http()) {
            (Flow::Continue, Some(http)) if http.is_done() => Flow::Close(CloseReason::Answered),
            (Flow::Continue, Some(http)) if !http.is_asked() && conn.is_newcomer => {
                self.idle_http.insert(id, key);
                Flow::Continue
            }
            (flow, _) => flow,
        }
    }

    fn answer(&mut self, key: ConnId, response: Response) -> Flow {
        if let Some(http) = self.conns[key].session.http() {
            http.answer(response);
        }
        Flow::Continue
    }

    /// Answers with an error and closes, as what may follow cannot be read.
    fn refuse_request(&mut self, key: ConnId, response: Response) -> Flow {
        if let Some(http) = self.conns[key].session.http() {
            http.answer_last(response);
        }
        Flow::Close(CloseReason::Answered)
    }

    /// The host that was asked for: of the proxy in front, where there is one that is trusted.
    fn host<'a>(&mut self, key: ConnId, request: &'a Request) -> &'a str {
        let http = self.conns[key].session.http();
        let is_proxied = http.is_some_and(|http| http.proxy().is_some());
        let forwarded = request.forwarded.host().filter(|_| is_proxied);
        forwarded.unwrap_or(&request.host)
    }

    fn stream_request(&mut self, key: ConnId, request: &Request) -> Flow {
        if let Some(why) = self.banned_address(key) {
            let asked = (Asked::Play, &request.path as &dyn Display);
            self.note_refused(key, asked, Refused::AddressBanned, &why);
            return self.refuse_request(key, Response::text(403, &why));
        }
        let Cors { is_allowed, fields } = origin::cors(&self.shared.config.http_cors, request);
        if let Some(http) = self.conns[key].session.http() {
            http.set_fields(fields);
        }
        match request.method {
            Method::Get | Method::Head => {}
            Method::Options => return self.answer(key, origin::preflight(is_allowed, request)),
            Method::Put | Method::Delete | Method::Other => {
                let answer = Response::text(405, "only GET and HEAD are answered here");
                return self.refuse_request(key, answer.with("Allow", "GET, HEAD, OPTIONS"));
            }
        }
        if let Some(health) = self.health(&request.path) {
            return self.answer(key, health);
        }
        let host = self.host(key, request);
        let names = &self.shared.config.http_host;
        if !names.is_empty() && !origin::is_own_host(host, names) {
            let answer = Response::text(421, "not under this name; see --http-host");
            return self.answer(key, answer);
        }
        let path = match path::decoded(&request.path) {
            Ok(path) => path,
            Err(why) => {
                self.note_refused(key, (Asked::Play, &request.path), Refused::Name, &why);
                return self.answer(key, Response::text(400, why));
            }
        };
        let Some(stream) = path.strip_suffix(FLV) else {
            return self.page_request(key, &path);
        };
        // Other than with plain requests, browsers leave it to the server who may open one.
        let is_websocket = request.websocket_key.is_some();
        match name_of(stream, &request.query) {
            Ok(name) if is_websocket && !is_allowed && origin::is_foreign(request, host) => {
                let reason = Refused::Origin;
                self.note_refused(key, (Asked::Play, &name), reason, &reason.words());
                self.answer(key, Response::text(403, reason.words()))
            }
            Ok(name) => self.play(key, MSID, &name, false),
            Err(error) => {
                self.note_refused(key, (Asked::Play, &stream), Refused::Name, &error);
                self.answer(key, bad_name(error))
            }
        }
    }

    /// Whether the relay lives and takes clients, for who checks that.
    fn health(&self, path: &str) -> Option<Response> {
        let route = match path {
            "/healthz" => Route::Healthz,
            "/readyz" => Route::Readyz,
            _ => return None,
        };
        Some(admin::answer(&route, None, &self.context()))
    }

    /// The page that plays a stream, and what belongs to it.
    fn page_request(&mut self, key: ConnId, path: &str) -> Flow {
        let answer = match pages::file(path) {
            Some(file) => file,
            None if path == "/play" => pages::player(path),
            None if path.starts_with("/-/") => Response::text(404, "no such file"),
            None => match name_of(path, "") {
                Ok(_) => pages::player(path),
                Err(NameError::Empty) => {
                    Response::text(404, "there is nothing here; streams are at /APP/STREAM.flv")
                }
                Err(error) => bad_name(error),
            },
        };
        self.answer(key, answer)
    }

    /// Answers what the operator asks, or asks the workers first.
    fn admin_request(&mut self, key: ConnId, request: &Request) -> Flow {
        self.gauges.admin_requests += 1;
        let method = match request.method {
            Method::Get | Method::Head => "GET",
            Method::Delete => "DELETE",
            Method::Put if request.path == BANS => "PUT",
            Method::Options | Method::Put | Method::Other => {
                let words = "only GET, HEAD, PUT and DELETE are answered here";
                let answer = Response::text(405, words);
                return self.refuse_request(key, answer.with("Allow", "GET, HEAD, PUT, DELETE"));
            }
        };
        let host = self.host(key, request);
        if method != "GET" && self.is_foreign_operator(key, request, host) {
            let error = ApiError::forbidden("a page of another origin may change nothing");
            return self.answer(key, error.response());
        }
        // The page holds no figures: it asks for those, with the token.
        match pages::file(&request.path) {
            Some(file) => return self.answer(key, file),
            None if request.path == "/" => return self.answer(key, pages::status()),
            None => {}
        }
        let (path, query) = (&request.path, &request.query);
        let route = match admin::route(method, path, query, &request.accept) {
            Ok(route) if route.is_open() => route,
            Ok(route) => match self.check_right(request, host) {
                Ok(()) => {
                    if let Some(http) = self.conns[key].session.http() {
                        http.grant();
                    }
                    route
                }
                Err(error) => return self.answer(key, error.response()),
            },
            Err(error) => return self.answer(key, error.response()),
        };
        let Some(question) = route.question() else {
            let answer = admin::answer(&route, None, &self.context());
            return self.answer(key, answer);
        };
        match self.ask(question) {
            Some(id) => {
                self.asked_by_http.push((id, key, route));
                // Alone it knows the answer already.
                self.wake(key);
                Flow::Continue
            }
            None => self.answer(key, ApiError::busy().response()),
        }
    }

    /// Whether a page of another origin may be behind a request. A client that shows the token is
    /// known by that, so that a proxy which says nothing of itself may be in front.
    fn is_foreign_operator(&mut self, key: ConnId, request: &Request, host: &str) -> bool {
        let token = self.shared.admin_token.as_ref();
        if token.is_some_and(|token| token.is_shown_by(request)) {
            return origin::is_foreign(request, host);
        }
        let http = self.conns[key].session.http();
        let is_proxied = http.is_some_and(|http| http.proxy().is_some());
        origin::may_be_foreign(request, host, is_proxied)
    }

    /// Whether a request may see figures and close connections: with the token, or, where there
    /// is none, by the address of the listener itself or a name of its own, so that no page on
    /// the web can have a browser ask under another one.
    fn check_right(&self, request: &Request, host: &str) -> Result<(), ApiError> {
        let names = &self.shared.config.http_host;
        match &self.shared.admin_token {
            Some(token) if token.is_shown_by(request) => Ok(()),
            Some(_) => Err(ApiError::unauthorized()),
            None if origin::is_own_host(&request.host, names)
                && origin::is_own_host(host, names) =>
            {
                Ok(())
            }
            None => Err(ApiError::forbidden(
                "ask by address, as localhost or by a name of --http-host; other names need \
                 --admin-token-file",
            )),
        }
    }

    fn context(&self) -> Context<'_> {
        let uptime = self.uptime();
        let uptime_ms = u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX);
        Context {
            time_ms: self.shared.began_ms.saturating_add(uptime_ms),
            uptime,
            draining: self.is_draining(),
            config: &self.shared.config,
        }
    }

    /// Hands out the answers that are complete.
    pub(super) fn answer_questions(&mut self) {
        for (id, told) in std::mem::take(self.answers()) {
            let asked = self.asked_by_http.iter().position(|asked| asked.0 == id);
            let Some(asked) = asked else { continue };
            let (_, key, route) = self.asked_by_http.swap_remove(asked);
            let is_it = |its: &Conn<S>| its.closing.is_none();
            if self.conns.get(key).is_some_and(is_it) {
                self.contained(key, Step::Other, |core| core.give_answer(key, &route, told));
            }
        }
    }

    fn give_answer(&mut self, key: ConnId, route: &Route, told: Answer) {
        let answer = admin::answer(route, Some(told), &self.context());
        self.answer(key, answer);
        let now = self.now;
        let conn = &mut self.conns[key];
        conn.idle_since = now;
        if conn.session.http().is_some_and(|http| http.is_done()) {
            self.close(key, &CloseReason::Answered);
        } else {
            // Another request may have come meanwhile.
            self.mark_ready(key);
            self.wake(key);
        }
    }
}

/// The stream at `path`, which is as in the URL of RTMP.
fn name_of(path: &str, query: &str) -> Result<StreamName, NameError> {
    let mut name = path.trim_start_matches('/').to_owned();
    if !query.is_empty() {
        name.push('?');
        name.push_str(query);
    }
    stream_name(&AppName::default(), name.as_bytes())
}

fn bad_name(error: NameError) -> Response {
    Response::text(400, &error.to_string())
}
