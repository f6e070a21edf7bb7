//! The path of an ACL rule, and when everything that one rule's path opens lies inside another's. Vault's own matching:
//! exact, `*` as the last character for any continuation, `+` for one whole segment (`vault/acl.go`).

use std::fmt;

/// Why a path cannot be used in a structured rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulePathError(&'static str);

impl fmt::Display for RulePathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A path of an ACL rule, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulePath {
    /// `+` stands for one whole segment. In the last one of a prefix any continuation may follow.
    segments: Vec<String>,
    prefix: bool,
    templated: bool,
}

impl RulePath {
    /// Takes a path apart.
    ///
    /// # Errors
    /// When Vault would refuse it or read it in another way than its author.
    pub fn new(text: &str) -> Result<Self, RulePathError> {
        let literal = check_templates(text)?;
        check_characters(text)?;
        check_segments(text)?;
        // What a template turns into is not known and may hold any character, so it is taken for any continuation.
        let (path, prefix) = match literal {
            Some(literal) => (literal, true),
            None => text.strip_suffix('*').map_or((text, false), |path| (path, true)),
        };
        Ok(Self { segments: path.split('/').map(str::to_owned).collect(), prefix, templated: literal.is_some() })
    }

    /// Whether each path that `rule` matches is matched by `self`.
    #[must_use]
    pub fn covers(&self, rule: &Self) -> bool {
        let (whole, tail) = self.parts();
        let same = |(mine, its): (&String, &String)| mine == "+" || mine == its;
        if self.templated || !whole.iter().zip(&rule.segments).all(same) {
            return false;
        }
        match (tail, rule.segments.get(whole.len())) {
            (None, None) => !rule.prefix && whole.len() == rule.segments.len(),
            // What comes before the rule's own tail is fixed; that tail must therefore not come before ours.
            (Some(tail), Some(next)) => (next == "+" && tail.is_empty()) || next.starts_with(tail),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    /// Whether some path is matched by both, or, if `lists`, whether both decide on the LIST of some folder.
    #[must_use]
    pub fn overlaps(&self, rule: &Self, lists: bool) -> bool {
        let folder = |path: &Self| path.folder().filter(|_| lists);
        let mine = [Some(self.clone()), folder(self)];
        let its = [Some(rule.clone()), folder(rule)];
        mine.iter().flatten().any(|mine| its.iter().flatten().any(|its| mine.overlaps_path(its)))
    }

    /// The path `p` whose LIST, a request for `p/`, it decides on by matching `p/` and not `p`. Vault looks at rules for
    /// `p` first, then at rules for `p/`.
    fn folder(&self) -> Option<Self> {
        match self.segments.split_last() {
            Some((last, folder)) if !folder.is_empty() && (last.is_empty() || last == "+") => {
                Some(Self { segments: folder.to_vec(), prefix: false, templated: self.templated })
            }
            _ => None,
        }
    }

    /// The segments that stand for themselves, and what the one after them must begin with.
    fn parts(&self) -> (&[String], Option<&str>) {
        match self.segments.split_last() {
            Some((tail, whole)) if self.prefix => (whole, Some(tail)),
            _ => (&self.segments, None),
        }
    }

    fn overlaps_path(&self, rule: &Self) -> bool {
        let (mine, my_tail) = self.parts();
        let (its, its_tail) = rule.parts();
        if !mine.iter().zip(its).all(|(a, b)| a == "+" || b == "+" || a == b) {
            return false;
        }
        let fits = |tail: &str, segment: &String| segment == "+" || segment.starts_with(tail);
        match (my_tail, its_tail) {
            (None, None) => mine.len() == its.len(),
            (Some(tail), None) => its.get(mine.len()).is_some_and(|segment| fits(tail, segment)),
            (None, Some(tail)) => mine.get(its.len()).is_some_and(|segment| fits(tail, segment)),
            (Some(my_tail), Some(its_tail)) => match (its.get(mine.len()), mine.get(its.len())) {
                (Some(segment), _) => fits(my_tail, segment),
                (_, Some(segment)) => fits(its_tail, segment),
                (None, None) => my_tail.starts_with(its_tail) || its_tail.starts_with(my_tail),
            },
        }
    }
}

/// What comes before the first template, if there is one.
fn check_templates(text: &str) -> Result<Option<&str>, RulePathError> {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let known = |name: &str| {
            name.starts_with("identity.")
                && name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-'))
        };
        match after.split_once("}}") {
            Some((name, after)) if known(name) && !before.contains(['{', '}']) => rest = after,
            _ => return Err(RulePathError("must write a template as '{{identity.…}}', without spaces")),
        }
    }
    if rest.contains(['{', '}']) {
        return Err(RulePathError("must not contain '{' or '}' outside a template '{{identity.…}}'"));
    }
    Ok(text.find("{{").map(|start| &text[..start]))
}

fn check_characters(text: &str) -> Result<(), RulePathError> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"_-./+*{}@:=~,".contains(&c);
    if text.is_empty() {
        Err(RulePathError("must not be empty"))
    } else if text.len() > 512 {
        Err(RulePathError("must be at most 512 characters long"))
    } else if !text.bytes().all(allowed) {
        Err(RulePathError("must consist of letters, digits and the characters _ - . / + * @ : = ~ , and templates"))
    } else {
        Ok(())
    }
}

fn check_segments(text: &str) -> Result<(), RulePathError> {
    if text.starts_with('/') || text.contains("//") {
        return Err(RulePathError("must not begin with '/' or contain '//'"));
    }
    if text.contains("..") || text.split('/').any(|segment| segment == ".") {
        return Err(RulePathError("must not contain '..' or a segment '.'"));
    }
    let path = text.strip_suffix('*').unwrap_or(text);
    if path.contains('*') {
        return Err(RulePathError("must have '*' only as the last character: elsewhere Vault takes it literally"));
    }
    if text.split('/').any(|segment| segment != "+" && segment.contains('+')) {
        return Err(RulePathError("must have '+' only as a whole segment: elsewhere Vault takes it literally"));
    }
    Ok(())
}
