//! Keeps a panic inside a plugin, as a text that says where it happened.
//!
//! Each plugin has a standard library of its own, panic hook included. What must hold: a guarded panic prints
//! nothing (the host reports it), any other panic prints as before. A pass that breaks what it declares is stopped by a
//! panic too, which is told from others: the mistake is in its text, and no input mends it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
    static BREACH: Cell<bool> = const { Cell::new(false) };
}

/// A panic that was caught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caught {
    /// Its message and its place.
    pub(crate) text: String,
    /// Whether [`breach`] made it.
    pub(crate) is_breach: bool,
}

/// Stops a pass that does what it does not declare. The place is that of the caller.
#[track_caller]
pub(crate) fn breach(message: String) -> ! {
    BREACH.set(true);
    panic!("{message}")
}

/// The result of `f`, or its panic.
pub(crate) fn guarded<T>(f: impl FnOnce() -> T) -> Result<T, Caught> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let other = take_hook();
        set_hook(Box::new(move |panic| {
            if GUARDED.get() { PLACE.set(panic.location().map(ToString::to_string)) } else { other(panic) }
        }));
    });
    let outer = GUARDED.replace(true);
    BREACH.set(false);
    let result = catch_unwind(AssertUnwindSafe(f));
    GUARDED.set(outer);
    result.map_err(|payload| {
        let message = message(payload.as_ref());
        // Its destructor is a stranger's code and could panic again, this time unguarded.
        std::mem::forget(payload);
        let text = match PLACE.take() {
            Some(place) => format!("{message} ({place})"),
            None => message,
        };
        Caught { text, is_breach: BREACH.take() }
    })
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| s.to_string());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message_and_place() {
        let error = guarded(|| panic!("no {}", "way")).unwrap_err();
        assert!(error.text.starts_with("no way (") && error.text.contains("guard.rs:"), "{error:?}");
        assert!(!error.is_breach);
        assert_eq!(
            guarded(|| std::panic::panic_any(7)).unwrap_err().text.split(" (").next(),
            Some("a panic without a message")
        );
        assert_eq!(guarded(|| 3), Ok(3));
    }

    #[test]
    fn a_breach_is_told_from_other_panics() {
        assert!(guarded(|| breach("not declared".into())).unwrap_err().is_breach);
        assert!(!guarded(|| panic!("of another kind")).unwrap_err().is_breach);
    }

    #[test]
    fn a_payload_that_panics_when_dropped_stays_guarded() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        assert!(guarded(|| std::panic::panic_any(Bomb)).is_err());
    }
}
