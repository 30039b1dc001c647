//! A route's matcher, read once: method, segments, and which of two matchers is more specific.

use http::Method;

use crate::error::RouteFault;
use crate::path;

/// One part of a pattern. The order is that of specificity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// This text, decoded.
    Literal(String),
    /// Any one segment that is not empty.
    Param,
    /// Any rest, also an empty one; stands last.
    Rest,
}

impl Part {
    const fn rank(&self) -> u8 {
        match self {
            Self::Literal(_) => 0,
            Self::Param => 1,
            Self::Rest => 2,
        }
    }
}

/// How forgiving an application behind the gate may be when it reads a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leniency {
    /// Letter case, trailing dots and spaces make no difference.
    pub(crate) case: bool,
    /// A slash at the end makes no difference.
    pub(crate) slash: bool,
}

impl Leniency {
    /// Bytes are bytes.
    pub(crate) const NONE: Self = Self { case: false, slash: false };
    /// The ways in which applications are known to be forgiving.
    pub(crate) const SOME: [Self; 3] = [
        Self { case: true, slash: false },
        Self { case: false, slash: true },
        Self { case: true, slash: true },
    ];
}

/// A path as the table looks at it: decoded segments, the same folded, and both with a slash more
/// or less at the end.
pub(crate) struct Segments {
    exact: Spelling,
    folded: Spelling,
}

struct Spelling {
    plain: Vec<String>,
    /// None for the root.
    other_ending: Option<Vec<String>>,
}

impl Segments {
    pub(crate) fn new(exact: Vec<String>) -> Self {
        let folded = exact.iter().map(|segment| path::folded(segment)).collect();
        Self { exact: Spelling::new(exact), folded: Spelling::new(folded) }
    }
}

impl Spelling {
    fn new(plain: Vec<String>) -> Self {
        let other_ending = match plain.as_slice() {
            [only] if only.is_empty() => None,
            [rest @ .., last] if last.is_empty() => Some(rest.to_vec()),
            all => Some([all, &[String::new()]].concat()),
        };
        Self { plain, other_ending }
    }
}

/// A matcher that was read.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    method: Option<Method>,
    parts: Vec<Part>,
    folded: Vec<Part>,
}

impl Pattern {
    /// Reads `[METHOD] /path`.
    pub(crate) fn read(text: &str) -> Result<Self, RouteFault> {
        let (method, path) = match text.split_once(' ') {
            Some((method, path)) => (read_method(method)?, path.trim_start()),
            None => (None, text),
        };
        if path == "*" {
            return Ok(Self::new(method, vec![Part::Rest]));
        }
        let segments = path::segments(path).map_err(|_| {
            RouteFault::Matcher("the path must begin with / and be spelled plainly")
        })?;
        let last = segments.len().saturating_sub(1);
        let parts: Result<Vec<Part>, RouteFault> = segments
            .into_iter()
            .enumerate()
            .map(|(i, segment)| read_part(segment, i == last))
            .collect();
        Ok(Self::new(method, parts?))
    }

    fn new(method: Option<Method>, parts: Vec<Part>) -> Self {
        let folded = parts
            .iter()
            .map(|part| match part {
                Part::Literal(text) => Part::Literal(path::folded(text)),
                other => other.clone(),
            })
            .collect();
        Self { method, parts, folded }
    }

    /// Two patterns with this in common match the same requests, or would to an application that
    /// does not mind letter case.
    pub(crate) fn folded_key(&self) -> (Option<String>, String) {
        let method = self.method.as_ref().map(|method| method.as_str().to_owned());
        (method, format!("{:?}", self.folded))
    }

    /// The requests it matches are the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.method == other.method && self.parts == other.parts
    }

    /// Most specific first: segment by segment a literal before a parameter before the rest; then
    /// a method before every method.
    pub(crate) fn by_specificity(&self, other: &Self) -> std::cmp::Ordering {
        self.ranks()
            .cmp(other.ranks())
            .then_with(|| self.method.is_none().cmp(&other.method.is_none()))
            .then_with(|| self.parts.cmp(&other.parts))
    }

    /// Its path is at least as specific.
    pub(crate) fn is_as_specific_as(&self, other: &Self) -> bool {
        self.ranks().cmp(other.ranks()).is_le()
    }

    fn ranks(&self) -> impl Iterator<Item = u8> {
        self.parts.iter().map(Part::rank)
    }

    /// It is for this method alone.
    pub(crate) fn names(&self, method: &Method) -> bool {
        self.method.as_ref() == Some(method)
    }

    /// It takes this method.
    pub(crate) fn takes(&self, method: &Method) -> bool {
        self.method.as_ref().is_none_or(|own| own == method)
    }

    /// It takes this method but for letter case.
    pub(crate) fn takes_in_other_case(&self, method: &Method) -> bool {
        self.method
            .as_ref()
            .is_some_and(|own| own != method && own.as_str().eq_ignore_ascii_case(method.as_str()))
    }

    /// It matches the path, read with this leniency.
    pub(crate) fn matches(&self, path: &Segments, leniency: Leniency) -> bool {
        let (parts, path) =
            if leniency.case { (&self.folded, &path.folded) } else { (&self.parts, &path.exact) };
        let other_ending = path.other_ending.as_deref().filter(|_| leniency.slash);
        fits(parts, &path.plain) || other_ending.is_some_and(|other| fits(parts, other))
    }
}

fn fits(parts: &[Part], segments: &[String]) -> bool {
    match (parts, segments) {
        ([], []) => true,
        ([Part::Rest], [_, ..]) => true,
        ([Part::Literal(text), parts @ ..], [segment, segments @ ..]) => {
            text == segment && fits(parts, segments)
        }
        ([Part::Param, parts @ ..], [segment, segments @ ..]) => {
            !segment.is_empty() && fits(parts, segments)
        }
        _ => false,
    }
}

fn read_method(text: &str) -> Result<Option<Method>, RouteFault> {
    if text == "*" {
        return Ok(None);
    }
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
        return Err(RouteFault::Matcher("a method is written in capitals"));
    }
    if matches!(text, "CONNECT" | "OPTIONS") {
        return Err(RouteFault::Matcher("CONNECT and OPTIONS cannot be named"));
    }
    Method::from_bytes(text.as_bytes())
        .map(Some)
        .map_err(|_| RouteFault::Matcher("the method is not a token"))
}

fn read_part(segment: String, is_last: bool) -> Result<Part, RouteFault> {
    match segment.as_str() {
        "*" if is_last => Ok(Part::Rest),
        "*" => Err(RouteFault::Matcher("* stands only at the end")),
        ":" => Err(RouteFault::Matcher("a parameter has a name after the colon")),
        text if text.contains('*') => Err(RouteFault::Matcher("* stands for whole segments only")),
        text if text.starts_with(':') => Ok(Part::Param),
        _ => Ok(Part::Literal(segment)),
    }
}
