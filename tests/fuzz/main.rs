//! Replays the fuzzers' seeds, and what they once found, through the same checks.

mod checks;

use std::path::Path;

#[test]
fn seeds_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds");
    let mut played = 0;
    for entry in std::fs::read_dir(folder).expect("the seeds can be listed") {
        let data = std::fs::read(entry.expect("an entry").path()).expect("a seed");
        // Each is played in every way to read it, and cut off anywhere.
        for end in 0..=data.len() {
            let cut = &data[..end];
            checks::lexer(cut);
            checks::recognisers(cut);
            for how in 0x80..0x90 {
                let read = [&[how], cut].concat();
                checks::lexer(&read);
                checks::recognisers(&read);
            }
        }
        played += 1;
    }
    assert!(played >= 20, "only {played} seeds");
}
