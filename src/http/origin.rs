//! Pages and their origins: which page a browser asks for, by the fields that pages cannot set
//! themselves, and what the answer lets it do. Fetch standard, "CORS protocol"; RFC 6454.

use std::net::IpAddr;

use super::request::{Request, is_token};
use super::response::Response;
use crate::limits;

/// The header fields that tell a browser whether the page may read the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// The page may.
    pub is_allowed: bool,
    /// For the answer.
    pub fields: Vec<(&'static str, String)>,
}

/// What pages of the request's origin may do, where those in `listed` may read answers: origins,
/// or `*` alone. Where that depends on the origin, each answer tells caches that it does. Only an
/// origin that is listed by its name may have cookies and the like sent.
pub fn cors(listed: &[String], request: &Request) -> Cors {
    let name = "Access-Control-Allow-Origin";
    if listed.is_empty() {
        return Cors {
            is_allowed: false,
            fields: Vec::new(),
        };
    }
    if listed.iter().any(|origin| origin == "*") {
        return Cors {
            is_allowed: true,
            fields: vec![(name, "*".to_owned())],
        };
    }
    let mut fields = vec![("Vary", "Origin".to_owned())];
    let is_listed = |origin: &&String| {
        let mut listed = listed.iter();
        listed.any(|its| its.eq_ignore_ascii_case(origin))
    };
    let origin = request.origin.as_ref().filter(is_listed);
    if let Some(origin) = origin {
        fields.push((name, origin.clone()));
        fields.push(("Access-Control-Allow-Credentials", "true".to_owned()));
    }
    Cors {
        is_allowed: origin.is_some(),
        fields,
    }
}

/// The answer to OPTIONS: to a page that may read answers, what it may send.
pub fn preflight(is_allowed: bool, request: &Request) -> Response {
    let answer = Response::new(204, "", &b""[..]).with("Allow", "GET, HEAD, OPTIONS");
    if !is_allowed {
        return answer;
    }
    let answer = answer
        .with("Access-Control-Allow-Methods", "GET, HEAD")
        .with("Access-Control-Max-Age", "86400");
    let wanted = &request.wanted_fields;
    let are_names = wanted.split(',').all(|name| is_token(name.trim()));
    if are_names && wanted.len() <= limits::PREFLIGHT_BYTES {
        return answer.with("Access-Control-Allow-Headers", wanted);
    }
    answer
}

/// Whether a page of another origin than `host` asks. Programs that are no browsers say nothing.
pub fn is_foreign(request: &Request, host: &str) -> bool {
    match (request.fetch_site.as_deref(), &request.origin) {
        (Some("same-origin" | "none"), _) | (None, None) => false,
        (Some(_), _) => true,
        (None, Some(origin)) => !is_origin_of(origin, host),
    }
}

/// The same where nothing but that tells who asks: what the browser says of the page and the origin
/// of the page have to agree, and the scheme is that of the listener, if no proxy is in between.
pub fn may_be_foreign(request: &Request, host: &str, is_proxied: bool) -> bool {
    let is_same = |origin: &String| {
        is_origin_of(origin, host) && (is_proxied || origin.starts_with("http://"))
    };
    is_foreign(request, host) || request.origin.as_ref().is_some_and(|its| !is_same(its))
}

/// Whether `origin` is the host that was asked for. A `Host` without a port is that of any port:
/// proxies leave it out.
fn is_origin_of(origin: &str, host: &str) -> bool {
    let (default, page) = match origin.split_once("://") {
        Some(("http", page)) => ("80", page),
        Some(("https", page)) => ("443", page),
        _ => return false,
    };
    let ((page, page_port), (host, port)) = (split_port(page), split_port(host));
    let has_port = port.is_none_or(|port| port == page_port.unwrap_or(default));
    !page.is_empty() && page.eq_ignore_ascii_case(host) && has_port
}

/// Name and port of a host; an IPv6 address keeps its brackets.
fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (name, Some(port)),
        _ => (host, None),
    }
}

/// Whether a request was made for an address, for this machine's own name or for one in `names`:
/// a page that has its own name lead here, by its DNS, asks for that name.
pub fn is_own_host(host: &str, names: &[String]) -> bool {
    let (name, _) = split_port(host);
    let address = name.trim_start_matches('[').trim_end_matches(']');
    address.is_empty()
        || address.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request;

    fn request(fields: &str) -> Request {
        let text = format!("OPTIONS / HTTP/1.1\r\nHost: relay\r\n{fields}\r\n");
        let (request, _) = request::parse(text.as_bytes()).unwrap().unwrap();
        request
    }

    #[test]
    fn origins_are_compared_with_the_host_that_was_asked_for() {
        for (origin, host, same) in [
            ("https://tv.example", "tv.example", true),
            ("https://TV.example", "tv.Example", true),
            ("https://tv.example:8443", "tv.example:8443", true),
            ("https://tv.example:8443", "tv.example", true),
            ("https://tv.example", "tv.example:443", true),
            ("http://tv.example", "tv.example:80", true),
            ("http://[::1]:8080", "[::1]:8080", true),
            ("http://tv.example", "tv.example:8080", false),
            ("https://tv.example:8443", "tv.example:8444", false),
            ("https://tv.example.evil", "tv.example", false),
            ("https://tv.example/", "tv.example", false),
            ("file://tv.example", "tv.example", false),
            ("tv.example", "tv.example", false),
            ("http://", "", false),
            ("null", "null", false),
        ] {
            assert_eq!(is_origin_of(origin, host), same, "{origin} {host}");
        }
    }

    #[test]
    fn what_a_browser_says_of_the_page_counts() {
        for (fields, foreign) in [
            ("", false),
            ("Origin: http://relay\r\n", false),
            ("Origin: http://evil\r\n", true),
            ("Origin: null\r\n", true),
            ("Sec-Fetch-Site: none\r\n", false),
            ("Sec-Fetch-Site: cross-site\r\n", true),
            ("Sec-Fetch-Site: same-site\r\n", true),
            ("Sec-Fetch-Site: anything\r\n", true),
            (
                "Sec-Fetch-Site: cross-site\r\nOrigin: http://evil\r\n",
                true,
            ),
            // Behind a proxy that passes another Host on, the browser knows better.
            (
                "Sec-Fetch-Site: same-origin\r\nOrigin: http://tv\r\n",
                false,
            ),
        ] {
            assert_eq!(is_foreign(&request(fields), "relay"), foreign, "{fields}");
        }
    }

    #[test]
    fn without_a_token_all_that_is_said_of_the_page_has_to_agree() {
        let both = "Sec-Fetch-Site: same-origin\r\nOrigin:";
        for (fields, is_proxied, foreign) in [
            ("", false, false),
            ("Sec-Fetch-Site: same-origin\r\n", false, false),
            ("Origin: http://relay\r\n", false, false),
            ("Origin: https://relay\r\n", false, true),
            ("Origin: https://relay\r\n", true, false),
            ("Origin: null\r\n", true, true),
            (&format!("{both} http://relay\r\n"), false, false),
            (&format!("{both} http://evil\r\n"), false, true),
            ("Sec-Fetch-Site: cross-site\r\n", true, true),
        ] {
            let said = may_be_foreign(&request(fields), "relay", is_proxied);
            assert_eq!(said, foreign, "{fields} {is_proxied}");
        }
    }

    #[test]
    fn own_hosts_are_addresses_localhost_and_listed_names() {
        let names = ["tv.example".to_owned()];
        for host in [
            "",
            "127.0.0.1",
            "[::1]:9090",
            "localhost:1",
            "TV.example:80",
        ] {
            assert!(is_own_host(host, &names), "{host}");
        }
        for host in [
            "evil",
            "tv.example.evil",
            "localhost.evil:80",
            "1.2.3.4.evil",
        ] {
            assert!(!is_own_host(host, &names), "{host}");
        }
    }

    #[test]
    fn a_preflight_allows_what_is_asked_for_within_bounds() {
        let allowed = |wanted: &str| {
            let request = request(&format!("Access-Control-Request-Headers: {wanted}\r\n"));
            let answer = preflight(true, &request);
            let fields = answer.fields.into_iter();
            let mut named = fields.filter(|(name, _)| *name == "Access-Control-Allow-Headers");
            named.next().map(|(_, value)| value)
        };
        let wanted = "authorization,range, x-own";
        assert_eq!(allowed(wanted).as_deref(), Some(wanted));
        assert_eq!(allowed(""), None);
        assert_eq!(allowed("a b"), None);
        assert_eq!(allowed(&"a".repeat(limits::PREFLIGHT_BYTES + 1)), None);
    }

    #[test]
    fn only_origins_listed_by_name_have_credentials() {
        let fields = |listed: &[&str]| {
            let listed: Vec<String> = listed.iter().map(|&origin| origin.into()).collect();
            cors(&listed, &request("Origin: https://tv.example\r\n"))
        };
        let has_credentials = |cors: &Cors| {
            let mut fields = cors.fields.iter();
            fields.any(|(name, _)| *name == "Access-Control-Allow-Credentials")
        };
        let listed = fields(&["https://tv.example", "https://b.example"]);
        assert!(listed.is_allowed && has_credentials(&listed));
        let all = fields(&["*"]);
        assert!(all.is_allowed && !has_credentials(&all));
        let other = fields(&["https://b.example"]);
        assert!(!other.is_allowed && !has_credentials(&other));
    }
}
