//! Keeps a panic inside a plugin, as a text that says where it happened.
//!
//! Each plugin has a standard library of its own, panic hook included. What must hold: a guarded panic prints
//! nothing (the host reports it), any other panic prints as before.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The result of `f`, or the message and the place of its panic.
pub(crate) fn guarded<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let other = take_hook();
        set_hook(Box::new(move |panic| {
            if GUARDED.get() { PLACE.set(panic.location().map(ToString::to_string)) } else { other(panic) }
        }));
    });
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    GUARDED.set(outer);
    result.map_err(|payload| {
        let message = message(payload.as_ref());
        // Its destructor is a stranger's code and could panic again, this time unguarded.
        std::mem::forget(payload);
        match PLACE.take() {
            Some(place) => format!("{message} ({place})"),
            None => message,
        }
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
        assert!(error.starts_with("no way (") && error.contains("guard.rs:"), "{error}");
        assert_eq!(
            guarded(|| std::panic::panic_any(7)).unwrap_err().split(" (").next(),
            Some("a panic without a message")
        );
        assert_eq!(guarded(|| 3), Ok(3));
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
