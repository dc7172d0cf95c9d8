// SPDX-License-Identifier: GPL-2.0-only
//! `--metrics ADDR`: a page for Prometheus and its like, over HTTP.
//!
//! One thread answers one scraper after the other, `GET /metrics` and nothing else, and closes.
//! A scraper that dawdles is cut off, so it holds up the next one for [`PATIENCE`] at most.

use super::feed::Tap;
use super::openmetrics::{Format, encode};
use anyhow::{Context, Result};
use log::{debug, warn};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Longest head of a request that is read.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// How long a scraper may take to send its request, and how long to take the page.
const PATIENCE: Duration = Duration::from_secs(2);

/// Serve at `address` until the process ends, and return the address; port 0 takes a free one.
///
/// # Errors
/// When the address cannot be had; the sentence names it.
pub fn start(address: SocketAddr, tap: Tap) -> Result<SocketAddr> {
    let refused = || format!("--metrics {address}");
    let listener = TcpListener::bind(address).with_context(refused)?;
    let address = listener.local_addr().with_context(refused)?;
    std::thread::Builder::new()
        .name("metrics".into())
        .spawn(move || accept(&listener, &tap))
        .context("a thread for --metrics")?;
    Ok(address)
}

fn accept(listener: &TcpListener, tap: &Tap) {
    for stream in listener.incoming() {
        match stream.and_then(|stream| answer(stream, tap)) {
            Ok(()) => {}
            // The system is short of something: that does not get better by trying on at once.
            Err(err) if err.raw_os_error() == Some(libc::EMFILE) => {
                warn!("metrics: {err}");
                std::thread::sleep(PATIENCE);
            }
            Err(err) => debug!("metrics: {err}"),
        }
    }
}

fn answer(mut stream: TcpStream, tap: &Tap) -> std::io::Result<()> {
    let head = read_head(&mut stream)?;
    let (status, content_type, body) = match what_for(&head) {
        Ok(format) => match page(tap, format) {
            Ok(text) => ("200 OK", format.content_type(), text),
            Err(err) => ("503 Service Unavailable", "text/plain", format!("{err:#}\n")),
        },
        Err((status, sentence)) => (status, "text/plain", format!("{sentence}\n")),
    };
    let allow = if status.starts_with("405") { "Allow: GET\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
         {allow}Connection: close\r\n\r\n",
        body.len()
    );
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

fn page(tap: &Tap, format: Format) -> Result<String> {
    encode(tap.snapshot()?, format).context("the page cannot be written")
}

/// The request up to its empty line.
fn read_head(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let until = Instant::now() + PATIENCE;
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || head.len() > HEAD_BYTES_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => head.extend_from_slice(&piece[..read]),
        }
    }
    Ok(head)
}

/// In which format the page is asked for; else the status and why not.
fn what_for(head: &[u8]) -> Result<Format, (&'static str, &'static str)> {
    let head = String::from_utf8_lossy(head);
    let (line, fields) = head.split_once("\r\n").unwrap_or((&head, ""));
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let path = target.split('?').next().unwrap_or("");
    match (method, path) {
        ("GET", "/metrics") => Ok(format(fields)),
        ("GET", _) => Err(("404 Not Found", "expected /metrics")),
        _ => Err(("405 Method Not Allowed", "expected GET /metrics")),
    }
}

/// OpenMetrics for those who name it among what they accept.
fn format(fields: &str) -> Format {
    let accepts = |field: &str| {
        let (name, value) = field.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case("accept");
        (is_it && value.contains("application/openmetrics-text")).then_some(())
    };
    match fields.lines().find_map(accepts) {
        Some(()) => Format::OpenMetrics,
        None => Format::Prometheus,
    }
}
