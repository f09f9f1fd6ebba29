//! From what clients send to the name of a stream: `app` and `tcUrl` of connect, and the stream
//! name of publish and play.
//!
//! One rule carries all of it. Application and stream name are one path; the path is cleaned and
//! checked in one place; its last segment is the stream and the rest is the application. So it
//! does not matter where a client cuts: application `live` with name `a/b`, application `live/a`
//! with name `b`, and application `live/a/b` without a name are all the stream `live/a/b`. A stream
//! of one segment has an empty application.
//!
//! ```text
//! connect rtmp://host:1935/live/_definst_?u=1   publish mp4:cam.mp4?t=2
//!                          '--' app                         '-' stream    query t=2&u=1
//! ```
//!
//! ffmpeg and librtmp cut at the second slash, be it one of a token: `live/cam?t=a` and `b+c==` are
//! `live/cam` with the query `t=a/b+c==`. With one segment before the `?`, as in `live?u=1`, the
//! stream name is a name.
//!
//! Cleaning removes what clients add around a name: empty segments, `_definst_` in second place,
//! `mp4:` and its kin, white space around segments. Whatever is dangerous in a file name, a log
//! line, a header or a key of another system is refused, never rewritten, and so is a percent
//! escape of it; other escapes stay as they are. HTTP paths and configured names go through
//! `stream_name` with `AppName::default()`.
//!
//! Not decided here: who may use a name, and whether the application exists. That has to go by
//! the `StreamName`, whose application may be longer than the one of the connection.
//!
//! RTMP 1.0 §7.2.1.1 (connect), §7.2.2.1 (play) and §7.2.2.6 (publish).

mod joiners;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

use crate::limits::{NAME_BYTES_MAX, QUERY_BYTES_MAX};

/// Longest string of a client that is looked at, in bytes: key, query, and room for the host.
const INPUT_MAX: usize = 4096;

/// The application a connection is for.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AppName {
    /// The whole path, such as `live` or `live/inst`; at most [`NAME_BYTES_MAX`] bytes. Empty if
    /// the client named none; its stream names then have to carry it.
    pub app: String,
    /// What follows the first segment of `app`, called its instance; also part of `app`.
    pub instance: Option<String>,
    /// What followed `?`, without it; at most [`QUERY_BYTES_MAX`] bytes. It may hold secrets.
    pub query: String,
    /// Whether `app` names a stream and a query followed it: a stream name goes on with the query.
    pub is_cut_in_query: bool,
}

impl fmt::Debug for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "AppName({:?}, query of {} bytes)",
            self.app,
            self.query.len()
        )
    }
}

/// The identity of a stream, and the query that came with it.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamName {
    /// All segments but the last, joined by `/`; empty for a stream of one segment.
    pub app: String,
    /// The last segment.
    pub stream: String,
    /// What followed `?` in the stream name and then in the application, joined by `&`. At most
    /// [`QUERY_BYTES_MAX`] bytes, no control characters, as it was sent otherwise. It may hold
    /// secrets and is no part of the identity.
    pub query: String,
}

impl StreamName {
    /// What identifies the stream: `app/stream`, or `stream` without an app; at most
    /// [`NAME_BYTES_MAX`] bytes.
    pub fn key(&self) -> String {
        self.to_string()
    }

    /// The app that decides whether the stream is served and which rules it falls under: its own,
    /// or, for a stream of one segment, the app of that name.
    pub fn judged_app(&self) -> &str {
        if self.app.is_empty() {
            &self.stream
        } else {
            &self.app
        }
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.app.as_str() {
            "" => f.write_str(&self.stream),
            app => write!(f, "{app}/{}", self.stream),
        }
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "StreamName(\"{self}\", query of {} bytes)",
            self.query.len()
        )
    }
}

/// Why a name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// Neither an application nor a stream name.
    Empty,
    /// The name is too long.
    TooLong {
        /// Its length in bytes, as far as it was looked at.
        got: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The query is too long.
    QueryTooLong {
        /// Its length in bytes.
        got: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A character that has no place in a name or, if it is a control character, in a query.
    Forbidden {
        /// The character.
        found: char,
    },
    /// A percent escape of a byte that has no place in a name, or of `.` or `/`.
    Escape {
        /// The byte that is escaped.
        byte: u8,
    },
    /// A segment that starts with a dot: `.`, `..` or a hidden file.
    LeadingDot,
    /// Not UTF-8.
    NotUtf8,
    /// The name is a URL of another application than the connection is for.
    OtherApp,
}

impl NameError {
    /// The metric label and log key of this error; stable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "name_empty",
            Self::TooLong { .. } => "name_too_long",
            Self::QueryTooLong { .. } => "query_too_long",
            Self::Forbidden { .. } => "name_forbidden",
            Self::Escape { .. } => "name_escape",
            Self::LeadingDot => "name_leading_dot",
            Self::NotUtf8 => "name_not_utf8",
            Self::OtherApp => "name_other_app",
        }
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "no stream name"),
            Self::TooLong { got, limit } => write!(f, "name of {got} bytes, limit {limit}"),
            Self::QueryTooLong { got, limit } => write!(f, "query of {got} bytes, limit {limit}"),
            Self::Forbidden { found } => write!(f, "character {found:?} in a name"),
            Self::Escape { byte } => write!(f, "escape of byte 0x{byte:02X} in a name"),
            Self::LeadingDot => write!(f, "segment with a leading dot in a name"),
            Self::NotUtf8 => write!(f, "name is not utf-8"),
            Self::OtherApp => write!(f, "url of another application as a name"),
        }
    }
}

impl core::error::Error for NameError {}

/// The application that connect asks for by `app` or, if that has no path, by `tcUrl`. Without
/// either it is empty, which is no error: OBS users put the whole path into the stream key.
///
/// # Errors
/// The path or its query is too long or has what no name may have.
pub fn app_from_connect(app: Option<&[u8]>, tc_url: Option<&[u8]>) -> Result<AppName, NameError> {
    let (app_path, app_query) = split_query(bounded(app.unwrap_or_default())?);
    let url = bounded(tc_url.unwrap_or_default()).map(|url| split_query(url_path(unquoted(url))));
    // tcUrl fills in what `app` lacks; a tcUrl nobody depends on is not judged.
    let has_app = segments(app_path).next().is_some();
    let url_path = url.map_or(&[][..], |(path, _)| path);
    let is_query_behind_stream =
        !app_query.is_empty() || !has_app || segments(url_path).nth(1).is_some();
    let (path, query) = match (has_app, app_query) {
        (true, b"") => {
            let query = url.and_then(|(_, url_query)| merged_query(url_query, ""));
            (app_path, query.unwrap_or_default())
        }
        (true, query) => (app_path, merged_query(query, "")?),
        (false, b"") => (url?.0, merged_query(url?.1, "")?),
        (false, query) => (url?.0, merged_query(query, "")?),
    };
    let mut app = Path::default();
    app.push(path)?;
    let instance = app
        .text
        .split_once('/')
        .map(|(_, instance)| instance.to_owned());
    Ok(AppName {
        is_cut_in_query: is_query_behind_stream && instance.is_some() && !query.is_empty(),
        app: app.text,
        instance,
        query,
    })
}

/// The stream that a client of `app` means by `raw`, the name it publishes or plays. `raw` may be
/// empty: the last segment of `app` is the stream then. OBS users put the whole URL into the server
/// field and leave the stream key empty; GoPro Hero 12 publishes an empty name.
///
/// # Errors
/// There is no name, it or its query is too long or has what no name may have, or it is a URL of
/// another application.
pub fn stream_name(app: &AppName, raw: &[u8]) -> Result<StreamName, NameError> {
    let raw = bounded(raw)?;
    if app.is_cut_in_query && !raw.is_empty() && raw[0] != b'?' && !is_rtmp_url(raw) {
        return with_longer_query(app, raw);
    }
    let mut path = Path {
        names_stream: true,
        ..Path::default()
    };
    let query = if is_rtmp_url(raw) {
        // The whole URL pasted as the stream key. It has to agree with the connection, or a
        // client could leave the application it was let into.
        let (url_path, url_query) = split_query(url_path(raw));
        path.push(url_path)?;
        if !path.is_within(&app.app) {
            return Err(NameError::OtherApp);
        }
        url_query
    } else {
        // OBS users paste `?token=..` alone as the stream key: a query without a name.
        let (name, name_query) = split_query(raw);
        path.push(app.app.as_bytes())?;
        path.push(name)?;
        name_query
    };
    let key = path.finish();
    let (app_path, stream) = key.rsplit_once('/').unwrap_or(("", &key));
    let is_second = !app_path.is_empty() && !app_path.contains('/');
    if stream.is_empty() || stream == DEFAULT_INSTANCE && is_second {
        // `mp4:_definst_.mp4`: what is left would not survive a second reading.
        return Err(NameError::Empty);
    }
    let query = merged_query(query, &app.query)?;
    Ok(StreamName {
        app: app_path.to_owned(),
        stream: stream.to_owned(),
        query,
    })
}

/// The stream that `app` names, whose query goes on with `raw`: the URL was cut at a slash in it.
fn with_longer_query(app: &AppName, raw: &[u8]) -> Result<StreamName, NameError> {
    let query = merged_query(&[app.query.as_bytes(), b"/", raw].concat(), "")?;
    let whole = AppName {
        query,
        is_cut_in_query: false,
        ..app.clone()
    };
    stream_name(&whole, b"")
}

/// What a client of `app` asks for by `raw`, to be shown where it cannot be a name: as it was sent,
/// but without a query, or what may be one, and without the host and user of a URL.
pub fn shown(app: &AppName, raw: &[u8]) -> String {
    let raw = &raw[..raw.len().min(INPUT_MAX)];
    let is_url = is_rtmp_url(raw);
    let path = split_query(if is_url { url_path(raw) } else { raw }).0;
    let escaped = path.windows(3).position(|w| w.eq_ignore_ascii_case(b"%3f"));
    let path = &path[..escaped.unwrap_or(path.len()).min(NAME_BYTES_MAX)];
    let path = String::from_utf8_lossy(path);
    match app.app.as_str() {
        app_path if app.is_cut_in_query && !is_url => app_path.to_owned(),
        "" => path.into_owned(),
        _ if is_url => path.into_owned(),
        app_path => format!("{app_path}/{path}"),
    }
}

/// A path as it is put together; `text` is clean and checked at any time.
#[derive(Default)]
struct Path {
    text: String,
    /// The path goes on to a stream, so prefixes of file types are taken off.
    names_stream: bool,
    /// Such a prefix was there.
    has_file_type: bool,
}

impl Path {
    fn push(&mut self, path: &[u8]) -> Result<(), NameError> {
        for mut segment in segments(path) {
            if self.names_stream {
                while let Some(rest) = after_any(segment, &FILE_TYPES) {
                    segment = trimmed(rest);
                    self.has_file_type = true;
                }
            }
            // FMLE and clients with librtmp say `live/_definst_` for the default instance.
            let is_second = !self.text.is_empty() && !self.text.contains('/');
            if segment.is_empty() || is_second && segment == DEFAULT_INSTANCE.as_bytes() {
                continue;
            }
            let got = self.text.len() + usize::from(!self.text.is_empty()) + segment.len();
            if got > NAME_BYTES_MAX {
                return Err(NameError::TooLong {
                    got,
                    limit: NAME_BYTES_MAX,
                });
            }
            let segment = checked_segment(segment)?;
            if !self.text.is_empty() {
                self.text.push('/');
            }
            self.text.push_str(segment);
        }
        Ok(())
    }

    fn is_within(&self, app: &str) -> bool {
        let rest = self.text.strip_prefix(app);
        rest.is_some_and(|rest| app.is_empty() || rest.is_empty() || rest.starts_with('/'))
    }

    /// VLC and ffplay turn `name.mp4` of a URL into `mp4:name.mp4`, others into `mp4:name`. An
    /// ending without such a prefix belongs to the name.
    fn finish(mut self) -> String {
        let stem = FILE_ENDINGS
            .iter()
            .find_map(|ending| self.text.strip_suffix(ending));
        if let (true, Some(stem)) = (self.has_file_type, stem) {
            self.text.truncate(stem.trim_end().len());
        }
        self.text
    }
}

const DEFAULT_INSTANCE: &str = "_definst_";
const FILE_TYPES: [&[u8]; 4] = [b"mp4:", b"flv:", b"f4v:", b"mp3:"];
const FILE_ENDINGS: [&str; 4] = [".mp4", ".flv", ".f4v", ".mp3"];

/// The parts between slashes that have something in them. FMLE and JW Player send slashes at the
/// end, others at the start or doubled.
fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/')
        .map(trimmed)
        .filter(|segment| !segment.is_empty())
}

/// A segment without white space around it, the wide space of East Asia included.
fn trimmed(mut segment: &[u8]) -> &[u8] {
    loop {
        let before = segment.len();
        segment = segment.trim_ascii();
        segment = segment.strip_prefix(WIDE_SPACE).unwrap_or(segment);
        segment = segment.strip_suffix(WIDE_SPACE).unwrap_or(segment);
        if segment.len() == before {
            return segment;
        }
    }
}

/// U+3000 in UTF-8.
const WIDE_SPACE: &[u8] = "\u{3000}".as_bytes();

/// The one place that says what a segment of a name may be.
fn checked_segment(segment: &[u8]) -> Result<&str, NameError> {
    let text = str::from_utf8(segment).map_err(|_| NameError::NotUtf8)?;
    if text.starts_with('.') {
        return Err(NameError::LeadingDot);
    }
    let mut before = None;
    let mut rest = text.chars();
    while let Some(found) = rest.next() {
        let after = rest.clone().next();
        if !(is_allowed(found) || joiners::is_in_place(found, before, after)) {
            return Err(NameError::Forbidden { found });
        }
        before = Some(found);
    }
    // Left alone here, an escape may be decoded by whoever gets the name next.
    for escape in text.split('%').skip(1) {
        let digits = escape.get(..2).filter(|digits| !digits.starts_with('+'));
        let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
            continue;
        };
        let is_ascii_allowed = is_allowed(char::from(byte)) && byte != b'.';
        if byte.is_ascii() && !is_ascii_allowed {
            return Err(NameError::Escape { byte });
        }
    }
    Ok(text)
}

/// Of ASCII: what RFC 3986 §3.3 allows in a path segment, and the space. Beyond it: everything but
/// control characters, spaces other than the wide one, characters that cannot be seen or turn the
/// direction of writing, and those that look like, or are normalised to, one or two dots, and
/// slashes. Those that are allowed only between certain others are not among them.
fn is_allowed(found: char) -> bool {
    match found {
        'a'..='z' | 'A'..='Z' | '0'..='9' => true,
        '-' | '.' | '_' | '~' | ':' | '@' | '!' | '$' | '&' | '\'' | '(' | ')' => true,
        '*' | '+' | ',' | ';' | '=' | ' ' | '%' => true,
        '\0'..='\x7F' => false,
        '\u{AD}' | '\u{61C}' | '\u{200B}'..='\u{200F}' => false,
        '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' => false,
        '\u{34F}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' => false,
        '\u{180B}'..='\u{180F}' | '\u{2800}' | '\u{3164}' | '\u{FFA0}' => false,
        '\u{FE00}'..='\u{FE0F}' | '\u{FFF9}'..='\u{FFFB}' => false,
        '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}' => false,
        '\u{2024}' | '\u{2025}' | '\u{2044}' | '\u{2215}' | '\u{29F8}' => false,
        '\u{3000}' => true,
        '\u{FE52}' | '\u{FE68}' | '\u{FF0E}' | '\u{FF0F}' | '\u{FF3C}' => false,
        _ => !found.is_control() && !found.is_whitespace(),
    }
}

/// `first`, then `second`, joined by `&` if there are both.
fn merged_query(first: &[u8], second: &str) -> Result<String, NameError> {
    let joint = if first.is_empty() || second.is_empty() {
        ""
    } else {
        "&"
    };
    let got = first.len() + joint.len() + second.len();
    if got > QUERY_BYTES_MAX {
        return Err(NameError::QueryTooLong {
            got,
            limit: QUERY_BYTES_MAX,
        });
    }
    let first = str::from_utf8(first).map_err(|_| NameError::NotUtf8)?;
    if let Some(found) = first.chars().find(|found| found.is_control()) {
        return Err(NameError::Forbidden { found });
    }
    Ok([first, joint, second].concat())
}

/// `raw` without white space around it: users paste keys together with line ends.
fn bounded(raw: &[u8]) -> Result<&[u8], NameError> {
    let raw = raw.trim_ascii();
    if raw.len() > INPUT_MAX {
        return Err(NameError::TooLong {
            got: raw.len(),
            limit: INPUT_MAX,
        });
    }
    Ok(raw)
}

/// Path and query; the query is empty if there is none.
fn split_query(raw: &[u8]) -> (&[u8], &[u8]) {
    match raw.iter().position(|&byte| byte == b'?') {
        Some(at) => (&raw[..at], &raw[at + 1..]),
        None => (raw, &[]),
    }
}

/// Some cameras and apps send tcUrl in single quotes.
fn unquoted(url: &[u8]) -> &[u8] {
    if let [b'\'', inner @ .., b'\''] = url {
        inner
    } else {
        url
    }
}

fn is_rtmp_url(raw: &[u8]) -> bool {
    let scheme = scheme(raw);
    scheme.is_some_and(|scheme| scheme.len() >= 4 && scheme[..4].eq_ignore_ascii_case(b"rtmp"))
}

/// What stands before `://` at the start of a URL, which may lack it. One in a query is of another
/// URL.
fn scheme(url: &[u8]) -> Option<&[u8]> {
    let at = url.windows(3).take(8).position(|at| at == b"://")?;
    let scheme = &url[..at];
    scheme
        .iter()
        .all(u8::is_ascii_alphanumeric)
        .then_some(scheme)
}

/// What follows the host of a URL, which may lack its scheme: path and query.
fn url_path(url: &[u8]) -> &[u8] {
    let host = scheme(url).map_or(url, |scheme| &url[scheme.len() + 3..]);
    let end = host
        .iter()
        .position(|&byte| byte == b'/' || byte == b'?')
        .unwrap_or(host.len());
    &host[end..]
}

fn after_any<'a>(text: &'a [u8], prefixes: &[&[u8]]) -> Option<&'a [u8]> {
    prefixes
        .iter()
        .find_map(|prefix| text.strip_prefix(*prefix))
}
