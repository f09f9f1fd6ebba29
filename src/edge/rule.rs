//! A rule of `--pull` or `--push`: which app, and which servers.

use std::fmt;

use super::upstream::Upstream;

/// The most servers of one rule.
const SERVERS_MAX: usize = 16;

/// `[APP=]URL[,URL...]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its app, with all instances; every app when there is none.
    pub app: Option<String>,
    /// Its servers; at least one, none twice.
    pub servers: Vec<Upstream>,
}

impl Rule {
    /// Reads a rule; None when it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let (app, urls) = match text.split_once('=') {
            Some((app, urls)) if !app.contains("://") => (Some(app), urls),
            _ => (None, text),
        };
        let app = match app {
            Some(app) => {
                Some(crate::rtmp::name::app_from_connect(Some(app.as_bytes()), None).ok()?)
            }
            None => None,
        };
        if app.as_ref().is_some_and(|app| app.app.is_empty()) {
            return None;
        }
        let mut servers: Vec<Upstream> = Vec::new();
        for url in urls.split(',') {
            let server = Upstream::parse(url)?;
            if servers.contains(&server) || servers.len() == SERVERS_MAX {
                return None;
            }
            servers.push(server);
        }
        Some(Self {
            app: app.map(|app| app.app),
            servers,
        })
    }

    /// Whether one of its servers is given the query of a player.
    pub fn takes_query(&self) -> bool {
        self.servers.iter().any(Upstream::takes_query)
    }

    /// Whether it is about streams of `app`.
    pub fn is_for(&self, app: &str) -> bool {
        self.app.as_ref().is_none_or(|own| {
            app.strip_prefix(own.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

/// What rules are called in figures, in their order: each by the labels of its servers, which hold
/// no key. Those that would be called the same are numbered from the second on, `#2`.
pub fn labels(rules: &[Rule]) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for rule in rules {
        let servers: Vec<String> = rule.servers.iter().map(Upstream::label).collect();
        let label = servers.join(",");
        let mut names = (1..).map(|number| match number {
            1 => label.clone(),
            _ => format!("{label}#{number}"),
        });
        labels.extend(names.find(|name| !labels.contains(name)));
    }
    labels
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(app) = &self.app {
            write!(f, "{app}=")?;
        }
        for (index, server) in self.servers.iter().enumerate() {
            if index > 0 {
                write!(f, ",")?;
            }
            write!(f, "{server}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_an_app_and_servers_and_reads_as_it_was_written() {
        for text in [
            "rtmp://a",
            "live=rtmp://a",
            "live/one=rtmp://a/x,rtmps://b:5/{app}/{stream}?{query}",
            "rtmp://a/x?key=1",
        ] {
            let rule = Rule::parse(text).expect(text);
            assert_eq!(rule.to_string(), text);
            assert_eq!(Rule::parse(&rule.to_string()), Some(rule));
        }
        let rule = Rule::parse("live=rtmp://a,rtmp://b").unwrap();
        assert_eq!((rule.app.as_deref(), rule.servers.len()), (Some("live"), 2));
    }

    #[test]
    fn a_rule_without_app_is_for_all_and_one_with_app_for_its_instances() {
        assert!(Rule::parse("rtmp://a").unwrap().is_for("anything"));
        let rule = Rule::parse("live=rtmp://a").unwrap();
        assert!(rule.is_for("live") && rule.is_for("live/room"));
        assert!(!rule.is_for("lively") && !rule.is_for("other"));
    }

    #[test]
    fn rules_have_labels_of_their_own_without_keys() {
        let rules = [
            "rtmp://a/live/SECRET",
            "rtmp://b/live,rtmps://c?k=SECRET",
            "other=rtmp://a/live/SECRET2",
            "rtmp://a/live/SECRET3",
        ];
        let rules = rules.map(|text| Rule::parse(text).expect(text));
        let expected = [
            "a:1935/live",
            "b:1935/live,c:443",
            "a:1935/live#2",
            "a:1935/live#3",
        ];
        assert_eq!(labels(&rules), expected);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in [
            "",
            "=rtmp://a",
            "live=",
            "live",
            "rtmp://a,",
            "rtmp://a,rtmp://a",
            "..=rtmp://a",
            "a b=rtmp://",
            "live=http://a",
        ] {
            assert!(Rule::parse(text).is_none(), "{text:?}");
        }
    }
}
