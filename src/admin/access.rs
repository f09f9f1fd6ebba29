//! Who may see figures and change something: who shows the token, or, where there is none, who asks
//! for an address, for localhost or for a name of the relay's own, so that no page on the web can
//! have a browser ask under another name.

use super::route::ApiError;
use super::token::Token;
use crate::http::origin;
use crate::http::request::Request;

/// See the module text.
#[derive(Debug)]
pub(super) struct Access {
    /// What a request has to show, if anything.
    pub(super) token: Option<Token>,
    /// Names of the relay's own.
    pub(super) hosts: Vec<String>,
}

impl Access {
    /// Checks a request that was sent to `host`, before anything else of it is looked at.
    pub(super) fn check(&self, request: &Request, host: &str) -> Result<(), ApiError> {
        match &self.token {
            Some(token) if token.is_shown_by(request) => Ok(()),
            Some(_) => Err(ApiError::unauthorized()),
            None if origin::is_own_host(&request.host, &self.hosts)
                && origin::is_own_host(host, &self.hosts) =>
            {
                Ok(())
            }
            None => Err(ApiError::forbidden(
                "ask by address, as localhost or by a name of --http-host; other names need \
                 --admin-token-file",
            )),
        }
    }

    /// Whether a page of another origin may be behind a request that has passed the check. With a
    /// token a proxy which says nothing of itself may be in front.
    pub(super) fn is_foreign(&self, request: &Request, host: &str, is_proxied: bool) -> bool {
        match self.token {
            Some(_) => origin::is_foreign(request, host),
            None => origin::may_be_foreign(request, host, is_proxied),
        }
    }
}
