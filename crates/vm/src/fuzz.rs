//! What reads bytes from outside, for the fuzz target `vm_inputs`: a guest's console and answers,
//! QEMU's control connection, the head of an image.

/// Feeds `data` to the reader that its first byte chooses.
pub fn run(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(data);
    match choice % 4 {
        0 => {
            let _ = crate::console::judge(&crate::console::plain(&text));
        }
        1 => crate::console::read_all(data),
        2 => {
            let _ = crate::qmp::sort(&text);
            let _ = crate::channel::parse(&text, 1, "");
        }
        _ => {
            let _ = crate::overlay::detect(data, data.len() as u64);
        }
    }
}
