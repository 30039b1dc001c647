//! A picture of the waits: how long the shortest half, nine tenths, 99 of 100 and so on had to
//! wait. The tail gets as much room as the rest, because it is what people notice.
#![allow(clippy::float_arithmetic)] // a picture, not money

use crate::report::quantile_ms;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
/// Parts of a thousand that are named below; each step is as wide as the others.
const STEPS: [(usize, &str); 7] = [
    (0, "0 %"),
    (250, "25 %"),
    (500, "50 %"),
    (750, "75 %"),
    (900, "90 %"),
    (990, "99 %"),
    (999, "99.9 %"),
];
/// Points between two of them.
const BETWEEN: usize = 8;
const LINES: usize = 4;

/// The SVG; `waits` are microseconds in order.
pub(crate) fn svg(title: &str, waits: &[u32]) -> String {
    let points = points(waits);
    let most = points.iter().map(|(_, ms)| *ms).fold(0.0, f64::max).max(0.001);
    let x = |part: f64| LEFT + part * (WIDTH - LEFT - RIGHT);
    let y = |ms: f64| HEIGHT - BOTTOM - ms / most * (HEIGHT - TOP - BOTTOM);
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"14\">{}</text>\n",
        escaped(title)
    );
    for line in 0..=LINES {
        let ms = most * line as f64 / LINES as f64;
        let (left, right, at) = (x(0.0), x(1.0), y(ms));
        picture.push_str(&format!(
            "<line x1=\"{left}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\n\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{ms:.1} ms</text>\n",
            left - 6.0,
            at + 4.0
        ));
    }
    for (index, (_, name)) in STEPS.iter().enumerate() {
        let at = x(index as f64 / (STEPS.len() - 1) as f64);
        let below = HEIGHT - BOTTOM + 20.0;
        picture.push_str(&format!(
            "<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{name}</text>\n"
        ));
    }
    let line: Vec<String> =
        points.iter().map(|(part, ms)| format!("{:.1},{:.1}", x(*part), y(*ms))).collect();
    picture.push_str(&format!(
        "<polyline fill=\"none\" stroke=\"#1f6feb\" stroke-width=\"2\" points=\"{}\"/>\n</svg>\n",
        line.join(" ")
    ));
    picture
}

/// Where on the way from left to right, and the wait there in milliseconds.
fn points(waits: &[u32]) -> Vec<(f64, f64)> {
    let mut found = Vec::new();
    let last = (STEPS.len() - 1) * BETWEEN;
    for (index, pair) in STEPS.windows(2).enumerate() {
        let [(from, _), (to, _)] = pair else { continue };
        for step in 0..=BETWEEN {
            let of_thousand = from + (to - from) * step / BETWEEN;
            if let Some(ms) = quantile_ms(waits, of_thousand) {
                found.push(((index * BETWEEN + step) as f64 / last as f64, ms));
            }
        }
    }
    found
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_goes_up_from_left_to_right_and_stays_inside() {
        let waits: Vec<u32> = (1..=1000).collect();
        let points = points(&waits);
        assert!(points.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1));
        assert_eq!((points[0].0, points[points.len() - 1].0), (0.0, 1.0));
        let picture = svg("a < b & c", &waits);
        assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
        assert!(picture.contains("a &lt; b &amp; c") && picture.contains("99.9 %"), "{picture}");
    }

    #[test]
    fn nothing_is_a_picture_too() {
        assert!(svg("empty", &[]).contains("points=\"\""));
    }
}
