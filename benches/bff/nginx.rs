//! nginx as a plain reverse proxy in front of the upstream, without any authentication: what
//! proxying alone costs on this machine.

use std::{fs, net::TcpListener, path::PathBuf, process::Stdio};

use tokio::process::{Child, Command};

pub struct Nginx {
    pub url: String,
    folder: PathBuf,
    _process: Child,
}

/// None where nginx is not installed.
pub async fn start(upstream: &str) -> Option<Nginx> {
    Command::new("nginx").arg("-v").output().await.ok()?;
    let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr()).ok()?.port();
    let folder = std::env::temp_dir().join(format!("bff-bench-nginx-{port}"));
    fs::create_dir_all(&folder).expect("a temporary folder");
    let config = folder.join("nginx.conf");
    let host = upstream.strip_prefix("http://").expect("plain http");
    let shown = folder.display();
    fs::write(
        &config,
        format!(
            "daemon off; worker_processes 2; pid {shown}/pid; error_log {shown}/error.log;
            events {{ worker_connections 1024; }}
            http {{
                access_log off;
                client_body_temp_path {shown}/body; proxy_temp_path {shown}/proxy;
                fastcgi_temp_path {shown}/fastcgi; uwsgi_temp_path {shown}/uwsgi;
                scgi_temp_path {shown}/scgi;
                upstream api {{ server {host}; keepalive 64; }}
                server {{
                    listen 127.0.0.1:{port};
                    location / {{
                        proxy_pass http://api; proxy_http_version 1.1;
                        proxy_set_header Connection \"\";
                    }}
                }}
            }}"
        ),
    )
    .expect("the temporary folder can be written");
    let process = Command::new("nginx")
        .arg("-c")
        .arg(&config)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("nginx starts");
    let url = format!("http://127.0.0.1:{port}");
    for _ in 0..50 {
        if reqwest::get(format!("{url}/orders")).await.is_ok() {
            return Some(Nginx { url, folder, _process: process });
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("nginx did not come up: see {shown}/error.log");
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // What is left in a temporary folder does no harm.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
