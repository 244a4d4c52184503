//! Prometheus' text format, written with the exporter's own formatting.
//!
//! Everything is counted elsewhere already, so no registry stands between: a page is made from one
//! picture, and what is gone is gone from it.

use metrics::{Key, Label, Unit};
use metrics_exporter_prometheus::LabelSet;
use metrics_exporter_prometheus::formatting::{
    write_help_line, write_metric_line, write_type_line,
};

use super::{Histogram, LADDER_US};

/// What a family of samples is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Durations by size.
    Histogram,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// Names and values of labels.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

/// The page that Prometheus reads.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
}

impl Page {
    /// Begins a family; its samples follow. `name` is the whole name, unit and all.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        write_help_line(&mut self.text, name, None, None, help);
        write_type_line(&mut self.text, name, None, None, kind.word());
    }

    /// A sample of the family that was begun last.
    pub fn sample(&mut self, name: &'static str, labels: Labels<'_>, value: u64) {
        self.line(name, None, &label_set(labels), None, value);
    }

    /// A sample that is no whole number.
    pub fn fraction(&mut self, name: &'static str, labels: Labels<'_>, value: f64) {
        self.line(name, None, &label_set(labels), None, value);
    }

    /// A histogram of the family that was begun last, in seconds.
    pub fn histogram(&mut self, name: &'static str, labels: Labels<'_>, histogram: &Histogram) {
        let labels = label_set(labels);
        let mut below = 0;
        for (bound, count) in LADDER_US.iter().zip(histogram.buckets) {
            below += count;
            let bound = seconds(*bound).to_string();
            self.line(name, Some("bucket"), &labels, Some(("le", bound)), below);
        }
        let all = histogram.count();
        self.line(name, Some("bucket"), &labels, Some(("le", "+Inf".to_owned())), all);
        self.line(name, Some("sum"), &labels, None, seconds(histogram.sum_us));
        self.line(name, Some("count"), &labels, None, all);
    }

    fn line(
        &mut self,
        name: &'static str,
        suffix: Option<&'static str>,
        labels: &LabelSet,
        more: Option<(&'static str, String)>,
        value: impl std::fmt::Display,
    ) {
        write_metric_line(&mut self.text, name, suffix, labels, more, value, None::<Unit>);
    }

    /// The whole page.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }
}

fn label_set(labels: Labels<'_>) -> LabelSet {
    let label = |(name, value): &(&'static str, &str)| Label::new(*name, escaped(value));
    let key = Key::from_parts("", labels.iter().map(label).collect::<Vec<_>>());
    LabelSet::from_key_and_global(&key, &Default::default())
}

/// A label's value with its backslashes doubled. The exporter escapes everything else, but takes a
/// single backslash for the beginning of an escape; then `\n` and a line feed would be the same.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\")
}

/// Microseconds as seconds.
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_what_prometheus_reads() {
        let mut page = Page::default();
        page.family("pgweir_things", Kind::Gauge, "Things.");
        page.sample("pgweir_things", &[("database", "a\"\\n\\\n"), ("role", "r")], 7);
        let mut histogram = Histogram::default();
        for duration in [50, 200, 40_000_000] {
            histogram.observe(duration);
        }
        page.family("pgweir_wait_seconds", Kind::Histogram, "Waits.");
        page.histogram("pgweir_wait_seconds", &[], &histogram);
        let text = page.into_text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..3],
            [
                "# HELP pgweir_things Things.",
                "# TYPE pgweir_things gauge",
                "pgweir_things{database=\"a\\\"\\\\n\\\\\\n\",role=\"r\"} 7",
            ]
        );
        assert_eq!(
            lines[4..8],
            [
                "# TYPE pgweir_wait_seconds histogram",
                "pgweir_wait_seconds_bucket{le=\"0.0001\"} 1",
                "pgweir_wait_seconds_bucket{le=\"0.0003\"} 2",
                "pgweir_wait_seconds_bucket{le=\"0.001\"} 2",
            ]
        );
        assert_eq!(
            lines[lines.len() - 4..],
            [
                "pgweir_wait_seconds_bucket{le=\"30\"} 2",
                "pgweir_wait_seconds_bucket{le=\"+Inf\"} 3",
                "pgweir_wait_seconds_sum 40.00025",
                "pgweir_wait_seconds_count 3",
            ]
        );
    }
}
