//! The pages of `web/` and what belongs to them, as they are in the binary.
//!
//! Scripts, styles and pictures are at `/-/NAME`, the same for both listeners. Nothing is loaded
//! from anywhere else, and no script or style stands in a page itself, which the policy sees to.

use std::borrow::Cow;

use super::response::Response;

/// What the page of a stream may load: what comes from here, and media that its script makes.
const PLAYER_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'";

/// The same for the status page, which no other page may show inside itself.
const STATUS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

/// Makes a table of the files in folders of `web/` and their types.
macro_rules! files {
    ($($folder:literal $kind:ident: $($name:literal)+;)+) => {
        &[$($((
            $name, $kind, include_bytes!(concat!("../../web/", $folder, "/", $name))
        )),+),+]
    };
}

/// Name, type and content.
type File = (&'static str, &'static str, &'static [u8]);

/// What is at `/-/NAME`.
const FILES: &[File] = files! {
    "player" CSS: "player.css";
    "player" SCRIPT: "player.js" "screen.js" "figures.js" "connection.js" "source.js" "flv.js"
        "packets.js" "media.js" "clock.js" "buffer.js" "live.js" "video.js" "audio.js" "mp4.js"
        "box.js" "bytes.js" "inband.js";
    "status" CSS: "status.css";
    "status" SCRIPT: "status.js" "api.js" "history.js" "table.js" "chart.js" "clients.js" "bans.js"
        "format.js";
    "shared" CSS: "theme.css";
    "shared" PICTURE: "favicon.svg";
};

/// The page that plays the stream whose path it is at, `path`. Its files are named from there, so
/// that they are found below whatever prefix a proxy puts in front.
pub fn player(path: &str) -> Response {
    let up = "../".repeat(path.matches('/').count().saturating_sub(1));
    let html = include_str!("../../web/player/player.html").replace("\"/-/", &format!("\"{up}-/"));
    page(html.into_bytes(), PLAYER_POLICY)
}

/// The page that shows how the relay is. It asks the API for all it shows.
pub fn status() -> Response {
    page(
        &include_bytes!("../../web/status/status.html")[..],
        STATUS_POLICY,
    )
}

/// What belongs to pages, at this path.
pub fn file(path: &str) -> Option<Response> {
    let wanted = path.strip_prefix("/-/")?;
    let (_, kind, content) = FILES.iter().find(|(name, _, _)| *name == wanted)?;
    Some(Response::new(200, kind, *content).with("Cache-Control", "no-cache"))
}

fn page(content: impl Into<Cow<'static, [u8]>>, policy: &str) -> Response {
    Response::new(200, HTML, content)
        .with("Content-Security-Policy", policy)
        .with("Referrer-Policy", "no-referrer")
        .with("Cache-Control", "no-cache")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_file_is_served_as_what_it_is() {
        let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let folders = ["player", "status", "shared"].map(|folder| web.join(folder));
        for entry in folders.iter().flat_map(|folder| folder.read_dir().unwrap()) {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let kind = match name.rsplit_once('.').unwrap().1 {
                "html" => continue,
                "css" => CSS,
                "js" => SCRIPT,
                "svg" => PICTURE,
                other => panic!("{other}"),
            };
            let answer = file(&format!("/-/{name}")).expect(&name);
            assert_eq!(answer.content_type, kind, "{name}");
        }
        assert!(file("/-/../mod.rs").is_none() && file("/player.js").is_none());
    }

    #[test]
    fn files_of_a_page_are_named_from_where_it_is() {
        for (path, name) in [
            ("/play", "\"-/player.js\""),
            ("/live/cam", "\"../-/player.js\""),
            ("/live/room/cam", "\"../../-/player.js\""),
            ("/live/cam/", "\"../../-/player.js\""),
        ] {
            let page = String::from_utf8(player(path).body.into_owned()).unwrap();
            assert!(page.contains(name) && !page.contains("\"/-/"), "{path}");
        }
    }

    #[test]
    fn what_pages_name_is_there() {
        let mut seen = 0;
        let pages = [player("/play"), status()];
        let files = FILES.iter().map(|(_, _, content)| content.to_vec());
        for content in pages
            .into_iter()
            .map(|page| page.body.to_vec())
            .chain(files)
        {
            let text = String::from_utf8(content).unwrap();
            for part in text.split("-/").skip(1) {
                let name = part.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
                let name = name.into_iter().next().unwrap_or_default();
                if name.contains('.') {
                    assert!(file(&format!("/-/{name}")).is_some(), "{name:?}");
                    seen += 1;
                }
            }
        }
        assert!(seen > 3);
    }
}
