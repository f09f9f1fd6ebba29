//! nginx with its RTMP module: pushes what is published to it into a relay, or pulls what is
//! played from it out of one.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use crate::process::Process;
use crate::{SOON, free_address, wait_for};

/// nginx at work.
#[derive(Debug)]
pub struct Nginx {
    /// It ends with this.
    _process: Process,
    address: SocketAddr,
}

impl Nginx {
    /// Starts nginx: what is published to its app `push` goes to app `live` of the relay at
    /// `relay`; what is played from its app `pull` comes from there.
    pub fn start(relay: SocketAddr, dir: &Path) -> Self {
        // nginx cannot tell which port it was given.
        let address = free_address();
        let module = std::env::var_os("TAILWATER_NGINX_RTMP")
            .unwrap_or_else(|| "/usr/lib/nginx/modules/ngx_rtmp_module.so".into());
        let config = dir.join("nginx.conf");
        let text = format!(
            "load_module {};
            daemon off;
            master_process off;
            pid {dir}/nginx.pid;
            error_log {dir}/nginx.log info;
            events {{ worker_connections 64; }}
            rtmp {{ server {{
                listen {address};
                application live {{ live on; idle_streams off; }}
                application push {{ live on; push rtmp://{relay}/live; }}
                application pull {{ live on; pull rtmp://{relay}/live; }}
            }} }}
            ",
            module.display(),
            dir = dir.display(),
        );
        std::fs::write(&config, text).expect("the directory is there");
        let program =
            std::env::var_os("TAILWATER_NGINX").unwrap_or_else(|| "/usr/sbin/nginx".into());
        let mut command = Command::new(program);
        command.arg("-e").arg(dir.join("nginx.log"));
        command.arg("-c").arg(&config);
        let mut process = Process::start("nginx", dir, &mut command);
        wait_for("nginx on its port", SOON, || {
            assert!(process.ended().is_none(), "nginx did not start");
            TcpStream::connect(address).ok()
        });
        Self {
            _process: process,
            address,
        }
    }

    /// The URL of `stream` in `app`.
    pub fn url(&self, app: &str, stream: &str) -> String {
        format!("rtmp://{}/{app}/{stream}", self.address)
    }
}
