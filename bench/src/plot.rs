//! A bar chart on a logarithmic scale.

use std::fmt::Write;

use crate::{
    gate::added,
    hits,
    measure::Measured,
    peers::{self, VERIFYING},
};

const LABELS: f64 = 400.0;
const SCALE: f64 = 480.0;
const BAR: f64 = 26.0;
/// The range of the axis: 100 ns to 100 µs.
const DECADES: (f64, f64) = (2.0, 5.0);

/// Returns the chart of the time that each layer adds to a request, as SVG.
pub(crate) fn svg(measured: &[Measured]) -> String {
    let ours = [
        (hits::HIT_OPAQUE, hits::BARE),
        (hits::HIT_JWT, hits::BARE),
        (hits::OUTSIDE_HIT_OPAQUE, hits::BARE_ROUTER),
        (hits::OUTSIDE_HIT_JWT, hits::BARE_ROUTER),
        (hits::ROUTER_HIT_OPAQUE, hits::BARE_ROUTER),
        (hits::ROUTER_HIT_JWT, hits::BARE_ROUTER),
        (hits::ROUTER_UNCACHED, hits::BARE_ROUTER),
    ];
    let theirs = [(peers::STATIC_BEARER, hits::BARE_ROUTER)].into_iter().chain(VERIFYING);
    let bars: Vec<_> = ours.map(|bar| (bar, "#1d6f42")).into_iter().chain(theirs.map(|bar| (bar, "#8a8f98"))).collect();
    let (width, height) = (LABELS + SCALE + 90.0, 60.0 + BAR * bars.len() as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"{LABELS}\" y=\"18\">time added to a request, logarithmic</text>\n",
    );
    for (decade, label) in [(2.0, "100 ns"), (3.0, "1 µs"), (4.0, "10 µs"), (5.0, "100 µs")] {
        let x = LABELS + SCALE * (decade - DECADES.0) / (DECADES.1 - DECADES.0);
        let bottom = height - 20.0;
        let _ = writeln!(svg, "<line x1=\"{x}\" x2=\"{x}\" y1=\"28\" y2=\"{bottom}\" stroke=\"#dddddd\"/>");
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{label}</text>", height - 5.0);
    }
    for (at, ((name, bare), colour)) in bars.into_iter().enumerate() {
        let nanoseconds = added(measured, name, bare).max(1.0);
        let length = (SCALE * (nanoseconds.log10() - DECADES.0) / (DECADES.1 - DECADES.0)).max(1.0);
        let (y, middle) = (32.0 + BAR * at as f64, 47.0 + BAR * at as f64);
        let name = name.replace('`', "");
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{name}</text>", LABELS - 8.0);
        let _ = writeln!(svg, "<rect x=\"{LABELS}\" y=\"{y}\" width=\"{length:.1}\" height=\"20\" fill=\"{colour}\"/>");
        let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{middle}\">{nanoseconds:.0} ns</text>", LABELS + length + 6.0);
    }
    svg + "</svg>\n"
}
