// SPDX-License-Identifier: GPL-2.0-only
//! SVG text: elements, escaping, and the two colour schemes.

use std::fmt::{Display, Write as _};

/// Classes of both pictures; `WIDTH` and so on are filled in by [`Svg::finish`].
const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;font-size:11px;fill:#1f2328}\
.page{fill:#fff}.quiet{fill:#656d76}.title{font-size:15px;font-weight:600}.strong{font-weight:600}\
.idle{fill:#fff}.halo{fill:none;stroke:#fff}.frame{fill:none;stroke:#8c959f;stroke-width:.7}.grid{fill:none;stroke:#d0d7de;stroke-width:.6}\
.other{stroke:#8c959f}.llc{stroke:#1f2328;fill:#57606a}.node{stroke:#d1242f;fill:#d1242f}\
.waste{fill:#bf8700;fill-opacity:.8}.bar{fill:#8c959f}.own{fill:#0969da}.bound{stroke:#d1242f;stroke-dasharray:3 2}\
.whisker{stroke:#1f2328;fill:none}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.page{fill:#0d1117}.quiet{fill:#9198a1}.idle{fill:#161b22}\
.halo{stroke:#161b22}.frame{stroke:#656d76}.grid{stroke:#30363d}.other{stroke:#6e7681}.llc{stroke:#e6edf3;fill:#b1bac4}\
.node{stroke:#ff7b72;fill:#ff7b72}.waste{fill:#d29922}.bar{fill:#6e7681}.own{fill:#4493f8}\
.bound{stroke:#ff7b72}.whisker{stroke:#e6edf3}}";

/// Where a text stands relative to its point.
#[derive(Clone, Copy, Debug)]
pub enum Anchor {
    /// The text begins there.
    Start,
    /// Its middle is there.
    Middle,
    /// It ends there.
    End,
}

/// A picture in the making.
#[derive(Debug, Default)]
pub struct Svg {
    body: String,
}

impl Svg {
    /// A filled rectangle.
    pub fn rect(&mut self, class: &str, x: f64, y: f64, width: f64, height: f64) {
        self.add(format_args!(
            r#"<rect class="{class}" x="{}" y="{}" width="{}" height="{}"/>"#,
            short(x),
            short(y),
            short(width.max(0.0)),
            short(height.max(0.0))
        ));
    }

    /// A rectangle of a colour of its own.
    pub fn swatch(&mut self, colour: &str, x: f64, y: f64, size: f64) {
        let (x, y) = (short(x), short(y));
        self.add(format_args!(
            r#"<rect fill="{colour}" x="{x}" y="{y}" width="{size}" height="{size}"/>"#
        ));
    }

    /// A path; `more` are attributes.
    pub fn path(&mut self, class: &str, more: &str, d: &str) {
        if !d.is_empty() {
            self.add(format_args!(r#"<path class="{class}" {more} d="{d}"/>"#));
        }
    }

    /// A straight line.
    pub fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let d = format!("M{} {}L{} {}", short(from.0), short(from.1), short(to.0), short(to.1));
        self.path(class, "", &d);
    }

    /// A line of text.
    pub fn text(&mut self, class: &str, anchor: Anchor, x: f64, y: f64, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (x, y, text) = (short(x), short(y), escaped(text));
        self.add(format_args!(
            r#"<text class="{class}" text-anchor="{anchor}" x="{x}" y="{y}">{text}</text>"#
        ));
    }

    /// The whole file. `label` says what it shows to those who cannot see it.
    pub fn finish(self, width: f64, height: f64, label: &str) -> String {
        let (width, height, label) = (short(width), short(height), escaped(label));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">\n\
             <style>{STYLE}</style>\n<rect class=\"page\" width=\"{width}\" height=\"{height}\"/>\n{}\
             </svg>\n",
            self.body
        )
    }

    fn add(&mut self, element: impl Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.body, "{element}");
    }
}

/// A coordinate with one decimal at most.
pub fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_string)
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // XML knows no other control characters.
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A round step that cuts `span` into at most `parts` parts: 1, 2 or 5 times a power of ten.
pub fn round_step(span: f64, parts: f64) -> f64 {
    let least = (span / parts).max(f64::MIN_POSITIVE);
    let power = 10f64.powf(least.log10().floor());
    let fits = [1.0, 2.0, 5.0].into_iter().map(|times| times * power).find(|step| *step >= least);
    fits.unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_the_file() {
        let mut svg = Svg::default();
        svg.text("", Anchor::Start, 1.04, 2.5, "<a&b>\u{1}");
        let text = svg.finish(10.0, 10.0, "\"x\"");
        assert!(text.contains(r#"x="1" y="2.5">&lt;a&amp;b&gt;"#), "{text}");
        assert!(text.contains("aria-label=\"&quot;x&quot;\""), "{text}");
        assert!(!text.contains('\u{1}'));
    }

    #[test]
    fn steps_are_round() {
        for (span, step) in [(100.0, 20.0), (10.0, 2.0), (7.0, 1.0), (0.9, 0.2), (2500.0, 500.0)] {
            let found = round_step(span, 7.0);
            assert!((found - step).abs() < 1e-9, "{span}: {found}");
        }
    }
}
