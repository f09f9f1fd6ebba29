//! What is asked for by HTTP: streams and the page that plays them. A stream is played as by RTMP,
//! from the same code; only its bytes come from another log.

use std::fmt::Display;

use super::close_reason::CloseReason;
use super::core::Core;
use super::flow::Flow;
use super::ids::ConnId;
use super::refusal::{Asked, Refused};
use crate::http::origin::{self, Cors};
use crate::http::request::{Method, Request};
use crate::http::response::Response;
use crate::http::{pages, path};
use crate::net::transport::Transport;
use crate::rtmp::name::{AppName, NameError, StreamName, stream_name};
use crate::stream::log::MSID;

/// What follows the name of a stream in the path of its FLV.
const FLV: &str = ".flv";

impl<S: Transport> Core<S> {
    /// Answers one request of connection `key`, or sees to it that it is answered later.
    pub(super) fn http_request(&mut self, key: ConnId, request: &Request) -> Flow {
        let now = self.now;
        let conn = &mut self.conns[key];
        conn.set_idle(now);
        self.conns.has_request(key);
        let (since, time) = self.role_time(key);
        let is_late = now.saturating_duration_since(since) >= time - time / 4;
        let Some(http) = self.conns[key].session.http() else {
            return Flow::Continue;
        };
        if is_late {
            // A client that has its next request ready makes a connection for it.
            http.keep_no_longer();
        }
        let flow = match self.know_client(key, request) {
            Err((status, why)) => self.refuse_request(key, Response::text(status, why)),
            Ok(()) => self.stream_request(key, request),
        };
        let conn = &mut self.conns[key];
        let is_newcomer = conn.is_newcomer();
        match (flow, conn.session.http()) {
            (Flow::Continue, Some(http)) if http.is_done() => Flow::Close(CloseReason::Answered),
            (Flow::Continue, Some(http)) if !http.is_asked() && is_newcomer => {
                self.conns.await_request(key);
                Flow::Continue
            }
            (flow, _) => flow,
        }
    }

    pub(super) fn answer(&mut self, key: ConnId, response: Response) -> Flow {
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
        if let Some(health) = Response::health(&request.path, self.is_draining()) {
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
