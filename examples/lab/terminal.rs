//! How the lab writes on a terminal. Colours only where somebody looks: on a terminal, and without `NO_COLOR`.

use std::io::IsTerminal as _;

fn paint(code: &str, text: &str) -> String {
    if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

pub fn heading(text: &str) -> String {
    format!("\n{}", paint("1;36", text))
}

pub fn success(text: &str) -> String {
    format!("  {} {text}", paint("32", "✓"))
}

pub fn failure(text: &str) -> String {
    format!("  {} {text}", paint("31", "✗"))
}

/// What a person does by hand.
pub fn typed(text: &str) -> String {
    format!("  {}", paint("33", &format!("$ {text}")))
}

pub fn quiet(text: &str) -> String {
    text.lines().map(|line| paint("2", &format!("    {line}"))).collect::<Vec<_>>().join("\n")
}
