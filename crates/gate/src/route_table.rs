//! The price table: which route a request belongs to. The default for what no route matches is
//! stated by the operator; everything a forgiving application could confuse with a priced path is
//! refused.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method, Request, Uri, header};

use crate::error::{GateError, RouteFault};
use crate::known_paths::{KnownPaths, Place};
use crate::origin::Origin;
use crate::pattern::{Leniency, Pattern, Segments};
use crate::route::Route;
use crate::{limits, path};

const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// What happens to requests that no route matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmatched {
    /// 404.
    Deny,
    /// They go to the application without payment.
    Free,
}

/// What the table says about a request.
#[derive(Clone, Debug)]
pub enum Decision {
    /// It has to be paid by this route.
    Priced(Arc<Route>),
    /// It goes to the application. `near_price` is set where another method of the path is
    /// priced: what could turn this method into that one is then stripped.
    Free {
        /// See above.
        near_price: bool,
    },
    /// No route matches, and the default is to deny.
    Denied,
    /// A CORS preflight for a priced path; the gate answers it.
    Preflight,
    /// The path or method can be read in more than one way.
    Ambiguous,
    /// A protocol upgrade on a priced path, or CONNECT.
    Upgrade,
}

#[derive(Clone, Debug)]
struct Entry {
    pattern: Pattern,
    route: Arc<Route>,
}

/// The price table.
#[derive(Clone, Debug)]
pub struct RouteTable {
    /// Most specific first, independent of the order of declaration.
    entries: Vec<Entry>,
    known: KnownPaths,
    unmatched: Unmatched,
    origin: Origin,
}

impl RouteTable {
    /// Reads and checks every route.
    ///
    /// # Errors
    /// [`GateError::Route`] for the first route that is wrong, [`GateError::TooManyRoutes`].
    pub fn new(
        routes: Vec<Route>,
        unmatched: Unmatched,
        origin: Origin,
    ) -> Result<Self, GateError> {
        if routes.len() > limits::MAX_ROUTES {
            return Err(GateError::TooManyRoutes {
                found: routes.len(),
                limit: limits::MAX_ROUTES,
            });
        }
        if let Some((index, fault)) = Self::faults(&routes).into_iter().next() {
            let route = routes.get(index).map(|route| route.name.clone()).unwrap_or_default();
            return Err(GateError::Route { route, fault });
        }
        let mut entries: Vec<Entry> = Vec::with_capacity(routes.len());
        for route in routes {
            let pattern = Pattern::read(&route.matcher)
                .map_err(|fault| GateError::Route { route: route.name.clone(), fault })?;
            entries.push(Entry { pattern, route: Arc::new(route) });
        }
        entries.sort_by(|a, b| a.pattern.by_specificity(&b.pattern));
        let known = KnownPaths::of(entries.iter().map(|entry| &*entry.route));
        Ok(Self { entries, known, unmatched, origin })
    }

    /// Everything that is wrong with these routes, each fault with the position of its route from
    /// 0, in that order. Two routes that are at odds are a fault of the later one.
    #[must_use]
    pub fn faults(routes: &[Route]) -> Vec<(usize, RouteFault)> {
        let mut found = Vec::new();
        let mut names = HashSet::new();
        let mut alike: HashMap<_, Vec<(&Route, Pattern)>> = HashMap::new();
        for (index, route) in routes.iter().enumerate() {
            found.extend(route.faults().into_iter().map(|fault| (index, fault)));
            if !names.insert(route.name.as_str()) {
                found.push((index, RouteFault::NameTaken));
            }
            let Ok(pattern) = Pattern::read(&route.matcher) else { continue };
            let alike = alike.entry(pattern.folded_key()).or_default();
            let at_odds = |(other, theirs): &&(&Route, Pattern)| {
                theirs.is_same(&pattern) || route.is_priced() || other.is_priced()
            };
            if let Some((other, _)) = alike.iter().find(at_odds) {
                found.push((index, RouteFault::SameMatch { other: other.name.clone() }));
            }
            alike.push((route, pattern));
        }
        found
    }

    /// The routes, most specific first.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.entries.iter().map(|entry| &entry.route)
    }

    /// Judges a request by its method, target and headers.
    #[must_use]
    pub fn decide<B>(&self, request: &Request<B>) -> Decision {
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        if method == Method::CONNECT {
            return Decision::Upgrade;
        }
        if !self.is_our_authority(uri) {
            return Decision::Ambiguous;
        }
        let path = uri.path();
        let found = self.known.find(method, path, || self.look(method, path));
        let Some(Place { strict, priced_path }) = found else { return Decision::Ambiguous };
        if priced_path && is_upgrade(headers) {
            return Decision::Upgrade;
        }
        if priced_path && is_preflight(method, headers) {
            return Decision::Preflight;
        }
        match strict.and_then(|index| self.entries.get(index)) {
            Some(entry) if entry.route.is_priced() => Decision::Priced(Arc::clone(&entry.route)),
            Some(_) => Decision::Free { near_price: priced_path },
            None if self.unmatched == Unmatched::Free => Decision::Free { near_price: priced_path },
            None => Decision::Denied,
        }
    }

    /// What method and path alone say; none if they can be read in more than one way.
    fn look(&self, method: &Method, path: &str) -> Option<Place> {
        let path = Segments::new(path::segments(path).ok()?);
        let strict = self.winner(method, &path, Leniency::NONE);
        if self.is_near_a_price(method, &path, strict) {
            return None;
        }
        let is_it = |entry: &Entry| strict.is_some_and(|strict| std::ptr::eq(strict, entry));
        Some(Place {
            strict: self.entries.iter().position(is_it),
            priced_path: self.on_path(&path).any(|entry| entry.route.is_priced()),
        })
    }

    fn on_path<'a>(&'a self, path: &'a Segments) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(|entry| entry.pattern.matches(path, Leniency::NONE))
    }

    /// The most specific route for the method. What GET costs, HEAD costs: its headers tell about
    /// the resource. A route that names HEAD decides only if GET is free or it is priced itself.
    fn winner(&self, method: &Method, path: &Segments, leniency: Leniency) -> Option<&Entry> {
        let first = |is_meant: &dyn Fn(&Pattern) -> bool| {
            self.entries
                .iter()
                .find(|entry| is_meant(&entry.pattern) && entry.pattern.matches(path, leniency))
        };
        if method != Method::HEAD {
            return first(&|pattern| pattern.takes(method));
        }
        let head = first(&|pattern| pattern.names(&Method::HEAD));
        let get = first(&|pattern| pattern.takes(&Method::GET));
        match (head, get) {
            (Some(head), Some(get)) if get.route.is_priced() => {
                let decides =
                    head.route.is_priced() && head.pattern.is_as_specific_as(&get.pattern);
                Some(if decides { head } else { get })
            }
            (head, get) => head.or(get),
        }
    }

    /// A forgiving application would read the request as one that is priced, and we do not.
    fn is_near_a_price(&self, method: &Method, path: &Segments, strict: Option<&Entry>) -> bool {
        let is_other = |entry: &Entry| {
            entry.route.is_priced()
                && strict.is_none_or(|strict| !Arc::ptr_eq(&strict.route, &entry.route))
        };
        let in_other_spelling = Leniency::SOME
            .iter()
            .any(|leniency| self.winner(method, path, *leniency).is_some_and(is_other));
        let in_other_case = || {
            self.entries.iter().any(|entry| {
                entry.pattern.takes_in_other_case(method)
                    && entry.pattern.matches(path, Leniency { case: true, slash: true })
                    && is_other(entry)
            })
        };
        in_other_spelling || in_other_case()
    }

    /// An absolute-form target must name the configured origin.
    fn is_our_authority(&self, uri: &Uri) -> bool {
        match (uri.scheme_str(), uri.authority()) {
            (None, None) => true,
            (Some(scheme), Some(authority)) => self.origin.is(scheme, authority),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE) || headers.contains_key(HTTP2_SETTINGS)
}

fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}
