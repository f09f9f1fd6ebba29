//! What is asked for by HTTP: streams and the page that plays them at one kind of listener, the
//! operator's questions at the other. A stream is played as by RTMP, from the same code; only its
//! bytes come from another log.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;

use super::admission::Refusal;
use super::conn::{CloseReason, Conn};
use super::contain::Step;
use super::core::Core;
use super::ingress::Flow;
use super::refusal::{Asked, Refused};
use super::session::Session;
use crate::admin::route::BANS;
use crate::admin::{self, ApiError, Context, Route};
use crate::http::pages;
use crate::http::request::{Method, Request};
use crate::http::response::Response;
use crate::http::session::{HttpSession, Plane};
use crate::limits;
use crate::net::transport::Transport;
use crate::report::Answer;
use crate::rtmp::name::{AppName, NameError, StreamName, stream_name};
use crate::stream::log::MSID;

/// What follows the name of a stream in the path of its FLV.
const FLV: &str = ".flv";

impl<S: Transport> Core<S> {
    /// Takes a new connection that speaks HTTP; its slab key, or None when it may not come in.
    /// Operators come in when nobody else does.
    pub fn accept_http(&mut self, socket: S, peer: SocketAddr, plane: Plane) -> Option<usize> {
        let is_admin = plane == Plane::Admin;
        let admitted = match plane {
            Plane::Streams => self.admit(peer),
            Plane::Admin if self.admins < limits::ADMIN_CONNECTIONS_MAX => {
                self.admins += 1;
                Ok(())
            }
            Plane::Admin => Err(Refusal::Connections),
        };
        if let Err(refusal) = admitted {
            self.note_refusal(refusal, peer);
            return None;
        }
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let session = Session::Http(Box::new(HttpSession::new(plane)));
        let mut conn = Conn::new(id, socket, peer, session, self.now);
        conn.is_admin = is_admin;
        conn.is_newcomer = !is_admin;
        Some(self.insert_accepted(conn))
    }

    /// Answers one request of connection `key`, or sees to it that it is answered later.
    pub(super) fn http_request(&mut self, key: usize, request: &Request) -> Flow {
        let now = self.now;
        let conn = &mut self.conns[key];
        conn.idle_since = now;
        let Some(http) = conn.session.http() else {
            return Flow::Continue;
        };
        let flow = match http.plane() {
            Plane::Streams => self.stream_request(key, request),
            Plane::Admin => self.admin_request(key, request),
        };
        let http = self.conns[key].session.http();
        match flow {
            Flow::Continue if http.is_some_and(|http| http.is_done()) => {
                Flow::Close(CloseReason::Answered)
            }
            flow => flow,
        }
    }

    fn answer(&mut self, key: usize, response: Response) -> Flow {
        if let Some(http) = self.conns[key].session.http() {
            http.answer(response);
        }
        Flow::Continue
    }

    /// Answers with an error and closes, as what may follow cannot be read.
    fn refuse_request(&mut self, key: usize, response: Response) -> Flow {
        if let Some(http) = self.conns[key].session.http() {
            http.answer_last(response);
        }
        Flow::Close(CloseReason::Answered)
    }

    fn stream_request(&mut self, key: usize, request: &Request) -> Flow {
        if let Some(why) = self.banned_address(key) {
            let asked = (Asked::Play, &request.path as &dyn Display);
            self.note_refused(key, asked, Refused::AddressBanned, &why);
            return self.refuse_request(key, Response::text(403, &why));
        }
        let (is_allowed, fields) = self.cors_fields(request);
        if let Some(http) = self.conns[key].session.http() {
            http.set_fields(fields);
        }
        match request.method {
            Method::Get | Method::Head => {}
            Method::Options => {
                let answer = Response::new(204, "", &b""[..]).with("Allow", "GET, HEAD, OPTIONS");
                let answer = if is_allowed {
                    answer
                        .with("Access-Control-Allow-Methods", "GET, HEAD")
                        .with("Access-Control-Max-Age", "86400")
                } else {
                    answer
                };
                return self.answer(key, answer);
            }
            Method::Put | Method::Delete | Method::Other => {
                let answer = Response::text(405, "only GET and HEAD are answered here");
                return self.refuse_request(key, answer.with("Allow", "GET, HEAD, OPTIONS"));
            }
        }
        match request.path.strip_suffix(FLV) {
            Some(path) => match name_of(path, &request.query) {
                Ok(name) if !may_upgrade(request, is_allowed) => {
                    let reason = Refused::Origin;
                    self.note_refused(key, (Asked::Play, &name), reason, &reason.words());
                    let answer = Response::text(403, reason.words());
                    self.answer(key, answer)
                }
                Ok(name) => self.play(key, MSID, &name, false),
                Err((error, answer)) => {
                    self.note_refused(key, (Asked::Play, &path), Refused::Name, &error);
                    self.answer(key, answer)
                }
            },
            None => self.page_request(key, request),
        }
    }

    /// The page that plays a stream, and what belongs to it.
    fn page_request(&mut self, key: usize, request: &Request) -> Flow {
        let answer = match pages::file(&request.path) {
            Some(file) => file,
            None if request.path == "/play" => pages::player(),
            None if request.path.starts_with("/-/") => Response::text(404, "no such file"),
            None if name_of(&request.path, "").is_ok() => pages::player(),
            None => Response::text(404, "there is nothing here; streams are at /APP/STREAM.flv"),
        };
        self.answer(key, answer)
    }

    /// Whether pages of the request's origin may read the answer, and the header fields that say
    /// so. Where that depends on the origin, each answer tells caches that it does.
    fn cors_fields(&self, request: &Request) -> (bool, Vec<(&'static str, String)>) {
        let listed = &self.shared.config.http_cors;
        if listed.is_empty() {
            return (false, Vec::new());
        }
        let name = "Access-Control-Allow-Origin";
        if listed.iter().any(|origin| origin == "*") {
            return (true, vec![(name, "*".to_owned())]);
        }
        let mut fields = vec![("Vary", "Origin".to_owned())];
        let origin = request.origin.as_ref();
        let origin = origin.filter(|origin| listed.contains(origin));
        fields.extend(origin.map(|origin| (name, origin.clone())));
        (origin.is_some(), fields)
    }

    /// Answers what the operator asks, or asks the workers first.
    fn admin_request(&mut self, key: usize, request: &Request) -> Flow {
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
        // The page holds no figures: it asks for those, with the token.
        match pages::file(&request.path) {
            Some(file) => return self.answer(key, file),
            None if request.path == "/" => return self.answer(key, pages::status()),
            None => {}
        }
        let (path, query) = (&request.path, &request.query);
        let route = match admin::route(method, path, query, &request.accept) {
            Ok(route) if route.is_open() => route,
            Ok(route) => match self.check_right(request) {
                Ok(()) => route,
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
                let asker = (key, self.conns[key].id);
                self.asked_by_http.push((id, asker, route));
                // Alone it knows the answer already.
                self.wake(key);
                Flow::Continue
            }
            None => self.answer(key, ApiError::busy().response()),
        }
    }

    /// Whether a request may see figures and close connections: with the token, or, where there
    /// is none, by the address of the listener itself, so that no page on the web can have a
    /// browser ask under a name of its own.
    fn check_right(&self, request: &Request) -> Result<(), ApiError> {
        match &self.shared.admin_token {
            Some(token) if token.is_shown_by(request) => Ok(()),
            Some(_) => Err(ApiError::unauthorized()),
            None if is_own_name(&request.host) && may_change(request) => Ok(()),
            None if is_own_name(&request.host) => Err(ApiError::forbidden(
                "a page of another origin may change nothing without the token",
            )),
            None => Err(ApiError::forbidden(
                "ask by address, or as localhost; other names need --admin-token-file",
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
            let (_, (key, conn), route) = self.asked_by_http.swap_remove(asked);
            let is_it = |its: &Conn<S>| its.id == conn && its.closing.is_none();
            if self.conns.get(key).is_some_and(is_it) {
                self.contained(key, Step::Other, |core| core.give_answer(key, &route, told));
            }
        }
    }

    fn give_answer(&mut self, key: usize, route: &Route, told: Answer) {
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

/// Whether a request changes nothing, or is from no page of another origin. A page elsewhere cannot
/// read an answer, but some of its requests arrive.
fn may_change(request: &Request) -> bool {
    let is_read = matches!(request.method, Method::Get | Method::Head);
    let origin = request.origin.as_deref();
    let host = origin.map(|origin| origin.split_once("://").map_or("", |(_, host)| host));
    is_read || host.is_none_or(|host| host.eq_ignore_ascii_case(&request.host))
}

/// Whether a request was made for an address or for this machine's own name.
fn is_own_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    address.is_empty()
        || address.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
}

/// The stream at `path`, which is as in the URL of RTMP.
fn name_of(path: &str, query: &str) -> Result<StreamName, (NameError, Response)> {
    let mut name = path.trim_start_matches('/').to_owned();
    if !query.is_empty() {
        name.push('?');
        name.push_str(query);
    }
    stream_name(&AppName::default(), name.as_bytes())
        .map_err(|error| (error, Response::text(400, &error.to_string())))
}

/// Whether a page may open a WebSocket for `request`: other than with plain requests, browsers
/// leave that to the server.
fn may_upgrade(request: &Request, is_allowed: bool) -> bool {
    let Some(origin) = request
        .origin
        .as_ref()
        .filter(|_| request.websocket_key.is_some())
    else {
        return true;
    };
    let host = origin.split_once("://").map_or("", |(_, host)| host);
    is_allowed || host.eq_ignore_ascii_case(&request.host)
}
