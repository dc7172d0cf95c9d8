// SPDX-License-Identifier: GPL-2.0-only
//! A drawing as text.

use std::fmt::Write;

/// Elements one after the other.
#[derive(Debug, Default)]
pub struct Svg(String);

impl Svg {
    /// A filled rectangle; `tip` is shown where the pointer rests.
    pub fn rect(
        &mut self,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
        class: &str,
        opacity: f64,
        tip: &str,
    ) {
        let _ = write!(
            self.0,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" class=\"{class}\" \
             fill-opacity=\"{opacity:.2}\">"
        );
        if !tip.is_empty() {
            let _ = write!(self.0, "<title>{}</title>", escape(tip));
        }
        self.0.push_str("</rect>");
    }

    /// A straight line.
    pub fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        let _ = write!(
            self.0,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>"
        );
    }

    /// Text whose `anchor` is "start", "middle" or "end".
    pub fn text(&mut self, (x, y): (f64, f64), anchor: &str, text: &str) {
        let _ = write!(
            self.0,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
            escape(text)
        );
    }

    /// The whole drawing. `id` names it in the page, `title` says what it shows.
    pub fn finish(self, id: &str, (width, height): (f64, f64), title: &str) -> String {
        format!(
            "<svg id=\"{id}\" xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             role=\"img\" aria-label=\"{}\">{}</svg>",
            escape(title),
            self.0
        )
    }
}

/// Text that means nothing to a browser but itself.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
