//! Panics: defects of this program, told in one line instead of a backtrace.
//!
//! On every thread but the first a panic becomes an error of what ran there, and that error is printed. The place is
//! kept for it; the panic's own words are not, as they may hold values.

use parking_lot::Mutex;

use super::printer;

static PLACE: Mutex<Option<String>> = Mutex::new(None);

/// Keeps the place of every panic, and prints what nobody else would print.
pub fn watch_for_defects() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|location| format!("{}:{}", location.file(), location.line()));
        if std::thread::current().name() == Some("main") {
            printer::talk(&text(place.as_deref()));
        }
        *PLACE.lock() = place;
    }));
}

/// Where the last panic happened.
pub(super) fn place() -> Option<String> {
    PLACE.lock().clone()
}

fn text(place: Option<&str>) -> String {
    let place = place.unwrap_or("an unknown place");
    format!("error: internal: the program failed at {place}\n  hint: this is a defect of etl: please report it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defect_is_told_by_its_place() {
        let told =
            "error: internal: the program failed at src/a.rs:7\n  hint: this is a defect of etl: please report it";
        assert_eq!(text(Some("src/a.rs:7")), told);
    }
}
