//! Any text through our recognisers and through Postgres' own parser; what one sees the other must see.

#![no_main]

#[path = "../../oracle/command_tree.rs"]
mod command_tree;
#[allow(dead_code, reason = "blocks are for generated texts")]
#[path = "../../oracle/commands.rs"]
mod commands;
#[path = "../../oracle/explained.rs"]
mod explained;
#[allow(dead_code, reason = "the tree of EXPLAIN is all that is wanted of it")]
#[path = "../../oracle/recognised.rs"]
mod recognised;
#[path = "../../oracle/referee.rs"]
mod referee;

use referee::Judgement;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if text.contains('\0') {
        return;
    }
    for judgement in [referee::tokens(text), referee::statements(text, true), commands::judge(text)] {
        if let Judgement::Different(how) = judgement {
            panic!("{how}\n    in {text:?}");
        }
    }
});
